//! Bringing a node up: threads, drives, format or identification, members, first views.
//!
//! Invariants: nothing is written before every drive was looked at and the layout is clear; an
//! empty drive in a set that holds data counts as missing and is never formatted here; drives of
//! two deployments are refused; a format that was cut short is done again whole.

use crate::config::{DriveKind, LogLevel, LogSink, NodeConfig, NodeDrive};
use crate::drives::{
    EMPTY, Found, drive_spec, identify, open_drive, open_new, random_id, segment_bytes_of,
    too_small,
};
use crate::look::{Look, look, may_be_made};
use crate::node::Node;
use crate::seats::{path_bytes, remember, sort_out};
use crate::shard::{Message, ShardLocal};
use crate::shared::{Layout, Shared, locked};
use crate::status::{DriveReport, DriveState};
use engine_env::Env;
use engine_format::Superblock;
use engine_set::SetConfig;
use engine_store::{DriveUsage, FormatOptions, Store};
use engine_types::{DeploymentId, DriveId, Position, SetId};
use shards_control::{Seat, SeatTable};
use shards_executor::PinnedThread;
use shards_mailbox::Mailbox;
use shards_uring::{DriveStatistics, RealDrive, RealEnv, RuntimeConfig, ShardRuntime};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages a shard's mailbox holds; the last quarter is for fan-outs within sets.
const MAILBOX_MESSAGES: usize = 16_384;

/// Why a node did not start. One clear sentence each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Refused; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// Failed.
    #[error("{0}")]
    Failed(String),
}

/// The threads of a node; they end when `stop` is called.
pub struct Threads {
    node: Node,
    threads: Vec<PinnedThread<()>>,
}

impl Threads {
    /// Stops the shards and waits for their threads; each takes checkpoints of its drives first,
    /// so that the next start has little to replay.
    pub fn stop(self) {
        // From here on drives fall silent because they are told to: no view must change for it.
        self.node.shared.stopping.store(true, Ordering::Relaxed);
        for sender in &self.node.shared.senders {
            _ = sender.try_send_reserved(Message::Stop);
        }
        for thread in self.threads {
            _ = thread.join();
        }
    }
}

/// Starts a node's shards. Returns when every set has had its first chance to serve.
///
/// # Errors
/// `Refused` where nothing was written; `Failed` otherwise.
pub async fn start(config: NodeConfig) -> Result<(Node, Threads), StartError> {
    if let Some(text) = config.fault() {
        return Err(StartError::Refused(text));
    }
    let (node, threads) = start_threads(&config)?;
    let mut found = Vec::new();
    for (index, drive) in config.drives.iter().enumerate() {
        found.push(probe(&node, &config, index, drive).await?);
    }
    let layout = match decide_layout(&config, &found)? {
        Decision::Existing(layout) => layout,
        Decision::Format(layout) => {
            let deployment = format_all(&node, &config, &layout).await?;
            Layout { deployment, ..layout }
        }
    };
    let configs = set_configs(&config, &layout)?;
    node.shared
        .layout
        .set((layout, configs))
        .map_err(|_| StartError::Failed("the node was started twice".to_owned()))?;
    open_all(&node, &config, &layout).await?;
    for set in (0..layout.set_count).map(SetId) {
        let shard = usize::from(set.0) % config.shards;
        let supervised = node
            .run(shard, move |local| async move { crate::supervise::begin(local, set).await })
            .await;
        if supervised.is_err() {
            return Err(StartError::Failed("a shard stopped at its start".to_owned()));
        }
    }
    let told = node.run(0, |local| async move { local.env.spawn(remember(Rc::clone(&local))) });
    told.await.map_err(|_| StartError::Failed("a shard stopped at its start".to_owned()))?;
    Ok((node.clone(), Threads { node, threads }))
}

fn start_threads(config: &NodeConfig) -> Result<(Node, Vec<PinnedThread<()>>), StartError> {
    let mut receivers = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..config.shards {
        let (sender, receiver) = Mailbox::<Message>::new(MAILBOX_MESSAGES);
        senders.push(sender);
        receivers.push(receiver);
    }
    let mut shared = Shared::new(senders);
    shared.control_cpus.clone_from(&config.control_cpus);
    let shared = Arc::new(shared);
    let mut threads = Vec::new();
    for (shard, receiver) in receivers.into_iter().enumerate() {
        let (config, shared) = (config.clone(), Arc::clone(&shared));
        let cpu = config.cpus.get(shard).copied();
        let kind = config.driver;
        let log = Arc::clone(&config.log);
        let thread = shards_executor::start_pinned_thread(
            &format!("basalt-shard-{shard}"),
            cpu,
            move || {
                let runtime = RuntimeConfig {
                    ring_entries: config.ring_entries,
                    arena_bytes: config.arena_bytes,
                    helper_cpus: config.control_cpus.clone(),
                    ..RuntimeConfig::default()
                };
                let ran = ShardRuntime::run(kind, runtime, |env: RealEnv| {
                    note_arena(&env, &shared, &log);
                    ShardLocal::new(shard, env, shared, config).serve(receiver)
                });
                if let Err(error) = ran {
                    log(
                        LogLevel::Error,
                        "a shard could not start",
                        &[("error", error.to_string())],
                    );
                }
            },
        );
        threads.push(thread.map_err(|error| {
            StartError::Failed(format!("shard {shard} could not start: {error}"))
        })?);
    }
    Ok((Node { shared }, threads))
}

