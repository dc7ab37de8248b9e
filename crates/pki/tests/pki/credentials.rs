//! Files that must not be taken.

use crate::world::{FreeCa, Leaf, World};
use shardlift_model::Role;
use shardlift_pki::bundle;
use shardlift_pki::tls::{CredentialError, Credentials};

#[test]
fn good_files_say_who_this_is() {
    let world = World::new("c1");
    let credentials = world.credentials(Role::Shard, "a");
    assert_eq!(credentials.identity().to_uri(), "shardlift://c1/shard/a");
    let days = credentials.not_after().since(crate::world::now()).as_secs() / 86_400;
    assert!((88..=90).contains(&days), "{days}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let world = World::new("c1");
    let mut pair = world.issue(Role::Shard, "a");
    pair.key = world.issue(Role::Shard, "a").key;
    let loaded = Credentials::load(world.put("x", &pair, &world.authority.ca_pem(), &[]));
    assert!(matches!(loaded, Err(CredentialError::KeyMismatch { .. })), "{loaded:?}");
}

#[test]
fn a_ca_that_does_not_vouch_for_the_own_chain_is_refused() {
    let world = World::new("c1");
    let other = World::new("c1").authority.ca_pem();
    let loaded = Credentials::load(world.files(Role::Shard, "a", &other, &[]));
    assert!(matches!(loaded, Err(CredentialError::OwnChain { .. })), "{loaded:?}");
}

#[test]
fn only_roots_are_trusted() {
    let world = World::new("c1");
    let pair = world.issue(Role::Shard, "a");
    for (what, ca) in [("leaf and issuing CA", pair.chain.as_str()), ("garbage", "garbage"), ("nothing", "")] {
        assert!(Credentials::load(world.put("x", &pair, ca, &[])).is_err(), "{what}");
        let legacy = world.put("y", &pair, &world.authority.ca_pem(), &[ca]);
        assert!(Credentials::load(legacy).is_err(), "{what} as an older CA");
    }
}

#[test]
fn an_expired_own_certificate_is_refused() {
    let world = World::new("c1");
    let root = FreeCa::new("Shardlift c1 root");
    let uris = &["shardlift://c1/shard/a"][..];
    let expired = root.issue(&Leaf { starts_in_days: -3, ends_in_days: -1, uris, ..Leaf::default() });
    let loaded = Credentials::load(world.put("x", &expired, &root.pem, &[]));
    assert!(matches!(loaded, Err(CredentialError::OwnChain { .. })), "{loaded:?}");
}

#[test]
fn an_error_names_the_file() {
    let world = World::new("c1");
    let mut paths = world.files(Role::Shard, "a", &world.authority.ca_pem(), &[]);
    paths.key = world.path("missing.key");
    let error = Credentials::load(paths).unwrap_err();
    assert!(error.to_string().contains("missing.key"), "{error}");
}

#[test]
fn a_reload_renews_and_never_becomes_somebody_else() {
    let world = World::new("c1");
    let paths = world.files(Role::Shard, "a", &world.authority.ca_pem(), &[]);
    let credentials = Credentials::load(paths.clone()).unwrap();
    world.files(Role::Shard, "a", &world.authority.ca_pem(), &[]);
    credentials.reload().unwrap();
    let other = world.issue(Role::Shard, "b");
    bundle::write(&paths.certificate, &other.chain).unwrap();
    bundle::write_private(&paths.key, &other.key).unwrap();
    assert!(matches!(credentials.reload(), Err(CredentialError::OtherIdentity { .. })));
    assert_eq!(credentials.identity().to_uri(), "shardlift://c1/shard/a");
}

#[test]
fn no_secret_shows_in_debug() {
    let world = World::new("c1");
    let pair = world.issue(Role::Shard, "a");
    let credentials = Credentials::load(world.put("x", &pair, &world.authority.ca_pem(), &[])).unwrap();
    let shown = format!("{credentials:?} {:?} {:?}", pair.key, world.authority);
    let middle = pair.key.expose().lines().nth(1).unwrap();
    assert!(!shown.contains(middle));
    assert!(!shown.contains("PRIVATE KEY"));
}
