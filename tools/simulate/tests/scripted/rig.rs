//! A small set in the simulator whose drives are opened, lost and asked by hand.

use bytes::Bytes;
use engine_env::Env;
use engine_set::{
    CatchUp, Change, Coordinator, Found, Member, PutFinish, PutTarget, SetConfig, SetError,
    SetListEntry, SetListQuery,
};
use engine_store::{FormatOptions, Store, StoreConfig};
use engine_types::{BucketId, Condition, DriveId, Key, Position, PositionSet, SetId};
use shards_sim::{Random, SimEnv, SimMedia, World};
use simulate::options::{DEPLOYMENT, SEGMENT_BYTES, SEGMENTS, Shape};
use simulate::pages::{Page, Pages};
use simulate::peers::SimPeers;
use std::future::Future;
use std::rc::Rc;

pub const BUCKET: BucketId = BucketId(1);
pub const NOBODY: PositionSet = PositionSet::EMPTY;
const STEPS_MAX: u64 = 20_000_000;

pub type SimMember = Member<SimEnv, SimPeers>;

/// A world and the drives in it; they outlive every process.
pub struct Rig {
    pub world: World,
    pub config: SetConfig,
    pub media: Vec<SimMedia>,
    /// How long what was released stays on a drive.
    pub release_delay_us: u64,
}

/// A process: members of the drives that were opened, and who changes their view.
#[derive(Clone)]
pub struct Set {
    pub env: SimEnv,
    pub peers: SimPeers,
    pub config: SetConfig,
    pub coordinator: Rc<Coordinator<SimPeers>>,
}

pub fn only(position: Position) -> PositionSet {
    [position].into_iter().collect()
}

pub fn some(positions: &[u8]) -> PositionSet {
    positions.iter().map(|position| Position(*position)).collect()
}

/// Bytes that differ from seed to seed.
pub fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed, "content");
    (0..len).map(|_| random.next() as u8).collect()
}

