//! The root credentials: from the environment or from files that only their owner can read.
//!
//! Invariant: no error text holds a secret, or any part of one.

use crate::secret::Secret;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Largest credentials file that is read.
const FILE_BYTES: u64 = 4096;

/// Access key and secret key of the root user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Public part.
    pub access_key: String,
    /// Secret part.
    pub secret_key: Secret,
}

/// Why credentials are refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CredentialsError {
    /// There are none.
    #[error(
        "no credentials: set BASALT_ROOT_USER and BASALT_ROOT_PASSWORD (or their _FILE \
         variants), or try `basalt server --dev`"
    )]
    Missing,
    /// One of the two is there.
    #[error("{present} is set but {absent} is not (nor {absent}_FILE)")]
    Half {
        /// The variable that is set.
        present: &'static str,
        /// The one that is not.
        absent: &'static str,
    },
    /// A variable and its file.
    #[error("{0} and {0}_FILE are both set: keep one of them")]
    Both(&'static str),
    /// The file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Others can read the file.
    #[error("{path} holds a secret that others can read (mode {mode:03o}): run chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// A rule of the value is broken.
    #[error("{name} {rule}")]
    Rule {
        /// Where the value comes from.
        name: String,
        /// What is wrong.
        rule: &'static str,
    },
}

const USER: &str = "BASALT_ROOT_USER";
const PASSWORD: &str = "BASALT_ROOT_PASSWORD";

/// Credentials of the environment, if any variable of them is set.
pub fn from_environment() -> Result<Option<Credentials>, CredentialsError> {
    from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The same, with a lookup of one's own.
pub fn from_variables(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, CredentialsError> {
    let user = variable_or_file(USER, &lookup)?;
    let password = variable_or_file(PASSWORD, &lookup)?;
    match (user, password) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::Half { present: USER, absent: PASSWORD }),
        (None, Some(_)) => Err(CredentialsError::Half { present: PASSWORD, absent: USER }),
        (Some(user), Some(password)) => {
            check_user(USER, &user)?;
            check_password(PASSWORD, &password)?;
            Ok(Some(Credentials { access_key: user, secret_key: Secret::new(password) }))
        }
    }
}

fn variable_or_file(
    name: &'static str,
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<Option<String>, CredentialsError> {
    match (lookup(name), lookup(&format!("{name}_FILE"))) {
        (Some(_), Some(_)) => Err(CredentialsError::Both(name)),
        (Some(value), None) => Ok(Some(value)),
        (None, None) => Ok(None),
        (None, Some(path)) => {
            let text = read_private(Path::new(&path))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
    }
}

/// Reads a file, after checking on the open file that nobody but its owner has rights to it.
pub fn read_private(path: &Path) -> Result<String, CredentialsError> {
    let shown = path.display().to_string();
    let unreadable = |error: std::io::Error| CredentialsError::Unreadable {
        path: shown.clone(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CredentialsError::TooOpen { path: shown, mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// Rules of an access key: signatures part it by `/`, `,` and `=`.
pub fn check_user(name: &str, user: &str) -> Result<(), CredentialsError> {
    let broken = |rule| Err(CredentialsError::Rule { name: name.to_owned(), rule });
    if user.len() < 3 {
        return broken("is shorter than 3 characters");
    }
    if user.len() > 128 {
        return broken("is longer than 128 characters");
    }
    if !user.chars().all(|letter| letter.is_ascii_graphic() && !"/,=".contains(letter)) {
        return broken(
            "holds a space, a control character, a letter beyond ASCII, `/`, `,` or `=`",
        );
    }
    Ok(())
}

/// Rules of a secret key.
pub fn check_password(name: &str, password: &str) -> Result<(), CredentialsError> {
    let broken = |rule| Err(CredentialsError::Rule { name: name.to_owned(), rule });
    if password.chars().count() < 8 {
        return broken("is shorter than 8 characters");
    }
    if password.len() > 256 {
        return broken("is longer than 256 bytes");
    }
    if password.chars().any(char::is_control) {
        return broken("holds a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn resolve(list: &[(&str, &str)]) -> Result<Option<Credentials>, CredentialsError> {
        from_variables(|name| {
            let found = list.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn set_mode(path: &str, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn both_variables_or_none() {
        assert_eq!(resolve(&[]), Ok(None));
        let found = resolve(&[(USER, "admin"), (PASSWORD, "long-enough")]).unwrap().unwrap();
        assert_eq!(
            (found.access_key.as_str(), found.secret_key.expose()),
            ("admin", "long-enough")
        );
        let half = CredentialsError::Half { present: USER, absent: PASSWORD };
        assert_eq!(resolve(&[(USER, "admin")]), Err(half));
        let half = CredentialsError::Half { present: PASSWORD, absent: USER };
        assert_eq!(resolve(&[(PASSWORD, "long-enough")]), Err(half));
    }

    #[test]
    fn files_must_be_private() {
        let directory = TempDir::new();
        let path = directory.file("password", b"long-enough\n");
        let variables = [(USER, "admin"), ("BASALT_ROOT_PASSWORD_FILE", path.as_str())];
        for mode in [0o644, 0o640, 0o604, 0o620] {
            set_mode(&path, mode);
            let expected = CredentialsError::TooOpen { path: path.clone(), mode };
            assert_eq!(resolve(&variables), Err(expected));
        }
        set_mode(&path, 0o600);
        let found = resolve(&variables).unwrap().unwrap();
        assert_eq!(found.secret_key.expose(), "long-enough");
        let both = [variables[0], variables[1], (PASSWORD, "long-enough")];
        assert_eq!(resolve(&both), Err(CredentialsError::Both(PASSWORD)));
        let absent = directory.entry("absent");
        let result = resolve(&[(USER, "admin"), ("BASALT_ROOT_PASSWORD_FILE", absent.as_str())]);
        assert!(matches!(result, Err(CredentialsError::Unreadable { .. })));
    }

    #[test]
    fn rules_are_checked_and_secrets_stay_out_of_errors() {
        for user in ["ab", "a/b/c", "a b c", "a=bc", "a".repeat(129).as_str()] {
            let result = resolve(&[(USER, user), (PASSWORD, "long-enough")]);
            assert!(matches!(result, Err(CredentialsError::Rule { .. })), "{user}");
        }
        for password in ["short-7", "control\u{7}character", "x".repeat(257).as_str()] {
            let error = resolve(&[(USER, "admin"), (PASSWORD, password)]).unwrap_err();
            assert!(!error.to_string().contains(password), "{error}");
        }
    }
}
