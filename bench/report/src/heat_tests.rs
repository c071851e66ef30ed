use super::*;
use crate::markup;

fn heat(bounds_us: &[f64], counts: &[&[u64]]) -> Heat {
    let counts = counts.iter().map(|row| row.to_vec()).collect();
    Heat { bounds_us: bounds_us.to_vec(), counts, ..Heat::default() }
}

fn drawn(heats: &[&Heat]) -> Maps {
    let sources: Vec<Source<'_>> =
        heats.iter().map(|heat| Source { name: "a & b", heat }).collect();
    let end_s = heats.iter().map(|heat| heat.counts.len()).max().unwrap_or_default();
    let maps = maps(&sources, end_s as f64, &[]);
    for (title, svg) in &maps.drawn {
        markup::check(svg).unwrap();
        assert!(markup::has_only_numbers(svg), "{svg}");
        assert_eq!(title, "Latency heat map: a & b");
    }
    markup::check(&maps.legend).unwrap();
    maps
}

fn cells(svg: &str) -> usize {
    svg.matches('Z').count()
}

#[test]
fn colours_go_by_the_logarithm() {
    assert_eq!(level(0, 100), None);
    assert_eq!(level(1, 100), Some(0));
    assert_eq!(level(10, 100), Some(5));
    assert_eq!(level(100, 100), Some(LEVELS - 1));
    assert_eq!(level(1, 1), Some(LEVELS - 1));
    assert_eq!(level(u64::MAX, u64::MAX), Some(LEVELS - 1));
}

#[test]
fn the_style_sheet_knows_every_level() {
    let sheet = include_str!("page.css");
    for level in 0..LEVELS {
        assert!(sheet.contains(&format!(".heat{level} {{")), "{level}");
    }
}

#[test]
fn a_cell_lies_where_its_second_and_latency_are() {
    let one = heat(&[1.0, 10.0, 100.0, 1000.0], &[&[0, 0, 0], &[0, 5, 0]]);
    let maps = drawn(&[&one]);
    let svg = &maps.drawn[0].1;
    // The second half of the width; one bucket is left, which is the whole height.
    assert!(svg.contains(r#"d="M394 254H716V44H394Z""#), "{svg}");
    assert_eq!(cells(svg), 1);
    let equal = heat(&[1.0, 10.0, 100.0, 1000.0], &[&[3, 3, 0], &[3, 0, 3]]);
    assert_eq!(cells(&drawn(&[&equal]).drawn[0].1), 3, "equal neighbours are one rectangle");
}

#[test]
fn cells_are_as_wide_as_the_widest_columns() {
    let bounds_us = [1.0, 10.0, 100.0, 1000.0];
    let long = heat(&bounds_us, &[&[0, 0, 0], &[0, 5, 0]]);
    let long = Heat { seconds_per_column: 2, ..long };
    let short = heat(&bounds_us, &[&[0, 1, 0], &[0, 1, 0], &[0, 1, 0]]);
    let sources = [&long, &short].map(|heat| Source { name: "a & b", heat });
    let maps = maps(&sources, 4.0, &[]);
    assert!(maps.legend.contains("2 s wide"), "{}", maps.legend);
    let [(_, long), (_, short)] = maps.drawn.as_slice() else {
        panic!("two maps");
    };
    assert!(long.contains(r#"d="M394 254H716V44H394Z""#), "{long}");
    assert_eq!((cells(long), cells(short)), (1, 2));
}

#[test]
fn runs_share_axes_and_colours() {
    let slow = heat(&[100.0, 1000.0, 10_000.0], &[&[0, 1]]);
    let fast = heat(&[1.0, 10.0], &[&[1000], &[1000]]);
    let maps = drawn(&[&slow, &fast]);
    assert_eq!(maps.drawn.len(), 2);
    assert!(maps.legend.contains("1 k operations"), "{}", maps.legend);
    let [(_, slow), (_, fast)] = maps.drawn.as_slice() else {
        panic!("two maps");
    };
    assert!(slow.contains("heat0") && !slow.contains("heat9"));
    assert!(fast.contains("heat9") && !fast.contains("heat0"));
    for label in ["1 \u{b5}s", "10 ms"] {
        let label = format!(">{label}</text>");
        assert!(slow.contains(&label) && fast.contains(&label), "{label}");
    }
}

#[test]
fn many_cells_are_added_up_and_none_is_lost() {
    let bounds: Vec<f64> = (0..=1000).map(f64::from).collect();
    let counts: Vec<Vec<u64>> = vec![vec![1; 1000]; 2000];
    let many = Heat { bounds_us: bounds, counts, ..Heat::default() };
    let used = used_buckets(&many).unwrap();
    assert_eq!(used, 0..1000);
    let grid = Grid::new(&many, &used, Cell { seconds: 9, buckets: 13 });
    assert_eq!(grid.columns.iter().flatten().sum::<u64>(), 2_000_000);
    assert_eq!(grid.bounds_us.len(), 78);
    assert_eq!(grid.bounds_us.last(), Some(&1000.0));
    let maps = drawn(&[&many]);
    assert!(cells(&maps.drawn[0].1) <= COLUMNS_MAX * ROWS_MAX);
    assert!(maps.legend.contains("9 s wide"), "{}", maps.legend);
}

#[test]
fn what_cannot_be_drawn_is_left_out() {
    let bad = [
        Heat::default(),
        heat(&[1.0], &[&[1]]),
        heat(&[1.0, 2.0], &[]),
        heat(&[1.0, 2.0], &[&[0], &[]]),
        heat(&[2.0, 1.0], &[&[1]]),
        heat(&[1.0, 1.0], &[&[1]]),
        heat(&[1.0, f64::NAN], &[&[1]]),
        heat(&[1.0, f64::INFINITY], &[&[1]]),
        heat(&[-1.0, 1.0], &[&[1]]),
    ];
    for heat in &bad {
        assert_eq!(drawn(&[heat]).drawn.len(), 0, "{heat:?}");
    }
    let ragged = heat(&[0.0, 1.0, 2.0], &[&[1], &[], &[0, 1, 7, 7], &[u64::MAX, u64::MAX]]);
    let maps = drawn(&[&ragged]);
    assert_eq!(cells(&maps.drawn[0].1), 3);
}
