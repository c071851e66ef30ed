//! Exit codes. Scripts rely on them: a code is never given another meaning.

/// Done.
pub const OK: u8 = 0;
/// It failed, for a reason without a code of its own.
pub const FAILED: u8 = 1;
/// The command line, the configuration or a drive was refused; nothing was written.
pub const USAGE: u8 = 2;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 3;
/// The server said no.
pub const DENIED: u8 = 4;
/// A precondition did not hold.
pub const CONFLICT: u8 = 5;
/// The server could not be reached, or did not answer in time.
pub const UNREACHABLE: u8 = 6;
/// Some of it was done.
pub const PARTIAL: u8 = 7;
/// A check or comparison failed.
pub const CHECK_FAILED: u8 = 8;
/// Ended by a second SIGINT or SIGTERM.
pub const INTERRUPTED: u8 = 130;

/// The same list for `--help`.
pub const HELP: &str = "\
Exit codes:
    0  ok
    1  failed
    2  refused: usage, configuration or drives (nothing was written)
    3  not found
    4  denied
    5  conflict, or a precondition did not hold
    6  unreachable, or no answer in time
    7  partly done
    8  a check failed
  130  ended by a second signal

Environment:
  BASALT_ROOT_USER, BASALT_ROOT_PASSWORD            credentials of the server
  BASALT_ROOT_USER_FILE, BASALT_ROOT_PASSWORD_FILE  the same, from files only their owner can read
  BASALT_CONFIG                                     configuration file (else /etc/basalt/basalt.toml)
  BASALT_ENDPOINT                                   server that `basalt status` asks
  BASALT_BENCH_SECRET                               what `basalt bench` and its workers share
  BASALT_<SETTING>, BASALT_<SECTION>__<KEY>         any setting; `basalt config reference` lists them";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code() {
        let codes = [
            OK,
            FAILED,
            USAGE,
            NOT_FOUND,
            DENIED,
            CONFLICT,
            UNREACHABLE,
            PARTIAL,
            CHECK_FAILED,
            INTERRUPTED,
        ];
        for code in codes {
            let line = format!("\n{code:5}  ");
            assert!(HELP.contains(&line), "{code} is not in --help");
        }
    }
}
