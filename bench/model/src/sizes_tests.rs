//! Tests of `Sizes` and `SizeTable`.

use crate::{Random, Sizes, mix64};

const DRAWS: u64 = 200_000;

fn draws() -> impl Iterator<Item = u64> {
    (0..DRAWS).map(|index| mix64(99, index))
}

fn mean_of_draws(sizes: &Sizes) -> f64 {
    draws().map(|draw| sizes.size_of(draw) as f64).sum::<f64>() / DRAWS as f64
}

fn problem(text: &str) -> String {
    Sizes::parse(text).unwrap_err().to_string()
}

#[test]
fn every_form_is_read() {
    assert_eq!(Sizes::parse("4KiB").unwrap(), Sizes::Fixed(4096));
    assert_eq!(Sizes::parse("0").unwrap(), Sizes::Fixed(0));
    assert_eq!(
        Sizes::parse("uniform(4KiB, 1MiB)").unwrap(),
        Sizes::Uniform { min_bytes: 4096, max_bytes: 1 << 20 }
    );
    assert_eq!(
        Sizes::parse("log2(64MiB)").unwrap(),
        Sizes::Log2 { min_bytes: 256 << 10, max_bytes: 64 << 20 }
    );
    assert_eq!(
        Sizes::parse("log2(1KiB,10MiB)").unwrap(),
        Sizes::Log2 { min_bytes: 1024, max_bytes: 10 << 20 }
    );
    assert_eq!(
        Sizes::parse("lognormal(max=1GiB,median=128KiB,sigma=1.2)").unwrap(),
        Sizes::Lognormal { median_bytes: 128 << 10, sigma: 1.2, max_bytes: 1 << 30 }
    );
    assert_eq!(Sizes::parse("buckets(4KiB:60,64KiB:30,16MiB:10)").unwrap().max_bytes(), 16 << 20);
    assert_eq!(Sizes::parse("4096:10740,8192:1685,16384:1623").unwrap().max_bytes(), 16_384);
    assert_eq!(Sizes::cdf_path("file:a/cdf.csv"), Some("a/cdf.csv"));
    assert_eq!(Sizes::cdf_path("file:"), None);
    assert_eq!(Sizes::cdf_path("4KiB"), None);
}

#[test]
fn a_refusal_names_the_input_and_the_problem() {
    let wrong = [
        ("", "no size"),
        ("4K", "no size"),
        ("uniform(4KiB)", "two sizes"),
        ("uniform(2MiB,1MiB)", "above the largest"),
        ("uniform(x,1MiB)", "least size is no size"),
        ("gauss(4KiB,1MiB)", "no distribution of this name"),
        ("log2(0)", "at least 1"),
        ("log2(0,4KiB)", "at least 1"),
        ("lognormal(median=1KiB,sigma=1)", "needs median, sigma and max"),
        ("lognormal(median=1KiB,sigma=1,max=1MiB,max=2MiB)", "given twice"),
        ("lognormal(median=1KiB,sigma=5,max=1MiB)", "0 to 4"),
        ("lognormal(median=2MiB,sigma=1,max=1MiB)", "from 1 to the largest"),
        ("lognormal(mean=2MiB,sigma=1,max=1MiB)", "arguments are median"),
        ("lognormal(1KiB,1,1MiB)", "name=value"),
        ("buckets(4KiB)", "size:weight"),
        ("buckets(4KiB:0)", "no size has a weight"),
        ("buckets(4KiB:-1)", "weight of a bucket"),
        ("4096:1,4096:1", "must rise"),
        ("0:1", "must rise"),
        ("4096:1,:2", "size of a bucket"),
        ("file:cdf.csv", "has not been read"),
    ];
    for (text, reason) in wrong {
        let message = problem(text);
        assert!(message.contains(reason), "{text}: {message}");
        assert!(message.contains(&format!("`{text}`")), "{text}: {message}");
        assert!(message.contains("uniform(4KiB,1MiB)"), "the valid forms: {message}");
    }
}

