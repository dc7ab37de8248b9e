//! Both machines, as folders.

use super::*;
use crate::cli::{Cli, Command};
use clap::Parser as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

struct Machines(tempfile::TempDir);

impl Machines {
    fn new() -> Self {
        let machines = Self(tempfile::tempdir().unwrap());
        for name in ["root.passphrase", "ca.passphrase"] {
            let path = machines.path(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        machines
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Words that begin with @ are files and folders of it.
    async fn run(&self, line: &str) -> Result<(), Failure> {
        let words = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        let words = ["shardlift".into(), "pki".into()].into_iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Pki(command) => run(Format::Json, command).await,
            other => panic!("{other:?}"),
        }
    }

    async fn exit(&self, line: &str) -> Exit {
        self.run(line).await.unwrap_err().exit
    }

    fn fingerprint(&self) -> String {
        shardlift_pki::authority::list_cas(&self.path("root")).unwrap()[0].fingerprint.clone()
    }
}

const CREATE: &str = "root create --cluster c1 --dir @root --passphrase-file @root.passphrase";
const REQUEST: &str = "ca request --cluster c1 --dir @ca --passphrase-file @ca.passphrase";
const SIGN: &str = "root sign @ca/issuing-1.csr --dir @root --passphrase-file @root.passphrase --out @issuing-1.pem";
const INSTALL: &str = "ca install @issuing-1.pem --dir @ca --passphrase-file @ca.passphrase";

#[tokio::test]
async fn a_root_elsewhere_and_a_ca_here() {
    let machines = Machines::new();
    machines.run(CREATE).await.unwrap();
    assert_eq!(machines.exit(CREATE).await, Exit::Failed, "a root is never overwritten");
    machines.run(REQUEST).await.unwrap();
    machines.run(&format!("{SIGN} --yes")).await.unwrap();
    let fingerprint = machines.fingerprint();
    // As openssl prints it.
    let typed: Vec<String> =
        fingerprint.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    machines.run(&format!("{INSTALL} --root {}", typed.join(":"))).await.unwrap();
    machines.run("ca show --dir @ca").await.unwrap();
    machines.run(INSTALL).await.unwrap();
    assert!(!machines.path("ca/root.key").exists());
}

#[tokio::test]
async fn nothing_is_signed_or_trusted_unseen() {
    let machines = Machines::new();
    machines.run(CREATE).await.unwrap();
    machines.run(REQUEST).await.unwrap();
    if !crate::confirm::can_ask() {
        assert_eq!(machines.exit(SIGN).await, Exit::Usage);
    }
    assert_eq!(machines.exit(&format!("{SIGN} --key {}", "00".repeat(32))).await, Exit::Refused);
    assert!(!machines.path("issuing-1.pem").exists() && !machines.path("root/issuing-1.pem").exists());
    let request = fs::read_to_string(machines.path("ca/issuing-1.csr")).unwrap();
    let key = shardlift_pki::authority::IssuingRequest::read(&request).unwrap().key_fingerprint();
    machines.run(&format!("{SIGN} --key {key}")).await.unwrap();
    assert_eq!(machines.exit(&format!("{SIGN} --key {key}")).await, Exit::Failed, "a file is never overwritten");
    if !crate::confirm::can_ask() {
        assert_eq!(machines.exit(INSTALL).await, Exit::Usage);
    }
    assert_eq!(machines.exit(&format!("{INSTALL} --root {}", "00".repeat(32))).await, Exit::Refused);
    assert!(!machines.path("ca/root.pem").exists());
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let machines = Machines::new();
    machines.run(CREATE).await.unwrap();
    machines.run(REQUEST).await.unwrap();
    assert_eq!(machines.exit(REQUEST).await, Exit::Failed, "one at a time");
    let wrong = SIGN.replace("@root.passphrase", "@ca.passphrase");
    assert_eq!(machines.exit(&format!("{wrong} --yes")).await, Exit::Failed);
    fs::write(machines.path("garbage"), "garbage").unwrap();
    let garbage = SIGN.replace("@ca/issuing-1.csr", "@garbage");
    assert_eq!(machines.exit(&format!("{garbage} --yes")).await, Exit::Refused);
    let missing = SIGN.replace("@ca/issuing-1.csr", "@missing");
    assert_eq!(machines.exit(&format!("{missing} --yes")).await, Exit::Unreadable);
    fs::set_permissions(machines.path("root.passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(machines.exit(&format!("{SIGN} --yes")).await, Exit::Usage);
    assert!(!machines.path("root/issuing-1.pem").exists());
}
