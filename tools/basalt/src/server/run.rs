//! Starts shards, control and gateways, serves until the drain is over.
//!
//! Invariants: gateways listen only when every set had its chance to serve; at a stop gateways end
//! first, then control, then shards, so that nothing a client was promised is cut off.

use super::chosen::Chosen;
use super::edge::metrics::RequestMetrics;
use super::edge::{self, EdgeParts};
use super::placement::{Wanted, place};
use super::{ServerError, ServerOptions, dev, drives, hardware, layout};
use crate::notify::Notify;
use crate::signals::Shutdown;
use crate::{logging, version};
use gateway_core::shards::budget::MemoryBudget;
use shards_executor::{Executor, Park, ParkDriver, PinnedThread};
use shards_node::{Control, Node, NodeConfig, StartError, Threads};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How often slow clients are looked for, and the watchdog at most.
const TICK: Duration = Duration::from_millis(250);
/// The same while gateways drain: the stop must not wait for it.
const DRAIN_TICK_US: u64 = 20_000;
/// An address in use is tried again so often, and so long after.
const ADDRESS_TRIES: u32 = 100;
const ADDRESS_PAUSE: Duration = Duration::from_millis(20);

impl From<StartError> for ServerError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(text) => Self::Refused(text),
            StartError::Failed(text) => Self::Failed(text),
        }
    }
}

/// Serves until `shutdown` begins, then drains for at most `options.timeouts.drain`.
///
/// Once it listens it calls `dev::announce`, and `Notify::ready`.
pub fn run(options: ServerOptions, shutdown: Shutdown) -> Result<(), ServerError> {
    check_addresses(&options.addresses)?;
    let kernels = engine_codec::self_test();
    let chosen = choose(&options);
    let (config, driver_reason) =
        layout::node_config(&options, &chosen.hardware.plan, &chosen.placement)?;
    log_start(&options, &config, kernels, driver_reason.as_deref());
    chosen.log(&config);
    let driver = layout::driver_word(config.driver);
    let mut executor = Executor::new(ParkDriver::new());
    let (node, threads) = executor.run(shards_node::start(config))?;
    drives::make_private(&options.drives);
    let (control, control_thread) = start_control(&node)?;
    // A quarter of the memory is the index's and an eighth the arenas' (`layout`); an eighth is for
    // connections and the rest.
    let budget = MemoryBudget::new(options.memory_bytes / 2, shards_executor::now_us);
    let started = (&node, &control, driver);
    let gateways = start_gateways(&options, started, &chosen, &budget, &shutdown);
    let outcome = match gateways {
        Ok((gateways, addresses)) => {
            log_serving(&options, &node, &addresses);
            serve(&options, &shutdown, (gateways, &addresses), &budget);
            Ok(())
        }
        Err(error) => Err(error),
    };
    stop(control, control_thread, threads);
    outcome
}

/// Looks at the machine, and places threads and drives by its profile.
fn choose(options: &ServerOptions) -> Arc<Chosen> {
    let hardware = hardware::look(options);
    let wanted = Wanted {
        shards: options.shards,
        gateways: options.gateways,
        drive_count: options.drives.len(),
    };
    let allowed = shards_executor::allowed_cpus().unwrap_or_default();
    let placement = place(&wanted, &hardware.plan, &allowed);
    Arc::new(Chosen { hardware, placement })
}

/// Refuses addresses that somebody listens on, before a drive is touched. Gateways share theirs
/// (SO_REUSEPORT), so the kernel would let a second server in, and give it half of the clients.
/// Those of a killed server are its for a moment more: until the kernel has ended its rings.
fn check_addresses(addresses: &[SocketAddr]) -> Result<(), ServerError> {
    for address in addresses.iter().filter(|address| address.port() != 0) {
        let mut free = TcpListener::bind(address);
        for _ in 0..ADDRESS_TRIES {
            match &free {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    std::thread::sleep(ADDRESS_PAUSE);
                    free = TcpListener::bind(address);
                }
                _ => break,
            }
        }
        free.map_err(|error| ServerError::Failed(format!("cannot listen on {address}: {error}")))?;
    }
    Ok(())
}

/// Starts the control thread. Where the table of buckets cannot be read for want of drives, the
/// server starts all the same: drives can be replaced only while it runs.
fn start_control(node: &Node) -> Result<(Control, PinnedThread<()>), ServerError> {
    let (first_sender, first) = mpsc::channel();
    let started = Control::start(node.clone(), move |loaded| {
        // Nobody waits for a later one.
        if first_sender.send(loaded).is_err() {
            logging::info("the bucket table was read: every bucket is known", &[]);
        }
    });
    let started =
        started.map_err(|error| ServerError::Failed(format!("the control thread: {error}")))?;
    match first.recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => logging::error(
            "the bucket table cannot be read yet: until then S3 requests get 503",
            &[("error", &error), ("do", &"bring back the drives that `basalt status` misses")],
        ),
        Err(_) => return Err(ServerError::Failed("the control thread ended".to_owned())),
    }
    Ok(started)
}

