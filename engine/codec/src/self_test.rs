//! The check that this CPU computes what the scalar kernel computes.
//!
//! A SIMD kernel that is wrong on some machine would write wrong parity that nobody notices
//! until a drive is lost. So no kernel is used before it agreed with its scalar twin, and if any
//! disagrees the machine is not trusted with any of them.

use crate::kernel::Kernel;
use crate::matrix::Coefficients;
use std::sync::OnceLock;

/// Rows and columns: a full group of rows with every coefficient, then each shorter group, with
/// odd and even numbers of sources.
const GEOMETRIES: [(usize, usize); 6] = [(4, 64), (1, 7), (2, 2), (3, 5), (5, 1), (9, 3)];

/// Shorter than a vector, around one vector, around one step, several steps and a tail.
const LENGTHS_BYTES: [usize; 8] = [1, 31, 64, 65, 128, 255, 256, 579];

/// Outputs hold this before a kernel runs, so that an unwritten byte differs.
const UNWRITTEN: u8 = 0xa5;

/// What the self test found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// The kernel to use: the fastest, or `Scalar` if any was wrong.
    pub chosen: Kernel,
    /// The kernels this CPU has, the fastest first.
    pub tested: Vec<Kernel>,
    /// Those of them that computed other bytes than the scalar kernel. Empty on a sound machine.
    pub failed: Vec<Kernel>,
}

/// Runs each kernel of this CPU against its scalar twin, once per process; later calls return
/// the first result.
///
/// Call it when the server starts and log the result. `Kernel::best` relies on it in any case.
pub fn self_test() -> &'static SelfTest {
    static RESULT: OnceLock<SelfTest> = OnceLock::new();
    RESULT.get_or_init(|| judge(Kernel::available(), Kernel::multiply))
}

/// Runs `multiply` for each kernel. A parameter, so that a test can be a broken machine.
fn judge<F>(kernels: Vec<Kernel>, multiply: F) -> SelfTest
where
    F: Fn(Kernel, &Coefficients, &[&[u8]], &mut [&mut [u8]]),
{
    let mut failed = Vec::new();
    for (rows, columns) in GEOMETRIES {
        let bytes = (0..rows * columns).map(|at| (at * 255 / (rows * columns - 1).max(1)) as u8);
        let coefficients = Coefficients::new(rows, columns, bytes.collect());
        for cell_bytes in LENGTHS_BYTES {
            let expected = output(&coefficients, cell_bytes, |sources, outputs| {
                Kernel::Scalar.multiply(&coefficients, sources, outputs);
            });
            for kernel in &kernels {
                let got = output(&coefficients, cell_bytes, |sources, outputs| {
                    multiply(*kernel, &coefficients, sources, outputs);
                });
                if got != expected && !failed.contains(kernel) {
                    failed.push(*kernel);
                }
            }
        }
    }
    let fastest = kernels.first().copied().unwrap_or(Kernel::Scalar);
    let chosen = if failed.is_empty() { fastest } else { Kernel::Scalar };
    SelfTest { chosen, tested: kernels, failed }
}

/// What `multiply` writes for made-up sources, with a guard byte before and after each output.
fn output<F>(coefficients: &Coefficients, cell_bytes: usize, multiply: F) -> Vec<Vec<u8>>
where
    F: FnOnce(&[&[u8]], &mut [&mut [u8]]),
{
    let sources: Vec<Vec<u8>> = (0..coefficients.columns())
        .map(|column| (0..cell_bytes).map(|at| (at + at / 256 + column * 37) as u8).collect())
        .collect();
    let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let mut outputs = vec![vec![UNWRITTEN; cell_bytes + 2]; coefficients.rows()];
    let mut inner: Vec<&mut [u8]> =
        outputs.iter_mut().map(|output| &mut output[1..=cell_bytes]).collect();
    multiply(&sources, &mut inner);
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_sound() {
        let result = self_test();
        assert!(result.failed.is_empty(), "wrong: {:?}", result.failed);
        assert_eq!(result.tested, Kernel::available());
        assert_eq!(result.chosen, result.tested[0]);
        assert_eq!(Kernel::best(), result.chosen);
    }

    #[test]
    fn one_wrong_coefficient_sends_all_to_scalar() {
        // Each coefficient in turn is multiplied as its neighbor by the "fast" kernel.
        for wrong in [0, 1, 77, 255_u8] {
            let result = judge(vec![Kernel::Avx2, Kernel::Scalar], |kernel, good, from, to| {
                let mut bytes = good.bytes().to_vec();
                if kernel == Kernel::Avx2 {
                    for byte in bytes.iter_mut().filter(|byte| **byte == wrong) {
                        *byte ^= 1;
                    }
                }
                let used = Coefficients::new(good.rows(), good.columns(), bytes);
                Kernel::Scalar.multiply(&used, from, to);
            });
            assert_eq!(result.chosen, Kernel::Scalar, "coefficient {wrong}");
            assert_eq!(result.failed, [Kernel::Avx2], "coefficient {wrong}");
        }
    }

    #[test]
    fn an_unwritten_last_byte_is_seen() {
        let result = judge(vec![Kernel::Ssse3, Kernel::Scalar], |kernel, good, from, to| {
            Kernel::Scalar.multiply(good, from, to);
            if kernel == Kernel::Ssse3 {
                for output in to.iter_mut() {
                    if let Some(last) = output.last_mut() {
                        *last = UNWRITTEN;
                    }
                }
            }
        });
        assert_eq!(result.chosen, Kernel::Scalar);
        assert_eq!(result.failed, [Kernel::Ssse3]);
    }

    #[test]
    fn agreeing_kernels_choose_the_first() {
        let kernels = vec![Kernel::Neon, Kernel::Scalar];
        let result = judge(kernels.clone(), |_, good, from, to| {
            Kernel::Scalar.multiply(good, from, to);
        });
        assert_eq!(result, SelfTest { chosen: Kernel::Neon, tested: kernels, failed: vec![] });
    }
}
