//! Whether bytes that a store gave back are what was written.
//!
//! Invariants: a verdict needs no state but the seed; bytes of an allowed generation are never
//! called wrong, whatever range they are of and however an answer is cut; a wrong byte is found
//! wherever a generation is known, and a block is blamed only on what its own sound header says.
//!
//! A piece with a header is checked by its sum if the block is whole, else against the block that
//! the header describes, made anew. A piece without one (at most two in a range) is compared with
//! the generation seen in the other blocks, or with all that are allowed.

use crate::block::{
    BLOCK_BYTES, HEADER_BYTES, Header, Piece, SIZE_AT, SIZE_BYTES, SUM_BYTES, block_bytes, pieces,
    sum_of,
};
use crate::payload::COMMON_KEY;
use crate::{Generation, Mismatch, MismatchKind, ObjectStamp, Payload};

/// Generations that bytes without a header are compared with before they are called torn.
const GENERATIONS_TRIED_MAX: u64 = 1_024;
/// Generations that are known one by one, at most.
const CANDIDATES_MAX: usize = 12;
/// Fewer bytes than this may agree with a generation by chance.
const EVIDENCE_BYTES_MIN: usize = 8;

/// A few generations of a key, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Candidates {
    generations: [Generation; CANDIDATES_MAX],
    count: usize,
}

impl Candidates {
    /// These, without repetitions; `None` where they are too many or none.
    #[must_use]
    pub fn new(generations: impl IntoIterator<Item = Generation>) -> Option<Self> {
        let mut all = Self::default();
        for generation in generations {
            if all.as_slice().contains(&generation) {
                continue;
            }
            *all.generations.get_mut(all.count)? = generation;
            all.count += 1;
        }
        all.generations[..all.count].sort_unstable();
        (all.count > 0).then_some(all)
    }

    /// Them.
    #[must_use]
    pub fn as_slice(&self) -> &[Generation] {
        &self.generations[..self.count]
    }
}

/// What a reader knows about the object it has read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Id of the key that was asked for.
    pub key: u64,
    /// Size of the whole object as the answer or the plan says; nothing if it is not known, and
    /// then the sum and the size in a header that a range cuts off go unchecked.
    pub size_bytes: Option<u64>,
    /// The last write acknowledged before the read began.
    pub oldest: Generation,
    /// The newest write begun before the read ended.
    pub newest: Generation,
    /// The generations the bytes may be of, where they are known one by one: writes that were
    /// acknowledged, and those of which nobody knows. Otherwise all from `oldest` to `newest`.
    pub candidates: Option<Candidates>,
    /// The generation that earlier bytes of the same answer were of.
    pub seen: Option<Generation>,
}

impl Expected {
    /// A read of a key that nobody writes: one generation of one size.
    #[must_use]
    pub fn exactly(object: ObjectStamp) -> Self {
        let ObjectStamp { key, generation, size_bytes } = object;
        Self {
            key,
            size_bytes: Some(size_bytes),
            oldest: generation,
            newest: generation,
            candidates: Candidates::new([generation]),
            seen: None,
        }
    }
}

impl Payload {
    /// Checks the bytes at `offset` of an object and says which generation they are of: nothing if
    /// there are too few bytes to tell, or only blocks that are the same everywhere.
    ///
    /// An answer may come in pieces of any length; pass what one call returned as `seen` to the
    /// next, so that generations do not mix between them.
    ///
    /// # Errors
    /// The first `Mismatch`. `Foreign`, `Misdirected` and damaged blocks come before mixed, stale
    /// and never written generations, and those before a wrong length.
    pub fn verify(
        &self,
        expected: &Expected,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Option<Generation>, Mismatch> {
        let end = offset.saturating_add(bytes.len() as u64);
        let first = expected.seen.map(|generation| Seen { generation, offset, size_bytes: None });
        let mut check = Check { payload: self, expected, first, other: None };
        // What lies past a known end is too long, whatever it is.
        let known_end = expected.size_bytes.unwrap_or(u64::MAX);
        for piece in pieces(offset, bytes).take_while(|piece| piece.block_offset < known_end) {
            if piece.has_header() {
                check.headed(&piece)?;
            }
        }
        check.generations()?;
        check.length(end)?;
        let bare: Vec<Piece<'_>> = pieces(offset, bytes)
            .filter(|piece| !piece.has_header() && !check.is_common(piece))
            .collect();
        if !bare.is_empty() {
            check.bare(&bare)?;
        }
        Ok(check.first.map(|seen| seen.generation))
    }
}

/// A generation found in a block.
#[derive(Clone, Copy)]
struct Seen {
    generation: Generation,
    offset: u64,
    /// Size of the object as the block says.
    size_bytes: Option<u64>,
}

/// One verification under way.
struct Check<'a> {
    payload: &'a Payload,
    expected: &'a Expected,
    first: Option<Seen>,
    /// The first block of another generation than the first.
    other: Option<Seen>,
}

