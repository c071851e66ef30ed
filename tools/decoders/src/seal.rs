//! Sums made to hold, fields at offsets, and the rule that every decoder of a structure obeys.
//!
//! Invariant: nothing here knows a structure.

use engine_format::crc64;
use std::fmt::Debug;

/// The first byte chooses one of several structures, the rest is the input.
pub(crate) fn chosen(input: &[u8], choices: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((first % choices, rest))
}

/// An input that `chosen` takes apart.
pub(crate) fn choosing(choice: u8, sample: &[u8]) -> Vec<u8> {
    [&[choice][..], sample].concat()
}

/// The body, cut or padded to its length, with its sum behind.
pub(crate) fn with_sum_behind(body: &[u8], body_bytes: usize) -> Vec<u8> {
    let mut sealed = body.to_vec();
    sealed.resize(body_bytes, 0);
    let sum = crc64(&sealed);
    sealed.extend_from_slice(&sum.to_le_bytes());
    sealed
}

/// The bytes without the zeros at their end: mutations of padding find nothing.
pub(crate) fn trimmed(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[..len].to_vec()
}

/// Writes a field.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// The field at an offset; 0 where it lies outside.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

/// The field at an offset; 0 where it lies outside.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
    field.map_or(0, |field| u64::from_le_bytes(*field))
}

/// Decodes; what was accepted must be the same when it is written and read again.
pub(crate) fn round_trips<T, E>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, E>,
    encode: fn(&T) -> Vec<u8>,
) -> bool
where
    T: Debug + PartialEq,
    E: Debug,
{
    let Ok(found) = decode(bytes) else { return false };
    same(&found, decode(&encode(&found)));
    true
}

/// Asserts that the second reading gave what the first one did.
pub(crate) fn same<T, E>(found: &T, again: Result<T, E>)
where
    T: Debug + PartialEq,
    E: Debug,
{
    match again {
        Ok(again) => assert_eq!(*found, again, "what was written is read as another"),
        Err(error) => panic!("what was written is refused: {error:?}, of {found:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<u8, ()> {
        match bytes {
            [byte @ 0..100] => Ok(*byte),
            _ => Err(()),
        }
    }

    #[test]
    fn only_what_is_accepted_must_round_trip() {
        assert!(round_trips(&[7], decode, |byte| vec![*byte]));
        assert!(!round_trips(&[100], decode, |byte| vec![*byte]));
    }

    #[test]
    #[should_panic(expected = "read as another")]
    fn another_value_is_seen() {
        round_trips(&[7], decode, |byte| vec![*byte + 1]);
    }

    #[test]
    #[should_panic(expected = "refused")]
    fn an_encoding_that_is_refused_is_seen() {
        round_trips(&[7], decode, |_| vec![]);
    }

    #[test]
    fn bodies_are_cut_or_padded_under_their_sum() {
        for len in [0, 3, 16, 40] {
            let sealed = with_sum_behind(&vec![1; len], 16);
            assert_eq!((sealed.len(), crc64(&sealed[..16])), (24, u64_at(&sealed, 16)));
        }
        assert_eq!(trimmed(&[0, 1, 0, 0]), [0, 1]);
        assert_eq!(trimmed(&[0, 0]), Vec::<u8>::new());
    }
}
