//! The folder of a backup client: what restic takes, the way to the controller, and a key whose certificate is still to come.
//!
//! Each file is replaced as a whole. The key is on disk, with the request that was sent, before anybody is asked: when the
//! answer is lost, the same command sends the same request.

use crate::exit::{Exit, Failure};
use crate::output::talk;
use serde::{Deserialize, Serialize};
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::{SecretPem, bundle, certificates_in};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Key and request of an enrolment or renewal that has not come to its end; removed then.
const PENDING: &str = "enrolment.pending";

/// Certificate and key, for `restic --tls-client-cert`.
const NODE_PEM: &str = "node.pem";

/// Whom to trust, for `restic --cacert`.
const CA_PEM: &str = "ca.pem";

/// Where the certificate is renewed, and by whom.
const HOME: &str = "controller.toml";

/// Where a certificate came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Home {
    /// The controller's enrolment listener, `host:port`.
    pub(crate) server: String,
    /// SHA-256 in hex of the root that vouches for it.
    pub(crate) root: String,
}

/// A key and the request for it.
pub(crate) struct Pending {
    key: SecretPem,
    csr_der: Vec<u8>,
}

impl Pending {
    pub(crate) fn csr_der(&self) -> &[u8] {
        &self.csr_der
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// One that is there already.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let absolute = std::path::absolute(path);
        absolute.map(Self).map_err(|error| Failure::caused(format!("{} cannot be used", path.display()), &error))
    }

    /// The same, made when it is not there.
    pub(crate) fn made(path: &Path) -> Result<Self, Failure> {
        let folder = Self::at(path)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder.0);
        made.map_err(|error| Failure::caused(format!("{} cannot be made", folder.0.display()), &error))?;
        Ok(folder)
    }

    /// Certificate and key.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join(NODE_PEM)
    }

    /// Whom to trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.0.join(CA_PEM)
    }

    /// What is in use, with its key.
    pub(crate) fn present(&self) -> Result<SecretPem, Failure> {
        let path = self.certificate();
        let read = fs::read_to_string(&path).map(SecretPem::new);
        read.map_err(|error| {
            Failure::caused(format!("{} cannot be read", path.display()), &error)
                .with_exit(Exit::Unreadable)
                .advise("name the folder that `shardlift node enroll` was given")
        })
    }

    /// Where the certificate in use came from.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        let path = self.0.join(HOME);
        let advice = "name --server and --root (`shardlift node token` prints both), or enrol again";
        let unreadable = |failure: Failure| failure.with_exit(Exit::Unreadable).advise(advice);
        let text = fs::read_to_string(&path);
        let text =
            text.map_err(|error| unreadable(Failure::caused(format!("{} cannot be read", path.display()), &error)))?;
        toml::from_str(&text).map_err(|error| {
            unreadable(Failure::new(Exit::Unreadable, format!("{}: {}", path.display(), error.message())))
        })
    }

    /// The request that is on disk, else a new one that is on disk now.
    pub(crate) fn pending(&self) -> Result<Pending, Failure> {
        let path = self.0.join(PENDING);
        match fs::read_to_string(&path) {
            Ok(text) => {
                talk("a request that did not come to its end is taken up again");
                let damaged = || {
                    let failure = Failure::new(Exit::Failed, format!("{} is damaged", path.display()));
                    failure.advise("remove it: the next try makes a new key; for an enrolment ask for a new token")
                };
                let blocks = pem::parse_many(&text).map_err(|_| damaged())?;
                let request = blocks.iter().find(|block| block.tag() == "CERTIFICATE REQUEST").ok_or_else(damaged)?;
                Ok(Pending { csr_der: request.contents().to_vec(), key: SecretPem::new(text) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_pending(&path),
            Err(error) => Err(Failure::caused(format!("{} cannot be read", path.display()), &error)),
        }
    }

    /// Puts in place what the controller answered to a request.
    pub(crate) fn install(&self, pending: &Pending, chain_pem: &str, ca_pem: &str, home: &Home) -> Result<(), Failure> {
        let unusable = |error: &dyn std::fmt::Display| {
            let failure = Failure::new(Exit::Failed, format!("what the controller sent cannot be used: {error}"));
            failure.advise("nothing was changed; the same command may be repeated")
        };
        let node_pem = bundle::client_pem(chain_pem, &pending.key).map_err(|error| unusable(&error))?;
        let ca_pem = bundle::ca_pem(&[ca_pem]).map_err(|error| unusable(&error))?;
        let home = toml::to_string(home).map_err(|error| unusable(&error))?;
        let not_written =
            |error| Failure::caused("the certificate was not written", &error).advise("repeat the same command");
        // Trust first: whoever finds the new certificate finds the CAs that go with it.
        bundle::write(&self.ca(), &ca_pem).map_err(not_written)?;
        bundle::write(&self.0.join(HOME), &home).map_err(not_written)?;
        bundle::write_private(&self.certificate(), &node_pem).map_err(not_written)?;
        self.remove_pending()
    }

    /// Forgets a request whose key is in use: its end was seen, but for the file.
    pub(crate) fn forget_finished(&self, present: &SecretPem) -> Result<(), Failure> {
        let Ok(text) = fs::read_to_string(self.0.join(PENDING)) else { return Ok(()) };
        let key = |text: &str| {
            let blocks = pem::parse_many(text).unwrap_or_default();
            blocks.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY")).map(pem::Pem::into_contents)
        };
        if key(&text).is_some() && key(&text) == key(present.expose()) { self.remove_pending() } else { Ok(()) }
    }

    fn remove_pending(&self) -> Result<(), Failure> {
        let path = self.0.join(PENDING);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // The certificate is in place; what is left is a second copy of its key.
                let what = format!("the certificate is in place, but {} is left", path.display());
                Err(Failure::caused(what, &error).advise("remove it: it contains the key"))
            }
            _ => Ok(()),
        }
    }
}

