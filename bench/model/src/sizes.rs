//! Sizes of objects.
//!
//! Invariants: a size is a pure function of a draw (see `object_draw`), so that any thread knows
//! the size of any version of any object without having stored it; no size is above `max_bytes`.
//! Sources of the imported grammar: warp's README (log2) and its pull requests 14 and 342.

use crate::ModelError;
use crate::error::shown;
use crate::number::{call, decimal, size_bytes};
use crate::random::{scaled, unit_of};
use crate::size_table::{Range, SizeTable};
use std::f64::consts::TAU;

/// warp spreads random sizes over this many doublings below the largest.
const LOG2_DOUBLINGS: u32 = 8;
/// The smallest size warp makes if the largest allows it.
const LOG2_MIN_BYTES: u64 = 128;
/// Beyond this the mean would depend on draws that no run makes.
const SIGMA_MAX: f64 = 4.0;

/// A distribution of object sizes, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Sizes {
    /// All of one size.
    Fixed(u64),
    /// Every size from the least to the largest equally often.
    Uniform {
        /// The least size.
        min_bytes: u64,
        /// The largest size.
        max_bytes: u64,
    },
    /// Every doubling of the size equally often.
    Log2 {
        /// The least size, at least 1.
        min_bytes: u64,
        /// The largest size.
        max_bytes: u64,
    },
    /// The logarithm of the size is normally distributed; larger ones are cut to the largest.
    Lognormal {
        /// Half of the objects are smaller.
        median_bytes: u64,
        /// Standard deviation of the natural logarithm of the size.
        sigma: f64,
        /// The largest size.
        max_bytes: u64,
    },
    /// Weighted sizes or ranges of sizes.
    Buckets(SizeTable),
}

impl Sizes {
    /// Reads one of
    ///
    /// - `4KiB`: fixed; sizes have the units B, KiB, MiB, GiB, TiB, or kB, MB, GB, TB;
    /// - `uniform(4KiB,1MiB)`;
    /// - `log2(100MiB)`: warp's `--obj.size=100MiB --obj.randsize`, eight doublings up to the size
    ///   (mean 0.18 of it), or `log2(1KiB,10MiB)`, warp's `--obj.size=1KiB,10MiB --obj.randsize`;
    /// - `lognormal(median=128KiB,sigma=1.2,max=1GiB)`;
    /// - `buckets(4KiB:60,64KiB:30,16MiB:10)`: exact sizes and their weights;
    /// - `4096:10740,8192:1685`, warp's buckets: with the first weight a size up to the first
    ///   bound, with the second one above it and up to the second, and so on, uniform in between.
    ///
    /// `file:cdf.csv` is for the caller: see `cdf_path` and `from_cdf`.
    ///
    /// # Errors
    /// `ModelError::Sizes` names the text and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        let refused = |problem: &'static str| ModelError::Sizes {
            input: shown(text),
            problem: problem.to_owned(),
        };
        parse(text).map_err(refused)
    }

    /// The path in `file:path`; the caller reads the file and passes its text to `from_cdf`.
    #[must_use]
    pub fn cdf_path(text: &str) -> Option<&str> {
        text.trim().strip_prefix("file:").filter(|path| !path.is_empty())
    }

    /// Sizes by lines `size,share of objects up to it`, both rising, as in `64KiB,0.8`.
    ///
    /// The first line is the smallest size and the share of objects of just that size; sizes
    /// between two lines are equally likely. Lines that are empty or start with `#`, and a heading,
    /// are skipped. The last share is 1. At most 65,536 lines count.
    ///
    /// # Errors
    /// `ModelError::SizeFile` names the line.
    pub fn from_cdf(text: &str) -> Result<Self, ModelError> {
        SizeTable::from_cdf(text).map(Self::Buckets)
    }

    /// The size for a draw of 64 random bits.
    #[must_use]
    pub fn size_of(&self, draw: u64) -> u64 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform { min_bytes, max_bytes } => {
                let further = max_bytes.saturating_sub(*min_bytes);
                min_bytes + scaled(draw, further.saturating_add(1))
            }
            Self::Log2 { min_bytes, max_bytes } => {
                let (min, max) = (*min_bytes as f64, *max_bytes as f64);
                let bytes = (min * (max / min).powf(unit_of(draw))).round() as u64;
                bytes.min(*max_bytes)
            }
            Self::Lognormal { median_bytes, sigma, max_bytes } => {
                let bytes = *median_bytes as f64 * (sigma * normal_of(draw)).exp();
                (bytes.round() as u64).clamp(1, (*max_bytes).max(1))
            }
            Self::Buckets(table) => table.size_of(draw),
        }
    }

    /// The largest size there can be.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Uniform { max_bytes, .. }
            | Self::Log2 { max_bytes, .. }
            | Self::Lognormal { max_bytes, .. } => *max_bytes,
            Self::Buckets(table) => table.max_bytes(),
        }
    }
}

