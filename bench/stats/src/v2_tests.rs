use super::*;
use crate::testing::{latencies, reference};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};

fn sample(seed: u64, count: usize) -> (Vec<u64>, Histogram) {
    let values = latencies(seed, count);
    let histogram = values.iter().copied().collect();
    (values, histogram)
}

#[test]
fn the_reference_reads_what_we_write() {
    let (values, histogram) = sample(1, 10_000);
    let mut plain = Vec::new();
    encode(&histogram, &mut plain);
    let deflated = encode_deflated(&histogram).unwrap();
    for bytes in [plain, deflated] {
        let mut input = bytes.as_slice();
        let read = Deserializer::new().deserialize::<u64, _>(&mut input).unwrap();
        assert_eq!(read, reference(&values));
    }
}

#[test]
fn we_read_what_the_reference_writes() {
    let (values, histogram) = sample(2, 10_000);
    let hdr = reference(&values);
    let mut plain = Vec::new();
    V2Serializer::new().serialize(&hdr, &mut plain).unwrap();
    assert_eq!(decode(&plain).unwrap(), histogram);
    let mut deflated = Vec::new();
    V2DeflateSerializer::new().serialize(&hdr, &mut deflated).unwrap();
    assert_eq!(decode_deflated(&deflated).unwrap(), histogram);
}

#[test]
fn both_write_the_same_plain_bytes() {
    let (values, histogram) = sample(3, 500);
    let mut theirs = Vec::new();
    V2Serializer::new().serialize(&reference(&values), &mut theirs).unwrap();
    let mut ours = Vec::new();
    encode(&histogram, &mut ours);
    assert_eq!(ours, theirs);
}

#[test]
fn numbers_of_every_length_come_back() {
    let mut numbers = vec![0, 1, -1, i64::MAX, i64::MIN];
    for shift in 0..63 {
        numbers.extend([1_i64 << shift, (1_i64 << shift) - 1, -(1_i64 << shift)]);
    }
    for number in numbers {
        let mut bytes = Vec::new();
        put_number(&mut bytes, number);
        assert!(bytes.len() <= NUMBER_BYTES_MAX);
        let mut rest = bytes.as_slice();
        assert_eq!(take_number(&mut rest), Some(number));
        assert!(rest.is_empty(), "{number}");
        let mut cut = &bytes[..bytes.len() - 1];
        assert_eq!(take_number(&mut cut), None, "{number}");
    }
}

#[test]
fn extremes_come_back() {
    let histograms = [
        Histogram::default(),
        [0].into_iter().collect(),
        [1, 2, 4].into_iter().collect(),
        [u64::MAX].into_iter().collect(),
        Histogram::from_slots((0..SLOTS as u32).map(|slot| (slot, 1 + u64::from(slot))).collect()),
        Histogram::from_slots(vec![(7, i64::MAX as u64)]),
    ];
    for histogram in histograms {
        let mut plain = Vec::new();
        encode(&histogram, &mut plain);
        assert!(plain.len() <= PLAIN_BYTES_MAX);
        assert_eq!(decode(&plain).unwrap(), histogram);
        assert_eq!(decode_deflated(&encode_deflated(&histogram).unwrap()).unwrap(), histogram);
    }
}

#[test]
fn cut_and_prolonged_bytes_are_refused() {
    let (_, histogram) = sample(4, 100);
    let mut plain = Vec::new();
    encode(&histogram, &mut plain);
    let deflated = encode_deflated(&histogram).unwrap();
    for length in 0..plain.len() {
        assert!(decode(&plain[..length]).is_err(), "{length}");
    }
    for length in 0..deflated.len() {
        assert!(decode_deflated(&deflated[..length]).is_err(), "{length}");
    }
    plain.push(0);
    assert!(decode(&plain).is_err());
}

/// A plain form with these bytes as counts.
fn with_counts(counts: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&Histogram::default(), &mut bytes);
    bytes.extend_from_slice(counts);
    bytes[4..8].copy_from_slice(&(counts.len() as u32).to_be_bytes());
    bytes
}

#[test]
fn hostile_counts_are_refused() {
    // As many empty slots as fit 64 bits; the sign cannot be turned there.
    let mut counts = vec![0xff; 9];
    assert!(decode(&with_counts(&counts)).unwrap().is_empty());
    counts.push(2);
    assert!(decode(&with_counts(&counts)).unwrap_err().to_string().contains("1 hour"));
    // Two counts whose sum overflows.
    let mut counts = Vec::new();
    put_number(&mut counts, i64::MAX);
    put_number(&mut counts, 1);
    assert!(decode(&with_counts(&counts)).unwrap_err().to_string().contains("overflow"));
    // An announced length that is never there.
    let mut bytes = with_counts(&[2]);
    bytes[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(decode(&bytes).is_err());
}

#[test]
fn other_settings_are_refused_by_name() {
    let mut bytes = with_counts(&[2]);
    bytes[15] = 2;
    let message = decode(&bytes).unwrap_err().to_string();
    assert!(message.contains("2 digits from 1"), "{message}");
}

#[test]
fn a_bomb_is_not_inflated() {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&vec![0; 4 << 20]).unwrap();
    let deflated = encoder.finish().unwrap();
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&DEFLATED_COOKIE.to_be_bytes());
    bytes.extend_from_slice(&(deflated.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&deflated);
    assert!(matches!(decode_deflated(&bytes), Err(StatsError::TooLarge { .. })));
}
