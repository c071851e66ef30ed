//! Small texts from clients, servers and files: dates, base64, hexadecimal, names of algorithms,
//! answers that the client commands read, the keys file of `--dev`.
//!
//! Rule: what was read is the same when it is written and read again; where only one text may
//! mean a value, it is that text.

use crate::Decoder;
use crate::seal::{choosing, chosen};
use crate::wire::percent_decoded;
use basalt_cli::http;
use basalt_cli::server::dev::parse_keys;
use gateway_core::encoding::{base64, from_base64, from_hex_16, hex, url};
use gateway_core::{ChecksumType, date, digest};

pub(crate) const TEXT: Decoder = Decoder {
    name: "text",
    check: text,
    samples,
    words: &[
        "Sun, ",
        " GMT",
        "Nov",
        "08:49:37",
        "T084937Z",
        "==",
        "CRC64NVME",
        "x-amz-checksum-sha256",
        "FULL_OBJECT",
        "HTTP/1.1 200 OK\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n\r\n",
        "BASALT_ROOT_USER=",
        "BASALT_ROOT_PASSWORD=",
    ],
    rounds: 20_000,
};

/// 10000-01-01: a leap second may end the last year that is written in four digits.
const YEAR_10000_SECONDS: u64 = 253_402_300_800;

fn text(input: &[u8]) -> bool {
    let Some((choice, bytes)) = chosen(input, 7) else { return false };
    if choice == 5 {
        return http_answer(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match choice {
        0 => is_date(date::parse(text)),
        1 => is_date(date::parse_signed(text)),
        2 => {
            let Some(found) = from_base64(text) else { return false };
            assert_eq!(base64(&found), text, "two texts of one value");
            true
        }
        3 => {
            let Some(found) = from_hex_16(text) else { return false };
            assert_eq!(hex(&found), text.to_ascii_lowercase());
            true
        }
        4 => is_name(text),
        _ => keys_file(text),
    }
}

fn is_date(found: Option<u64>) -> bool {
    let Some(seconds) = found else { return false };
    assert!(seconds <= YEAR_10000_SECONDS);
    if seconds < YEAR_10000_SECONDS {
        assert_eq!(date::parse(&date::format(seconds * 1000)), Some(seconds));
    }
    true
}

/// Whether it names an algorithm, in a header or as a value, or a type of checksum.
fn is_name(text: &str) -> bool {
    assert_eq!(percent_decoded(url(text).as_bytes()), text.as_bytes());
    let algorithm = digest::kind_of_algorithm(text);
    if let Some(kind) = algorithm {
        assert!(digest::algorithm_name(kind).eq_ignore_ascii_case(text));
    }
    let header = digest::kind_of_header(text);
    if let Some(kind) = header {
        assert!(digest::header_name(kind).eq_ignore_ascii_case(text));
    }
    let of = ChecksumType::parse(text);
    if let Some(of) = of {
        assert_eq!(of.as_str(), text);
    }
    algorithm.is_some() || header.is_some() || of.is_some()
}

fn http_answer(bytes: &[u8]) -> bool {
    let Some(found) = http::parse(bytes) else { return false };
    assert!(found.body.len() <= bytes.len(), "a body out of nothing");
    let head =
        format!("HTTP/1.1 {} -\r\nContent-Length: {}\r\n\r\n", found.status, found.body.len());
    let again = http::parse(&[head.as_bytes(), found.body.as_slice()].concat());
    assert_eq!(again, Some(found));
    true
}

fn keys_file(text: &str) -> bool {
    let Some(found) = parse_keys(text) else { return false };
    let (user, password) = (&found.access_key, found.secret_key.expose());
    let again = format!("BASALT_ROOT_USER={user}\nBASALT_ROOT_PASSWORD={password}\n");
    assert_eq!(parse_keys(&again).as_ref(), Some(&found));
    true
}

fn samples() -> Vec<Vec<u8>> {
    let samples: [(u8, &str); 13] = [
        (0, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Sunday, 06-Nov-94 08:49:37 GMT"),
        (0, "Sun Nov  6 08:49:37 1994"),
        (1, "19941106T084937Z"),
        (2, "Zm9vYg=="),
        (3, "25f9e794323b453885f5181f1b624d0b"),
        (4, "CRC32C"),
        (4, "x-amz-checksum-crc64nvme"),
        (4, "COMPOSITE"),
        (5, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        (5, "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        (5, "HTTP/1.0 404 Not Found\r\n\r\nend"),
        (6, "BASALT_ROOT_USER=AKIDEXAMPLE\nBASALT_ROOT_PASSWORD=secret-example\n"),
    ];
    samples.iter().map(|(choice, sample)| choosing(*choice, sample.as_bytes())).collect()
}
