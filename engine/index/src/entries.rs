//! A list of entries with strictly rising keys, prefix compressed: the inside of a block and of
//! the sparse index.
//!
//! ```text
//! entry     varint bytes shared with the previous key
//!           varint bytes of the key behind those
//!           varint 0 for a tombstone, else bytes of the value + 1
//!           rest of the key, value
//! ...
//! restarts  u32 each: offsets of the entries 0, 16, 32, ..., which share nothing
//! ```
//! Varints hold 7 bits a byte, low bits first, at most 3 bytes. The count of entries stands in
//! the frame around the list.
//! Invariants: a `View` is only made of bytes that `View::parse` has walked from end to end, so
//! decoding it again cannot fail; if it did, cursors would end early, not panic.

use crate::{IndexError, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Entries from one restart to the next.
const RESTART_INTERVAL: u32 = 16;
/// Bytes of a restart.
const RESTART_BYTES: usize = 4;
/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 3;

/// A span of bytes: start and end.
type Span = (usize, usize);

/// Writes a list.
#[derive(Debug, Default)]
pub(crate) struct EntriesBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    last_key: Vec<u8>,
    count: u32,
}

impl EntriesBuilder {
    /// Entries pushed.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the list so far.
    pub(crate) fn encoded_bytes(&self) -> usize {
        self.bytes.len() + RESTART_BYTES * self.restarts.len()
    }

    /// Bytes that one more entry would add.
    pub(crate) fn cost_bytes(&self, key: &[u8], value: Option<&[u8]>) -> usize {
        let shared = self.shared_with(key);
        let rest = key.len() - shared;
        let value_bytes = value.map_or(0, <[u8]>::len);
        let restart_bytes = if self.at_restart() { RESTART_BYTES } else { 0 };
        let lengths = varint_bytes(shared) + varint_bytes(rest) + varint_bytes(tag_of(value));
        lengths + rest + value_bytes + restart_bytes
    }

    /// Appends an entry. The caller has checked the key's order and both lengths.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let shared = self.shared_with(key);
        if self.at_restart() {
            assert!(self.bytes.len() <= u32::MAX as usize, "a list is below 4 GiB");
            self.restarts.push(self.bytes.len() as u32);
        }
        push_varint(&mut self.bytes, shared);
        push_varint(&mut self.bytes, key.len() - shared);
        push_varint(&mut self.bytes, tag_of(value));
        self.bytes.extend_from_slice(&key[shared..]);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
        self.count += 1;
    }

    /// Appends the list to `out`.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        for restart in &self.restarts {
            out.extend_from_slice(&restart.to_le_bytes());
        }
    }

    /// Forgets all entries and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.restarts.clear();
        self.last_key.clear();
        self.count = 0;
    }

    fn at_restart(&self) -> bool {
        self.count.is_multiple_of(RESTART_INTERVAL)
    }

    fn shared_with(&self, key: &[u8]) -> usize {
        if self.at_restart() { 0 } else { common_prefix_bytes(&self.last_key, key) }
    }
}

/// Bytes at the start of both keys that are equal.
pub(crate) fn common_prefix_bytes(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// A list that was walked and found valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [u8],
    restarts: &'a [u8],
}

/// One entry as it stands in the bytes.
struct Entry {
    shared: usize,
    rest: Span,
    value: Option<Span>,
    next: usize,
}

impl<'a> View<'a> {
    /// Walks a list of `count` entries: bounds, restarts, order of keys. Returns where its
    /// restarts begin, for `View::again`.
    pub(crate) fn parse(list: &'a [u8], count: u32) -> Result<(Self, usize), IndexError> {
        let restart_bytes = count.div_ceil(RESTART_INTERVAL) as usize * RESTART_BYTES;
        let split = list.len().checked_sub(restart_bytes);
        let split = split.ok_or(IndexError::Malformed("no room for the restarts"))?;
        let view = Self::again(list, split);
        view.walk(count)?;
        Ok((view, split))
    }

    /// The view of a list that `parse` has seen, with the split it returned.
    pub(crate) fn again(list: &'a [u8], split: usize) -> Self {
        let (data, restarts) = list.split_at(split);
        Self { data, restarts }
    }

    fn walk(self, count: u32) -> Result<(), IndexError> {
        let mut key: Vec<u8> = Vec::new();
        let mut at = 0;
        for ordinal in 0..count {
            let entry = entry_at(self.data, at).ok_or(IndexError::Malformed("entry bounds"))?;
            let rest = &self.data[entry.rest.0..entry.rest.1];
            if ordinal.is_multiple_of(RESTART_INTERVAL)
                && (entry.shared != 0 || self.restart(ordinal / RESTART_INTERVAL) != Some(at))
            {
                return Err(IndexError::Malformed("restart"));
            }
            let value_bytes = entry.value.map_or(0, |(start, end)| end - start);
            if entry.shared + rest.len() > KEY_BYTES_MAX || value_bytes > VALUE_BYTES_MAX {
                return Err(IndexError::Malformed("an entry is too long"));
            }
            let Some(replaced) = key.get(entry.shared..) else {
                return Err(IndexError::Malformed("shared prefix"));
            };
            if ordinal > 0 && rest <= replaced {
                return Err(IndexError::Malformed("keys do not rise"));
            }
            key.truncate(entry.shared);
            key.extend_from_slice(rest);
            at = entry.next;
        }
        if at == self.data.len() { Ok(()) } else { Err(IndexError::Malformed("entry count")) }
    }

