//! The files a backup client takes.

use crate::world::{FreeCa, World, has_openssl, openssl};
use shardlift_model::Role;
use shardlift_pki::bundle::{BundleError, ca_pem, client_pem, write_private};
use shardlift_pki::{SecretPem, certificates_in};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_client_file_holds_the_chain_and_one_plain_key() {
    let world = World::new("c1");
    let pair = world.issue(Role::Node, "acme/web-1");
    let text = client_pem(&pair.chain, &pair.key).unwrap();
    let labels: Vec<&str> = text.expose().lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    let certificate = "-----BEGIN CERTIFICATE-----";
    assert_eq!(labels, [certificate, certificate, "-----BEGIN PRIVATE KEY-----"]);
    assert_eq!(certificates_in(text.expose()).unwrap(), certificates_in(&pair.chain).unwrap());
    let path = world.path("node.pem");
    write_private(&path, &text).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    if has_openssl("a_client_file_holds_the_chain_and_one_plain_key") {
        let of_key = openssl(world.folder.path(), &["pkey", "-in", "node.pem", "-pubout"]).unwrap();
        let of_certificate = openssl(world.folder.path(), &["x509", "-in", "node.pem", "-noout", "-pubkey"]).unwrap();
        assert_eq!(of_key, of_certificate);
    }
}

#[test]
fn a_file_that_is_replaced_keeps_its_mode_and_leaves_nothing_behind() {
    let world = World::new("c1");
    let path = world.path("node.pem");
    for name in ["one", "two"] {
        let pair = world.issue(Role::Node, name);
        write_private(&path, &client_pem(&pair.chain, &pair.key).unwrap()).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains("PRIVATE KEY"));
    }
    let names: Vec<_> = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let missing = world.path("no/such/folder/node.pem");
    assert!(matches!(write_private(&missing, &SecretPem::new(String::new())), Err(BundleError::Write { .. })));
}

#[test]
fn what_restic_cannot_take_is_refused() {
    let world = World::new("c1");
    let pair = world.issue(Role::Node, "n");
    let other = world.issue(Role::Node, "n");
    assert!(matches!(client_pem(&pair.chain, &other.key), Err(BundleError::KeyMismatch)));
    let two = SecretPem::new(format!("{}{}", pair.key.expose(), other.key.expose()));
    assert!(matches!(client_pem(&pair.chain, &two), Err(BundleError::Key(_))));
    assert!(matches!(client_pem("", &pair.key), Err(BundleError::Certificates(_))));
    assert!(matches!(client_pem(&pair.chain, &SecretPem::new(String::new())), Err(BundleError::Key(_))));
    if has_openssl("what_restic_cannot_take_is_refused") {
        let arguments = ["ecparam", "-name", "prime256v1", "-genkey"];
        let sec1 = SecretPem::new(openssl(world.folder.path(), &arguments).unwrap());
        assert!(sec1.expose().contains("EC PARAMETERS"));
        assert!(matches!(client_pem(&pair.chain, &sec1), Err(BundleError::NotPkcs8)));
    }
}

#[test]
fn a_ca_file_for_the_overlap_holds_both_cas_once() {
    let world = World::new("c1");
    let (new, old) = (world.authority.ca_pem(), FreeCa::new("Old CA").pem);
    let both = ca_pem(&[&new, &old, &new]).unwrap();
    let expected = [certificates_in(&new).unwrap(), certificates_in(&old).unwrap()].concat();
    assert_eq!(certificates_in(&both).unwrap(), expected);
    assert!(ca_pem(&["nothing"]).is_err());
}
