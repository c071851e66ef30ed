//! Against the real sink, over the loopback.

use super::*;
use crate::planner::Stage;
use crate::settings::Settings;
use bench_model::Thread;
use bench_null::{NullServer, Options, Protocol};

fn sink(protocol: Protocol) -> NullServer {
    let address = "127.0.0.1:0".parse().expect("an address");
    let options = Options { address, protocol, object_bytes: 0, requests_per_second: None };
    NullServer::bind(&options).expect("a port")
}

/// One operation on the first lane.
fn next(planner: &mut Planner, target: &mut NetTarget) -> (Task, Done) {
    let task = planner.next(0).expect("there is always a key");
    let mut done = Vec::new();
    while !target.is_free(Lane(0)) {
        let moment = Some(Duration::from_millis(1));
        target.turn(moment, planner, &mut done).expect("the ring works");
    }
    target.start(Lane(0), &task, planner);
    while done.is_empty() {
        let second = Some(Duration::from_secs(1));
        target.turn(second, planner, &mut done).expect("the ring works");
    }
    let done = done.remove(0);
    planner.end(&task, done.outcome == Outcome::Done);
    (task, done)
}

#[test]
fn every_byte_goes_over_and_an_end_is_told() {
    let server = sink(Protocol::Frames);
    let (address, stopper) = (server.address().unwrap(), server.stopper());
    let settings = Settings {
        target: Some("net".to_owned()),
        endpoint: Some(format!("tcp://{address}")),
        mix: Some("put=2,get=2,get-range=1".to_owned()),
        size: Some("uniform(0B,1MiB)".to_owned()),
        ..Settings::default()
    };
    let (plan, _) = settings.check("run-1").unwrap();
    let mut planner = Planner::new(&plan.load, Thread { index: 0, count: 1 }).unwrap();
    planner.begin(Stage::Load);
    let payload = Payload::new(plan.payload).unwrap();
    let mut target = NetTarget::new(address, payload, 2).unwrap();
    std::thread::scope(|scope| {
        let served = scope.spawn(move || server.run());
        greet(address).unwrap();
        for count in 0..60 {
            let (task, done) = next(&mut planner, &mut target);
            let bytes = match task.operation {
                Operation::GetRange => task.range.1,
                _ => task.size_bytes,
            };
            assert_eq!((&done.outcome, done.object_bytes), (&Outcome::Done, bytes), "{task:?}");
            assert_eq!(done.connect_ns.is_some(), count == 0, "one connection serves all");
        }
        stopper.wake().unwrap();
        served.join().unwrap().unwrap();
    });
    let (_, done) = next(&mut planner, &mut target);
    let Outcome::Failed(code) = &done.outcome else { panic!("{done:?}") };
    assert!(["connect", "broken"].contains(&code.as_str()), "{code}");
}

#[test]
fn who_speaks_no_frames_is_refused() {
    let server = sink(Protocol::Http);
    let (address, stopper) = (server.address().unwrap(), server.stopper());
    std::thread::scope(|scope| {
        let served = scope.spawn(move || server.run());
        assert!(greet(address).unwrap_err().to_string().contains("speaks no frames"));
        stopper.wake().unwrap();
        served.join().unwrap().unwrap();
    });
    assert!(matches!(greet(address), Err(RunError::Unreachable { .. })));
}
