//! New clusters, made for real.

use super::*;
use crate::{Controller, ControllerConfig};
use std::os::unix::fs::PermissionsExt as _;

fn options(folder: PathBuf) -> InitOptions {
    InitOptions {
        cluster: "c1".parse().unwrap(),
        zone: "backup.example".parse().unwrap(),
        folder,
        controller: "controller-1".parse().unwrap(),
        controller_host_names: vec!["localhost".into(), "127.0.0.1".into()],
        operator: "alice".parse().unwrap(),
        passphrase: InitPassphrase::Random,
        ca: None,
        files: vec![],
    }
}

const CONFIG: &str = r#"
    cluster = "c1"
    zone = "backup.example"
    store = "store"
    operator_listen = "127.0.0.1:0"
    enrolment_listen = "127.0.0.1:0"
    tls = { certificate = "controller.pem", key = "controller.key", ca = "ca.pem" }
    ca = { folder = "ca", passphrase_file = "ca.passphrase" }
"#;

#[tokio::test]
async fn a_new_cluster_can_be_led_at_once() {
    let root = tempfile::tempdir().unwrap();
    let mut options = options(root.path().join("cluster"));
    options.files.push(InitFile { path: "controller.toml".into(), contents: CONFIG.into() });
    let report = init(options).unwrap();
    let passphrase = report.passphrase_file.clone().unwrap();
    for secret in [&passphrase, &report.controller_key, &report.operator_key] {
        assert_eq!(fs::metadata(secret).unwrap().permissions().mode() & 0o777, 0o600, "{}", secret.display());
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no draft is left");
    let config = ControllerConfig::load(&report.folder.join("controller.toml")).unwrap();
    let controller = Controller::build(config).unwrap();
    controller.run(std::future::ready(()), false).await.unwrap();
}

#[tokio::test]
async fn a_cluster_below_a_root_that_is_elsewhere_has_no_key_and_no_passphrase_of_it() {
    let root = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::from("correct horse");
    let before = root.path().join("before");
    let authority = Authority::init(&before, &"c1".parse().unwrap(), &passphrase, clock::now()).unwrap();
    let mut options = options(root.path().join("cluster"));
    (options.ca, options.passphrase) = (Some(before.clone()), InitPassphrase::Elsewhere(passphrase));
    options.files.push(InitFile { path: "controller.toml".into(), contents: CONFIG.into() });
    let report = init(options).unwrap();
    assert_eq!((&report.fingerprint, &report.passphrase_file), (&authority.fingerprint(), &None));
    let entries = fs::read_dir(&report.ca_folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["issuing-1.key", "issuing-1.pem", "root.pem"]);
    let config = ControllerConfig::load(&report.folder.join("controller.toml")).unwrap();
    assert!(Controller::build(config.clone()).is_err(), "there is no passphrase");
    bundle::write_private(&report.folder.join(PASSPHRASE), &SecretPem::new("correct horse".into())).unwrap();
    Controller::build(config).unwrap().run(std::future::ready(()), false).await.unwrap();
}

#[test]
fn a_ca_of_another_cluster_or_with_another_passphrase_makes_none() {
    let root = tempfile::tempdir().unwrap();
    let passphrase = Passphrase::from("correct horse");
    let before = root.path().join("before");
    Authority::init(&before, &"c2".parse().unwrap(), &passphrase, clock::now()).unwrap();
    let attempt = |passphrase: InitPassphrase| {
        let options = options(root.path().join("cluster"));
        init(InitOptions { ca: Some(before.clone()), passphrase, ..options })
    };
    assert!(matches!(attempt(InitPassphrase::Kept(passphrase)), Err(InitError::OtherCluster(_))));
    assert!(matches!(attempt(InitPassphrase::Random), Err(InitError::Authority(_))));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left of it");
}

#[test]
fn a_used_folder_is_refused_and_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("precious"), "1").unwrap();
    assert!(matches!(init(options(root.path().to_owned())), Err(InitError::NotEmpty(_))));
    assert_eq!(fs::read_to_string(root.path().join("precious")).unwrap(), "1");
}

#[test]
fn what_fails_half_way_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    for bad in ["../outside", "/etc/outside", "ca.pem", ""] {
        let mut options = options(root.path().join("cluster"));
        options.files.push(InitFile { path: bad.into(), contents: "x".into() });
        assert!(matches!(init(options), Err(InitError::File(_))), "{bad}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}
