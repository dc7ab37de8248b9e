//! A certificate authority as customers have it before they move: one self-made root, no intermediate, accounts in CN.
//!
//! This is the legacy CA of the tests. The CA that Shardlift runs itself is `shardlift-pki`, and is not used here, so
//! that a fault in it cannot hide itself.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From yesterday, for 30 days.
    Now,
    /// Ended yesterday.
    Expired,
    /// Begins tomorrow.
    NotYet,
}

impl Validity {
    fn window(self) -> (OffsetDateTime, OffsetDateTime) {
        let now = OffsetDateTime::now_utc();
        let day = Duration::days(1);
        match self {
            Self::Now => (now - day, now + day * 30),
            Self::Expired => (now - day * 30, now - day),
            Self::NotYet => (now + day, now + day * 30),
        }
    }
}

/// A certificate and its key, as PEM texts and as files.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// The key, PKCS#8, not encrypted.
    pub key_pem: String,
    /// File with the certificate alone.
    pub certificate_path: PathBuf,
    /// File with the key alone.
    pub key_path: PathBuf,
    /// File with both: what restic takes as `--tls-client-cert`.
    pub both_path: PathBuf,
}

/// A root CA whose certificate lies in a folder of the test.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    certificate_pem: String,
    certificate_path: PathBuf,
}

fn serial() -> SerialNumber {
    // The library's default is a hash of the key. A leading byte below 0x80 keeps the number positive.
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes.to_vec())
}

fn params(common_name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = validity.window();
    params.serial_number = Some(serial());
    params
}

impl TestCa {
    /// Makes a CA called `common_name`; its certificate is `ca.pem` in `folder`, which is created.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn new(folder: &Path, common_name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut params = params(common_name, Validity::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        let certificate_path = folder.join("ca.pem");
        std::fs::write(&certificate_path, &certificate_pem).context("writing the CA's certificate")?;
        Ok(Self { issuer: Issuer::new(params, key), folder: folder.to_owned(), certificate_pem, certificate_path })
    }

    /// The CA's certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The file with the CA's certificate: what restic takes as `--cacert`.
    #[must_use]
    pub fn certificate_path(&self) -> &Path {
        &self.certificate_path
    }

    /// A server certificate for `*.backup.example`, `localhost` and 127.0.0.1, written as `{file}.pem`, `{file}.key`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn server(&self, file: &str) -> Result<Issued> {
        self.server_for(file, &["*.backup.example", "localhost", "127.0.0.1"], Validity::Now)
    }

    /// A server certificate for these names and addresses.
    ///
    /// # Errors
    /// When a name is not one, or the files cannot be written.
    pub fn server_for(&self, file: &str, names: &[&str], validity: Validity) -> Result<Issued> {
        let mut params = params(names.first().copied().unwrap_or("server"), validity);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(file, params)
    }

    /// A client certificate whose CN is `account`, written as `{file}.pem`, `{file}.key` and, both in one, `{file}.both.pem`.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn client(&self, file: &str, account: &str, validity: Validity) -> Result<Issued> {
        let mut params = params(account, validity);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, params)
    }

    fn issue(&self, file: &str, mut params: CertificateParams) -> Result<Issued> {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        let key_pem = key.serialize_pem();
        let write = |suffix: &str, content: &str| -> Result<PathBuf> {
            let path = self.folder.join(format!("{file}{suffix}"));
            std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
            Ok(path)
        };
        Ok(Issued {
            certificate_path: write(".pem", &certificate_pem)?,
            key_path: write(".key", &key_pem)?,
            both_path: write(".both.pem", &format!("{certificate_pem}{key_pem}"))?,
            certificate_pem,
            key_pem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{TestRoot, tool};
    use std::process::{Command, Output};

    fn verify(openssl: &Path, ca: &TestCa, purpose: &str, leaf: &Issued) -> Output {
        let mut command = Command::new(openssl);
        command.args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"]);
        command.arg(ca.certificate_path()).arg(&leaf.certificate_path).output().unwrap()
    }

    #[test]
    fn openssl_accepts_what_is_valid_and_refuses_the_rest() {
        let name = "openssl_accepts_what_is_valid_and_refuses_the_rest";
        let Some(openssl) = tool(name, "openssl") else { return };
        let root = TestRoot::new("ca").unwrap();
        let ca = TestCa::new(&root.path().join("ca"), "Legacy Backup CA").unwrap();
        let good = ca.client("good", "web-1", Validity::Now).unwrap();
        let server = ca.server("server").unwrap();
        for (leaf, purpose, text) in [
            (&good, "sslclient", "OK"),
            (&server, "sslserver", "OK"),
            (&good, "sslserver", "unsuitable certificate purpose"),
            (&server, "sslclient", "unsuitable certificate purpose"),
            (&ca.client("old", "web-1", Validity::Expired).unwrap(), "sslclient", "certificate has expired"),
            (&ca.client("early", "web-1", Validity::NotYet).unwrap(), "sslclient", "certificate is not yet valid"),
        ] {
            let output = verify(&openssl, &ca, purpose, leaf);
            let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(all.contains(text), "{purpose}: {text:?} expected\n{all}");
            assert_eq!(output.status.success(), text == "OK");
        }
        let other = TestCa::new(&root.path().join("other"), "Legacy Backup CA").unwrap();
        assert!(!verify(&openssl, &other, "sslclient", &good).status.success(), "a foreign CA of the same name");
    }

    #[test]
    fn serial_numbers_differ_and_are_positive() {
        let (a, b) = (serial(), serial());
        assert_ne!(a, b);
        assert!(a.as_ref()[0] < 0x80 && a.as_ref()[0] > 0);
    }
}
