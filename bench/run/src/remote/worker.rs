//! A worker: waits for conductors, and runs its share of the threads for one at a time.
//!
//! Invariants: nothing is done for who has not proven the secret, and without a secret nobody but
//! this machine is listened to; credentials come from this process's own environment; no command
//! and no file is taken from a conductor; a run whose conductor is gone or silent is ended.

use crate::clock;
use crate::error::RunError;
use crate::plan::{ArrivalPlan, RunPlan};
use crate::remote::hello::{Party, greet_conductor, unheard};
use crate::remote::link::{Incoming, Outgoing, ends_of};
use crate::remote::message::{Arrivals, Message, StartMessage, TimedMessage};
use crate::settings::Settings;
use crate::threads::{Means, Report, Threads, TimedOrder};
use bench_model::Rate;
use shards_executor::{PinnedThread, start_pinned_thread};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Who waits for connections looks up so often.
const TURN: Duration = Duration::from_millis(20);
/// Connections at once: of the run, and of others that are refused.
const GUESTS_MAX: usize = 16;
/// A conductor that is told nothing else is told so often that its worker is there.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Told what goes on, for a person to read.
pub type Note = Arc<dyn Fn(&str) + Send + Sync>;

/// A worker that listens.
pub struct Worker {
    listener: TcpListener,
    address: SocketAddr,
    desk: Desk,
}