/// The leaf in a PEM text.
pub(crate) fn leaf(pem: &SecretPem) -> Option<Vec<u8>> {
    certificates_in(pem.expose()).ok()?.first().map(|leaf| leaf.to_vec())
}

fn new_pending(path: &Path) -> Result<Pending, Failure> {
    let (key, csr_der) = create_key_and_request().map_err(|error| Failure::caused("no key was made", &error))?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let request = pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", csr_der.clone()), config);
    let both = SecretPem::new(format!("{}{request}", key.expose()));
    let written = bundle::write_private(path, &both);
    written.map_err(|error| Failure::caused("the key was not written", &error))?;
    Ok(Pending { key, csr_der })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_repeated_request_is_the_same_for_the_same_key() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::made(&root.path().join("restic")).unwrap();
        let first = folder.pending().unwrap();
        let again = folder.pending().unwrap();
        assert_eq!(first.csr_der, again.csr_der);
        assert!(again.key.expose().starts_with(first.key.expose()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder.0), mode(&folder.0.join(PENDING))), (0o700, 0o600));
        // A key that is in use is not certified once more.
        folder.forget_finished(&SecretPem::new("no key".to_owned())).unwrap();
        assert_eq!(folder.pending().unwrap().csr_der, first.csr_der);
        folder.forget_finished(&first.key).unwrap();
        assert_ne!(folder.pending().unwrap().csr_der, first.csr_der);
    }

    #[test]
    fn a_damaged_rest_of_an_enrolment_is_told_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(PENDING), "half").unwrap();
        let failure = Folder::at(root.path()).unwrap().pending().map(|_| ()).unwrap_err();
        assert!(failure.what.contains("damaged"), "{failure}");
        assert_eq!(fs::read_to_string(root.path().join(PENDING)).unwrap(), "half");
    }

    #[test]
    fn a_folder_without_its_way_home_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::at(root.path()).unwrap();
        for text in [None, Some("server = 1"), Some("server = \"a:1\"\nroot = \"00\"\nkey = \"x\"")] {
            text.into_iter().for_each(|text| fs::write(root.path().join(HOME), text).unwrap());
            let failure = folder.home().unwrap_err();
            assert_eq!(failure.exit, Exit::Unreadable);
            assert!(failure.advice.contains("--server"), "{failure}");
        }
        let home = Home { server: "ctl:7401".to_owned(), root: "0".repeat(64) };
        fs::write(root.path().join(HOME), toml::to_string(&home).unwrap()).unwrap();
        assert_eq!(folder.home().unwrap(), home);
    }
}
