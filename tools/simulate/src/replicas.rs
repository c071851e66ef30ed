//! What must be equal on all drives when every one is in sync and nobody writes.
//!
//! Invariants checked: the M metadata positions of a key hold the same entry, the others none;
//! every fragment of every object is whole on its position, so that the promise of P losses holds
//! again after every repair.

use crate::process::Process;
use engine_format::{
    Entry, Keyspace, ObjectRecord, Order, PartRecord, PartTable, Storage, UploadRecord,
};
use engine_types::{DataId, Geometry, Position, PositionSet, Sequence};
use std::collections::BTreeMap;
use std::rc::Rc;

/// An entry as one drive holds it.
struct Replica {
    position: Position,
    rank: u8,
    sequence: Sequence,
    value: Vec<u8>,
}

type Copies = BTreeMap<(u8, Vec<u8>), Vec<Replica>>;

impl Process {
    /// Compares all drives.
    pub async fn check_replicas(self: Rc<Self>) {
        self.settle().await;
        let outcome = self.compare_replicas().await;
        self.site.verdict.note(outcome);
    }

    async fn compare_replicas(&self) -> Result<(), String> {
        let copies = self.all_copies().await?;
        for ((space, suffix), copies) in &copies {
            let name = format!("entry {space}/{}", String::from_utf8_lossy(suffix));
            self.compare_copies(&name, *space, copies)?;
        }
        for ((space, suffix), copies) in &copies {
            let name = format!("entry {space}/{}", String::from_utf8_lossy(suffix));
            if let Some(first) = copies.first() {
                self.check_fragments(&name, *space, suffix, first).await?;
            }
        }
        Ok(())
    }

    async fn all_copies(&self) -> Result<Copies, String> {
        let mut copies = Copies::new();
        for position in self.positions() {
            for space in [Keyspace::Current, Keyspace::Uploads, Keyspace::Parts] {
                for (key, entry) in self.entries_of(position, space).await? {
                    let copy = Replica {
                        position,
                        rank: key[1],
                        sequence: entry.sequence,
                        value: entry.value.unwrap_or_default(),
                    };
                    copies.entry((key[0], key[2..].to_vec())).or_default().push(copy);
                }
            }
        }
        Ok(copies)
    }

    async fn entries_of(
        &self,
        position: Position,
        space: Keyspace,
    ) -> Result<Vec<(Vec<u8>, Entry)>, String> {
        let member = self.peers.member(position).ok_or("a drive in sync is not open")?;
        let (mut at, end) = (vec![space as u8], vec![space as u8 + 1]);
        let mut entries = Vec::new();
        loop {
            let page = member.store().scan(&at, &end, 50).await;
            let page = page.map_err(|error| format!("a scan on {position}: {error}"))?;
            entries.extend(page.entries);
            match page.next {
                Some(next) => at = next,
                None => return Ok(entries),
            }
        }
    }

    fn compare_copies(&self, name: &str, space: u8, copies: &[Replica]) -> Result<(), String> {
        let Some(first) = copies.first() else { return Ok(()) };
        let order = order_of(space, &first.value)?;
        let differs = copies.iter().find(|copy| {
            copy.value != first.value
                || copy.sequence != first.sequence
                || order.rank(copy.position) != Some(copy.rank)
        });
        if let Some(other) = differs {
            return Err(format!(
                "{name}: the drives at {} and {} differ: {} and {}",
                first.position, other.position, first.sequence, other.sequence
            ));
        }
        let metadata = order.first(self.site.config.quorums.metadata);
        let holders: PositionSet = copies.iter().map(|copy| copy.position).collect();
        if metadata != holders {
            let sequence = first.sequence;
            return Err(format!("{name} of {sequence} lies on {holders}, not on {metadata}"));
        }
        Ok(())
    }

    async fn check_fragments(
        &self,
        name: &str,
        space: u8,
        suffix: &[u8],
        copy: &Replica,
    ) -> Result<(), String> {
        let order = order_of(space, &copy.value)?;
        for (data, geometry) in self.runs_of(name, space, suffix, copy).await? {
            for position in order.iter().take(geometry.width()) {
                let member = self.peers.member(position).ok_or("a drive in sync is not open")?;
                let whole = member.store().verify_fragment(data).await;
                if !matches!(whole, Ok(true)) && !self.site.drives.rotten().contains(position) {
                    let sequence = copy.sequence;
                    return Err(format!(
                        "{name} of {sequence}: the fragment of {data} on {position} is {whole:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The runs of bytes an entry refers to. Payloads must be there on all holders.
    async fn runs_of(
        &self,
        name: &str,
        space: u8,
        suffix: &[u8],
        copy: &Replica,
    ) -> Result<Vec<(DataId, Geometry)>, String> {
        let wrong = |error: engine_format::FormatError| format!("{name}: {error}");
        if space == Keyspace::Parts as u8 {
            let part = PartRecord::decode(&copy.value).map_err(wrong)?.entry;
            let has_bytes = part.size_bytes > 0;
            return Ok(has_bytes.then_some((part.data, part.geometry)).into_iter().collect());
        }
        if space != Keyspace::Current as u8 {
            return Ok(Vec::new());
        }
        let record = ObjectRecord::decode(&copy.value).map_err(wrong)?;
        let mut runs = Vec::new();
        match record.storage {
            Storage::Empty => {}
            Storage::Fragments(data, geometry) => runs.push((data, geometry)),
            Storage::Inline | Storage::Parts => {
                for position in record.holders.iter() {
                    let Some(payload) = self.payload_on(&record, suffix, position).await else {
                        let sequence = copy.sequence;
                        return Err(format!("{name} of {sequence}: no payload on {position}"));
                    };
                    if record.storage == Storage::Parts && runs.is_empty() {
                        let table = PartTable::decode(&payload).map_err(wrong)?;
                        let parts = table.parts.into_iter().filter(|part| part.size_bytes > 0);
                        runs.extend(parts.map(|part| (part.data, part.geometry)));
                    }
                }
            }
        }
        Ok(runs)
    }

    async fn payload_on(
        &self,
        record: &ObjectRecord,
        suffix: &[u8],
        position: Position,
    ) -> Option<Vec<u8>> {
        let rank = record.order.rank(position)?;
        let key = engine_format::IndexKey::ranked(Keyspace::Current, rank, suffix).0;
        let member = self.peers.member(position)?;
        let (_, payload) = member.store().get_with_payload(&key).await.ok()??;
        payload
    }
}

fn order_of(space: u8, value: &[u8]) -> Result<Order, String> {
    let order = match Keyspace::from_u8(space) {
        Some(Keyspace::Current) => ObjectRecord::decode(value).map(|record| record.order),
        Some(Keyspace::Uploads) => UploadRecord::decode(value).map(|record| record.order),
        _ => PartRecord::decode(value).map(|record| record.order),
    };
    order.map_err(|error| error.to_string())
}
