//! Writes where a fuzzer begins: `decoders FOLDER`. See README.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use decoders::DECODERS;
use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("usage: decoders FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decoders: cannot write below {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes samples and dictionaries, and prints the name of each decoder.
fn write(folder: &Path) -> io::Result<()> {
    for decoder in DECODERS {
        let samples = folder.join(decoder.name);
        std::fs::create_dir_all(&samples)?;
        for (number, sample) in (decoder.samples)().iter().enumerate() {
            std::fs::write(samples.join(format!("sample-{number:02}")), sample)?;
        }
        // libFuzzer takes no empty dictionary.
        if !decoder.words.is_empty() {
            let lines = decoder.words.iter().map(|word| format!("\"{}\"\n", escaped(word)));
            let path = folder.join(format!("{}.dict", decoder.name));
            std::fs::write(path, lines.collect::<String>())?;
        }
        println!("{}", decoder.name);
    }
    Ok(())
}

/// A word as dictionaries of libFuzzer have it.
fn escaped(word: &str) -> String {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    word.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_as_a_dictionary_wants_them() {
        assert_eq!(escaped("a \"b\\\r\n"), "a \\\"b\\\\\\x0d\\x0a");
    }
}
