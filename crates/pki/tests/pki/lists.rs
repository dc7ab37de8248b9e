//! Revocation lists: signed here, judged here and by `openssl`, and what becomes of those who are on them.

use crate::world::{
    DAY, FreeCa, Leaf, Listener, Pair, World, echo, eventually, greeting, has_openssl, now, openssl, plain_client,
};
use shardlift_model::{Holder, PeerCertificate, RevocationReason, Role, UnixMillis};
use shardlift_pki::authority::{Authority, AuthorityError, LISTED_MAX, Listed};
use shardlift_pki::certificates_in;
use shardlift_pki::identity::serial_hex;
use shardlift_pki::revocation::{LIST_BYTES_MAX, ListError, RevocationList};
use shardlift_pki::tls::{ClientAuth, Credentials, Expected, client_facing_config, connect, mutual_server_config};
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn serial_of(pair: &Pair) -> String {
    serial_hex(&certificates_in(&pair.chain).unwrap()[0]).unwrap()
}

fn list_of(authority: &Authority, number: u64, serials: &[&str]) -> String {
    let listed = |serial| Listed { serial, at: now(), reason: RevocationReason::KeyCompromise };
    authority.sign_list(number, now(), DAY, serials.iter().copied().map(listed)).unwrap()
}

fn read(text: &str, credentials: &Credentials) -> Result<RevocationList, ListError> {
    RevocationList::read(text, &credentials.cluster_trust().cluster)
}

fn take(credentials: &Credentials, text: &str) -> Result<(), ListError> {
    credentials.revocations().take(read(text, credentials)?)
}

