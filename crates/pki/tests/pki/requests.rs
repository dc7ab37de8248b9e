//! Requests a CA must not fall for.

use crate::world::{has_openssl, identity, openssl};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SignatureAlgorithm,
};
use shardlift_model::Role;
use shardlift_pki::request::{RequestError, check, check_for, create_key_and_request};
use std::fs;
use std::path::Path;

fn request(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    request_with(&rcgen::PKCS_ECDSA_P256_SHA256, change)
}

fn request_with(algorithm: &'static SignatureAlgorithm, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    change(&mut params);
    params.serialize_request(&KeyPair::generate_for(algorithm).unwrap()).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn the_own_request_and_other_good_keys_are_taken() {
    check(&create_key_and_request().unwrap().1).unwrap();
    check(&request_with(&PKCS_ECDSA_P384_SHA384, |_| {})).unwrap();
    check(&request_with(&PKCS_ED25519, |_| {})).unwrap();
    check(&request(|params| params.is_ca = IsCa::ExplicitNoCa)).unwrap();
}

#[test]
fn a_request_may_name_its_holder_and_nobody_else() {
    let node = identity("c1", Role::Node, "acme/web-1");
    let named = request(|params| {
        params.distinguished_name.push(DnType::CommonName, "acme/web-1");
        params.subject_alt_names = vec![uri("shardlift://c1/node/acme/web-1")];
    });
    check_for(&named, &node).unwrap();
    let other = identity("c1", Role::Node, "acme/web-2");
    assert_eq!(check_for(&named, &other), Err(RequestError::AsksForName("acme/web-1".to_owned())));
    assert!(matches!(check(&named), Err(RequestError::AsksForName(_))), "nobody was expected");
    for san in [
        uri("shardlift://c1/operator/acme"),
        uri("shardlift://c2/node/acme/web-1"),
        SanType::DnsName("acme.example".try_into().unwrap()),
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::Rfc822Name("acme/web-1".try_into().unwrap()),
    ] {
        let asks = request(|params| params.subject_alt_names = vec![uri(&node.to_uri()), san.clone()]);
        assert!(matches!(check_for(&asks, &node), Err(RequestError::AsksForName(_))), "{san:?}");
    }
    let unit = request(|params| params.distinguished_name.push(DnType::OrganizationName, "acme/web-1"));
    assert!(matches!(check_for(&unit, &node), Err(RequestError::AsksForName(_))));
}

#[test]
fn a_request_for_the_rights_of_a_ca_is_refused() {
    let ca = request(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(check(&ca), Err(RequestError::AsksForCa));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let signs = request(|params| params.key_usages = vec![usage]);
        assert_eq!(check(&signs), Err(RequestError::AsksForCa));
    }
}

#[test]
fn what_is_the_cas_decision_is_not_the_requesters() {
    let server = request(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert!(matches!(check(&server), Err(RequestError::AsksForMore(_))));
    let usage = request(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    assert!(matches!(check(&usage), Err(RequestError::AsksForMore(_))));
}

#[test]
fn what_was_changed_or_cut_or_is_too_large_is_refused() {
    let good = create_key_and_request().unwrap().1;
    let checked = check(&good).unwrap();
    // 30 81 xx (all of it), 30 xx (the signed part): what follows is algorithm and signature.
    let signed = 5 + usize::from(good[4]);
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        match check(&changed) {
            Err(_) => {}
            // The parser reads past some tags outside of what is signed; nothing of it is kept.
            Ok(other) => assert!(at >= signed && other == checked, "byte {at}"),
        }
        assert!(check(&good[..at]).is_err(), "cut at {at}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(check(&longer), Err(RequestError::Malformed));
    assert_eq!(check(&vec![0x30; 20_000]), Err(RequestError::TooLarge));
}

/// A request made by `openssl req`, as DER.
fn by_openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let fixed = ["req", "-new", "-nodes", "-keyout", "k.pem", "-outform", "DER", "-out", "r.der", "-subj", "/CN=acme"];
    openssl(folder, &[&fixed[..], arguments].concat()).unwrap();
    fs::read(folder.join("r.der")).unwrap()
}

#[test]
fn requests_of_openssl_are_judged_by_key_and_signature() {
    if !has_openssl("requests_of_openssl_are_judged_by_key_and_signature") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let acme = identity("c1", Role::Node, "acme");
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let p521 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let judge = |arguments: &[&str]| check_for(&by_openssl(folder.path(), arguments), &acme).map(drop);
    assert_eq!(judge(&[&p256[..], &["-sha256"]].concat()), Ok(()));
    assert_eq!(judge(&["-newkey", "rsa:2048"]), Ok(()));
    assert_eq!(judge(&["-newkey", "rsa:3072", "-sha512"]), Ok(()));
    assert_eq!(judge(&["-newkey", "ed25519"]), Ok(()));
    assert_eq!(judge(&[&p256[..], &["-sha384"]].concat()), Err(RequestError::SignatureAlgorithm));
    assert_eq!(judge(&["-newkey", "rsa:2048", "-sha1"]), Err(RequestError::SignatureAlgorithm));
    assert_eq!(judge(&["-newkey", "rsa:1024"]), Err(RequestError::Key));
    assert_eq!(judge(&["-newkey", "rsa:2040"]), Err(RequestError::Key));
    assert_eq!(judge(&p521), Err(RequestError::Key));
    let ca = [&p256[..], &["-sha256", "-addext", "basicConstraints=critical,CA:TRUE"]].concat();
    assert_eq!(judge(&ca), Err(RequestError::AsksForCa));
    let key_id = [&p256[..], &["-sha256", "-addext", "subjectKeyIdentifier=hash"]].concat();
    assert!(matches!(judge(&key_id), Err(RequestError::AsksForMore(_))));
}

#[test]
fn every_key_that_is_taken_makes_a_certificate_that_verifies() {
    if !has_openssl("every_key_that_is_taken_makes_a_certificate_that_verifies") {
        return;
    }
    let world = crate::world::World::new("c1");
    let acme = identity("c1", Role::Node, "acme");
    let profile = shardlift_pki::profile::Profile::built_in(shardlift_pki::profile::Kind::Node).unwrap();
    for arguments in [
        &["-newkey", "rsa:2048"][..],
        &["-newkey", "ed25519"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"],
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"],
    ] {
        let csr = by_openssl(world.folder.path(), arguments);
        let request = check_for(&csr, &acme).unwrap();
        let issued = world.authority.issue(&profile, &acme, &[], &request, crate::world::now()).unwrap();
        fs::write(world.path("n.pem"), &issued.chain_pem).unwrap();
        let verify = ["verify", "-x509_strict", "-CAfile", "ca/root.pem", "-untrusted", "n.pem", "n.pem"];
        openssl(world.folder.path(), &verify).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        let of_key = openssl(world.folder.path(), &["pkey", "-in", "k.pem", "-pubout"]).unwrap();
        let of_certificate = openssl(world.folder.path(), &["x509", "-in", "n.pem", "-noout", "-pubkey"]).unwrap();
        assert_eq!(of_key, of_certificate, "{arguments:?}");
    }
}
