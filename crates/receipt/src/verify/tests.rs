//! What is refused, and in which words. Each check has a receipt that fails it and no other.

mod world;

use super::*;
use crate::facts::*;
use crate::issue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use shardlift_model::Identity;
use shardlift_pki::envelope::pre_authentication_encoding;
use std::process::Command;
use world::{World, facts, forge, now, read_copy, receipt, signer_of, world};

const DAY_MS: u64 = 86_400_000;

fn doubt(text: &str) -> Doubt {
    let (world, _) = world();
    verify(text.as_bytes(), &world.roots()).unwrap_err()
}

#[test]
fn a_receipt_is_verified_by_the_root_alone_and_says_what_was_signed() {
    let (world, signer) = world();
    let at = now();
    let text = issue(facts(), signer, at).unwrap();
    let verified = verify(text.as_bytes(), &world.roots()).unwrap();
    assert_eq!(verified.receipt, receipt(signer, at, facts()));
    assert_eq!((verified.signer.identity.role(), verified.signer.issuer.as_str()), (Role::Controller, "issuing-1"));
    assert_eq!(verified.signer.chain_sha256.len(), 3, "leaf, issuing CA, root");
    let mut more_roots = World::new("c2").roots();
    more_roots.extend(world.roots());
    assert!(verify(text.as_bytes(), &more_roots).is_ok(), "one of several roots");
}

#[test]
fn only_a_controller_issues() {
    let (world, _) = world();
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Controller) {
        if role == Role::Node {
            continue;
        }
        let signer = world.signer(role);
        assert!(matches!(issue(facts(), &signer, now()), Err(crate::IssueError::NotAController)), "{role}");
        let doubt = doubt(&forge(&signer, |_| ()));
        let expected = format!("it was signed by {}, and only a controller may", signer.identity());
        assert_eq!(doubt.to_string(), expected);
    }
    let node = Identity::node("c1".parse().unwrap(), "acme/web-1".parse().unwrap());
    let node = signer_of(world, &node);
    assert!(matches!(doubt(&forge(&node, |_| ())), Doubt::Envelope(EnvelopeError::Signer { .. })));
}

#[test]
fn another_ca_of_the_same_name_is_refused() {
    let other = World::new("c1");
    let text = forge(&other.signer(Role::Controller), |_| ());
    assert!(verify(text.as_bytes(), &other.roots()).is_ok());
    assert!(matches!(doubt(&text), Doubt::Envelope(EnvelopeError::OtherCa)));
    // With our root put in the place of theirs.
    let (world, _) = world();
    let (theirs, ours) = (STANDARD.encode(&other.roots()[0]), STANDARD.encode(&world.roots()[0]));
    assert!(text.contains(&theirs));
    assert!(matches!(doubt(&text.replace(&theirs, &ours)), Doubt::Envelope(EnvelopeError::Trust(_))));
}

#[test]
fn a_receipt_of_another_time_than_its_certificate_is_refused() {
    let (_, signer) = world();
    let dated = |at: u64| doubt(&forge(signer, |receipt| receipt.issued.at_unix_ms = at)).to_string();
    let now = now().0;
    assert_eq!(dated(now + 2 * DAY_MS), "it is dated to a time when its certificate was not valid any more");
    assert_eq!(dated(now - DAY_MS), "it is dated to a time when its certificate was not valid yet");
    assert_eq!(dated(0), "it is dated to a time when its certificate was not valid yet");
    assert!(dated(u64::MAX).starts_with("it is dated to a time"));
    let (world, _) = world();
    let near = |at: u64| verify(forge(signer, |receipt| receipt.issued.at_unix_ms = at).as_bytes(), &world.roots());
    assert!(near(now + DAY_MS / 2).is_ok(), "inside its validity");
}

type Change = fn(&mut Receipt);

