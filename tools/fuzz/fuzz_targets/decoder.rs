//! Every target: checks the decoder that it is named for.
#![no_main]

use decoders::Decoder;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static DECODER: OnceLock<&Decoder> = OnceLock::new();

fuzz_target!(
    init: {
        let found = decoders::find(env!("CARGO_BIN_NAME")).expect("a decoder of this name");
        DECODER.get_or_init(|| found);
    },
    |input: &[u8]| {
        if let Some(decoder) = DECODER.get() {
            (decoder.check)(input);
        }
    }
);
