//! What all members of a set agree on.

use engine_placement::{Quorums, SchemaError};
use engine_types::{DeploymentId, Geometry, Position, PositionSet, SetId};

/// What all members of a set agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetConfig {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The set.
    pub set: SetId,
    /// Drives of the set.
    pub set_size: u8,
    /// How objects are cut: D + P is at most the set size.
    pub geometry: Geometry,
    /// Objects up to this size lie in the log.
    pub inline_bytes_max: u64,
    /// The quorums that follow.
    pub quorums: Quorums,
}

impl SetConfig {
    /// The configuration of a set of `set_size` drives with `parity`.
    ///
    /// # Errors
    /// A schema that cannot keep what it promises.
    pub fn new(
        deployment: DeploymentId,
        set: SetId,
        (set_size, parity): (u8, u8),
        (cell_bytes, inline_bytes_max): (u32, u64),
    ) -> Result<Self, SchemaError> {
        let data = set_size - parity;
        let quorums = Quorums::new(set_size.into(), data.into(), parity.into())?;
        let geometry = Geometry { data, parity, cell_bytes };
        Ok(Self { deployment, set, set_size, geometry, inline_bytes_max, quorums })
    }

    /// All positions.
    #[must_use]
    pub fn all(&self) -> PositionSet {
        PositionSet::first(self.set_size.into())
    }

    /// Whether writes can be kept with only these positions: the data floor, and for every order
    /// of keys the metadata floor.
    #[must_use]
    pub fn floor_holds(&self, in_sync: PositionSet) -> bool {
        let out = usize::from(self.set_size).saturating_sub(in_sync.len());
        let metadata_left = self.quorums.metadata.saturating_sub(out);
        in_sync.len() >= self.quorums.data_floor && metadata_left >= self.quorums.metadata_write
    }

    /// Whether these positions together lead every key: of each one's M positions one is here.
    /// Others cannot tell a key that never was from one whose holders are away.
    #[must_use]
    pub fn leads_every_key(&self, active: PositionSet) -> bool {
        usize::from(self.set_size) - active.len() < self.quorums.metadata
    }

    /// Rendezvous order of a key.
    #[must_use]
    pub fn order(&self, bucket: engine_types::BucketId, key: &[u8]) -> engine_format::Order {
        let order = engine_placement::order(bucket, key, self.set_size.into());
        let positions: Vec<u8> = order.as_slice().iter().map(|position| position.0).collect();
        engine_format::Order::new(&positions)
    }

    /// The owner of an order among the active positions.
    #[must_use]
    pub fn owner(order: &engine_format::Order, active: PositionSet) -> Option<Position> {
        order.iter().find(|position| active.contains(*position))
    }
}
