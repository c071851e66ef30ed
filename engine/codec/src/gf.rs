//! Arithmetic in GF(2^8) with the polynomial 0x11d (the field of ISA-L), and the constant tables
//! the kernels read.
//!
//! Invariant: every table is computed at compile time from `product`, so no table can disagree
//! with another.

/// x^8 + x^4 + x^3 + x^2 + 1 without its top bit: what remains to be added when a product
/// leaves eight bits.
const REDUCTION: u8 = 0x1d;

/// For each coefficient: its product with 0..16, then its product with 0, 16, .. 240.
///
/// Aligned so that no 16 byte half crosses a cache line.
#[repr(align(64))]
pub(crate) struct NibbleTables(pub(crate) [[u8; 32]; 256]);

/// The tables of the shuffle kernels and of the scalar kernel.
pub(crate) static NIBBLES: NibbleTables = NibbleTables(nibble_tables());

/// For each coefficient: multiplication by it as the 8x8 bit matrix of `gf2p8affineqb`.
pub(crate) static AFFINE: [u64; 256] = affine_matrices();

static INVERSE: [u8; 256] = inverses();

/// `a * b`.
pub(crate) fn multiply(a: u8, b: u8) -> u8 {
    let table = &NIBBLES.0[usize::from(a)];
    table[usize::from(b & 15)] ^ table[16 + usize::from(b >> 4)]
}

/// The `b` with `a * b == 1`. Zero has no inverse.
pub(crate) fn inverse(a: u8) -> u8 {
    assert!(a != 0, "zero has no inverse");
    INVERSE[usize::from(a)]
}

/// `a * b`, bit by bit: slow, the source of every table.
const fn product(a: u8, b: u8) -> u8 {
    let mut shifted = a;
    let mut bits = b;
    let mut sum = 0;
    while bits != 0 {
        if bits & 1 != 0 {
            sum ^= shifted;
        }
        let leaves = shifted & 0x80 != 0;
        shifted <<= 1;
        if leaves {
            shifted ^= REDUCTION;
        }
        bits >>= 1;
    }
    sum
}

const fn nibble_tables() -> [[u8; 32]; 256] {
    let mut tables = [[0; 32]; 256];
    let mut coefficient = 0_usize;
    while coefficient < 256 {
        let mut nibble = 0_usize;
        while nibble < 16 {
            let low = product(coefficient as u8, nibble as u8);
            let high = product(coefficient as u8, (nibble as u8) << 4);
            tables[coefficient][nibble] = low;
            tables[coefficient][16 + nibble] = high;
            nibble += 1;
        }
        coefficient += 1;
    }
    tables
}

/// Output bit i is the parity of the input byte and matrix byte 7 - i; so bit k of that byte is
/// set when the coefficient times 2^k has bit i.
const fn affine_matrices() -> [u64; 256] {
    let mut matrices = [0; 256];
    let mut coefficient = 0_usize;
    while coefficient < 256 {
        let mut matrix = 0_u64;
        let mut k = 0_u32;
        while k < 8 {
            let column = product(coefficient as u8, 1_u8 << k);
            let mut i = 0_u32;
            while i < 8 {
                if (column >> i) & 1 != 0 {
                    matrix |= 1_u64 << (8 * (7 - i) + k);
                }
                i += 1;
            }
            k += 1;
        }
        matrices[coefficient] = matrix;
        coefficient += 1;
    }
    matrices
}

/// The multiplicative group has 255 elements, so `a^254` is the inverse of `a`.
const fn inverses() -> [u8; 256] {
    let mut table = [0; 256];
    let mut a = 1_usize;
    while a < 256 {
        let mut power = product(a as u8, a as u8);
        let mut result = 1_u8;
        let mut bit = 1_u32;
        while bit < 8 {
            result = product(result, power);
            power = product(power, power);
            bit += 1;
        }
        table[a] = result;
        a += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By powers of the generator 2: another way to the product than `product` takes.
    fn product_by_logarithms(a: u8, b: u8) -> u8 {
        let mut powers = [0_u8; 510];
        let mut logarithms = [0_usize; 256];
        let mut value = 1_u16;
        for (exponent, power) in powers.iter_mut().enumerate() {
            *power = value as u8;
            if exponent < 255 {
                logarithms[usize::from(value)] = exponent;
            }
            value <<= 1;
            if value > 255 {
                value ^= 0x11d;
            }
        }
        if a == 0 || b == 0 {
            return 0;
        }
        powers[logarithms[usize::from(a)] + logarithms[usize::from(b)]]
    }

    #[test]
    fn products_agree_with_logarithms() {
        for a in (0..=255_u8).step_by(5) {
            for b in 0..=255_u8 {
                assert_eq!(multiply(a, b), product_by_logarithms(a, b), "{a} * {b}");
                assert_eq!(multiply(a, b), multiply(b, a), "{a} * {b}");
            }
        }
    }

    #[test]
    fn products_known_from_outside() {
        assert_eq!(multiply(0x80, 2), 0x1d);
        assert_eq!(multiply(0x8e, 2), 1);
        assert_eq!(inverse(4), 0x47);
        assert_eq!(inverse(5), 0xa7);
    }

    #[test]
    fn every_inverse_inverts() {
        for a in 1..=255_u8 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn affine_matrices_multiply() {
        assert_eq!(AFFINE[1], 0x0102_0408_1020_4080);
        assert_eq!(AFFINE[2], 0x8001_8284_8810_2040);
        for coefficient in 0..=255_u8 {
            let matrix = AFFINE[usize::from(coefficient)];
            for byte in 0..=255_u8 {
                let mut result = 0;
                for i in 0..8 {
                    let row = (matrix >> (8 * (7 - i))) as u8;
                    result |= (((row & byte).count_ones() & 1) as u8) << i;
                }
                assert_eq!(result, multiply(coefficient, byte), "{coefficient} * {byte}");
            }
        }
    }
}
