//! A set of 2+1 drives in the simulator, whose wall clock the test sets.
#![allow(dead_code, reason = "each test uses what it needs")]

use bytes::Bytes;
use engine_env::Env;
use engine_set::{
    Coordinator, DriveOutcome, DriveRequest, Found, Member, Peers, PutFinish, PutTarget, SetConfig,
    SetError,
};
use engine_store::{DriveError, FormatOptions, Store, StoreConfig};
use engine_types::{
    BucketId, Condition, DeploymentId, DriveId, Key, ObjectInfo, Position, PositionSet, SetId,
};
use futures_channel::oneshot;
use shards_sim::{SimDrive, SimEnv, SimMedia, World};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

pub const BUCKET: BucketId = BucketId(1);
/// Bytes of a stripe: two cells.
pub const STRIPE_BYTES: u64 = 128 << 10;
const DRIVES: u8 = 3;
const PARITY: u8 = 1;
const CELL_BYTES: u32 = 64 << 10;
const INLINE_BYTES_MAX: u64 = 4 << 10;
const SEGMENT_BYTES: u64 = 256 << 10;
const SEGMENTS: u64 = 96;
const DEPLOYMENT: DeploymentId = DeploymentId([8; 16]);

/// The simulated world with a wall clock of its own.
#[derive(Clone)]
pub struct SetEnv {
    env: SimEnv,
    wall_ms: Rc<Cell<u64>>,
}

impl Env for SetEnv {
    type Drive = SimDrive;

    fn now_us(&self) -> u64 {
        self.env.now_us()
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms.get()
    }

    fn sleep_us(&self, duration_us: u64) -> impl Future<Output = ()> + use<> {
        self.env.sleep_us(duration_us)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.env.spawn(task);
    }

    fn random_u64(&self) -> u64 {
        self.env.random_u64()
    }
}

pub type SetMember = Member<SetEnv, Links>;

/// The way to the drives of the set.
#[derive(Clone)]
pub struct Links {
    env: SetEnv,
    members: Rc<RefCell<Vec<Option<SetMember>>>>,
}

impl Links {
    fn member(&self, position: Position) -> Option<SetMember> {
        self.members.borrow()[usize::from(position.0)].clone()
    }
}

impl Peers for Links {
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<> {
        let (reply, answer) = oneshot::channel();
        match self.member(position) {
            None => _ = reply.send(Err(DriveError::Failed)),
            Some(member) => {
                // Abandoning the answer must not abandon the request.
                let serving = member.serve(request);
                self.env.spawn(async move {
                    _ = reply.send(serving.await);
                });
            }
        }
        async move { answer.await.unwrap_or(Err(DriveError::Failed)) }
    }
}

/// What outlives a process.
pub struct Rig {
    pub world: World,
    pub wall_ms: Rc<Cell<u64>>,
    media: Vec<SimMedia>,
    is_formatted: Cell<bool>,
}

/// The set in one process.
#[derive(Clone)]
pub struct Set {
    pub env: SetEnv,
    links: Links,
    config: SetConfig,
}

impl Rig {
    pub fn new(seed: u64) -> Self {
        let media = |position: u8| {
            let salt = format!("drive {position}");
            let media = SimMedia::new(SEGMENT_BYTES * SEGMENTS, seed, &salt);
            media.set_delay_us_max(20);
            media
        };
        Self {
            world: World::new(seed),
            wall_ms: Rc::new(Cell::new(1_800_000_000_000)),
            media: (0..DRIVES).map(media).collect(),
            is_formatted: Cell::new(false),
        }
    }

    pub fn run<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> T {
        self.world.run(future, 200_000_000).expect("it ends")
    }

    /// Opens every drive and comes into service.
    pub fn start(&self) -> Set {
        let env = SetEnv { env: self.world.env(), wall_ms: Rc::clone(&self.wall_ms) };
        let members = Rc::new(RefCell::new(vec![None; usize::from(DRIVES)]));
        let links = Links { env: env.clone(), members };
        let limits = (CELL_BYTES, INLINE_BYTES_MAX);
        let config = SetConfig::new(DEPLOYMENT, SetId(0), (DRIVES, PARITY), limits);
        let set = Set { env, links, config: config.expect("2+1 is sound") };
        let (starting, world, media) = (set.clone(), self.world.clone(), self.media.clone());
        let is_formatted = self.is_formatted.replace(true);
        let started =
            self.run(async move { starting.come_into_service(&world, &media, is_formatted).await });
        assert_eq!(started, Ok(true), "writes are served");
        set
    }

