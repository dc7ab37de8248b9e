//! Where the passphrase of a CA's keys comes from: a file, a descriptor that whoever starts the process has opened, or a
//! credential of systemd. Never the command line or the environment, which others can read.

use crate::secret::Passphrase;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest passphrase, in bytes.
const BYTES_MAX: u64 = 4096;

/// Where systemd says that a unit's credentials lie (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where a passphrase is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A file.
    File(PathBuf),
    /// An open descriptor of this process, which is read to its end.
    Descriptor(u32),
    /// A credential of the unit that this process runs in, by its name.
    Credential(String),
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// What should hold it cannot be read.
    #[error("the passphrase cannot be read from {place}")]
    Read {
        /// What was read.
        place: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Everybody on the machine could read it.
    #[error("{0} can be read by everybody on this machine: chmod 0600")]
    Exposed(PathBuf),
    /// Started without credentials.
    #[error(
        "there are no credentials for this process: systemd sets CREDENTIALS_DIRECTORY for a unit with LoadCredential="
    )]
    NoCredentials,
    /// Not the name of a credential.
    #[error("{0:?} is not the name of a credential")]
    Name(String),
    /// Nothing, or too much.
    #[error("what {0} holds is no passphrase: 1 to 4096 bytes of text are expected")]
    NotAPassphrase(String),
}

impl fmt::Display for PassphraseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
            Self::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}

impl PassphraseSource {
    /// Reads it; line ends at its end are not part of it. A descriptor can be read once.
    ///
    /// # Errors
    /// [`PassphraseError`] names the place.
    pub fn read(&self) -> Result<Passphrase, PassphraseError> {
        let path = self.path(std::env::var_os(CREDENTIALS).map(PathBuf::from))?;
        let failed = |source| PassphraseError::Read { place: self.to_string(), source };
        let file = File::open(&path).map_err(failed)?;
        if matches!(self, Self::File(_)) && file.metadata().map_err(failed)?.permissions().mode() & 0o007 != 0 {
            return Err(PassphraseError::Exposed(path));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        let passphrase = text.trim_end_matches(['\r', '\n']);
        if passphrase.is_empty() || text.len() as u64 > BYTES_MAX {
            return Err(PassphraseError::NotAPassphrase(self.to_string()));
        }
        Ok(Passphrase::from(passphrase))
    }

    fn path(&self, credentials: Option<PathBuf>) -> Result<PathBuf, PassphraseError> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Descriptor(number) => Ok(Path::new("/dev/fd").join(number.to_string())),
            Self::Credential(name) => {
                let is_plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
                if !is_plain {
                    return Err(PassphraseError::Name(name.clone()));
                }
                Ok(credentials.ok_or(PassphraseError::NoCredentials)?.join(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsRawFd as _;

    fn read(source: &PassphraseSource) -> Result<Vec<u8>, PassphraseError> {
        source.read().map(|passphrase| passphrase.as_bytes().to_vec())
    }

    #[test]
    fn a_file_is_read_without_its_line_end_unless_everybody_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        fs::write(&path, " correct horse \r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let source = PassphraseSource::File(path.clone());
        assert_eq!(read(&source).unwrap(), b" correct horse ");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&source), Err(PassphraseError::Exposed(exposed)) if exposed == path));
    }

    #[test]
    fn a_descriptor_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"correct horse\n").unwrap();
        drop(writer);
        let source = PassphraseSource::Descriptor(reader.as_raw_fd().try_into().unwrap());
        assert_eq!(read(&source).unwrap(), b"correct horse");
        assert!(matches!(read(&source), Err(PassphraseError::NotAPassphrase(_))), "it is used up");
        assert!(matches!(read(&PassphraseSource::Descriptor(9999)), Err(PassphraseError::Read { .. })));
    }

    #[test]
    fn a_credential_is_a_plain_name_in_the_folder_of_the_unit() {
        let folder = PathBuf::from("/run/credentials/shardlift.service");
        let path = |name: &str, folder| PassphraseSource::Credential(name.to_owned()).path(folder);
        assert_eq!(path("ca", Some(folder.clone())).unwrap(), folder.join("ca"));
        assert!(matches!(path("ca", None), Err(PassphraseError::NoCredentials)));
        for bad in ["", ".", "..", "../ca", "/etc/passwd", "a/b", "a\0b"] {
            assert!(matches!(path(bad, Some(folder.clone())), Err(PassphraseError::Name(_))), "{bad:?}");
        }
    }

    #[test]
    fn what_is_empty_or_endless_is_no_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        for bad in [String::new(), "\n".to_owned(), "x".repeat(4097)] {
            fs::write(&path, &bad).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read(&PassphraseSource::File(path.clone())), Err(PassphraseError::NotAPassphrase(_))));
        }
        assert!(matches!(read(&PassphraseSource::File("/dev/zero".into())), Err(PassphraseError::Exposed(_))));
    }
}