fn stop(control: Control, control_thread: PinnedThread<()>, threads: Threads) {
    control.stop();
    _ = control_thread.join();
    threads.stop();
    logging::info("stopped", &[]);
}

type Gateways = Vec<PinnedThread<bool>>;

fn start_gateways(
    options: &ServerOptions,
    (node, control, driver): (&Node, &Control, &'static str),
    chosen: &Arc<Chosen>,
    budget: &MemoryBudget,
    shutdown: &Shutdown,
) -> Result<(Gateways, Vec<SocketAddr>), ServerError> {
    let placement = &chosen.placement;
    let mut gateways = Vec::new();
    let mut addresses = options.addresses.clone();
    let credential =
        gateway_s3::RootCredential::new(&options.access_key, options.secret_key.expose());
    let metrics = Arc::new(RequestMetrics::default());
    for index in 0..placement.gateways {
        let (listening_sender, listening) = mpsc::channel();
        let parts = EdgeParts {
            node: node.clone(),
            control: control.clone(),
            options: options.clone(),
            budget: budget.clone(),
            metrics: Arc::clone(&metrics),
            credential: credential.clone(),
            addresses: addresses.clone(),
            driver,
            chosen: Arc::clone(chosen),
            index,
        };
        let stopping = shutdown.clone();
        let thread = shards_executor::start_pinned_thread(
            &format!("basalt-gateway-{index}"),
            placement.gateway_cpus.get(index).copied(),
            move || edge::serve(parts, stopping, listening_sender),
        )
        .map_err(|error| ServerError::Failed(format!("gateway {index}: {error}")))?;
        gateways.push(thread);
        match listening.recv() {
            // The first gateway may have chosen ports; the others share them.
            Ok(Ok(bound)) => addresses = bound,
            Ok(Err(error)) => return Err(ServerError::Failed(error)),
            Err(_) => return Err(ServerError::Failed("a gateway ended at its start".to_owned())),
        }
    }
    Ok((gateways, addresses))
}

fn serve(
    options: &ServerOptions,
    shutdown: &Shutdown,
    (gateways, addresses): (Gateways, &[SocketAddr]),
    budget: &MemoryBudget,
) {
    let mut beat = Beat::new();
    beat.notify.ready();
    if let Some(address) = addresses.first() {
        dev::announce(options, *address);
    }
    while !shutdown.wait_timeout(TICK) {
        budget.tick();
        beat.tick();
    }
    beat.notify.stopping();
    let mut clean = true;
    let park = Park::new();
    for gateway in gateways {
        while !gateway.is_finished() {
            park.wait(Some(DRAIN_TICK_US));
            budget.tick();
            beat.tick();
        }
        clean &= gateway.join().unwrap_or(false);
    }
    if !clean {
        logging::warn("requests were cut off at the end of the drain", &[]);
    }
}

/// The heartbeat of the service manager's watchdog, on time however often it is looked at.
struct Beat {
    notify: Notify,
    interval_us: u64,
    last_us: u64,
}

impl Beat {
    fn new() -> Self {
        let notify = Notify::from_environment();
        let interval = notify.watchdog_interval().unwrap_or(Duration::MAX);
        let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        Self { notify, interval_us, last_us: shards_executor::now_us() }
    }

    fn tick(&mut self) {
        let now_us = shards_executor::now_us();
        if now_us - self.last_us >= self.interval_us {
            self.last_us = now_us;
            self.notify.watchdog();
        }
    }
}

fn log_start(
    options: &ServerOptions,
    config: &NodeConfig,
    kernels: &engine_codec::SelfTest,
    driver_reason: Option<&str>,
) {
    let driver = layout::driver_word(config.driver);
    let kernel = kernels.chosen.to_string();
    logging::info(
        "basalt starts",
        &[
            ("version", &version::VERSION),
            ("commit", &version::COMMIT),
            ("drives", &options.drives.len()),
            ("shards", &config.shards),
            ("kernel", &kernel),
            ("driver", &driver),
        ],
    );
    if let Some(reason) = driver_reason {
        logging::warn(
            "io_uring is not used: drives are served by a pool of threads, which is slower",
            &[("reason", &reason)],
        );
    }
    for kernel in &kernels.failed {
        logging::error(
            "an erasure coding kernel gives wrong results on this CPU and is not used",
            &[("kernel", &kernel)],
        );
    }
}

fn log_serving(options: &ServerOptions, node: &Node, addresses: &[SocketAddr]) {
    let (sets, set_size, parity) = node.geometry().unwrap_or((0, 0, 0));
    let coding = format!("{}+{parity}", set_size.saturating_sub(parity));
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    logging::info(
        "serving",
        &[
            ("addresses", &shown.join(",")),
            ("sets", &sets),
            ("set_size", &set_size),
            ("ec", &coding),
            ("region", &options.region),
        ],
    );
}
