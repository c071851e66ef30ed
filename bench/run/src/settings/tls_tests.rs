//! Which endpoints speak TLS, and what may be said about them.

use super::*;
use crate::plan::TargetPlan;

fn insecure(url: &str) -> Settings {
    let endpoint = Some(url.to_owned());
    Settings { endpoint, anonymous: true, insecure: true, ..Settings::default() }
}

#[test]
fn an_endpoint_of_https_has_tls_and_port_443() {
    for (url, host, port) in [
        ("https://127.0.0.1", "127.0.0.1", 443),
        ("https://127.0.0.1:9443/", "127.0.0.1:9443", 9443),
        ("https://[::1]", "[::1]", 443),
        ("https://[::1]:9443", "[::1]:9443", 9443),
    ] {
        let (plan, _) = insecure(url).check("run-1").unwrap();
        assert_eq!(plan.target.to_string(), format!("s3 https://{host}"));
        let TargetPlan::S3 { endpoint, .. } = &plan.target else { panic!("{}", plan.target) };
        assert_eq!((endpoint.host.as_str(), endpoint.address.port()), (host, port));
        assert!(endpoint.tls.is_some());
    }
}

#[test]
fn certificates_have_the_name_without_port_and_brackets() {
    for (host, name) in [
        ("localhost", "localhost"),
        ("localhost:9443", "localhost"),
        ("127.0.0.1:9443", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[fd00::1:2]:9443", "fd00::1:2"),
    ] {
        assert_eq!(name_of(host), name);
    }
}

#[test]
fn what_says_nothing_is_refused_by_name() {
    let path = std::env::temp_dir().join(format!("bench-no-authorities-{}", std::process::id()));
    std::fs::write(&path, "nothing of the kind").unwrap();
    let of_file = |settings: Settings, path: &str| {
        let ca_file = Some(path.to_owned());
        Settings { ca_file, ..settings }.check("run-1").unwrap_err().to_string()
    };
    let checked = Settings { insecure: false, ..insecure("https://127.0.0.1") };
    let message = of_file(checked.clone(), &path.display().to_string());
    assert!(message.starts_with(&format!("--ca-file: {}: ", path.display())), "{message}");
    assert!(message.contains("no certificate"), "{message}");
    // It has no end.
    let message = of_file(checked, "/dev/zero");
    assert!(message.contains("--ca-file") && message.contains("1 MiB"), "{message}");
    let message = of_file(insecure("https://127.0.0.1"), "/x");
    assert!(message.contains("--ca-file") && message.contains("--insecure"), "{message}");
    std::fs::remove_file(&path).unwrap();
    let message = insecure("http://127.0.0.1").check("run-1").unwrap_err().to_string();
    assert!(message.contains("--insecure: it is for"), "{message}");
}
