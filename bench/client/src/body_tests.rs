//! Lengths are what was said, and frames can be taken apart again.

use super::*;
use crate::sign::{Credentials, Signer};

fn signer() -> Signer {
    let credentials = Credentials {
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
        region: "us-east-1".to_owned(),
    };
    Signer::new(credentials, "localhost", 1_369_353_600)
}

fn byte_at(offset: u64) -> u8 {
    (offset * 7 % 251) as u8
}

fn encoded(signing: Signing, payload_bytes: u64) -> Vec<u8> {
    let mut next = 0;
    let mut fill = |offset: u64, out: &mut [u8]| {
        assert_eq!(offset, next, "in order, once");
        next += out.len() as u64;
        for (byte, at) in out.iter_mut().zip(offset..) {
            *byte = byte_at(at);
        }
    };
    let mut signer = signer();
    let chunks = Some(signer.chunks([b'0'; 64]));
    let mut encoder = BodyEncoder::new(signing, payload_bytes, chunks);
    let mut all = Vec::new();
    while !encoder.is_ended() {
        let before = all.len();
        encoder.next(&mut fill, &mut all);
        // A body may take longer than a second, or over midnight.
        signer.set_time(1_369_353_600 + 86_400 + all.len() as u64);
        assert!(all.len() > before, "it goes on");
    }
    assert_eq!(next, payload_bytes);
    all
}

#[test]
fn every_way_of_signing_has_the_length_it_said() {
    for signing in [Signing::Unsigned, Signing::Signed, Signing::Chunked, Signing::Trailer] {
        for bytes in [0, 1, 15, 16, 4096, 65_535, 65_536, 65_537, 262_144, 262_145, 1_000_000] {
            let body = encoded(signing, bytes);
            assert_eq!(body.len() as u64, signing.encoded_bytes(bytes), "{signing:?} {bytes}");
        }
    }
}

#[test]
fn frames_hold_the_payload_and_their_signatures_follow_from_each_other() {
    for (signing, bytes) in [(Signing::Chunked, 200_000), (Signing::Trailer, 200_000)] {
        let body = encoded(signing, bytes);
        let (mut rest, mut payload) = (&body[..], Vec::new());
        let mut chunks = signer().chunks([b'0'; 64]);
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
            let line = std::str::from_utf8(&rest[..end]).unwrap();
            rest = &rest[end + 2..];
            let (size, signature) = line.split_once(";chunk-signature=").unwrap_or((line, ""));
            let size = usize::from_str_radix(size, 16).unwrap();
            let data = &rest[..size];
            if signing == Signing::Chunked {
                assert_eq!(signature.as_bytes(), chunks.sign(data));
            }
            if size == 0 {
                break;
            }
            payload.extend_from_slice(data);
            assert_eq!(&rest[size..size + 2], b"\r\n");
            rest = &rest[size + 2..];
        }
        let expected: Vec<u8> = (0..bytes).map(byte_at).collect();
        assert_eq!(payload, expected);
        if signing == Signing::Trailer {
            let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &expected);
            let mut trailer = b"x-amz-checksum-crc64nvme:".to_vec();
            encode_base64(&sum.to_be_bytes(), &mut trailer);
            assert_eq!(rest, [&trailer[..], b"\r\n\r\n"].concat());
        } else {
            assert_eq!(rest, b"\r\n");
        }
    }
}

#[test]
fn a_signed_payload_has_the_hash_of_its_bytes() {
    let mut fill = |offset: u64, out: &mut [u8]| {
        for (byte, at) in out.iter_mut().zip(offset..) {
            *byte = byte_at(at);
        }
    };
    let whole: Vec<u8> = (0..150_000).map(byte_at).collect();
    let hash = payload_sha256(150_000, &mut Vec::new(), &mut fill);
    assert_eq!(hash, crate::sign::sha256_hex(&whole));
}