#[test]
fn each_contradiction_is_found_and_named() {
    let (_, signer) = world();
    let cases: [(Inconsistency, Change); 16] = [
        (Inconsistency::Issuer, |r| r.issued.by = "shardlift://c1/controller/two".into()),
        (Inconsistency::Issuer, |r| r.issued.serial.push('0')),
        (Inconsistency::Chain, |r| r.issued.chain_sha256.swap(0, 1)),
        (Inconsistency::Chain, |r| drop(r.issued.chain_sha256.pop())),
        (Inconsistency::Cluster, |r| r.facts.cluster = "c2".parse().unwrap()),
        (Inconsistency::Place, |r| r.facts.place.target = r.facts.place.source.clone()),
        (Inconsistency::Digest, |r| {
            r.facts.source.digest.clear();
            r.facts.target.state = Some(r.facts.source.clone());
        }),
        (Inconsistency::Digest, |r| {
            r.facts.source.digest = "0A".repeat(32);
            r.facts.target.state = Some(r.facts.source.clone());
        }),
        (Inconsistency::Digest, |r| r.facts.deep_verify.before.as_mut().unwrap().digest.push('0')),
        (Inconsistency::Digests, |r| r.facts.source.digest = "0c".repeat(32)),
        (Inconsistency::Counts, |r| r.facts.source.objects += 1),
        (Inconsistency::Counts, |r| r.facts.source.bytes += 1),
        (Inconsistency::Counts, |r| r.facts.source.seq += 1),
        (Inconsistency::Damage, |r| {
            r.facts.source.damaged = 1;
            r.facts.target.state = Some(r.facts.source.clone());
        }),
        (Inconsistency::KnownDamage, |r| r.facts.deep_verify.source = read_copy(1)),
        (Inconsistency::KnownDamage, |r| r.facts.deep_verify.target = read_copy(1)),
    ];
    for (expected, change) in cases {
        match doubt(&forge(signer, change)) {
            Doubt::Inconsistent(found) => assert_eq!(found, expected),
            other => panic!("{expected:?} was found as {other:?}"),
        }
    }
}

#[test]
fn accepted_damage_and_absent_facts_are_no_contradictions() {
    let (world, signer) = world();
    let good = |change: Change| verify(forge(signer, change).as_bytes(), &world.roots()).unwrap();
    good(|r| {
        r.facts.source.damaged = 1;
        r.facts.target.state = Some(r.facts.source.clone());
        r.facts.losses.damage_accepted = true;
        r.facts.deep_verify.target = read_copy(1);
    });
    good(|r| {
        r.facts.target.state = None;
        r.facts.history = Histories { source: None, target: None };
        r.facts.deep_verify = Deep { before: None, source: None, target: None };
        r.facts.certificates = Certificates { new: None, old: None };
    });
}

