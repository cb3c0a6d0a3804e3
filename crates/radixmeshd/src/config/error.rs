//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

use radixmesh::source::SourcesError;
use thiserror::Error;

/// One thing that is wrong.
///
/// State: nothing was started. Caller: correct what the message names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be opened.
    ///
    /// State: nothing was started.
    #[error("cannot read the configuration file `{}`: {why}", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file is no TOML.
    ///
    /// State: nothing was started.
    #[error("`{}` is not valid TOML: {why}", path.display())]
    Syntax {
        /// As given.
        path: PathBuf,
        /// What the parser said, with the place.
        why: String,
    },
    /// There is no such key.
    ///
    /// State: nothing was started.
    #[error("unknown key `{key}` (from {origin}); `radixmeshd config explain` lists all keys")]
    Unknown {
        /// With dots.
        key: String,
        /// Who set it.
        origin: String,
    },
    /// A flag is not of the form `key=value`.
    ///
    /// State: nothing was started.
    #[error("`--set {text}` is not of the form key=value")]
    NotAPair {
        /// As given.
        text: String,
    },
    /// A value is out of its range, or at odds with another.
    ///
    /// State: nothing was started.
    #[error("key `{key}` = {value} (from {origin}): {why}")]
    Bad {
        /// With dots.
        key: &'static str,
        /// As given; secrets are hidden.
        value: String,
        /// Who set it.
        origin: String,
        /// The range, or the conflict.
        why: String,
    },
    /// A key without a default was not set.
    ///
    /// State: nothing was started.
    #[error("key `{key}` is not set: {why}")]
    Missing {
        /// With dots.
        key: &'static str,
        /// What it is and how to set it.
        why: String,
    },
    /// Something is wrong in one of the `[[source]]` tables.
    ///
    /// State: nothing was started.
    #[error("{which}: {error}")]
    InSource {
        /// Its name, or its place where it has none.
        which: String,
        /// What it is.
        error: Box<ConfigError>,
    },
    /// The `[[source]]` tables do not fit together.
    ///
    /// State: nothing was started.
    #[error(transparent)]
    Sources(#[from] SourcesError),
}

impl ConfigError {
    /// Says in which `[[source]]` table it is.
    pub(super) fn in_source(self, which: &str) -> ConfigError {
        ConfigError::InSource {
            which: which.to_owned(),
            error: Box::new(self),
        }
    }
}

/// Everything that is wrong, one line each. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        ConfigErrors(vec![error])
    }
}
