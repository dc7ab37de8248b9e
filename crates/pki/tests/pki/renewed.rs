//! A renewed certificate in the place of the configured one: which of both is used, and what is never installed.

use crate::world::{FreeCa, Leaf, Pair, World};
use shardlift_model::Role;
use shardlift_pki::tls::{CredentialError, Credentials};
use shardlift_pki::{bundle, certificates_in, identity};
use std::sync::Arc;

fn serial(credentials: &Credentials) -> String {
    identity::serial_hex(&credentials.chain()[0]).unwrap()
}

fn serial_of(pair: &Pair) -> String {
    identity::serial_hex(&certificates_in(&pair.chain).unwrap()[0]).unwrap()
}

fn renewable(world: &World) -> Arc<Credentials> {
    let paths = world.files(Role::Shard, "a", &world.authority.ca_pem(), &[]);
    Credentials::load_renewable(paths, world.path("renewed.pem")).unwrap()
}

/// The same files once more, as after a restart.
fn again(world: &World, credentials: &Credentials) -> Arc<Credentials> {
    Credentials::load_renewable(credentials.paths().clone(), world.path("renewed.pem")).unwrap()
}

#[test]
fn what_is_installed_is_used_at_once_and_after_a_restart() {
    let world = World::new("c1");
    let credentials = renewable(&world);
    let (before, next) = (serial(&credentials), world.issue(Role::Shard, "a"));
    credentials.install(&next.chain, &next.key).unwrap();
    assert_eq!(serial(&credentials), serial_of(&next));
    assert_eq!(serial(&again(&world, &credentials)), serial_of(&next));
    assert_eq!(serial(&Credentials::load(credentials.paths().clone()).unwrap()), before);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path("renewed.pem")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nothing_but_the_own_believed_certificate_with_its_key_is_installed() {
    let world = World::new("c1");
    let credentials = renewable(&world);
    let before = serial(&credentials);
    let good = world.issue(Role::Shard, "a");
    let (other_name, other_role) = (world.issue(Role::Shard, "b"), world.issue(Role::Router, "a"));
    let other_ca = World::new("c1").issue(Role::Shard, "a");
    for (what, chain, key) in [
        ("another name", &other_name.chain, &other_name.key),
        ("another role", &other_role.chain, &other_role.key),
        ("another CA", &other_ca.chain, &other_ca.key),
        ("another key", &good.chain, &other_name.key),
        ("garbage", &"garbage".to_owned(), &good.key),
    ] {
        assert!(credentials.install(chain, key).is_err(), "{what}");
        assert!(!world.path("renewed.pem").exists() && serial(&credentials) == before, "{what}");
    }
    let fixed = world.credentials(Role::Shard, "a");
    assert!(matches!(fixed.install(&good.chain, &good.key), Err(CredentialError::NotRenewable)));
}

#[test]
fn what_cannot_be_used_leaves_the_configured_one_in_use() {
    let world = World::new("c1");
    let credentials = renewable(&world);
    let before = serial(&credentials);
    let (other_ca, other_name) = (World::new("c1").issue(Role::Shard, "a"), world.issue(Role::Shard, "b"));
    let both = |pair: &Pair| bundle::client_pem(&pair.chain, &pair.key).unwrap().expose().to_owned();
    for text in ["half".to_owned(), both(&other_ca), both(&other_name)] {
        std::fs::write(world.path("renewed.pem"), text).unwrap();
        assert_eq!(serial(&again(&world, &credentials)), before);
        credentials.reload().unwrap();
        assert_eq!(serial(&credentials), before);
    }
}

#[test]
fn the_later_one_is_used_and_one_that_has_ended_does_not_stop_the_other() {
    let world = World::new("c1");
    let root = FreeCa::new("Shardlift c1 root");
    let uris = &["shardlift://c1/shard/a"][..];
    let leaf =
        |starts_in_days, ends_in_days| root.issue(&Leaf { starts_in_days, ends_in_days, uris, ..Leaf::default() });
    let (ended, early, late) = (leaf(-9, -8), leaf(-3, 1), leaf(-2, 1));
    let used = |configured: &Pair, renewed: &Pair| {
        let paths = world.put("x", configured, &root.pem, &[]);
        bundle::write_private(&world.path("own.pem"), &bundle::client_pem(&renewed.chain, &renewed.key).unwrap())
            .unwrap();
        Credentials::load_renewable(paths, world.path("own.pem")).map(|credentials| serial(&credentials))
    };
    assert_eq!(used(&ended, &late).unwrap(), serial_of(&late));
    assert_eq!(used(&early, &late).unwrap(), serial_of(&late));
    assert_eq!(used(&late, &early).unwrap(), serial_of(&late), "an operator has put a later one in place");
    assert_eq!(used(&early, &ended).unwrap(), serial_of(&early));
    assert!(used(&ended, &ended).is_err());
}
