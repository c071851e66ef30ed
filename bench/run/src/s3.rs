//! The target `s3`: operations as requests to an S3 endpoint.
//!
//! Invariants: of an answer only what the checks need is kept; texts of errors and listings are
//! bounded; an operation of several requests (multipart) is one operation, from its first request
//! to the end of its last.

mod exchange;
mod requests;

pub(crate) use exchange::tag_of;
pub(crate) use requests::{COPY_SUFFIX, write_multi_delete};

use crate::clock;
use crate::plan::Load;
use crate::planner::Planner;
use crate::target::{Done, Target};
use crate::task::Task;
use bench_client::{Client, Endpoint, ExchangeError, Handler, Head, Lane};
use bench_model::Payload;
use exchange::Exchange;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The connections of one thread to an endpoint.
pub struct S3Target {
    client: Client,
    exchanges: Vec<Exchange>,
    shared: Shared,
    second: u64,
    /// Lanes whose operation goes on once their connection has ended.
    waiting: Vec<Lane>,
    going_on: Vec<Lane>,
}

/// What all lanes of a thread need.
struct Shared {
    load: Arc<Load>,
    bucket: String,
    payload: Payload,
    /// Lanes whose request has ended in this turn.
    ended: Vec<Lane>,
    /// When the kernel told of what is being heard.
    woken_ns: u64,
}

impl S3Target {
    /// A target of so many connections; none is made yet.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(
        endpoint: Endpoint,
        bucket: &str,
        load: &Arc<Load>,
        payload: Payload,
        lanes: u32,
    ) -> io::Result<Self> {
        let second = clock::unix_seconds();
        let client = Client::new(endpoint, lanes, second).map_err(|error| {
            io::Error::new(error.kind(), format!("io_uring is refused here: {error}"))
        })?;
        Ok(Self {
            client,
            exchanges: (0..lanes).map(|_| Exchange::default()).collect(),
            shared: Shared {
                load: Arc::clone(load),
                bucket: bucket.to_owned(),
                payload,
                ended: Vec::new(),
                woken_ns: 0,
            },
            second,
            waiting: Vec::new(),
            going_on: Vec::new(),
        })
    }

    /// Starts the next request of a lane's operation.
    fn request(&mut self, lane: Lane, planner: &Planner) {
        let now = clock::unix_seconds();
        if now != self.second {
            self.second = now;
            self.client.set_time(now);
        }
        let exchange = &mut self.exchanges[lane.0 as usize];
        exchange.write_request(&self.shared, planner);
        // Its buffers are out while the exchange is asked for the body.
        let asked = std::mem::take(&mut exchange.asked);
        let headers: Vec<_> =
            asked.headers.iter().map(|(name, value)| (*name, &value[..])).collect();
        let request = asked.request(&headers, self.shared.load.signing);
        let mut ear = Ear { exchanges: &mut self.exchanges, shared: &mut self.shared, planner };
        self.client.start(lane, &request, &mut ear);
        self.exchanges[lane.0 as usize].asked = asked;
    }

    /// Goes on with operations whose request has ended.
    fn go_on(&mut self, planner: &Planner, done: &mut Vec<Done>) {
        for lane in std::mem::take(&mut self.waiting) {
            self.ask_again(lane, planner);
        }
        let mut going_on = std::mem::take(&mut self.going_on);
        for lane in std::mem::take(&mut self.shared.ended) {
            let exchange = &mut self.exchanges[lane.0 as usize];
            let (load, payload) = (&self.shared.load, &self.shared.payload);
            match exchange.end_request(load, payload, planner) {
                Some(outcome) => done.push(exchange.done(lane, outcome, self.shared.woken_ns)),
                None => going_on.push(lane),
            }
        }
        // Making further requests is this client's own work, and nobody's latency.
        for lane in going_on.drain(..) {
            self.ask_again(lane, planner);
        }
        self.going_on = going_on;
    }

    /// Starts the next request as soon as the lane is free: its connection may be ending.
    fn ask_again(&mut self, lane: Lane, planner: &Planner) {
        if self.client.is_free(lane) {
            self.request(lane, planner);
        } else {
            self.waiting.push(lane);
        }
    }
}

impl Target for S3Target {
    fn lanes(&self) -> u32 {
        u32::try_from(self.exchanges.len()).unwrap_or(u32::MAX)
    }

    fn is_free(&self, lane: Lane) -> bool {
        self.client.is_free(lane)
    }

    fn start(&mut self, lane: Lane, task: &Task, planner: &Planner) {
        self.exchanges[lane.0 as usize].begin(task);
        self.request(lane, planner);
    }

    fn turn(
        &mut self,
        timeout: Option<Duration>,
        planner: &Planner,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        let mut ear = Ear { exchanges: &mut self.exchanges, shared: &mut self.shared, planner };
        let outcome = self.client.turn(timeout, &mut ear);
        self.go_on(planner, done);
        outcome
    }

    fn abort(&mut self, lane: Lane, planner: &Planner, done: &mut Vec<Done>) {
        let mut ear = Ear { exchanges: &mut self.exchanges, shared: &mut self.shared, planner };
        ear.woken();
        self.client.abort(lane, &mut ear);
        if let Some(place) = self.waiting.iter().position(|waiting| *waiting == lane) {
            // Between two of its requests.
            self.waiting.swap_remove(place);
            self.exchanges[lane.0 as usize].broken = Some("timeout");
            self.shared.ended.push(lane);
        }
        self.go_on(planner, done);
    }
}

/// Hears what comes on the connections.
struct Ear<'a> {
    exchanges: &'a mut [Exchange],
    shared: &'a mut Shared,
    planner: &'a Planner,
}

impl Handler for Ear<'_> {
    fn fill(&mut self, lane: Lane, offset: u64, out: &mut [u8]) {
        self.exchanges[lane.0 as usize].fill(&self.shared.payload, offset, out);
    }

    fn woken(&mut self) {
        self.shared.woken_ns = clock::now_ns();
    }

    fn connecting(&mut self, lane: Lane) {
        self.exchanges[lane.0 as usize].connecting(clock::now_ns());
    }

    fn connected(&mut self, lane: Lane) {
        // Not when the kernel told: the end of a handshake of TLS is this side's work.
        self.exchanges[lane.0 as usize].connected(clock::now_ns());
    }

    fn head(&mut self, lane: Lane, head: &Head) {
        let now_ns = self.shared.woken_ns;
        self.exchanges[lane.0 as usize].head(head, self.planner, now_ns);
    }

    fn body(&mut self, lane: Lane, bytes: &[u8]) {
        let exchange = &mut self.exchanges[lane.0 as usize];
        exchange.body(bytes, &self.shared.payload, self.planner);
    }

    fn ended(&mut self, lane: Lane, outcome: Result<(), ExchangeError>) {
        self.exchanges[lane.0 as usize].broken = outcome.err().map(|error| error.code());
        self.shared.ended.push(lane);
    }
}