    /// The process dies.
    pub fn kill(&self) {
        self.world.kill();
        self.media.iter().for_each(SimMedia::kill);
    }
}

impl Set {
    async fn come_into_service(
        &self,
        world: &World,
        media: &[SimMedia],
        is_formatted: bool,
    ) -> Result<bool, SetError> {
        for (number, media) in (0_u8..).zip(media) {
            let drive = media.open(world);
            if !is_formatted {
                Store::<SetEnv>::format(&drive, &options(number)).await?;
            }
            let opened = Store::open(self.env.clone(), drive, SEGMENT_BYTES, store_config()).await;
            let (store, _) = opened?;
            let member = SetMember::new(self.env.clone(), store, self.links.clone(), self.config);
            self.links.members.borrow_mut()[usize::from(number)] = Some(member);
        }
        let coordinator = Coordinator::new(self.links.clone(), self.config);
        let change = coordinator.change_view(PositionSet::EMPTY).await?;
        Ok(change.installed.writable && change.installed.active == self.config.all())
    }

    /// Every member.
    pub fn members(&self) -> Vec<SetMember> {
        self.config.all().iter().filter_map(|position| self.links.member(position)).collect()
    }

    /// Who owns a key.
    pub fn owner(&self, bucket: BucketId, key: &Key) -> SetMember {
        let order = self.config.order(bucket, key.as_bytes());
        let owner = SetConfig::owner(&order, self.config.all()).expect("all drives are in sync");
        self.links.member(owner).expect("all drives are open")
    }

    /// Writes an object; its MD5 is what the test says it is.
    pub async fn put(
        &self,
        bucket: BucketId,
        key: &Key,
        bytes: &[u8],
        md5: [u8; 16],
    ) -> Result<ObjectInfo, SetError> {
        let owner = self.owner(bucket, key);
        let size_bytes = bytes.len() as u64;
        let mut put = owner.begin_put(bucket, key, PutTarget::Object, size_bytes).await?;
        put.write(Bytes::copy_from_slice(bytes)).await?;
        let (checksums, attributes) = (Vec::new(), Vec::new());
        put.finish(PutFinish { md5, checksums, attributes, condition: Condition::None }).await
    }

    pub async fn find(&self, bucket: BucketId, key: &Key) -> Result<Found, SetError> {
        self.owner(bucket, key).find(bucket, key).await
    }

    /// Deletes an object. `Ok(false)`: there was none.
    pub async fn delete(&self, bucket: BucketId, key: &Key) -> Result<bool, SetError> {
        self.owner(bucket, key).delete(bucket, key, Condition::None).await
    }

    /// The bytes of an object found, read stripe by stripe with a pause before each.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn read(&self, found: &Found, pause_us: u64) -> Result<Vec<u8>, SetError> {
        if let Some(inline) = &found.inline {
            return Ok(inline.to_vec());
        }
        let mut bytes = Vec::new();
        for source in found.sources() {
            let mut at = 0;
            while at < source.run_bytes {
                self.env.sleep_us(pause_us).await;
                let len = STRIPE_BYTES.min(source.run_bytes - at);
                let reader = self.members().swap_remove(0);
                for piece in reader.read_stripe(&source, at, len as usize).await? {
                    bytes.extend_from_slice(&piece);
                }
                at += len;
            }
        }
        Ok(bytes)
    }
}

pub fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn options(number: u8) -> FormatOptions {
    FormatOptions {
        drive: DriveId([number + 1; 16]),
        deployment: DEPLOYMENT,
        set: SetId(0),
        position: Position(number),
        set_size: DRIVES,
        set_count: 1,
        parity: PARITY,
        segment_bytes: SEGMENT_BYTES,
        rebuilding: false,
    }
}

fn store_config() -> StoreConfig {
    StoreConfig {
        batch_bytes_max: 128 << 10,
        batch_records_max: 16,
        memtable_bytes: 40 << 10,
        log_bytes_between_checkpoints: 800 << 10,
        block_cache_bytes: 64 << 10,
        runs_per_level: 3,
        release_delay_us: 0,
        room_wait_us: 500_000,
        housekeeping_us: 2000,
    }
}
