//! Checks the decoder that the environment variable `BASALT_FUZZ_DECODER` names.
#![no_main]

use decoders::Decoder;
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static DECODER: OnceLock<&Decoder> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("BASALT_FUZZ_DECODER").expect("BASALT_FUZZ_DECODER names one");
        let found = decoders::find(&name).expect("a decoder of this name");
        DECODER.get_or_init(|| found);
    },
    |input: &[u8]| {
        if let Some(decoder) = DECODER.get() {
            (decoder.check)(input);
        }
    }
);
