//! A little rot in sets of two shapes. More: `simulate rot`.

use simulate::options::Shape;
use simulate::rot_world::{RotOptions, run_seed};
use simulate::totals::Totals;

#[test]
fn rot_on_at_most_p_drives_changes_no_answer_and_heals() {
    let mut sum = Totals::default();
    for (data, parity, flips) in [(4, 2, 500), (2, 1, 200)] {
        let shape = Shape { data, parity };
        let report = run_seed(1, &RotOptions::new(shape, flips));
        let report = report.unwrap_or_else(|what| panic!("set {shape}: {what}"));
        assert_eq!(report.totals.flipped, flips);
        println!("{shape}: {}", report.totals);
        sum.add(&report.totals);
    }
    assert!(sum.healed > 0, "what is rotten is written anew: {sum}");
    assert!(sum.begun_anew > 0, "drives beyond repair begin anew: {sum}");
    assert!(sum.flips.iter().all(|flips| *flips > 0), "every structure rots: {sum}");
}

/// The owner of an object is found rotten by a scrub, while another drive has forgotten a fragment.
#[test]
fn a_pass_that_puts_an_owner_out_of_service_is_followed_by_another() {
    let options = RotOptions::new(Shape { data: 8, parity: 4 }, 40);
    run_seed(10, &options).expect("healed");
}

#[test]
fn the_same_seed_rots_the_same_way() {
    let options = RotOptions::new(Shape { data: 2, parity: 1 }, 30);
    assert_eq!(run_seed(2, &options), run_seed(2, &options));
}

#[test]
fn a_set_that_cannot_lose_a_drive_is_refused() {
    let options = RotOptions::new(Shape { data: 1, parity: 1 }, 1);
    assert!(run_seed(1, &options).is_err());
}