    /// Where the numbered stretch of entries begins.
    fn restart(self, number: u32) -> Option<usize> {
        let at = (number as usize).checked_mul(RESTART_BYTES)?;
        let offset = self.restarts.get(at..)?.first_chunk::<RESTART_BYTES>()?;
        Some(u32::from_le_bytes(*offset) as usize)
    }

    /// The last stretch that begins with a key not above `key`, or the first.
    fn stretch_of(self, key: &[u8]) -> u32 {
        let mut low = 0;
        let mut high = (self.restarts.len() / RESTART_BYTES) as u32;
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.restart(middle).and_then(|at| entry_at(self.data, at));
            if entry.is_some_and(|entry| &self.data[entry.rest.0..entry.rest.1] <= key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.saturating_sub(1)
    }

    /// The last entry whose key is not above `key`: its number and value.
    pub(crate) fn floor(self, key: &[u8]) -> Option<(u32, Option<&'a [u8]>)> {
        let stretch = self.stretch_of(key);
        let mut cursor = Cursor::default();
        cursor.jump(self, stretch);
        let mut found = None;
        let mut ordinal = stretch * RESTART_INTERVAL;
        while cursor.key().is_some_and(|current| current <= key) {
            found = Some((ordinal, cursor.value(self)));
            ordinal += 1;
            cursor.step(self);
        }
        found
    }

    /// The value of the numbered entry.
    pub(crate) fn value_of(self, ordinal: u32) -> Option<&'a [u8]> {
        let mut entry = entry_at(self.data, self.restart(ordinal / RESTART_INTERVAL)?)?;
        for _ in 0..ordinal % RESTART_INTERVAL {
            entry = entry_at(self.data, entry.next)?;
        }
        let (start, end) = entry.value?;
        self.data.get(start..end)
    }
}

/// A place in a list, without a reference to its bytes. At first before the first entry's key is
/// known: `jump` or `seek` comes first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursor {
    key: Vec<u8>,
    value: Option<Span>,
    next: usize,
    on_entry: bool,
}

impl Cursor {
    /// Goes to the first entry of the numbered stretch.
    pub(crate) fn jump(&mut self, view: View<'_>, stretch: u32) {
        self.key.clear();
        self.next = view.restart(stretch).unwrap_or(view.data.len());
        self.step(view);
    }

    /// Goes to the first entry whose key is not below `key`.
    pub(crate) fn seek(&mut self, view: View<'_>, key: &[u8]) {
        self.jump(view, view.stretch_of(key));
        while self.on_entry && self.key.as_slice() < key {
            self.step(view);
        }
    }

    /// Goes to the next entry.
    pub(crate) fn step(&mut self, view: View<'_>) {
        let entry = entry_at(view.data, self.next);
        let Some(entry) = entry else {
            self.on_entry = false;
            return;
        };
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(&view.data[entry.rest.0..entry.rest.1]);
        self.value = entry.value;
        self.next = entry.next;
        self.on_entry = true;
    }

    /// The key here; `None` behind the last entry.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.on_entry.then_some(self.key.as_slice())
    }

    /// The value here; `None` for a tombstone.
    pub(crate) fn value<'a>(&self, view: View<'a>) -> Option<&'a [u8]> {
        let (start, end) = self.value?;
        view.data.get(start..end)
    }
}

/// Decodes the entry at an offset; `None` if it does not fit.
fn entry_at(data: &[u8], at: usize) -> Option<Entry> {
    let (shared, at) = varint_at(data, at)?;
    let (rest_bytes, at) = varint_at(data, at)?;
    let (tag, at) = varint_at(data, at)?;
    let rest_end = at + rest_bytes;
    let next = rest_end + tag.saturating_sub(1);
    let value = if tag == 0 { None } else { Some((rest_end, next)) };
    (next <= data.len()).then_some(Entry { shared, rest: (at, rest_end), value, next })
}

fn tag_of(value: Option<&[u8]>) -> usize {
    value.map_or(0, |value| value.len() + 1)
}

fn varint_bytes(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => VARINT_BYTES_MAX,
    }
}

fn push_varint(out: &mut Vec<u8>, number: usize) {
    assert!(number < 1 << 21, "every length is bounded");
    let mut rest = number;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The number at an offset and the offset behind it; `None` if it does not end in time.
fn varint_at(data: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in data.get(at..)?.iter().take(VARINT_BYTES_MAX).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, at + index + 1));
        }
    }
    None
}
