//! Tests of `layers`.

use super::*;

fn file(content: &str) -> Option<(PathBuf, String)> {
    Some((PathBuf::from("/etc/b.toml"), content.to_owned()))
}

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn complaints(sources: &Sources) -> Vec<String> {
    match resolve(sources) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn each_layer_beats_the_next() {
    let mut sources = Sources {
        flags: vec![FlagValue { name: "parity", values: vec!["1".to_owned()] }],
        environment: variables(&[("BASALT_PARITY", "2"), ("BASALT_LOG__LEVEL", "debug")]),
        file: file("parity = 3\nregion = \"eu-1\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n"),
        dev: vec![("parity", "4".to_owned()), ("storage.segment_bytes", "4MiB".to_owned())],
    };
    let config = resolve(&sources).unwrap();
    assert_eq!(config.count("parity"), Some(1));
    assert_eq!(config.entry("parity").origin, Origin::Flag("--parity"));
    assert_eq!(config.text("log.level"), "debug");
    let variable = Origin::Environment("BASALT_LOG__LEVEL".to_owned());
    assert_eq!(config.entry("log.level").origin, variable);
    assert_eq!(config.text("log.format"), "json");
    let from_file = Origin::File(PathBuf::from("/etc/b.toml"));
    assert_eq!(config.entry("region").origin, from_file);
    assert_eq!(config.bytes("storage.segment_bytes"), Some(4 << 20));
    assert_eq!(config.entry("storage.segment_bytes").origin, Origin::Dev);
    assert_eq!(config.entry("memory").origin, Origin::Default);

    sources.flags.clear();
    assert_eq!(resolve(&sources).unwrap().count("parity"), Some(2));
    sources.environment.clear();
    assert_eq!(resolve(&sources).unwrap().count("parity"), Some(3));
    sources.file = None;
    assert_eq!(resolve(&sources).unwrap().count("parity"), Some(4));
    sources.dev.clear();
    assert_eq!(resolve(&sources).unwrap().count("parity"), None);
}

#[test]
fn lists_come_from_commas_and_arrays() {
    let sources = Sources {
        environment: variables(&[("BASALT_ADDRESS", "127.0.0.1:1, [::1]:2")]),
        file: file("domain = [\"a.example\", \"b.example\"]\ndrives = \"/mnt/{1...4}\"\n"),
        ..Sources::default()
    };
    let config = resolve(&sources).unwrap();
    let addresses: Vec<String> = config.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(config.list("domain"), ["a.example", "b.example"]);
    assert_eq!(config.list("drives"), ["/mnt/{1...4}"]);
}

#[test]
fn sections_may_be_empty() {
    let sources = Sources { file: file("[log]\n[limits]\n[metrics]\n"), ..Sources::default() };
    assert_eq!(complaints(&sources), Vec::<String>::new());
    let sources = Sources { file: file("[limit]\n"), ..Sources::default() };
    assert_eq!(complaints(&sources).len(), 1);
}

#[test]
fn a_profile_is_a_text_or_left_to_the_server() {
    let profile = |content: &str| {
        let config = resolve(&Sources { file: file(content), ..Sources::default() }).unwrap();
        config.text_unless_auto("profile").map(str::to_owned)
    };
    assert_eq!(profile(""), None);
    assert_eq!(profile("profile = \"auto\"\n"), None);
    assert_eq!(profile("profile = \"none\"\n").as_deref(), Some("none"));
    let sources =
        Sources { environment: variables(&[("BASALT_PROFILE", "aws-i9")]), ..Sources::default() };
    let found = complaints(&sources);
    assert!(found[0].starts_with("`profile` (environment BASALT_PROFILE): "), "{found:?}");
}

#[test]
fn an_empty_variable_is_unset() {
    let sources = Sources {
        environment: variables(&[("BASALT_REGION", ""), ("BASALT_ROOT_USER", "someone")]),
        ..Sources::default()
    };
    assert_eq!(resolve(&sources).unwrap().text("region"), "us-east-1");
}

#[test]
fn unknown_names_are_named_with_the_nearest() {
    let sources = Sources {
        environment: variables(&[("BASALT_REGOIN", "x"), ("BASALT_LOG_LEVEL", "debug")]),
        file: file("colour = 1\n[lgo]\nlevel = \"info\"\n[limits]\nrequest = 5\n"),
        ..Sources::default()
    };
    let found = complaints(&sources);
    let expected = [
        "unknown key `colour` in /etc/b.toml",
        "unknown key `lgo.level` in /etc/b.toml; did you mean `log.level`?",
        "unknown key `limits.request` in /etc/b.toml; did you mean `limits.requests`?",
        "unknown environment variable BASALT_REGOIN; did you mean `BASALT_REGION`?",
        "unknown environment variable BASALT_LOG_LEVEL; did you mean `BASALT_LOG__LEVEL`?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn bad_values_name_key_and_origin_and_all_are_found() {
    let sources = Sources {
        flags: vec![FlagValue { name: "memory", values: vec!["1.5G".to_owned()] }],
        file: file("parity = -1\n[timeouts]\ndrain = 30\n[log]\nlevel = {}\n"),
        ..Sources::default()
    };
    let found = complaints(&sources);
    assert_eq!(found.len(), 4, "{found:?}");
    for (name, origin) in [
        ("memory", "flag --memory"),
        ("parity", "file /etc/b.toml"),
        ("timeouts.drain", "file /etc/b.toml"),
        ("log.level", "file /etc/b.toml"),
    ] {
        let start = format!("`{name}` ({origin}): ");
        assert!(found.iter().any(|line| line.starts_with(&start)), "{name}: {found:?}");
    }
}

#[test]
fn neither_secrets_nor_broken_lines_are_repeated() {
    let broken = "region = \"x\"\nroot_password = hunter2-hunter2\n";
    let whole = "root_password = \"hunter2-hunter2\"\n";
    for content in [broken, whole] {
        let found = complaints(&Sources { file: file(content), ..Sources::default() });
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    let found =
        complaints(&Sources { file: file("a = 1\nb = = 2\nc = 3\n"), ..Sources::default() });
    assert!(found[0].starts_with("/etc/b.toml, line 2: "), "{found:?}");
}

#[test]
fn settings_that_do_not_go_together() {
    let conflict =
        |content: &str| complaints(&Sources { file: file(content), ..Sources::default() });
    assert_eq!(conflict("parity = 3\nset_size = 4\n").len(), 1);
    assert_eq!(conflict("parity = 2\nset_size = 4\n").len(), 0);
    assert_eq!(conflict("[storage]\ninline_bytes = \"8KiB\"\ncell_bytes = \"4KiB\"\n").len(), 1);
    assert_eq!(conflict("[storage]\nsegment_bytes = \"1MiB\"\ncell_bytes = \"2MiB\"\n").len(), 1);
}

#[test]
fn what_show_prints_reads_back() {
    let sources = Sources {
        flags: vec![
            FlagValue { name: "drives", values: vec!["/a b\\c\"d".to_owned(), "/e".to_owned()] },
            FlagValue { name: "parity", values: vec!["3".to_owned()] },
            FlagValue { name: "metrics.public", values: vec!["yes".to_owned()] },
        ],
        ..Sources::default()
    };
    let config = resolve(&sources).unwrap();
    let shown: String = config
        .entries()
        .map(|entry| format!("{} = {}\n", entry.setting.name, entry.value))
        .collect();
    let again = resolve(&Sources { file: file(&shown), ..Sources::default() }).unwrap();
    for entry in config.entries() {
        assert_eq!(again.entry(entry.setting.name).value, entry.value, "{shown}");
        let from_file = matches!(again.entry(entry.setting.name).origin, Origin::File(_));
        assert!(from_file, "{} is not shown", entry.setting.name);
    }
}