#[test]
fn draws_have_the_mean_of_their_distribution() {
    let cdf = Sizes::from_cdf("4KiB,0.5\n64KiB,0.8\n1MiB,1\n").unwrap();
    let mut all = vec![(cdf, 123_904.25)];
    // Worked out by hand; of the lognormal that is cut, from the normal distribution's tables.
    for (text, mean_bytes) in [
        ("123", 123.0),
        ("uniform(0,1)", 0.5),
        ("uniform(4KiB,1MiB)", 526_336.0),
        ("log2(100MiB)", 18_835_826.0),
        ("log2(1KiB,1KiB)", 1_024.0),
        ("lognormal(median=128KiB,sigma=1.2,max=1GiB)", 269_279.0),
        ("lognormal(median=128KiB,sigma=1.2,max=200KiB)", 127_582.0),
        ("lognormal(median=1MiB,sigma=0,max=1GiB)", 1_048_576.0),
        ("buckets(4KiB:60,64KiB:30,16MiB:10)", 1_699_840.0),
        ("4096:10740,8192:1685,16384:1623", 3_722.85),
    ] {
        all.push((Sizes::parse(text).unwrap(), mean_bytes));
    }
    for (sizes, mean_bytes) in all {
        let ratio = mean_of_draws(&sizes) / mean_bytes;
        assert!((0.98..1.02).contains(&ratio), "{sizes:?}: {ratio}");
        assert!(draws().all(|draw| sizes.size_of(draw) <= sizes.max_bytes()), "{sizes:?}");
    }
}

#[test]
fn a_lognormal_has_its_median_and_known_mean() {
    let sizes = Sizes::parse("lognormal(median=128KiB,sigma=1,max=5TiB)").unwrap();
    let below = draws().filter(|draw| sizes.size_of(*draw) < 128 << 10).count() as f64;
    assert!((below / DRAWS as f64 - 0.5).abs() < 0.005, "{below}");
    // One standard deviation up: 84.13 % of the objects are smaller.
    let limit = ((128 << 10) as f64 * std::f64::consts::E) as u64;
    let below = draws().filter(|draw| sizes.size_of(*draw) < limit).count() as f64;
    assert!((below / DRAWS as f64 - 0.8413).abs() < 0.005, "{below}");
    let ratio = mean_of_draws(&sizes) / ((128 << 10) as f64 * 0.5_f64.exp());
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
}

#[test]
fn log2_has_equally_many_objects_in_each_doubling() {
    let sizes = Sizes::parse("log2(256MiB)").unwrap();
    let mut counts = [0_u32; 8];
    for draw in draws() {
        let doubling = (sizes.size_of(draw) >> 20).max(1).ilog2();
        counts[doubling.min(7) as usize] += 1;
    }
    for count in counts {
        assert!((24_000..26_000).contains(&count), "{counts:?}");
    }
    // warp's README states 0.179151 of the largest size.
    let share = mean_of_draws(&sizes) / (256 << 20) as f64;
    assert!((share / 0.179151 - 1.0).abs() < 0.01, "{share}");
}

#[test]
fn exact_buckets_have_their_weights_and_nothing_in_between() {
    let sizes = Sizes::parse("buckets(4KiB:60,64KiB:30,16MiB:10,1GiB:0)").unwrap();
    let mut counts = [0.0; 3];
    for draw in draws() {
        match sizes.size_of(draw) {
            4_096 => counts[0] += 1.0,
            65_536 => counts[1] += 1.0,
            16_777_216 => counts[2] += 1.0,
            other => panic!("{other}"),
        }
    }
    for (count, share) in counts.iter().zip([0.6, 0.3, 0.1]) {
        let found: f64 = count / DRAWS as f64;
        assert!((found - share).abs() < 0.005, "{counts:?}");
    }
    assert_eq!(sizes.max_bytes(), 16 << 20, "a bucket without weight does not count");
}

#[test]
fn warps_buckets_are_uniform_from_bound_to_bound() {
    let sizes = Sizes::parse("4096:10740,8192:1685,16384:1623").unwrap();
    let total = 10_740.0 + 1_685.0 + 1_623.0;
    let mut counts = [0_u32; 3];
    let mut lower_half = 0_u32;
    for draw in draws() {
        let size = sizes.size_of(draw);
        assert!((1..=16_384).contains(&size));
        counts[usize::from(size > 4_096) + usize::from(size > 8_192)] += 1;
        lower_half += u32::from(size <= 2_048);
    }
    for (count, weight) in counts.iter().zip([10_740.0, 1_685.0, 1_623.0]) {
        let found = f64::from(*count) / DRAWS as f64;
        assert!((found - weight / total).abs() < 0.005, "{counts:?}");
    }
    let half = f64::from(lower_half) / f64::from(counts[0]);
    assert!((half - 0.5).abs() < 0.01, "{half}");
}

