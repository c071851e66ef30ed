//! CPU time of the load generator's client, and of the null server beside it: signed GET and PUT
//! of 4 KiB on 64 connections. `cargo bench -p bench-micro --bench client`.
//!
//! Both share the machine's CPUs and its loopback: the kernel's TCP works for whoever sends.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use bench_client::client::{Client, Endpoint, ExchangeError, Handler};
use bench_client::{Credentials, Head, Lane, Method, Request, Signing};
use bench_micro::{Meter, is_measured, print_head, print_us};
use bench_null::{NullServer, Options, Protocol};
use std::time::Duration;

const OBJECT_BYTES: u64 = 4096;
const LANES: u32 = 64;

/// Counts, and asks for nothing else.
#[derive(Default)]
struct Counter {
    ended: Vec<Lane>,
    bytes: u64,
    failures: usize,
}

impl Handler for Counter {
    fn fill(&mut self, _: Lane, _: u64, out: &mut [u8]) {
        out.fill(7);
    }
    fn connected(&mut self, _: Lane) {}
    fn head(&mut self, _: Lane, head: &Head) {
        self.failures += usize::from(!head.is_success());
    }
    fn body(&mut self, _: Lane, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }
    fn ended(&mut self, lane: Lane, outcome: Result<(), ExchangeError>) {
        self.failures += usize::from(outcome.is_err());
        self.ended.push(lane);
    }
}

/// Requests until so many have ended.
fn ask(client: &mut Client, counter: &mut Counter, request: &Request<'_>, count: usize) {
    let (mut started, mut ended) = (0, 0);
    let mut free: Vec<Lane> = (0..LANES).map(Lane).collect();
    while ended < count {
        while started < count
            && let Some(lane) = free.pop()
        {
            client.start(lane, request, counter);
            started += 1;
        }
        client.turn(Some(Duration::from_secs(1)), counter).expect("the ring works");
        ended += counter.ended.len();
        free.append(&mut counter.ended);
    }
}

fn main() {
    let (rounds, count) = if is_measured() { (9, 50_000) } else { (1, 200) };
    let options = Options {
        address: "127.0.0.1:0".parse().expect("an address"),
        protocol: Protocol::Http,
        object_bytes: OBJECT_BYTES,
        requests_per_second: None,
    };
    let server = NullServer::bind(&options).expect("a port");
    let address = server.address().expect("its address");
    let stopper = server.stopper();
    let credentials = Credentials {
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    let host = address.to_string();
    let endpoint = Endpoint { address, host, tls: None, credentials: Some(credentials) };
    std::thread::scope(|scope| {
        scope.spawn(move || server.run().expect("it serves"));
        let mut client = Client::new(endpoint, LANES, 1_369_353_600).expect("a ring");
        let mut counter = Counter::default();
        print_head("one thread, 64 connections");
        let get = Request {
            method: Method::Get,
            path: b"/bucket/object-000000001",
            query: b"",
            headers: &[],
            payload_bytes: None,
            signing: Signing::Unsigned,
            payload_sha256: None,
        };
        let put = Request { method: Method::Put, payload_bytes: Some(OBJECT_BYTES), ..get };
        let signed = Request { signing: Signing::Signed, ..put };
        for (name, request) in
            [("GET", get), ("PUT, payload unsigned", put), ("PUT, payload signed", signed)]
        {
            ask(&mut client, &mut counter, &request, 200);
            let (mut own, mut all) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                let meter = Meter::begin();
                ask(&mut client, &mut counter, &request, count);
                own.push(meter.thread_us(count));
                all.push(meter.process_us(count));
            }
            print_us(&format!("{name}: client"), own.clone());
            let beside = all.iter().zip(&own).map(|(all, own)| all - own).collect();
            print_us(&format!("{name}: null server"), beside);
        }
        assert_eq!(counter.failures, 0, "every request is carried out");
        stopper.wake().expect("the server ends");
    });
}
