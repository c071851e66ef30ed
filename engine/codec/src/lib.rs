//! Erasure coding and checksums: pure computation on byte slices.
//!
//! Invariants: no I/O, no clock, no threads. Every kernel computes the same bytes, so which one
//! runs is never visible in stored data. The parity of a geometry is frozen (`Codec`): it is
//! part of the on-drive format. Unsafe code lives in the SIMD files under `kernel/` only, and
//! each of those files checks by itself what its unsafe code relies on.

mod checksum;
mod codec;
mod gf;
mod kernel;
mod matrix;
mod plan;
mod self_test;

pub use checksum::{Crc64, crc64};
pub use codec::{Codec, CodecError, MAX_CELLS, MAX_DATA, MAX_PARITY};
pub use kernel::Kernel;
pub use matrix::Coefficients;
pub use plan::Plan;
pub use self_test::{SelfTest, self_test};