impl Check<'_> {
    /// Checks a piece that begins with a header, and notes its generation.
    fn headed(&mut self, piece: &Piece<'_>) -> Result<(), Mismatch> {
        if self.is_common(piece) {
            return Ok(());
        }
        let wrong = |kind| self.mismatch(piece.block_offset, kind);
        let Some(header) = Header::read(piece.bytes) else {
            return Err(wrong(self.without_header(piece)));
        };
        let ours = header.run == self.payload.run;
        let whole = piece.bytes.get(..header.block_bytes());
        let sound = match whole {
            Some(block) => block.len() >= HEADER_BYTES && sum_of(block) == header.sum,
            None => ours && self.is_as_described(&header, piece),
        };
        if !ours && (sound || whole.is_none()) {
            return Err(wrong(MismatchKind::Foreign { run: Some(header.run) }));
        }
        let generation = Generation(header.generation);
        if !sound {
            let known = header.key != COMMON_KEY;
            let generation = known.then_some(generation);
            return Err(wrong(MismatchKind::Torn { generation, other: None }));
        }
        if header.key != self.expected.key || header.offset != piece.block_offset {
            let Header { key: found_key, offset: found_offset, .. } = header;
            return Err(wrong(MismatchKind::Misdirected { found_key, found_offset }));
        }
        self.note(Seen {
            generation,
            offset: piece.block_offset,
            size_bytes: Some(header.size_bytes),
        });
        Ok(())
    }

    fn note(&mut self, found: Seen) {
        match &mut self.first {
            None => self.first = Some(found),
            Some(first) if first.generation == found.generation => {
                first.size_bytes = first.size_bytes.or(found.size_bytes);
            }
            Some(_) => self.other = self.other.or(Some(found)),
        }
    }

    /// What a piece without a magic is: ours with a damaged header if its filler is, else foreign.
    fn without_header(&self, piece: &Piece<'_>) -> MismatchKind {
        let filler = piece.filler();
        // Zeros are no evidence: part of the filler is zeros, and so is what was never written.
        let evidence = filler.bytes.iter().filter(|byte| **byte != 0).count();
        if evidence < EVIDENCE_BYTES_MIN {
            return MismatchKind::Foreign { run: None };
        }
        let generation = self.allowed().find(|generation| self.is_of(*generation, &filler));
        if generation.is_some() || self.is_common(&filler) {
            MismatchKind::Torn { generation, other: None }
        } else {
            MismatchKind::Foreign { run: None }
        }
    }

    /// Whether a cut block agrees with the block that its header describes.
    fn is_as_described(&self, header: &Header, piece: &Piece<'_>) -> bool {
        if header.key == COMMON_KEY {
            return piece.is_part_of(self.payload.common_block());
        }
        let object = ObjectStamp {
            key: header.key,
            generation: Generation(header.generation),
            size_bytes: header.size_bytes,
        };
        piece.is_part_of(&self.payload.own_block(&object, header.offset))
    }

    /// One generation, of those allowed.
    fn generations(&self) -> Result<(), Mismatch> {
        let Some(first) = self.first else { return Ok(()) };
        let (found, offset) = (first.generation, first.offset);
        let (oldest, newest) = (self.expected.oldest, self.expected.newest);
        if let Some(other) = self.other {
            let (generation, second) = (Some(found), Some(other.generation));
            let torn = MismatchKind::Torn { generation, other: second };
            return Err(self.mismatch(other.offset, torn));
        }
        if let Some(candidates) = &self.expected.candidates
            && found <= newest
            && !candidates.as_slice().contains(&found)
        {
            return Err(self.mismatch(offset, MismatchKind::Stale { found, oldest }));
        }
        if found < oldest && self.expected.candidates.is_none() {
            return Err(self.mismatch(offset, MismatchKind::Stale { found, oldest }));
        }
        if found > newest {
            return Err(self.mismatch(offset, MismatchKind::NeverWritten { found, newest }));
        }
        Ok(())
    }

    /// The bytes end where the object does at the latest, and all say the same size.
    fn length(&self, end: u64) -> Result<(), Mismatch> {
        let stamped = self.first.and_then(|seen| seen.size_bytes);
        let wrong = |written_bytes, answered_bytes| {
            let kind = MismatchKind::WrongLength { written_bytes, answered_bytes };
            Err(self.mismatch(written_bytes.min(answered_bytes), kind))
        };
        match (stamped, self.expected.size_bytes) {
            (Some(stamped), Some(expected)) if stamped != expected => wrong(stamped, expected),
            (Some(size), _) | (None, Some(size)) if end > size => wrong(size, end),
            _ => Ok(()),
        }
    }

    /// Checks the pieces without a header, all of them together.
    fn bare(&mut self, bare: &[Piece<'_>]) -> Result<(), Mismatch> {
        if let Some(first) = self.first {
            let wrong = bare.iter().find(|piece| !self.is_of(first.generation, piece));
            return wrong.map_or(Ok(()), |piece| Err(self.mixed(first.generation, piece)));
        }
        let fitting = {
            let mut fitting = self.allowed().filter(|fits| self.all_are_of(*fits, bare));
            (fitting.next(), fitting.next())
        };
        match fitting {
            (Some(generation), None) => {
                let offset = bare.first().map_or(0, Piece::offset);
                self.first = Some(Seen { generation, offset, size_bytes: None });
                Ok(())
            }
            // Too few bytes to tell, but they are right.
            (Some(_), Some(_)) => Ok(()),
            // Only some of those that are allowed were tried.
            (None, _) if !self.tries_all() => Ok(()),
            (None, _) => Err(self.of_none_allowed(bare)),
        }
    }

    /// What a piece is that is not of the generation of the blocks beside it.
    fn mixed(&self, generation: Generation, piece: &Piece<'_>) -> Mismatch {
        let enough = piece.bytes.len() >= EVIDENCE_BYTES_MIN;
        let mut candidates = self.allowed().filter(|_| enough);
        let other = candidates.find(|candidate| self.is_of(*candidate, piece));
        let kind = MismatchKind::Torn { generation: Some(generation), other };
        self.mismatch(piece.offset(), kind)
    }

    /// What pieces are that are of no generation that may be read.
    fn of_none_allowed(&self, bare: &[Piece<'_>]) -> Mismatch {
        let evidence: usize = bare.iter().map(|piece| piece.bytes.len()).sum();
        let enough = evidence >= EVIDENCE_BYTES_MIN;
        let mut candidates = self.outdated().filter(|_| enough);
        let kind = match candidates.find(|candidate| self.all_are_of(*candidate, bare)) {
            Some(found) => MismatchKind::Stale { found, oldest: self.expected.oldest },
            None => MismatchKind::Torn { generation: None, other: None },
        };
        self.mismatch(bare.first().map_or(0, Piece::offset), kind)
    }

    /// Generations that may be read, the newest first; not all of them where there are too many.
    fn allowed(&self) -> impl Iterator<Item = Generation> + use<> {
        let listed = self.expected.candidates.unwrap_or_default();
        let (oldest, newest) = (self.expected.oldest.0, self.expected.newest.0);
        let first = oldest.max(newest.saturating_sub(GENERATIONS_TRIED_MAX - 1));
        let end = if listed.count > 0 { first } else { newest.saturating_add(1) };
        let range = (first..end).rev().map(Generation);
        let count = listed.count;
        (0..count).rev().map(move |place| listed.generations[place]).chain(range)
    }

    /// Whether `allowed` leaves none out.
    fn tries_all(&self) -> bool {
        let span = self.expected.newest.0.saturating_sub(self.expected.oldest.0);
        self.expected.candidates.is_some() || span < GENERATIONS_TRIED_MAX
    }

    /// The generations before those that may be read, the newest first.
    fn outdated(&self) -> impl Iterator<Item = Generation> + use<> {
        let oldest = self.expected.oldest.0;
        (oldest.saturating_sub(GENERATIONS_TRIED_MAX)..oldest).rev().map(Generation)
    }

    fn all_are_of(&self, generation: Generation, bare: &[Piece<'_>]) -> bool {
        bare.iter().all(|piece| self.is_of(generation, piece))
    }

    /// Whether a piece without a header is of this generation, as far as can be told.
    fn is_of(&self, generation: Generation, piece: &Piece<'_>) -> bool {
        let block = |size_bytes| {
            let object = ObjectStamp { key: self.expected.key, generation, size_bytes };
            self.payload.own_block(&object, piece.block_offset)
        };
        let stamped = self.first.and_then(|seen| seen.size_bytes);
        if let Some(size_bytes) = stamped.or(self.expected.size_bytes) {
            return piece.is_part_of(&block(size_bytes));
        }
        // Of an unknown size: either the object ends here, or nothing is known of size and sum.
        if piece.is_part_of(&block(piece.end())) {
            return true;
        }
        let mut whole = block(piece.block_offset + BLOCK_BYTES as u64);
        for place in (0..SUM_BYTES).chain(SIZE_AT..SIZE_AT + SIZE_BYTES) {
            let given = place.checked_sub(piece.start).and_then(|at| piece.bytes.get(at));
            if let Some(byte) = given {
                whole[place] = *byte;
            }
        }
        piece.is_part_of(&whole)
    }

    /// Whether a piece is of the common block, where that is what was written.
    fn is_common(&self, piece: &Piece<'_>) -> bool {
        let size_bytes = self.expected.size_bytes;
        let is_whole = |size| block_bytes(size, piece.block_offset) == BLOCK_BYTES;
        self.payload.is_common(self.expected.key, piece.block_offset)
            && size_bytes.is_none_or(is_whole)
            && piece.is_part_of(self.payload.common_block())
    }

    fn mismatch(&self, offset: u64, kind: MismatchKind) -> Mismatch {
        Mismatch { key: self.expected.key, offset, kind }
    }
}