/// Makes a shard's arena known to the metrics, and says once if io_uring does not know it.
fn note_arena(env: &RealEnv, shared: &Shared, log: &LogSink) {
    if let Some(arena) = env.arena() {
        shared.add_arena(arena);
    }
    if let Some(reason) = env.unregistered()
        && !shared.unregistered_said.swap(true, Ordering::Relaxed)
    {
        log(
            LogLevel::Warn,
            "io_uring does not know the I/O buffers beforehand, which costs some CPU: raise the \
             limit of locked memory (LimitMEMLOCK=infinity)",
            &[("reason", reason)],
        );
    }
}

async fn probe(
    node: &Node,
    config: &NodeConfig,
    index: usize,
    drive: &NodeDrive,
) -> Result<Found, StartError> {
    match look(drive) {
        // Opening would make its first file, and this may be the lost member of a set.
        Look::Blank if drive.kind == DriveKind::Directory => return Ok(Found::Empty),
        Look::Absent(_) if may_be_made(drive) => return Ok(Found::Empty),
        Look::Absent(text) | Look::Strange(text) => return Ok(Found::Broken(text)),
        Look::Blank | Look::Used => {}
    }
    let spec = drive_spec(config, drive);
    let found = node
        .run(config.shard_of(index), move |local| async move {
            let opened = RealDrive::open(&local.env, spec).await;
            match opened {
                Err(error @ shards_uring::OpenError::Locked { .. }) => {
                    Found::Locked(error.to_string())
                }
                Err(error) => Found::Broken(error.to_string()),
                Ok(drive) => {
                    let found = identify(&drive).await;
                    local.drives.borrow_mut().insert(index, drive);
                    found
                }
            }
        })
        .await;
    let found = found.map_err(|_| StartError::Failed("a shard could not start".to_owned()))?;
    match found {
        Found::Locked(text) | Found::Newer(text) => Err(StartError::Refused(text)),
        found => Ok(found),
    }
}

enum Decision {
    Format(Layout),
    Existing(Layout),
}

fn decide_layout(config: &NodeConfig, found: &[Found]) -> Result<Decision, StartError> {
    let refuse = |text: String| Err(StartError::Refused(text));
    let ours: Vec<(usize, &Superblock)> = found
        .iter()
        .enumerate()
        .filter_map(|(index, found)| match found {
            Found::Ours(superblock) => Some((index, &**superblock)),
            _ => None,
        })
        .collect();
    let path = |index: usize| config.drives[index].path.display().to_string();
    let used = ours.iter().any(|(_, superblock)| superblock.incarnation > 0);
    if !used {
        let broken = found.iter().find_map(|found| match found {
            Found::Broken(text) => Some(text),
            _ => None,
        });
        if let Some(text) = broken {
            return refuse(format!("a new pool needs all of its drives: {text}"));
        }
        return new_layout(config).map(Decision::Format);
    }
    let Some((first_index, first)) = ours.first() else {
        return refuse("no drive holds data".to_owned());
    };
    let mut seen: BTreeMap<(SetId, Position), usize> = BTreeMap::new();
    for (index, superblock) in &ours {
        if superblock.deployment != first.deployment {
            return refuse(format!(
                "{} belongs to deployment {}, {} to {}",
                path(*index),
                superblock.deployment,
                path(*first_index),
                first.deployment
            ));
        }
        if let Some(other) = seen.insert((superblock.set, superblock.position), *index) {
            return refuse(format!("{} and {} are the same drive", path(*index), path(other)));
        }
    }
    let layout = Layout {
        deployment: first.deployment,
        set_count: first.set_count,
        set_size: first.set_size,
        parity: first.parity,
    };
    let total = usize::from(layout.set_count) * usize::from(layout.set_size);
    if config.drives.len() != total {
        return refuse(format!(
            "{} drives are given, but this deployment has {total}",
            config.drives.len()
        ));
    }
    if config.parity.is_some_and(|parity| parity != layout.parity) {
        return refuse(format!(
            "parity {} is asked for, but this deployment was formatted with {}",
            config.parity.unwrap_or_default(),
            layout.parity
        ));
    }
    Ok(Decision::Existing(layout))
}

