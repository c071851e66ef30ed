//! Bounds, cross-references and provenance of profiles.

use crate::{Profile, ProfileError};
use std::path::Path;

const PRESET: &str = "\
schema = 1
[profile]
name = \"p\"
source = \"preset\"
created = \"2026-11-30\"
[[class]]
name = \"a\"
model = \"A\"
[class.published]
read_iops = 1000
[[source]]
field = \"class.a.published.read_iops\"
figure = \"1,000 IOPS\"
url = \"https://example.org/a\"
date = \"2026-11-30\"
";

fn parse(text: &str) -> Result<Profile, ProfileError> {
    Profile::parse(Path::new("p.toml"), text)
}

/// The refusal of a manual profile with these sections.
fn refusal(sections: &str) -> String {
    let head =
        "schema = 1\n[profile]\nname = \"p\"\nsource = \"manual\"\ncreated = \"2026-11-30\"\n";
    parse(&format!("{head}{sections}")).unwrap_err().to_string()
}

#[test]
fn values_out_of_bounds_are_named_with_the_valid_ones() {
    let class = "[[class]]\nname = \"a\"\nmodel = \"A\"\n";
    let budget = format!("{class}[class.budget]\n");
    let measured = format!(
        "{class}[class.measured]\ndate = \"2026-11-30\"\nmethod = \"quick\"\nseconds = 1\n"
    );
    let cases = [
        ("[runtime]\nring_entries = 100\n".to_owned(), "`runtime.ring_entries` is 100; a power"),
        ("[layout]\nshard_cpus = \"\"\n".to_owned(), "`layout.shard_cpus` is empty"),
        ("[layout]\ndrives_per_shard = 0\n".to_owned(), "`layout.drives_per_shard` is 0; 1 to"),
        ("[os]\nnomerges = 3\n".to_owned(), "`os.nomerges` is 3; 0 to 2"),
        ("[os]\nscheduler = \"none; reboot\"\n".to_owned(), "`os.scheduler`"),
        ("[machine]\ncpus = 0\n".to_owned(), "`machine.cpus` is 0"),
        ("[machine]\nvendor = \"a\\u001bb\"\n".to_owned(), "control characters"),
        (format!("{class}capacity_bytes = 1\n"), "`class.a.capacity_bytes` is 1"),
        (format!("{class}logical_block_bytes = 520\n"), "`class.a.logical_block_bytes` is 520"),
        (format!("{budget}split_bytes = 5000\n"), "`class.a.budget.split_bytes` is 5000; a mul"),
        (format!("{budget}background_share = 1.5\n"), "`class.a.budget.background_share` is 1.5"),
        (format!("{budget}background_share = nan\n"), "`class.a.budget.background_share`"),
        (format!("{budget}read_queue_depth_max = 0\n"), "read_queue_depth_max` is 0"),
        (format!("{measured}read_bytes_knee = 100\n"), "`class.a.measured.read_bytes_knee` is 100"),
        (format!("{measured}read_queue_depth_knee = 0\n"), "read_queue_depth_knee` is 0"),
    ];
    for (sections, said) in cases {
        let found = refusal(&sections);
        assert!(found.starts_with("p.toml: ") && found.contains(said), "{sections}: {found}");
    }
}

#[test]
fn names_that_are_referred_to_exist_and_are_unique() {
    let class = "[[class]]\nname = \"a\"\nmodel = \"A\"\n";
    let device = "[[device]]\nwwid = \"eui.1\"\nclass = \"a\"\n";
    assert!(refusal(device).contains("`device.class` is \"a\""));
    assert!(refusal(&format!("{class}{class}")).contains("\"a\" twice"));
    assert!(refusal(&format!("{class}{device}{device}")).contains("\"eui.1\" twice"));
    assert!(refusal("[[class]]\nname = \"A b\"\nmodel = \"A\"\n").contains("lower-case"));
    let drive = "[[layout.drive]]\nwwid = \"eui.1\"\nshard = 2\n";
    let two = format!("[layout]\nshard_cpus = \"0-1\"\n{drive}");
    assert!(refusal(&two).contains("`layout.drive.shard` is 2; 0 to 1"));
}

#[test]
fn dates_are_dates() {
    for wrong in ["2026-13-01", "2026-1-1", "30.11.2026", "2026-11-32", "", "2026-11-30-1"] {
        let text = PRESET.replace("created = \"2026-11-30\"", &format!("created = \"{wrong}\""));
        let said = parse(&text).unwrap_err().to_string();
        assert!(said.contains("`profile.created`"), "{wrong}: {said}");
    }
}

#[test]
fn a_preset_has_a_source_for_every_figure_and_nothing_else() {
    parse(PRESET).unwrap();
    let unsourced = PRESET.replace("[[source]]", "write_iops = 5\n[[source]]");
    let said = parse(&unsourced).unwrap_err().to_string();
    assert!(said.contains("`class.a.published.write_iops` is without a source"), "{said}");
    let wanted = PRESET.replace("[[class]]", "[os]\nscheduler = \"none\"\n[[class]]");
    assert!(parse(&wanted).unwrap_err().to_string().contains("`os.scheduler`"));
    let device = format!("{PRESET}[[device]]\nwwid = \"eui.1\"\nclass = \"a\"\n");
    assert!(parse(&device).unwrap_err().to_string().contains("`device` is set"));
    let measured = "[class.measured]\ndate = \"2026-11-30\"\nmethod = \"quick\"\nseconds = 1\n";
    let measured = PRESET.replace("[[source]]", &format!("{measured}[[source]]"));
    assert!(parse(&measured).unwrap_err().to_string().contains("`class.measured`"));
}

#[test]
fn a_source_names_a_field_that_is_there_and_an_address() {
    let other = PRESET.replace("class.a.published.read_iops", "class.b.published.read_iops");
    assert!(parse(&other).unwrap_err().to_string().contains("`source.field`"));
    let address = PRESET.replace("https://example.org/a", "example.org");
    assert!(parse(&address).unwrap_err().to_string().contains("`source.url`"));
}