#[test]
fn what_cannot_be_judged_is_told_apart_from_what_is_wrong() {
    let (_, signer) = world();
    let signed = |payload: &[u8]| doubt(&signer.sign(PAYLOAD_TYPE, payload).unwrap());
    assert!(matches!(signed(br#"{"format":2,"more":true}"#), Doubt::Unreadable(Unreadable::Format(2))));
    assert!(matches!(signed(b"{}"), Doubt::Unreadable(Unreadable::Payload(_))));
    assert!(matches!(signed(br#"{"format":1}"#), Doubt::Unreadable(Unreadable::Payload(_))));
    let mut more = serde_json::to_value(receipt(signer, now(), facts())).unwrap();
    more["facts"]["note"] = "trust me".into();
    assert!(matches!(signed(more.to_string().as_bytes()), Doubt::Unreadable(Unreadable::Payload(_))));
    for text in ["", "{}", "not json", "\u{0}"] {
        assert!(matches!(doubt(text), Doubt::Unreadable(Unreadable::Envelope(_))), "{text:?}");
    }
    let large = " ".repeat(shardlift_pki::envelope::ENVELOPE_BYTES_MAX + 1);
    assert!(matches!(doubt(&large), Doubt::Unreadable(Unreadable::Envelope(EnvelopeError::TooLarge))));
    let other = signer.sign("application/vnd.shardlift.other+json", b"{}").unwrap();
    assert!(matches!(doubt(&other), Doubt::Envelope(EnvelopeError::PayloadType(_))));
}

#[test]
fn parts_of_two_receipts_make_no_third() {
    let (_, signer) = world();
    let one: serde_json::Value = serde_json::from_str(&forge(signer, |_| ())).unwrap();
    let two: serde_json::Value =
        serde_json::from_str(&forge(signer, |receipt| receipt.facts.node = "acme/web-2".parse().unwrap())).unwrap();
    let part = |value: &serde_json::Value, pointer: &str| value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let text = forge_from(&one, &part(&two, "/payload"), &part(&one, "/signatures/0/sig"));
    assert!(matches!(doubt(&text), Doubt::Envelope(EnvelopeError::Signature)));
    let text = one.to_string();
    assert!(matches!(doubt(&text), Doubt::Envelope(EnvelopeError::OtherForm)), "fields in another order");
    let good = forge(signer, |_| ());
    let hint = part(&one, "/signatures/0/keyid");
    assert!(matches!(doubt(&good.replace(&hint, &"0".repeat(64))), Doubt::Envelope(EnvelopeError::KeyId)));
}

/// The envelope of one with another payload and signature, in the right spelling.
fn forge_from(one: &serde_json::Value, payload: &str, signature: &str) -> String {
    let chain: Vec<String> = serde_json::from_value(one["signatures"][0]["x5c"].clone()).unwrap();
    let quoted: Vec<String> = chain.iter().map(|certificate| format!("\"{certificate}\"")).collect();
    format!(
        "{{\"payloadType\":\"{PAYLOAD_TYPE}\",\"payload\":\"{payload}\",\"signatures\":[{{\"keyid\":{},\"sig\":\"{signature}\",\
         \"x5c\":[{}]}}]}}\n",
        one["signatures"][0]["keyid"],
        quoted.join(",")
    )
}

#[test]
fn no_byte_of_a_receipt_can_be_changed_left_out_or_added() {
    let (world, signer) = world();
    let good = issue(facts(), signer, now()).unwrap().into_bytes();
    let roots = world.roots();
    assert!(verify(&good, &roots).is_ok());
    for place in 0..good.len() {
        for mask in [0x01, 0x20, 0x80] {
            let mut changed = good.clone();
            changed[place] ^= mask;
            assert!(verify(&changed, &roots).is_err(), "byte {place} xor {mask}");
        }
        let mut shorter = good.clone();
        shorter.remove(place);
        // Leaving out one of two equal neighbours is the same wherever it is done.
        assert!(verify(&shorter, &roots).is_err(), "without byte {place}");
    }
    for end in 0..good.len() {
        assert!(verify(&good[..end], &roots).is_err(), "only {end} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_of_the_signed_text_can_be_changed(place in 0..4_000_usize, value in any::<u8>(), length in 0..40_usize) {
        let (world, signer) = world();
        let text = forge(signer, |_| ());
        let envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
        let payload = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
        let mut changed = payload.clone();
        let place = place % changed.len();
        let end = (place + length + 1).min(changed.len());
        changed[place..end].fill(value);
        let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
        let again = forge_from(&envelope, &STANDARD.encode(&changed), signature);
        prop_assert_eq!(verify(again.as_bytes(), &world.roots()).is_ok(), changed == payload);
    }
}

#[test]
fn openssl_agrees_about_signature_and_chain() {
    let test = "openssl_agrees_about_signature_and_chain";
    let runs = |arguments: &[&str], folder: &std::path::Path| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned(), output.stdout)
    };
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED: {test}: openssl is not there");
        return;
    }
    let (world, signer) = world();
    let text = issue(facts(), signer, now()).unwrap();
    let envelope: serde_json::Value = serde_json::from_str(&text).unwrap();
    let decoded = |pointer: &str| STANDARD.decode(envelope.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let payload = decoded("/payload");
    let signed = pre_authentication_encoding(envelope["payloadType"].as_str().unwrap(), &payload);
    put("pae", &signed);
    put("sig", &decoded("/signatures/0/sig"));
    put("root.pem", world.authority.ca_pem().as_bytes());
    for (place, name) in ["leaf", "issuing"].into_iter().enumerate() {
        put(&format!("{name}.der"), &decoded(&format!("/signatures/0/x5c/{place}")));
        let (good, pem, _) = runs(&["x509", "-inform", "der", "-in", &format!("{name}.der")], folder.path());
        assert!(good);
        put(&format!("{name}.pem"), pem.as_bytes());
    }
    let (good, _, key) = runs(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"], folder.path());
    assert!(good);
    put("key.pem", &key);
    let (good, said, _) = runs(&["dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "pae"], folder.path());
    assert!(good && said.contains("Verified OK"), "{said}");
    let chain = ["verify", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem"];
    let (good, said, _) = runs(&chain, folder.path());
    assert!(good, "{said}");
    let mut other = signed;
    other.push(b' ');
    put("pae", &other);
    let (good, ..) = runs(&["dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "pae"], folder.path());
    assert!(!good, "openssl accepts what was not signed");
}
