//! The table as a shell script that a person can read before running it.
//!
//! Invariants: every text that goes into it is quoted or made one line of a comment; a knob that is
//! not set appears as a comment with the reason; for NVMe drives the script looks at the WWID
//! before it writes, because names of drives change from start to start.

use super::files::may_write;
use super::{Knob, KnobFile, KnobState};
use crate::validate::is_plain_word;
use std::fmt::Write;

const HEAD: &str = "\
#!/bin/sh
# Settings of the kernel that the profile wants. They last until the next start of the machine.
# Run as root. It ends with status 1 if a setting was refused.
set -u
status=0
put() {
    if printf '%s\\n' \"$2\" > \"$1\"; then
        echo \"set $1 to $2\"
    else
        echo \"REFUSED: $1\" >&2
        status=1
    fi
}
";

/// The script for the rows of the table. `origin` names the profile.
#[must_use]
pub fn script(knobs: &[Knob], origin: &str) -> String {
    let mut text = HEAD.to_owned();
    // Writing to a String does not fail.
    let _ = writeln!(text, "# Profile: {}", one_line(origin));
    for knob in knobs {
        let now = knob.now.as_deref().unwrap_or("unknown");
        let (name, wanted) = (one_line(&knob.name), one_line(&knob.wanted));
        let _ = writeln!(text, "\n# {name}: {} -> {wanted}", one_line(now));
        let _ = writeln!(text, "# why: {}; risk: {}", one_line(knob.why), one_line(knob.risk));
        match &knob.state {
            KnobState::Set => text.push_str("# nothing to do\n"),
            KnobState::CannotSet { reason } | KnobState::Refused { reason } => {
                let _ = writeln!(text, "# not set: {}", one_line(reason));
            }
            KnobState::Differs { .. } => {
                for file in &knob.files {
                    put(&mut text, file, &knob.wanted);
                }
            }
        }
    }
    text.push_str("\nexit $status\n");
    text
}

fn put(text: &mut String, file: &KnobFile, wanted: &str) {
    if !may_write(&file.path) || !is_plain_word(wanted) {
        return;
    }
    let (path, value) = (quote(&file.path), quote(wanted));
    let device = file.path.split("/queue/").next().unwrap_or("");
    let wwid = file.wwid.as_deref().filter(|_| device.starts_with("/sys/block/nvme"));
    let line = match wwid {
        Some(wwid) => {
            let (file, wwid) = (quote(&format!("{device}/wwid")), quote(wwid));
            format!(
                "if [ \"$(cat {file})\" = {wwid} ]; then put {path} {value}; else \
                 echo \"another drive: \"{path} >&2; status=1; fi\n"
            )
        }
        None => format!("put {path} {value}\n"),
    };
    text.push_str(&line);
}

/// As one word of the shell, whatever is in it.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knob(state: KnobState, wwid: Option<&str>) -> Knob {
        let path = "/sys/block/nvme0n1/queue/scheduler".to_owned();
        let wwid = wwid.map(str::to_owned);
        Knob {
            name: "nvme0n1 scheduler".to_owned(),
            now: Some("bfq".to_owned()),
            wanted: "none".to_owned(),
            why: "speed",
            risk: "none\nrm -rf /",
            persists: "until the next start",
            state,
            files: vec![KnobFile { path, now: Some("bfq".to_owned()), wwid }],
        }
    }

    #[test]
    fn a_knob_becomes_one_guarded_line() {
        let row = knob(KnobState::Differs { needs_root: true }, Some("eui.0'1"));
        let text = script(&[row], "lab");
        assert!(text.starts_with("#!/bin/sh\n") && text.ends_with("\nexit $status\n"), "{text}");
        assert!(text.contains("= 'eui.0'\\''1' ]; then put '/sys/block/nvme0n1"), "{text}");
        assert!(text.contains("# nvme0n1 scheduler: bfq -> none\n"), "{text}");
        assert!(!text.contains("\nrm"), "{text}");
    }

    #[test]
    fn what_is_not_set_is_a_comment() {
        let refused = KnobState::Refused { reason: "data is lost\n".to_owned() };
        let text = script(&[knob(refused, None), knob(KnobState::Set, None)], "lab");
        assert!(text.contains("# not set: data is lost \n"), "{text}");
        assert!(text.contains("# nothing to do\n"), "{text}");
        assert!(!text.contains("put '/sys"), "{text}");
    }

    #[test]
    fn a_file_that_tuning_may_not_write_is_left_out() {
        let mut row = knob(KnobState::Differs { needs_root: false }, None);
        row.files[0].path = "/etc/passwd".to_owned();
        assert!(!script(&[row], "lab").contains("/etc/passwd"));
    }
}
