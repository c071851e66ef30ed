//! Every decoder of bytes from drives, sockets and files, behind one door for tests and fuzzers.
//!
//! Invariants: a check makes the sums of its input hold first, so that what lies under them is
//! reached; it panics if a decoder does, if what was decoded cannot be written and read again as
//! the same, or if a rule of its own is broken; the same input does the same, but for the clock
//! that signatures are compared with.
//! Absent: request heads as bytes (hyper reads them), and any making of inputs.

mod bench;
mod bench_message;
mod frames;
mod index;
mod node;
mod object;
mod seal;
mod text;
mod wire;

/// A decoder, or a few that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Its name, for the fuzzer too.
    pub name: &'static str,
    /// Whether the input, its sums made to hold, was accepted.
    ///
    /// **Panics**: if the decoder breaks its rules on this input. That is what it is for.
    pub check: fn(&[u8]) -> bool,
    /// Inputs that are accepted.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Words that inputs are made of, for a mutator to insert.
    pub words: &'static [&'static str],
    /// How many mutations the test inside `cargo test` tries.
    pub rounds: u32,
}

/// Every decoder; about 20, so that a minute for each fits into CI.
pub static DECODERS: &[Decoder] = &[
    frames::SUPERBLOCK,
    frames::LOG_FRAMES,
    frames::COMMIT,
    frames::RECORD,
    frames::CHECKPOINT,
    object::FRAGMENT,
    object::OBJECT,
    object::UPLOAD,
    object::BUCKET_TABLE,
    object::SEAT_TABLE,
    index::ENTRY,
    index::BLOCK,
    index::RUN,
    node::CONFIG,
    node::DRIVE_ARGUMENTS,
    text::TEXT,
    wire::S3_HEAD,
    wire::S3_READ,
    wire::S3_REQUEST,
    wire::S3_CHUNKS,
    wire::S3_XML,
    bench::BENCH,
    bench_message::BENCH_MESSAGE,
];

/// The decoder of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Decoder> {
    DECODERS.iter().find(|decoder| decoder.name == name)
}