fn new_layout(config: &NodeConfig) -> Result<Layout, StartError> {
    let refused = |error: &dyn std::fmt::Display| StartError::Refused(error.to_string());
    let pool = engine_placement::pool_layout(config.drives.len(), config.set_size)
        .map_err(|error| refused(&error))?;
    let default = engine_placement::default_parity(pool.set_size);
    let parity = config.parity.map_or(default, usize::from);
    engine_placement::check_parity(pool.set_size, parity).map_err(|error| refused(&error))?;
    if let Some(text) = config.drives.iter().find_map(|drive| too_small(config, drive)) {
        return Err(StartError::Refused(text));
    }
    let narrow = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    Ok(Layout {
        deployment: DeploymentId([0; 16]),
        set_count: pool.set_count,
        set_size: narrow(pool.set_size),
        parity: narrow(parity),
    })
}

fn set_configs(config: &NodeConfig, layout: &Layout) -> Result<Vec<SetConfig>, StartError> {
    (0..layout.set_count)
        .map(|set| {
            SetConfig::new(
                layout.deployment,
                SetId(set),
                (layout.set_size, layout.parity),
                (config.cell_bytes, config.inline_bytes_max),
            )
            .map_err(|error| StartError::Refused(error.to_string()))
        })
        .collect()
}

/// Formats all drives of a new pool.
async fn format_all(
    node: &Node,
    config: &NodeConfig,
    layout: &Layout,
) -> Result<DeploymentId, StartError> {
    let lost = |_| StartError::Failed("a shard stopped at its start".to_owned());
    let deployment = node.run(0, |local| async move { random_id(&local.env) }).await;
    let deployment = DeploymentId(deployment.map_err(lost)?);
    for (index, drive) in config.drives.iter().enumerate() {
        let set = index / usize::from(layout.set_size);
        let position = index % usize::from(layout.set_size);
        let layout = *layout;
        let formatted = node
            .run(config.shard_of(index), move |local| async move {
                let drive = open_new(&local, index).await.map_err(|error| error.to_string())?;
                let given = &local.config.drives[index];
                let options = FormatOptions {
                    drive: DriveId(random_id(&local.env)),
                    deployment,
                    set: SetId(u16::try_from(set).unwrap_or(u16::MAX)),
                    position: Position(u8::try_from(position).unwrap_or(u8::MAX)),
                    set_size: layout.set_size,
                    set_count: layout.set_count,
                    parity: layout.parity,
                    segment_bytes: segment_bytes_of(&local.config, given, &drive),
                    rebuilding: false,
                };
                let formatted = Store::<RealEnv>::format(&drive, &options).await;
                formatted.map_err(|error| error.to_string())
            })
            .await
            .map_err(lost)?;
        formatted.map_err(|error| {
            StartError::Failed(format!("{} cannot be formatted: {error}", drive.path.display()))
        })?;
    }
    Ok(deployment)
}

/// Opens every drive that belongs to the deployment, and reports the others as missing.
async fn open_all(node: &Node, config: &NodeConfig, layout: &Layout) -> Result<(), StartError> {
    let mut vacant: Vec<Seat> = (0..layout.set_count)
        .flat_map(|set| (0..layout.set_size).map(move |position| (SetId(set), Position(position))))
        .collect();
    let mut absent = Vec::new();
    for index in 0..config.drives.len() {
        let shard = config.shard_of(index);
        let opened = node
            .run(shard, move |local| async move { open_drive(&local, index, None).await })
            .await
            .map_err(|_| StartError::Failed("a shard stopped at its start".to_owned()))?;
        match opened {
            Ok((set, position, uuid)) => {
                vacant.retain(|seat| *seat != (set, position));
                let state = DriveState::CatchingUp;
                let report = new_report(config, index, (set, position), state, uuid);
                node.shared.add_report(index, report);
            }
            Err(error) => absent.push((index, error)),
        }
    }
    let paths: Vec<(usize, Vec<u8>)> =
        absent.iter().map(|(index, _)| (*index, path_bytes(&config.drives[*index].path))).collect();
    let (seats, unsure) = sort_out(&paths, &vacant, &SeatTable::default());
    *locked(&node.shared.unsure) = unsure;
    for (index, error) in absent {
        let Some(seat) = seats.get(&index).copied() else { continue };
        let mut report = new_report(config, index, seat, DriveState::Missing, String::new());
        report.advice = advice_for_missing(&error);
        let path = report.path.display().to_string();
        (config.log)(
            LogLevel::Error,
            "a drive is missing",
            &[("drive", path), ("error", error), ("do", report.advice.clone())],
        );
        node.shared.add_report(index, report);
    }
    Ok(())
}

pub(crate) fn advice_for_missing(error: &str) -> String {
    if error == EMPTY {
        return format!(
            "{error}; run `basalt storage drive replace` to rebuild it from the others"
        );
    }
    format!("{error}; bring the drive back, or run `basalt storage drive replace` on an empty one")
}

fn new_report(
    config: &NodeConfig,
    index: usize,
    (set, position): Seat,
    state: DriveState,
    uuid: String,
) -> DriveReport {
    let drive = &config.drives[index];
    DriveReport {
        path: drive.path.clone(),
        shard: config.shard_of(index),
        limits: drive.limits,
        uuid,
        set,
        position,
        state,
        advice: String::new(),
        usage: DriveUsage::default(),
        io: DriveStatistics::default(),
        objects_short: 0,
    }
}
