//! What is done while a crew works: its seconds are shown, and marks are set at their times.

use crate::crew::Watcher;
use crate::run::Screen;
use bench_stats::Interval;
use std::time::Duration;

/// Something to do during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, since the begin of the measured repeat.
    pub at: Duration,
    /// What the figures show.
    pub text: String,
    /// A command for `sh`, if there is one.
    pub command: Option<String>,
}

/// Shows seconds, and does nothing at any time.
pub(crate) struct Quiet<'a>(pub(crate) &'a mut dyn Screen);

impl Watcher for Quiet<'_> {
    fn second(&mut self, second: usize, interval: &Interval) {
        self.0.second(second, interval);
    }
    fn tick(&mut self, _: Duration) {}
}

/// Shows seconds, and does what was marked when its time has come.
pub(crate) struct Marked<'a> {
    pub(crate) screen: &'a mut dyn Screen,
    /// In the order of their times.
    pub(crate) marks: &'a [Mark],
    /// What was done, and when.
    pub(crate) done: Vec<(Duration, String)>,
}

impl Watcher for Marked<'_> {
    fn second(&mut self, second: usize, interval: &Interval) {
        self.screen.second(second, interval);
    }

    fn tick(&mut self, since_begin: Duration) {
        while let Some(mark) = self.marks.get(self.done.len()).filter(|mark| mark.at <= since_begin)
        {
            let mut text = mark.text.clone();
            if let Some(command) = &mark.command {
                // It goes on beside the run; whoever gave it sees what it prints.
                // Its own thread's end is nobody's business; figures go to standard output.
                let started = std::process::Command::new("sh")
                    .arg("-c")
                    .arg(command)
                    .stdout(std::io::stderr())
                    .spawn();
                if let Err(error) = started {
                    text = format!("{text} (not started: {error})");
                }
            }
            self.screen.note(&format!("at {:.1} s: {text}", since_begin.as_secs_f64()));
            self.done.push((since_begin, text));
        }
    }
}