#[test]
fn openssl_agrees_about_who_is_on_a_list() {
    if !has_openssl("openssl_agrees_about_who_is_on_a_list") {
        return;
    }
    let world = World::new("c1");
    let folder = world.folder.path();
    let (good, bad) = (world.issue(Role::Node, "good"), world.issue(Role::Node, "bad"));
    let reasons = RevocationReason::ALL.map(|reason| (serial_of(&world.issue(Role::Node, "other")), reason));
    let others =
        reasons.iter().map(|(serial, reason)| Listed { serial, at: UnixMillis(1_700_000_000_000), reason: *reason });
    let serial = serial_of(&bad);
    let one = Listed { serial: &serial, at: now(), reason: RevocationReason::Superseded };
    let list = world.authority.sign_list(258, now(), DAY, others.chain([one])).unwrap();
    fs::write(world.path("list.pem"), &list).unwrap();
    fs::write(world.path("ca.pem"), world.authority.ca_pem()).unwrap();
    let text = openssl(folder, &["crl", "-noout", "-text", "-in", "list.pem"]).unwrap();
    for part in [
        "258",
        "Key Compromise",
        "Superseded",
        "Privilege Withdrawn",
        "Authority Key Identifier",
        "Shardlift c1 issuing-1",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert_eq!(text.matches("Serial Number").count(), 7, "{text}");
    for (name, pair, revoked) in [("good", &good, false), ("bad", &bad, true)] {
        fs::write(world.path(name), &pair.chain).unwrap();
        let arguments = [
            "verify",
            "-x509_strict",
            "-crl_check",
            "-CRLfile",
            "list.pem",
            "-CAfile",
            "ca.pem",
            "-untrusted",
            name,
            name,
        ];
        let verdict = openssl(folder, &arguments);
        assert_eq!(verdict.as_ref().err().is_some_and(|said| said.contains("revoked")), revoked, "{name}: {verdict:?}");
        assert_eq!(verdict.is_ok(), !revoked, "{name}");
    }
}

#[test]
fn only_what_a_ca_of_the_cluster_has_signed_is_a_list() {
    let world = World::new("c1");
    let part = world.credentials(Role::Shard, "a");
    let good = list_of(&world.authority, 3, &["4a"]);
    let list = read(&good, &part).unwrap();
    assert_eq!((list.issuer(), list.number(), list.count(), list.pem()), ("issuing-1", 3, 1, &*good));
    assert!(list.next_update().0 > now().0 + 80_000_000);
    let other = list_of(&World::new("c1").authority, 3, &["4a"]);
    let (crl, ca) = good.split_at(good.find("-----BEGIN CERTIFICATE").unwrap());
    let (other_crl, other_ca) = other.split_at(other.find("-----BEGIN CERTIFICATE").unwrap());
    let leaf = world.issue(Role::Shard, "b").chain;
    let flipped = {
        let mut block = pem::parse(crl).unwrap();
        let mut der = block.contents().to_vec();
        let middle = der.len() / 2;
        der[middle] ^= 1;
        block = pem::Pem::new("X509 CRL", der);
        pem::encode(&block) + ca
    };
    let longer = {
        let block = pem::parse(crl).unwrap();
        pem::encode(&pem::Pem::new("X509 CRL", [block.contents(), &[0]].concat())) + ca
    };
    for (what, text) in [
        ("nothing", String::new()),
        ("a list alone", crl.to_owned()),
        ("a certificate alone", ca.to_owned()),
        ("the other way round", format!("{ca}{crl}")),
        ("two lists", format!("{good}{good}")),
        ("another cluster of the same name", other.clone()),
        ("its list under our CA", format!("{other_crl}{ca}")),
        ("our list under its CA", format!("{crl}{other_ca}")),
        ("our list under a leaf", format!("{crl}{}", &leaf[..leaf.find("-----END").unwrap() + 25])),
        ("our list under the root", format!("{crl}{}", world.authority.ca_pem())),
        ("a list with another bit", flipped),
        ("bytes after its end", longer),
        ("too much of it", good.clone() + &" ".repeat(LIST_BYTES_MAX)),
    ] {
        assert!(read(&text, &part).is_err(), "{what}");
    }
}

#[test]
fn a_serial_that_is_none_is_on_no_list() {
    let world = World::new("c1");
    let sign = |serial: &str| {
        let listed = Listed { serial, at: now(), reason: RevocationReason::default() };
        world.authority.sign_list(1, now(), DAY, [listed])
    };
    for serial in ["", "xy", "4a 4b", "-1", &"4a".repeat(21)] {
        assert!(matches!(sign(serial), Err(AuthorityError::Listed(_))), "{serial:?}");
    }
    for serial in ["1", "4a", "abc", &"ff".repeat(20)] {
        assert!(sign(serial).is_ok(), "{serial:?}");
    }
}

#[test]
fn a_full_list_is_read_and_a_fuller_one_is_not_signed() {
    let world = World::new("c1");
    let serials: Vec<String> = (0..=LISTED_MAX).map(|n| format!("4{n:031x}")).collect();
    let sign = |count: usize| {
        let listed = |serial| Listed { serial, at: now(), reason: RevocationReason::PrivilegeWithdrawn };
        world.authority.sign_list(1, now(), DAY, serials[..count].iter().map(|serial| listed(serial)))
    };
    let full = sign(LISTED_MAX).unwrap();
    assert!(full.len() <= LIST_BYTES_MAX, "{} bytes", full.len());
    assert_eq!(read(&full, &world.credentials(Role::Shard, "a")).unwrap().count(), LISTED_MAX);
    assert!(matches!(sign(LISTED_MAX + 1), Err(AuthorityError::Listed(_))));
}

#[test]
fn an_older_list_never_replaces_a_newer_one() {
    let world = World::new("c1");
    let part = world.credentials(Role::Shard, "a");
    let holds = |serial: &str| {
        let holder = Holder::Member(crate::world::identity("c1", Role::Node, "n"));
        let certificate = |issuer: &str| PeerCertificate {
            holder: holder.clone(),
            serial: serial.to_owned(),
            issuer: issuer.to_owned(),
        };
        assert!(!part.revocations().is_revoked(&certificate("issuing-2")), "another CA's serials are its own");
        part.revocations().is_revoked(&certificate("issuing-1"))
    };
    take(&part, &list_of(&world.authority, 5, &["a", "b"])).unwrap();
    let older = take(&part, &list_of(&world.authority, 4, &[]));
    assert!(matches!(older, Err(ListError::Older { found: 4, held: 5 })), "{older:?}");
    // The same number again is the same list again, whatever is in it.
    take(&part, &list_of(&world.authority, 5, &[])).unwrap();
    assert!(holds("a") && holds("b"));
    take(&part, &list_of(&world.authority, 6, &["b"])).unwrap();
    assert!(!holds("a") && holds("b"));
    let account = Holder::Legacy { account: "n".to_owned() };
    let legacy = PeerCertificate { holder: account, serial: "b".to_owned(), issuer: "issuing-1".to_owned() };
    assert!(!part.revocations().is_revoked(&legacy));
}

#[tokio::test]
async fn who_is_on_the_list_is_cut_and_never_let_in_again_and_nobody_else_is() {
    let world = World::new("c1");
    let legacy = FreeCa::new("Old CA");
    let server = world.credentials_with(Role::Shard, "a", &[&legacy.pem]);
    let tls = client_facing_config(&server, ClientAuth::Optional, None, &[]).unwrap();
    let listener = Listener::start(tls).await;
    let (good, bad) = (world.issue(Role::Node, "good"), world.issue(Role::Node, "bad"));
    let roots = world.authority.ca_pem();
    let clients = [Some(&good), None, Some(&legacy.issue(&Leaf::default()))].map(|shown| plain_client(&roots, shown));
    let revoked = plain_client(&roots, Some(&bad));
    let mut stay = Vec::new();
    for client in &clients {
        let mut stream = listener.open(client).await.unwrap();
        greeting(&mut stream).await.unwrap();
        stay.push(stream);
    }
    let mut cut = listener.open(&revoked).await.unwrap();
    greeting(&mut cut).await.unwrap();
    assert_eq!(echo(&mut cut, b"still here").await, b"still here");

    take(&server, &list_of(&world.authority, 1, &[&serial_of(&bad)])).unwrap();
    // It asked for nothing and is cut all the same.
    let end = tokio::time::timeout(Duration::from_secs(5), cut.read_u8()).await.unwrap();
    assert!(end.is_err(), "{end:?}");
    let refused = listener.counters.refused();
    assert!(listener.greets(&revoked).await.is_err());
    eventually("the refusal is counted", || listener.counters.refused() == refused + 1).await;
    for (stream, client) in stay.iter_mut().zip(&clients) {
        assert_eq!(echo(stream, b"still here").await, b"still here");
        listener.greets(client).await.unwrap();
    }
    // A reload of everything else takes nothing of it back.
    server.reload().unwrap();
    assert!(listener.greets(&revoked).await.is_err());
}

#[tokio::test]
async fn a_server_that_was_taken_back_is_not_spoken_to() {
    let world = World::new("c1");
    let server = world.credentials(Role::Shard, "a");
    let listener = Listener::start(mutual_server_config(&server, &[]).unwrap()).await;
    let client = world.credentials(Role::Controller, "one");
    let dial = || async {
        let stream = TcpStream::connect(listener.address).await.unwrap();
        connect(&client, stream, "shard.invalid", Expected::one(Role::Shard, "a"), &[]).await
    };
    dial().await.unwrap().shutdown().await.unwrap();
    let serial = {
        let chain = fs::read_to_string(&server.paths().certificate).unwrap();
        serial_hex(&certificates_in(&chain).unwrap()[0]).unwrap()
    };
    take(&client, &list_of(&world.authority, 1, &[&serial])).unwrap();
    let refused = dial().await.unwrap_err();
    assert!(format!("{refused:?}").contains("is revoked"), "{refused:?}");
}
