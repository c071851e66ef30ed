//! Bodies in aws-chunked form: framing, signatures of chunks, trailers.
//!
//! Signatures and the checksum in the trailer are made to hold wherever the framing is read as
//! such. Rule: what is stored is the data of the chunks, up to a last one that is empty, of the
//! length that was announced; else nothing is stored.

use super::BUCKET;
use super::request::read;
use super::server::Server;
use super::signer::Signer;
use crate::Decoder;
use crate::seal::put;
use gateway_core::encoding::base64;
use s3s::crypto::{Checksum as _, Crc32};
use std::ops::Range;

pub(crate) const S3_CHUNKS: Decoder = Decoder {
    name: "s3_chunks",
    check: chunks,
    samples,
    words: &[
        "\r\n",
        "0\r\n",
        "0;chunk-signature=",
        "d\r\n",
        ";chunk-signature=",
        "1000000\r\n",
        "ffffffff\r\n",
        "x-amz-checksum-crc32:",
        "x-amz-trailer-signature:",
    ],
    rounds: 3_000,
};

const NEW_KEY: &str = "chunked";
const CHUNK_SIGNATURE: &[u8] = b";chunk-signature=";
const SIGNATURE_BYTES: usize = 64;
/// Set in the first byte of an input that announces another length than it has.
const WRONG_LENGTH: u8 = 0x80;

/// What `x-amz-content-sha256` says, and whether trailers follow.
const MODES: [(&str, bool); 3] = [
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", true),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", false),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true),
];

/// A chunk as it lies in a body.
struct Chunk {
    data: Range<usize>,
    signature_at: Option<usize>,
}

/// How the body is sent, the length of its pieces, the body.
fn chunks(input: &[u8]) -> bool {
    let Some(([mode, piece_bytes], framed)) = input.split_first_chunk::<2>() else { return false };
    let (hash, has_trailer) = MODES[usize::from(mode & !WRONG_LENGTH) % MODES.len()];
    let is_wrong = mode & WRONG_LENGTH != 0;
    let (chunks, trailers_at) = chunks_of(framed);
    let data: Vec<u8> =
        chunks.iter().flat_map(|chunk| framed[chunk.data.clone()].iter().copied()).collect();
    let length = data.len() + usize::from(is_wrong);
    let trailer = if has_trailer { "x-amz-trailer: x-amz-checksum-crc32\n" } else { "" };
    let head = format!(
        "PUT /{BUCKET}/{NEW_KEY}\nx-amz-content-sha256: {hash}\n\
         x-amz-decoded-content-length: {length}\n{trailer}"
    );
    let Some((mut parts, _)) = read(head.as_bytes()) else { panic!("no request: {head}") };
    let signer = Signer::now();
    let mut signature = signer.sign(&mut parts, framed);
    let mut body = framed.to_vec();
    for chunk in &chunks {
        if let Some(at) = chunk.signature_at {
            signature = signer.chunk(&signature, &framed[chunk.data.clone()]);
            put(&mut body, at, signature.as_bytes());
        }
    }
    let trailers = body.get_mut(trailers_at..).unwrap_or_default();
    fill(trailers, b"x-amz-checksum-crc32:", base64(&Crc32::checksum(&data)).as_bytes());
    let trailers_signature = signer.trailers(&signature, &canonical(trailers));
    fill(trailers, b"x-amz-trailer-signature:", trailers_signature.as_bytes());

    let server = Server::new();
    let reply = server.send(parts, &body, *piece_bytes);
    let stored = server.store.get(BUCKET, NEW_KEY);
    let accepted = reply.status == 200;
    assert_eq!(stored, accepted.then_some(data), "status {}", reply.status);
    if accepted {
        assert!(!is_wrong, "another length than announced");
        assert!(chunks.last().is_some_and(|chunk| chunk.data.is_empty()), "no last chunk");
    }
    accepted
}

/// The chunks up to the last one, and where what follows them begins.
fn chunks_of(body: &[u8]) -> (Vec<Chunk>, usize) {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while let Some(chunk) = chunk_at(body, at) {
        let is_last = chunk.data.is_empty();
        // The data's own line end follows it.
        at = chunk.data.end + if is_last { 0 } else { 2 };
        chunks.push(chunk);
        if is_last {
            break;
        }
    }
    (chunks, at)
}

fn chunk_at(body: &[u8], at: usize) -> Option<Chunk> {
    let rest = body.get(at..)?;
    let line = &rest[..rest.iter().position(|byte| *byte == b'\n')?];
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
    let is_signed = extension.starts_with(CHUNK_SIGNATURE)
        && extension.len() >= CHUNK_SIGNATURE.len() + SIGNATURE_BYTES;
    let start = at + line.len() + 1;
    let end = start.checked_add(size).filter(|end| *end <= body.len())?;
    let signature_at = is_signed.then_some(at + digits + CHUNK_SIGNATURE.len());
    Some(Chunk { data: start..end, signature_at })
}

/// Writes a value behind its name, if both fit.
fn fill(bytes: &mut [u8], name: &[u8], value: &[u8]) {
    let found = bytes.windows(name.len()).position(|window| window == name);
    let Some(at) = found.map(|at| at + name.len()) else { return };
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The trailers as they are signed.
fn canonical(trailers: &[u8]) -> Vec<u8> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in trailers.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        let value = String::from_utf8_lossy(line[colon + 1..].trim_ascii()).into_owned();
        if name != "x-amz-trailer-signature" {
            entries.push((name, value));
        }
    }
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let lines = entries.iter().map(|(name, value)| format!("{name}:{value}\n"));
    lines.collect::<String>().into_bytes()
}

fn samples() -> Vec<Vec<u8>> {
    let signature = "0".repeat(SIGNATURE_BYTES);
    let signed = format!(";chunk-signature={signature}");
    let sum = "x-amz-checksum-crc32:AAAAAA==\r\n";
    let unsigned = format!("d\r\nhello, basalt\r\n3\r\nabc\r\n0\r\n{sum}\r\n");
    let plain = format!("d{signed}\r\nhello, basalt\r\n0{signed}\r\n\r\n");
    let trailed = format!(
        "d{signed}\r\nhello, basalt\r\n0{signed}\r\n{sum}\
         x-amz-trailer-signature:{signature}\r\n\r\n"
    );
    let sample = |head: [u8; 2], body: &str| [&head[..], body.as_bytes()].concat();
    vec![
        sample([0, 0], &unsigned),
        sample([0, 1], &unsigned),
        sample([1, 0], &plain),
        sample([1, 7], &plain),
        sample([2, 0], &trailed),
        sample([2, 3], &trailed),
    ]
}
