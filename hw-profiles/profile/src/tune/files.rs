//! The knobs there are, and the only files that tuning may write.

use crate::probe::{self, Root};

const GOVERNORS: &str = "/sys/devices/system/cpu/cpufreq";

/// Where a knob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue of each drive, under its field's name.
    Queue,
    /// At each frequency policy.
    Governors,
    /// In one file.
    File(&'static str),
}

/// Which values do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// This one only.
    Exactly,
    /// Greater ones too.
    AtLeast,
}

/// What there is to know of a knob.
#[derive(Debug)]
pub(super) struct Spec {
    /// Field of `[os]`.
    pub(super) field: &'static str,
    pub(super) place: Place,
    pub(super) bound: Bound,
    /// What it is good for.
    pub(super) why: &'static str,
    /// What it can do harm to.
    pub(super) risk: &'static str,
    /// Why it is never set.
    pub(super) refused: Option<&'static str>,
    /// File with the words that the kernel offers, if the knob's own file does not list them.
    pub(super) offers: Option<&'static str>,
}

const fn queue(field: &'static str, why: &'static str, risk: &'static str) -> Spec {
    Spec {
        field,
        place: Place::Queue,
        bound: Bound::Exactly,
        why,
        risk,
        refused: None,
        offers: None,
    }
}

const fn file(
    field: &'static str,
    path: &'static str,
    bound: Bound,
    why: &'static str,
    risk: &'static str,
) -> Spec {
    Spec { field, place: Place::File(path), bound, why, risk, refused: None, offers: None }
}

/// In the order of the table.
pub(super) static SPECS: &[Spec] = &[
    queue(
        "scheduler",
        "drives order requests better than the kernel, and each look costs CPU",
        "other users of the drive lose fairness",
    ),
    queue("nomerges", "no search for neighbours on every request", "small sequential I/O slows"),
    queue("rq_affinity", "completions run on the CPU that submitted", "none known"),
    queue(
        "wbt_lat_usec",
        "direct I/O is not held back for the page cache's sake",
        "buffered writes of others can crowd out their reads",
    ),
    queue("iostats", "counts I/O for monitoring", "a few nanoseconds per request"),
    queue("add_random", "I/O does not feed the entropy pool", "none on kernels since 5.18"),
    Spec {
        refused: Some(
            "it would only change what the kernel believes of the drive's cache: with `write \
             through` flushes are left out, and a power loss then takes acknowledged writes",
        ),
        ..queue("write_cache", "none", "acknowledged data is lost when power fails")
    },
    Spec {
        place: Place::Governors,
        ..queue("governor", "CPUs do not run slow when work arrives", "more power and heat")
    },
    file(
        "transparent_hugepage",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        Bound::Exactly,
        "no stalls while the kernel collects huge pages for those who did not ask",
        "programs that count on `always` slow down",
    ),
    Spec {
        offers: Some("/sys/devices/system/clocksource/clocksource0/available_clocksource"),
        ..file(
            "clocksource",
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            Bound::Exactly,
            "reading the clock needs no call into the kernel or hypervisor",
            "a clock that the hardware does not keep steady goes wrong",
        )
    },
    file(
        "swappiness",
        "/proc/sys/vm/swappiness",
        Bound::Exactly,
        "memory of the server is not swapped out for the page cache",
        "other programs find less page cache",
    ),
    file(
        "somaxconn",
        "/proc/sys/net/core/somaxconn",
        Bound::AtLeast,
        "bursts of new connections are not dropped",
        "a little kernel memory",
    ),
    file(
        "tcp_max_syn_backlog",
        "/proc/sys/net/ipv4/tcp_max_syn_backlog",
        Bound::AtLeast,
        "bursts of new connections are not dropped",
        "a little kernel memory",
    ),
];

/// File of a queue's setting.
pub(super) fn queue_file(device: &str, field: &str) -> String {
    format!("/sys/block/{device}/queue/{field}")
}

/// Files of all frequency policies.
pub(super) fn governor_files(root: &Root) -> Vec<String> {
    let policies = root.numbered(GOVERNORS, "policy");
    policies.iter().map(|(_, name)| format!("{GOVERNORS}/{name}/scaling_governor")).collect()
}

/// The words that the kernel offers for a file; None where it does not say.
pub(super) fn offered(root: &Root, spec: &Spec, path: &str) -> Option<Vec<String>> {
    let text = match (spec.offers, spec.place) {
        (Some(list), _) => root.word(list)?,
        (None, Place::Governors) => {
            root.word(&path.replace("scaling_governor", "scaling_available_governors"))?
        }
        // Files that list their choices mark the chosen one.
        (None, _) => root.word(path).filter(|text| text.contains('['))?,
    };
    Some(probe::choices(&text).into_iter().map(str::to_owned).collect())
}

/// Whether tuning may write this file at all. A log or profile that somebody has changed must not
/// make us write elsewhere.
pub(super) fn may_write(path: &str) -> bool {
    let settable = |spec: &&Spec| spec.refused.is_none();
    SPECS.iter().filter(settable).any(|spec| match spec.place {
        Place::File(file) => path == file,
        Place::Queue => path
            .strip_prefix("/sys/block/")
            .and_then(|rest| rest.strip_suffix(spec.field))
            .and_then(|rest| rest.strip_suffix("/queue/"))
            .is_some_and(is_plain_name),
        Place::Governors => path
            .strip_prefix(GOVERNORS)
            .and_then(|rest| rest.strip_prefix("/policy"))
            .and_then(|rest| rest.strip_suffix("/scaling_governor"))
            .is_some_and(|number| number.parse::<u32>().is_ok()),
    })
}

fn is_plain_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_!.".contains(&byte);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_table_may_be_written() {
        for path in [
            "/sys/block/nvme0n1/queue/scheduler",
            "/sys/block/sda/queue/wbt_lat_usec",
            "/sys/devices/system/cpu/cpufreq/policy12/scaling_governor",
            "/proc/sys/vm/swappiness",
        ] {
            assert!(may_write(path), "{path}");
        }
        for path in [
            "/sys/block/nvme0n1/queue/write_cache",
            "/sys/block/../../etc/queue/scheduler",
            "/sys/block/./queue/scheduler",
            "/sys/block//queue/scheduler",
            "/sys/block/sda/queue/nr_requests",
            "/sys/devices/system/cpu/cpufreq/policy../scaling_governor",
            "/etc/passwd",
            "",
        ] {
            assert!(!may_write(path), "{path}");
        }
    }

    #[test]
    fn every_field_of_the_profile_has_a_knob() {
        let all = crate::OsKnobs {
            scheduler: Some("none".to_owned()),
            nomerges: Some(2),
            rq_affinity: Some(2),
            wbt_lat_usec: Some(0),
            iostats: Some(1),
            add_random: Some(0),
            write_cache: Some("back".to_owned()),
            governor: Some("performance".to_owned()),
            transparent_hugepage: Some("madvise".to_owned()),
            clocksource: Some("tsc".to_owned()),
            swappiness: Some(1),
            somaxconn: Some(4096),
            tcp_max_syn_backlog: Some(4096),
        };
        let fields: Vec<&str> = all.wanted().into_iter().map(|(field, _)| field).collect();
        let known: Vec<&str> = SPECS.iter().map(|spec| spec.field).collect();
        assert_eq!(fields, known);
    }
}
