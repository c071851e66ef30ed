//! What a caller does about an error, whatever crate it comes from.

/// The class of an error: the one thing callers branch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The thing named does not exist. Answer so.
    NotFound,
    /// A condition did not hold, or somebody else was first. The caller decides again.
    Conflict,
    /// The request itself is wrong; trying again does not help.
    Invalid,
    /// No capacity at this moment (queue, memory, fence). Try again later.
    Busy,
    /// No space left on stable storage.
    NoSpace,
    /// Bytes were read and their sums do not hold. Another copy may serve.
    Corrupt,
    /// A drive failed, timed out or was fenced off. Another drive may serve.
    Device,
    /// Too few drives to answer rightly. Answer 503; an operator must act.
    Unavailable,
    /// The server is stopping.
    Shutdown,
}
