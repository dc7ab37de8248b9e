//! A new cluster, made for real.

use super::*;
use crate::cli::{Cli, Command, Global};
use crate::context::Context;
use clap::Parser as _;

fn arguments(line: &[&str]) -> InitArguments {
    let start = ["shardlift", "init", "--cluster", "c1", "--zone", "backup.example"];
    match Cli::try_parse_from(start.iter().chain(line)).unwrap().command {
        Command::Init(arguments) => *arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_cluster_has_a_context_and_a_controller_that_can_be_built() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cluster");
    let dir = folder.to_str().unwrap();
    let ports = ["--dir", dir, "--operator-listen", "127.0.0.1:1", "--enrolment-listen", "127.0.0.1:2"];
    init(Format::Json, arguments(&ports)).unwrap();
    let global = Global { context: Some(folder.join("operator.toml")), controller: None, output: Format::Table };
    let context = Context::find(&global).unwrap();
    assert_eq!((context.controller.as_str(), context.enrolment.as_str()), ("127.0.0.1:1", "127.0.0.1:2"));
    assert_eq!(context.credentials().unwrap().identity().to_string(), "operator operator-1");
    let config = ControllerConfig::load(&folder.join("controller.toml")).unwrap();
    shardlift_controller::Controller::build(config).unwrap();
    let again = init(Format::Json, arguments(&ports)).unwrap_err();
    assert_eq!(again.exit, Exit::Failed);
}

#[test]
fn a_passphrase_from_elsewhere_is_configured_and_written_nowhere() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cluster");
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"correct horse\n").unwrap();
    drop(writer);
    let number = reader.as_raw_fd().to_string();
    init(Format::Json, arguments(&["--dir", folder.to_str().unwrap(), "--passphrase-fd", &number])).unwrap();
    let text = std::fs::read_to_string(folder.join("controller.toml")).unwrap();
    assert!(text.contains(&format!("passphrase_descriptor = {number}\n")), "{text}");
    assert!(!folder.join("ca.passphrase").exists());
    shardlift_pki::authority::Authority::load(&folder.join("ca"), &"correct horse".into()).unwrap();
}

#[test]
fn a_dry_run_checks_everything_and_makes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cluster");
    let dir = folder.to_str().unwrap();
    init(Format::Json, arguments(&["--dir", dir, "--dry-run"])).unwrap();
    let missing = init(Format::Json, arguments(&["--dir", dir, "--dry-run", "--legacy-ca", "/nowhere"])).unwrap_err();
    assert_eq!(missing.exit, Exit::Usage);
    assert!(init(Format::Json, arguments(&["--dir", dir, "--advertise-operator", "no port"])).is_err());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_listener_on_all_addresses_is_told_by_the_name_of_the_machine() {
    assert_eq!(advertised(None, "127.0.0.1:5".parse().unwrap()).unwrap(), "127.0.0.1:5");
    assert_eq!(advertised(Some("h:1"), "0.0.0.0:5".parse().unwrap()).unwrap(), "h:1");
    let told = advertised(None, "0.0.0.0:5".parse().unwrap()).unwrap();
    assert!(told.ends_with(":5") && !told.starts_with("0.0.0.0"), "{told}");
}

#[test]
fn a_file_with_a_key_is_not_taken_for_a_ca() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("ca.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    assert_eq!(legacy_files(&[path]).unwrap_err().exit, Exit::Usage);
}
