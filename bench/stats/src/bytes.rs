//! Reading bytes from outside, one bounded piece at a time.
//!
//! Invariant: nothing is read past the end, and no length is believed before the bytes are there.

use crate::error::StatsError;

/// Bytes that are read from front to back.
#[derive(Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// A cursor at the front of `bytes`; `what` names them in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// An error about these bytes.
    #[must_use]
    pub fn damaged(&self, why: impl Into<String>) -> StatsError {
        StatsError::damaged(self.what, why)
    }

    /// All that has not been read.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], StatsError> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.damaged("it ends too early"));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], StatsError> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.damaged("it ends too early"));
        };
        self.rest = rest;
        Ok(head)
    }

    /// The next byte.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn u8(&mut self) -> Result<u8, StatsError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A little-endian number of 2 bytes.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn u16(&mut self) -> Result<u16, StatsError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A little-endian number of 4 bytes.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn u32(&mut self) -> Result<u32, StatsError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A little-endian number of 8 bytes.
    ///
    /// # Errors
    /// `Damaged` where there are not so many.
    pub fn u64(&mut self) -> Result<u64, StatsError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A byte that says yes or no.
    ///
    /// # Errors
    /// `Damaged` where it says neither, or is not there.
    pub fn flag(&mut self) -> Result<bool, StatsError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(format!("{other} says neither yes nor no"))),
        }
    }

    /// A length of 2 bytes, and a text of that many.
    ///
    /// # Errors
    /// `Damaged` where that is no UTF-8, or not there.
    pub fn text(&mut self) -> Result<String, StatsError> {
        let length = usize::from(self.u16()?);
        let text = std::str::from_utf8(self.slice(length)?);
        Ok(text.map_err(|_| self.damaged("a text is no UTF-8"))?.to_owned())
    }
}