/// A draw of the normal distribution (Box and Muller 1958), at most 6.7 from the middle.
fn normal_of(draw: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 32) as f64;
    let radius_draw = ((draw >> 32) as f64 + 1.0) * STEP;
    let angle_draw = (draw & 0xffff_ffff) as f64 * STEP;
    (-2.0 * radius_draw.ln()).sqrt() * (TAU * angle_draw).cos()
}

fn parse(text: &str) -> Result<Sizes, &'static str> {
    match call(text) {
        Some(("uniform", arguments)) => {
            let (min_bytes, max_bytes) = pair(arguments)?;
            Ok(Sizes::Uniform { min_bytes, max_bytes })
        }
        Some(("log2", arguments)) => parse_log2(arguments),
        Some(("lognormal", arguments)) => parse_lognormal(arguments),
        Some(("buckets", arguments)) => {
            let exact = weighted(arguments)?.into_iter();
            let range = |(bytes, weight)| Range { min_bytes: bytes, max_bytes: bytes, weight };
            table(&exact.map(range).collect::<Vec<_>>())
        }
        Some(_) => Err("there is no distribution of this name"),
        None if text.starts_with("file:") => Err("the file has not been read"),
        None if text.contains(':') => parse_warp_buckets(text),
        None => size_bytes(text).map(Sizes::Fixed).ok_or("this is no size"),
    }
}

fn parse_log2(arguments: &str) -> Result<Sizes, &'static str> {
    let (min_bytes, max_bytes) = if arguments.contains(',') {
        pair(arguments)?
    } else {
        let max_bytes = size_bytes(arguments).ok_or("this is no size")?;
        let least = (max_bytes >> LOG2_DOUBLINGS).max(LOG2_MIN_BYTES);
        (least.min(max_bytes), max_bytes)
    };
    if min_bytes == 0 {
        return Err("the least size must be at least 1");
    }
    Ok(Sizes::Log2 { min_bytes, max_bytes })
}

fn parse_lognormal(arguments: &str) -> Result<Sizes, &'static str> {
    let (mut median, mut sigma, mut max) = (None, None, None);
    for argument in arguments.split(',') {
        let (name, value) = argument.split_once('=').ok_or("arguments are written name=value")?;
        let bytes = || size_bytes(value).ok_or("median and max are sizes");
        let known = match name.trim() {
            "median" => median.replace(bytes()?).is_some(),
            "max" => max.replace(bytes()?).is_some(),
            "sigma" => sigma.replace(decimal(value.trim()).ok_or("sigma is a number")?).is_some(),
            _ => return Err("its arguments are median, sigma and max"),
        };
        if known {
            return Err("an argument is given twice");
        }
    }
    let (Some(median_bytes), Some(sigma), Some(max_bytes)) = (median, sigma, max) else {
        return Err("it needs median, sigma and max");
    };
    if median_bytes == 0 || median_bytes > max_bytes {
        return Err("the median must be from 1 to the largest size");
    }
    if sigma > SIGMA_MAX {
        return Err("sigma must be from 0 to 4");
    }
    Ok(Sizes::Lognormal { median_bytes, sigma, max_bytes })
}

fn parse_warp_buckets(text: &str) -> Result<Sizes, &'static str> {
    let mut ranges = Vec::new();
    let mut below = 0;
    for (max_bytes, weight) in weighted(text)? {
        if max_bytes <= below {
            return Err("bounds must rise");
        }
        ranges.push(Range { min_bytes: below + 1, max_bytes, weight });
        below = max_bytes;
    }
    table(&ranges)
}

fn table(ranges: &[Range]) -> Result<Sizes, &'static str> {
    SizeTable::new(ranges).map(Sizes::Buckets).ok_or("no size has a weight")
}

/// The pairs of `size:weight,size:weight`.
fn weighted(text: &str) -> Result<Vec<(u64, f64)>, &'static str> {
    text.split(',').map(bucket).collect()
}

fn bucket(text: &str) -> Result<(u64, f64), &'static str> {
    let (size, weight) = text.split_once(':').ok_or("a bucket is written size:weight")?;
    let size = size_bytes(size).ok_or("the size of a bucket is no size")?;
    let weight = decimal(weight.trim()).ok_or("the weight of a bucket is no number")?;
    Ok((size, weight))
}

/// Two sizes that do not fall.
fn pair(arguments: &str) -> Result<(u64, u64), &'static str> {
    let (min, max) = arguments.split_once(',').ok_or("it needs two sizes")?;
    let min = size_bytes(min).ok_or("the least size is no size")?;
    let max = size_bytes(max).ok_or("the largest size is no size")?;
    if min > max { Err("the least size is above the largest") } else { Ok((min, max)) }
}
