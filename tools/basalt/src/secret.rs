//! A string that cannot be printed by accident.

use std::fmt;

/// A secret. `Debug` says only that there is one, and there is no `Display`: whoever needs the
/// text must call `expose`, which a reviewer can search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. For signing and for the files that keep it; never for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_is_redacted() {
        let shown = format!("{:?}", Some(Secret::new("hunter2-hunter2".to_owned())));
        assert_eq!(shown, "Some(Secret(redacted))");
    }
}