#[test]
fn the_bounds_of_a_range_are_reached() {
    let sizes = Sizes::parse("2:1,4:1").unwrap();
    let mut seen = [false; 5];
    for draw in draws().take(200) {
        seen[sizes.size_of(draw) as usize] = true;
    }
    assert_eq!(seen, [false, true, true, true, true]);
    let uniform = Sizes::parse("uniform(3,4)").unwrap();
    assert_eq!((uniform.size_of(0), uniform.size_of(u64::MAX)), (3, 4));
    let log2 = Sizes::parse("log2(100,1000)").unwrap();
    assert_eq!((log2.size_of(0), log2.size_of(u64::MAX)), (100, 1000));
    let lognormal = Sizes::parse("lognormal(median=1,sigma=4,max=2)").unwrap();
    assert!(draws().all(|draw| (1..=2).contains(&lognormal.size_of(draw))));
    let buckets = Sizes::parse("buckets(5:1,6:1)").unwrap();
    assert_eq!((buckets.size_of(0), buckets.size_of(u64::MAX)), (5, 6));
}

#[test]
fn a_size_file_has_its_shares() {
    let text = "size,share\n# measured\n4KiB, 0.25\n\n8KiB,0.75\n1MiB,0.75\r\n2MiB,1.0\n";
    let sizes = Sizes::from_cdf(text).unwrap();
    let (mut first, mut second, mut third) = (0_u32, 0_u32, 0_u32);
    for draw in draws() {
        match sizes.size_of(draw) {
            4_096 => first += 1,
            4_097..=8_192 => second += 1,
            1_048_577..=2_097_152 => third += 1,
            other => panic!("{other}"),
        }
    }
    for (count, share) in [(first, 0.25), (second, 0.5), (third, 0.25)] {
        assert!((f64::from(count) / DRAWS as f64 - share).abs() < 0.005, "{count} {share}");
    }
    assert_eq!(sizes.max_bytes(), 2 << 20);
}

#[test]
fn a_wrong_size_file_is_refused_with_its_line() {
    let wrong = [
        ("4KiB,0.5\n4KiB,1\n", 2, "must rise"),
        ("4KiB,0.5\n8KiB,0.4\n", 2, "must not fall"),
        ("4KiB,0.5\n8KiB,0.9\n", 2, "must be 1"),
        ("4KiB 0.5\n", 1, "no comma"),
        ("# x\n\n4K,1\n", 3, "size is not one"),
        ("4KiB,many\n", 1, "not a number"),
        ("4KiB,-1\n", 1, "not a number"),
        ("4KiB,50\n", 1, "above 1"),
        ("", 0, "must be 1"),
    ];
    for (text, line, reason) in wrong {
        let message = Sizes::from_cdf(text).unwrap_err().to_string();
        assert!(message.contains(reason), "{text:?}: {message}");
        assert!(message.contains(&format!("line {line} ")), "{text:?}: {message}");
    }
    let long: String = (1..=65_537).map(|size| format!("{size},1\n")).collect();
    let message = Sizes::from_cdf(&long).unwrap_err().to_string();
    assert!(message.contains("line 65537 ") && message.contains("more than 65536"), "{message}");
}

#[test]
fn arbitrary_text_is_refused_without_a_panic() {
    let mut random = Random::new(1, 1);
    let alphabet = b"0159.:,()=KiBMGTbuckets file\xc3\xa9unormlg2%-";
    for _ in 0..20_000 {
        let length = random.below(24) as usize;
        let pick = |_| alphabet[random.below(alphabet.len() as u64) as usize];
        let bytes: Vec<u8> = (0..length).map(pick).collect();
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(sizes) = Sizes::parse(&text) {
            assert!(sizes.size_of(mix64(1, 2)) <= sizes.max_bytes().max(1), "{text}");
        }
        let _ = Sizes::from_cdf(&text);
    }
}