/// What all connections share.
#[derive(Clone)]
struct Desk {
    party: Party,
    note: Note,
    is_taken: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

/// The one run; dropping it makes room for the next.
struct Place(Arc<AtomicBool>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Worker {
    /// A worker at an address. `stop` ends it.
    ///
    /// # Errors
    /// Where the address cannot be had, or others than this machine could reach it without a
    /// secret.
    pub fn bind(
        address: SocketAddr,
        party: Party,
        stop: &Arc<AtomicBool>,
        note: Note,
    ) -> Result<Self, RunError> {
        let wrong = |problem: String| RunError::Setting { setting: "--listen", problem };
        if !address.ip().is_loopback() && party.secret.is_none() {
            return Err(wrong(format!(
                "{address} can be reached by others: set BASALT_BENCH_SECRET, here and for the run"
            )));
        }
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = bound.map_err(|error| wrong(format!("{address}: {error}")))?;
        let is_taken = Arc::new(AtomicBool::new(false));
        let desk = Desk { party, note, is_taken, stop: Arc::clone(stop) };
        Ok(Self { listener, address, desk })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves runs until it is stopped.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn serve(&self) -> Result<(), RunError> {
        let mut guests: Vec<PinnedThread<()>> = Vec::new();
        while !self.desk.stop.load(Ordering::Relaxed) {
            guests.retain(|guest| !guest.is_finished());
            match self.listener.accept() {
                // Whoever floods it with connections is not answered.
                Ok(_) if guests.len() >= GUESTS_MAX => {}
                Ok((stream, peer)) => {
                    let desk = self.desk.clone();
                    let body = move || desk.receive(stream, peer);
                    guests.push(start_pinned_thread("bench-guest", None, body)?);
                }
                // None there, or one that is gone already.
                Err(_) => std::thread::sleep(TURN),
            }
        }
        for guest in guests {
            // Its panic was shown already.
            _ = guest.join();
        }
        Ok(())
    }
}

impl Desk {
    fn receive(self, stream: TcpStream, peer: SocketAddr) {
        if let Err(problem) = self.meet(stream, peer) {
            (self.note)(&format!("{peer}: {problem}"));
        }
    }

    fn meet(&self, stream: TcpStream, peer: SocketAddr) -> Result<(), String> {
        let (mut incoming, outgoing) = ends_of(stream).map_err(|error| error.to_string())?;
        let refuse = |problem: String| {
            // It may be gone; then nobody needs to know.
            _ = outgoing.send(&Message::Refused { problem: problem.clone() });
            outgoing.finish();
            problem
        };
        let welcome = greet_conductor(&mut incoming, &outgoing, &self.party).map_err(refuse)?;
        if self.is_taken.swap(true, Ordering::Acquire) {
            return Err(refuse("it is busy: a worker serves one run at a time".to_owned()));
        }
        let place = Place(Arc::clone(&self.is_taken));
        outgoing.send(&welcome).map_err(|error| unheard(&error))?;
        let outgoing = Arc::new(outgoing);
        let outcome = Session::serve(self, peer, &mut incoming, &outgoing);
        // The conductor goes when the connection ends: the next one must find room then.
        drop(place);
        outcome
    }
}

/// A run, as far as it is this worker's.
struct Session<'a> {
    desk: &'a Desk,
    peer: SocketAddr,
    outgoing: &'a Arc<Outgoing>,
    reports: Sender<Report>,
    /// Ends a stage of this run.
    stop: Arc<AtomicBool>,
    share: Option<(RunPlan, Threads)>,
}

impl<'a> Session<'a> {
    fn serve(
        desk: &'a Desk,
        peer: SocketAddr,
        incoming: &mut Incoming,
        outgoing: &'a Arc<Outgoing>,
    ) -> Result<(), String> {
        let (reports, inbox) = mpsc::channel();
        let mouth = Arc::clone(outgoing);
        let teller = start_pinned_thread("bench-teller", None, move || tell(&inbox, &mouth));
        let teller = teller.map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut session = Self { desk, peer, outgoing, reports, stop, share: None };
        let outcome = session.listen(incoming);
        if let Err(problem) = &outcome {
            // It may be gone already.
            _ = outgoing.send(&Message::Refused { problem: problem.clone() });
        }
        // Its threads end, and with them the last who could report.
        drop(session);
        _ = teller.join();
        (desk.note)(&format!("{peer}: the run is over"));
        outcome
    }

    /// Does what the conductor says, until it goes.
    fn listen(&mut self, incoming: &mut Incoming) -> Result<(), String> {
        loop {
            if self.desk.stop.load(Ordering::Relaxed) {
                return Err("it was told to end".to_owned());
            }
            match incoming.poll() {
                Ok(None) if incoming.silence() > self.desk.party.silence_max => {
                    let silence_s = self.desk.party.silence_max.as_secs_f64();
                    return Err(format!("the conductor has said nothing for {silence_s:.0} s"));
                }
                Ok(None) => {}
                Ok(Some(message)) => self.obey(message)?,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(unheard(&error)),
            }
        }
    }

    fn obey(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Alive => {}
            Message::Ping { number } => {
                let now_ns = clock::now_ns();
                self.say(&Message::Pong { number, now_ns })?;
            }
            Message::Start(start) if self.share.is_none() => {
                let share = self.start(&start).map_err(|error| error.to_string())?;
                self.share = Some(share);
                let StartMessage { run_id, first_thread, threads, .. } = start;
                let peer = self.peer;
                (self.desk.note)(&format!(
                    "{peer}: {run_id}, {threads} threads from number {first_thread} on"
                ));
                self.say(&Message::Ready)?;
            }
            Message::Order(order) => {
                let Some((plan, threads)) = &self.share else {
                    return Err("an order before the start".to_owned());
                };
                threads.give(&timed_of(&order, plan)).map_err(|error| error.to_string())?;
            }
            Message::Stop => self.stop.store(true, Ordering::Relaxed),
            other => return Err(format!("the conductor said {} when it may not", other.name())),
        }
        Ok(())
    }

    fn say(&self, message: &Message) -> Result<(), String> {
        self.outgoing.send(message).map_err(|error| unheard(&error))
    }

    /// Starts this worker's share of the threads.
    fn start(&self, start: &StartMessage) -> Result<(RunPlan, Threads), RunError> {
        let settings = Settings::of_conductor(&start.settings, &start.authorities)?;
        let (plan, _) = settings.check_at(&start.run_id, start.unix_ms)?;
        let end = start.first_thread.checked_add(start.threads);
        let Some(end) = end.filter(|end| start.threads > 0 && *end <= plan.threads) else {
            let problem = format!(
                "{} threads from number {} on, of {}",
                start.threads, start.first_thread, plan.threads
            );
            return Err(RunError::Message { problem });
        };
        // Drives and engines are of one machine.
        let means = Means::default();
        let threads =
            Threads::start((&plan, means), start.first_thread..end, &self.stop, &self.reports)?;
        Ok((plan, threads))
    }
}

/// The order as threads take it.
fn timed_of(order: &TimedMessage, plan: &RunPlan) -> TimedOrder {
    let at_rate = |rate: Rate| match &plan.arrival {
        ArrivalPlan::Open { backlog_max, .. } => {
            ArrivalPlan::Open { rate, backlog_max: *backlog_max }
        }
        ArrivalPlan::Closed => ArrivalPlan::Closed,
    };
    TimedOrder {
        stage: order.stage,
        arrival: match order.arrivals {
            Arrivals::Closed => ArrivalPlan::Closed,
            Arrivals::OfSettings => plan.arrival.clone(),
            Arrivals::Constant(rate) => at_rate(Rate::Constant(rate)),
            Arrivals::Poisson(rate) => at_rate(Rate::Poisson(rate)),
        },
        number: order.number,
        begin_ns: order.begin_ns,
        end_ns: order.end_ns,
    }
}

/// Tells the conductor what threads report, or that this side is there, until none can report.
fn tell(inbox: &Receiver<Report>, outgoing: &Outgoing) {
    loop {
        let message = match inbox.recv_timeout(ALIVE_EVERY) {
            Ok(Report::Interval(thread, part, interval)) => {
                Message::Interval { thread, part, interval }
            }
            Ok(Report::Ended(thread, outcome)) => {
                let outcome = outcome.map_err(|error| error.to_string());
                Message::Ended { thread, outcome }
            }
            Err(RecvTimeoutError::Timeout) => Message::Alive,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Who listens for the conductor finds that it is gone.
        _ = outgoing.send(&message);
    }
}