pub fn key_of(name: &str) -> Key {
    Key::new(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the objects on a page.
pub fn names_of(entries: Vec<SetListEntry>) -> impl Iterator<Item = String> {
    entries.into_iter().filter_map(|entry| match entry {
        SetListEntry::Object(key, _) => Some(key.to_string()),
        SetListEntry::CommonPrefix(_) => None,
    })
}

fn store_config(release_delay_us: u64) -> StoreConfig {
    StoreConfig {
        batch_bytes_max: 128 << 10,
        batch_records_max: 64,
        memtable_bytes: 256 << 10,
        log_bytes_between_checkpoints: 4 << 20,
        block_cache_bytes: 64 << 10,
        runs_per_level: 3,
        release_delay_us,
        room_wait_us: 500_000,
        housekeeping_us: 2000,
    }
}

impl Rig {
    /// Formatted drives, nothing open.
    pub fn new(seed: u64, (data, parity): (u8, u8)) -> Self {
        let shape = Shape { data, parity };
        let config = shape.config().unwrap_or_else(|error| panic!("{shape}: {error}"));
        let media = |position: u8| {
            SimMedia::new(SEGMENT_BYTES * SEGMENTS, seed, &format!("drive {position}"))
        };
        let media = (0..shape.drives()).map(media).collect();
        let rig = Self { world: World::new(seed), config, media, release_delay_us: 0 };
        for position in config.all().iter() {
            rig.format(position, DriveId([position.0 + 1; 16]), false);
        }
        rig
    }

    /// Runs a task to its end.
    pub fn run<T: 'static>(&self, task: impl Future<Output = T> + 'static) -> T {
        self.world.run(task, STEPS_MAX).expect("it ends")
    }

    pub fn media(&self, position: Position) -> &SimMedia {
        &self.media[usize::from(position.0)]
    }

    fn format(&self, position: Position, drive: DriveId, rebuilding: bool) {
        let options = FormatOptions {
            drive,
            deployment: DEPLOYMENT,
            set: SetId(0),
            position,
            set_size: self.config.set_size,
            set_count: 1,
            parity: self.config.geometry.parity,
            segment_bytes: SEGMENT_BYTES,
            rebuilding,
        };
        let (media, world) = (self.media(position).clone(), self.world.clone());
        self.run(async move { Store::<SimEnv>::format(&media.open(&world), &options).await })
            .expect("format works");
    }

    /// A new, empty drive in the place of one that is gone.
    pub fn replace(&self, position: Position) {
        self.media(position).replace();
        self.format(position, DriveId([position.0 + 101; 16]), true);
    }

    /// A process with all drives but some open, and no view yet.
    pub fn start(&self, absent: PositionSet) -> Set {
        let env = self.world.env();
        let peers = SimPeers::new(env.clone(), self.media.len());
        let coordinator = Rc::new(Coordinator::new(peers.clone(), self.config));
        let set = Set { env, peers, config: self.config, coordinator };
        for position in self.config.all().minus(absent).iter() {
            self.open(&set, position);
        }
        set
    }

    /// Opens a drive and puts its member in place.
    pub fn open(&self, set: &Set, position: Position) {
        let (media, world, env) =
            (self.media(position).clone(), self.world.clone(), set.env.clone());
        let config = store_config(self.release_delay_us);
        let opened = self.run(async move {
            let drive = media.open(&world);
            Store::open(env, drive, SEGMENT_BYTES, config).await
        });
        let (store, _) = opened.unwrap_or_else(|error| panic!("{position}: {error}"));
        set.peers.join(Member::new(set.env.clone(), store, set.peers.clone(), set.config));
    }

    /// The process dies; the power stays.
    pub fn stop(&self, set: &Set) {
        self.world.kill();
        set.peers.clear();
        self.media.iter().for_each(SimMedia::kill);
    }

    /// Lets what is under way come to its end.
    pub fn rest(&self, set: &Set) {
        let env = set.env.clone();
        self.run(async move { env.sleep_us(300_000).await });
    }

    /// Changes the view to the drives that answer.
    pub fn view(&self, set: &Set) -> Result<Change, SetError> {
        let coordinator = Rc::clone(&set.coordinator);
        self.run(async move { coordinator.change_view(NOBODY).await })
    }

    /// Brings a drive back.
    pub fn catch_up(
        &self,
        set: &Set,
        position: Position,
        change: &Change,
    ) -> Result<(CatchUp, Change), SetError> {
        let (coordinator, installed) = (Rc::clone(&set.coordinator), change.installed.clone());
        self.run(async move { coordinator.catch_up(position, &installed).await })
    }

    pub fn put(&self, set: &Set, name: &str, content: &[u8]) -> Result<(), SetError> {
        let (set, name, content) = (set.clone(), name.to_owned(), content.to_vec());
        self.run(async move { set.put(&name, &content).await })
    }

    pub fn delete(&self, set: &Set, name: &str) -> Result<bool, SetError> {
        let (set, key) = (set.clone(), key_of(name));
        let condition = Condition::None;
        self.run(async move { set.owner(&key)?.delete(BUCKET, &key, condition).await })
    }

    pub fn get(&self, set: &Set, name: &str) -> Result<Vec<u8>, SetError> {
        let (set, name) = (set.clone(), name.to_owned());
        self.run(async move { set.get(&name).await })
    }

    /// The names of all objects.
    pub fn list(&self, set: &Set) -> Result<Vec<String>, SetError> {
        let set = set.clone();
        self.run(async move { set.list().await })
    }
}

impl Set {
    pub fn member(&self, position: Position) -> SimMember {
        self.peers.member(position).expect("a drive that was opened")
    }

    /// Who owns a key under the newest view that is served.
    fn owner(&self, key: &Key) -> Result<SimMember, SetError> {
        let members = self.config.all().iter().filter_map(|position| self.peers.member(position));
        let installed = members
            .map(|member| member.installed())
            .filter(|installed| installed.serving)
            .max_by_key(|installed| installed.view.epoch)
            .ok_or(SetError::Unavailable)?;
        let order = self.config.order(BUCKET, key.as_bytes());
        let owner = SetConfig::owner(&order, installed.active).ok_or(SetError::Unavailable)?;
        self.peers.member(owner).ok_or(SetError::Unavailable)
    }

    pub async fn put(&self, name: &str, content: &[u8]) -> Result<(), SetError> {
        let key = key_of(name);
        let owner = self.owner(&key)?;
        let size_bytes = content.len() as u64;
        let mut put = owner.begin_put(BUCKET, &key, PutTarget::Object, size_bytes).await?;
        put.write(Bytes::copy_from_slice(content)).await?;
        let (checksums, attributes) = (Vec::new(), Vec::new());
        let condition = Condition::None;
        let finish = PutFinish { md5: [1; 16], checksums, attributes, condition };
        put.finish(finish).await.map(|_| ())
    }

    pub async fn find(&self, name: &str) -> Result<Found, SetError> {
        let key = key_of(name);
        self.owner(&key)?.find(BUCKET, &key).await
    }

    pub async fn get(&self, name: &str) -> Result<Vec<u8>, SetError> {
        let owner = self.owner(&key_of(name))?;
        let found = self.find(name).await?;
        if let Some(inline) = &found.inline {
            return Ok(inline.to_vec());
        }
        let Some(source) = found.source() else { return Ok(Vec::new()) };
        let mut bytes: Vec<u8> = Vec::new();
        while (bytes.len() as u64) < source.run_bytes {
            let offset = bytes.len() as u64;
            let len = source.geometry.stripe_bytes().min(source.run_bytes - offset) as usize;
            for piece in owner.read_stripe(&source, offset, len).await? {
                bytes.extend_from_slice(&piece);
            }
        }
        Ok(bytes)
    }

    async fn list(&self) -> Result<Vec<String>, SetError> {
        let query = SetListQuery { entries_max: 1000, ..SetListQuery::default() };
        let pages = Pages::begin(&self.env, &self.peers, BUCKET, query);
        let mut pages = pages.ok_or(SetError::Unavailable)?;
        let mut names = Vec::new();
        loop {
            match pages.next_page().await.expect("pages in order") {
                Page::Entries(entries) => names.extend(names_of(entries)),
                Page::End => break,
                Page::Refused => return Err(SetError::Unavailable),
            }
        }
        names.sort();
        Ok(names)
    }
}
