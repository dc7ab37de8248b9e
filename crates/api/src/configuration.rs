//! How every part reads its configuration file: raw as written, unknown fields refused, then checked as a whole.
//!
//! A part brings two types: the raw one, which only serde fills, and the checked one, which only `check` makes. Nothing but
//! the file itself is opened meanwhile.

use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Far too large to be one.
    #[error("{} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
    /// Not what is expected; the text names line and column.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense, alone or with another one.
    #[error("{field}: {why}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl ConfigError {
    /// A value that makes no sense.
    pub fn field(field: &'static str, why: impl Into<String>) -> Self {
        Self::Field { field, why: why.into() }
    }
}

/// A raw configuration that knows how to become a checked one. Relative paths in it start at `folder`.
pub trait RawConfig: DeserializeOwned {
    /// What it becomes.
    type Checked;

    /// Checks it as a whole.
    ///
    /// # Errors
    /// [`ConfigError::Field`].
    fn check(self, folder: &Path) -> Result<Self::Checked, ConfigError>;
}

/// Reads and checks a file.
///
/// # Errors
/// [`ConfigError`] names the file, and the field or line and column.
pub fn load<R: RawConfig>(path: &Path) -> Result<R::Checked, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    parse::<R>(&std::fs::read_to_string(path).map_err(read)?, path)
}

/// Checks a text as if it stood in the file `path`.
///
/// # Errors
/// [`ConfigError`] names the field, or line and column.
pub fn parse<R: RawConfig>(text: &str, path: &Path) -> Result<R::Checked, ConfigError> {
    let raw: R = toml::from_str(text)
        .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    raw.check(path.parent().unwrap_or(Path::new("")))
}

/// Metrics are served without protection, so only to this machine.
///
/// # Errors
/// [`ConfigError::Field`] for any other address.
pub fn metrics_address(address: Option<SocketAddr>) -> Result<Option<SocketAddr>, ConfigError> {
    if address.is_some_and(|address| !address.ip().is_loopback()) {
        return Err(ConfigError::field("metrics_listen", "only a loopback address, metrics are not protected"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        listen: SocketAddr,
        data: PathBuf,
    }

    impl RawConfig for Raw {
        type Checked = PathBuf;

        fn check(self, folder: &Path) -> Result<PathBuf, ConfigError> {
            metrics_address(Some(self.listen)).map(|_| folder.join(self.data))
        }
    }

    fn parsed(text: &str) -> Result<PathBuf, String> {
        parse::<Raw>(text, Path::new("/etc/part.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_refused_is_named_with_its_place() {
        assert_eq!(parsed("listen = \"127.0.0.1:1\"\ndata = \"d\""), Ok(PathBuf::from("/etc/d")));
        assert!(parsed("listen = \"127.0.0.1:1\"\ndat = \"d\"").unwrap_err().contains("line 2, column 1"));
        assert!(parsed("listen = \"1.2.3.4:1\"\ndata = \"d\"").unwrap_err().starts_with("metrics_listen: only"));
        assert!(load::<Raw>(Path::new("/nowhere/part.toml")).unwrap_err().to_string().contains("/nowhere/part.toml"));
    }
}
