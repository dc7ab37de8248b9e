//! A root on another machine: two folders that exchange a request and a certificate, nothing else.

use crate::world::{DAY, has_openssl, identity, now, openssl};
use shardlift_model::{ClusterId, Role, UnixMillis};
use shardlift_pki::Passphrase;
use shardlift_pki::authority::{
    Authority, AuthorityError, IssuingChain, IssuingRequest, PendingIssuing, RootFolder, SignedIssuing, create_root,
    install_issuing, request_issuing, root_fingerprint_in,
};
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::revocation::RevocationList;
use shardlift_pki::trust::ClusterTrust;
use std::fs;
use std::path::PathBuf;

struct TwoMachines {
    folder: tempfile::TempDir,
    cluster: ClusterId,
}

fn profile(kind: Kind) -> Profile {
    Profile::built_in(kind).unwrap()
}

fn root_passphrase() -> Passphrase {
    Passphrase::from("of the root")
}

fn issuing_passphrase() -> Passphrase {
    Passphrase::from("of the issuing CA")
}

impl TwoMachines {
    fn new() -> Self {
        let machines = Self { folder: tempfile::tempdir().unwrap(), cluster: "c1".parse().unwrap() };
        let root = create_root(&machines.cluster, &root_passphrase(), now(), &profile(Kind::Root)).unwrap();
        root.save(&machines.offline()).unwrap();
        machines
    }

    fn offline(&self) -> PathBuf {
        self.folder.path().join("offline")
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    fn request(&self) -> Result<PendingIssuing, AuthorityError> {
        request_issuing(&self.ca(), &self.cluster, None, &issuing_passphrase(), &profile(Kind::Issuing))
    }

    fn sign(&self, request: &str) -> Result<SignedIssuing, AuthorityError> {
        let root = RootFolder::load(&self.offline(), &root_passphrase())?;
        root.sign(&IssuingRequest::read(request)?, now(), &profile(Kind::Issuing))
    }

    fn install(&self, chain: &str) -> Result<Authority, AuthorityError> {
        let chain = IssuingChain::read(chain)?;
        install_issuing(&self.ca(), &chain, &self.fingerprint(), &issuing_passphrase(), now())
    }

    fn fingerprint(&self) -> String {
        RootFolder::load(&self.offline(), &root_passphrase()).unwrap().root().fingerprint()
    }

    /// The whole way, once more.
    fn next(&self) -> Authority {
        let pending = self.request().unwrap();
        let signed = self.sign(&fs::read_to_string(pending.request).unwrap()).unwrap();
        self.install(&signed.chain_pem).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.ca()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn an_issuing_ca_signs_without_its_root_ever_being_there() {
    let machines = TwoMachines::new();
    let pending = machines.request().unwrap();
    assert_eq!(machines.files(), ["issuing-1.csr", "issuing-1.key"]);
    let text = fs::read_to_string(&pending.request).unwrap();
    let request = IssuingRequest::read(&text).unwrap();
    assert_eq!((request.cluster(), request.generation()), (&machines.cluster, 1));
    assert_eq!(request.key_fingerprint(), pending.key_fingerprint);
    let signed = machines.sign(&text).unwrap();
    let authority = machines.install(&signed.chain_pem).unwrap();
    assert_eq!(machines.files(), ["issuing-1.key", "issuing-1.pem", "root.pem"]);
    assert_eq!(authority.fingerprint(), machines.fingerprint());
    assert_eq!(root_fingerprint_in(&machines.ca()).unwrap(), Some(machines.fingerprint()));
    let (_, csr) = create_key_and_request().unwrap();
    let node = identity("c1", Role::Node, "n");
    let issued = authority.issue(&profile(Kind::Node), &node, &[], &check(&csr).unwrap(), now()).unwrap();
    if has_openssl("an_issuing_ca_signs_without_its_root_ever_being_there") {
        fs::write(machines.ca().join("n.pem"), &issued.chain_pem).unwrap();
        let run = |arguments: &[&str]| openssl(&machines.ca(), arguments).unwrap();
        run(&["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing-1.pem", "n.pem"]);
        let text = run(&["x509", "-noout", "-text", "-in", "issuing-1.pem"]);
        assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Certificate Sign, CRL Sign"), "{text}");
        run(&["pkey", "-in", "issuing-1.key", "-passin", "pass:of the issuing CA", "-noout"]);
    }
}

#[test]
fn openssl_reads_the_request() {
    if !has_openssl("openssl_reads_the_request") {
        return;
    }
    let machines = TwoMachines::new();
    machines.request().unwrap();
    let text = openssl(&machines.ca(), &["req", "-verify", "-noout", "-subject", "-in", "issuing-1.csr"]).unwrap();
    assert!(text.contains("CN = Shardlift c1 issuing-1"), "{text}");
}

#[test]
fn every_step_may_be_repeated() {
    let machines = TwoMachines::new();
    let pending = machines.request().unwrap();
    let text = fs::read_to_string(&pending.request).unwrap();
    assert!(matches!(machines.request(), Err(AuthorityError::Pending(path)) if path == pending.request));
    let first = machines.sign(&text).unwrap();
    let again = machines.sign(&text).unwrap();
    assert_eq!((first.is_repeated, again.is_repeated), (false, true));
    assert_eq!(first.chain_pem, again.chain_pem, "one certificate for one key");
    machines.install(&first.chain_pem).unwrap();
    machines.install(&first.chain_pem).unwrap();
    // A crash between request and key leaves a request alone.
    fs::write(machines.ca().join("issuing-2.csr"), "left behind").unwrap();
    assert_eq!(machines.request().unwrap().generation, 2);
}

#[test]
fn a_root_gives_one_number_to_one_key() {
    let machines = TwoMachines::new();
    machines.next();
    let rebuilt = machines.folder.path().join("rebuilt");
    let ask = |wanted| {
        let profile = profile(Kind::Issuing);
        let pending = request_issuing(&rebuilt, &machines.cluster, wanted, &issuing_passphrase(), &profile).unwrap();
        fs::read_to_string(pending.request).unwrap()
    };
    let error = machines.sign(&ask(None)).unwrap_err();
    assert!(matches!(error, AuthorityError::GenerationTaken(1)), "{error}");
    fs::remove_dir_all(&rebuilt).unwrap();
    machines.sign(&ask(Some(2))).unwrap();
}

#[test]
fn numbers_only_grow_and_one_passphrase_opens_all() {
    let machines = TwoMachines::new();
    machines.next();
    let ask = |wanted, passphrase: &str| {
        request_issuing(&machines.ca(), &machines.cluster, wanted, &passphrase.into(), &profile(Kind::Issuing))
    };
    let error = ask(Some(1), "of the issuing CA").unwrap_err();
    assert!(matches!(error, AuthorityError::Generation { wanted: 1, newest: 1 }), "{error}");
    assert!(matches!(ask(None, "another"), Err(AuthorityError::WrongPassphrase(_))));
    let other = "c2".parse().unwrap();
    let error = request_issuing(&machines.ca(), &other, None, &issuing_passphrase(), &profile(Kind::Issuing));
    assert!(matches!(error, Err(AuthorityError::OtherCluster(_))), "{error:?}");
    assert_eq!(machines.files(), ["issuing-1.key", "issuing-1.pem", "root.pem"], "nothing is left of it");
    assert_eq!(machines.next().generation(), 2);
}

#[test]
fn what_is_not_the_request_of_an_issuing_ca_is_not_signed() {
    let machines = TwoMachines::new();
    let named = |name: &str, change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    };
    let nothing = |_: &mut rcgen::CertificateParams| {};
    machines.sign(&named("Shardlift c1 issuing-7", &nothing)).unwrap();
    for name in [
        "Shardlift c1 root",
        "Shardlift c1 issuing-0",
        "Shardlift c1 issuing-01",
        "Shardlift c1 issuing-+1",
        "Shardlift  c1 issuing-1",
        "Shardlift c1 issuing-1 ",
        "Shardlift c1 issuing-4294967296",
        "shardlift c1 issuing-1",
        "c1 issuing-1",
        "node",
    ] {
        let error = machines.sign(&named(name, &nothing)).unwrap_err();
        assert!(matches!(&error, AuthorityError::Name(found) if found == name), "{name}: {error}");
    }
    let error = machines.sign(&named("Shardlift c2 issuing-1", &nothing)).unwrap_err();
    assert!(matches!(error, AuthorityError::OtherCluster(_)), "{error}");
    let asks_for_ca = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    let asks_for_name = |params: &mut rcgen::CertificateParams| {
        params.subject_alt_names.push(rcgen::SanType::DnsName("a.example".try_into().unwrap()));
    };
    let more_names = |params: &mut rcgen::CertificateParams| {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example");
    };
    let changes: [&dyn Fn(&mut rcgen::CertificateParams); 3] = [&asks_for_ca, &asks_for_name, &more_names];
    for change in changes {
        let error = machines.sign(&named("Shardlift c1 issuing-8", change)).unwrap_err();
        assert!(matches!(error, AuthorityError::Request(_)), "{error}");
    }
    for garbage in ["", "garbage", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"] {
        assert!(matches!(machines.sign(garbage), Err(AuthorityError::Request(_))), "{garbage:?}");
    }
    let (_, unnamed) = create_key_and_request().unwrap();
    let unnamed = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", unnamed));
    assert!(matches!(machines.sign(&unnamed), Err(AuthorityError::Request(_))));
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Shardlift c1 issuing-9");
    let other_kind = params.serialize_request(&p384).unwrap().pem().unwrap();
    assert!(matches!(machines.sign(&other_kind), Err(AuthorityError::Request(_))), "the profile wants P-256");
}

#[test]
fn only_the_answer_to_the_own_request_below_the_known_root_is_installed() {
    let (machines, others) = (TwoMachines::new(), TwoMachines::new());
    let pending = machines.request().unwrap();
    let text = fs::read_to_string(&pending.request).unwrap();
    let chain = machines.sign(&text).unwrap().chain_pem;
    let same_name_other_root = others.sign(&text).unwrap().chain_pem;
    let error = machines.install(&same_name_other_root).unwrap_err();
    assert!(
        matches!(&error, AuthorityError::OtherRoot { expected, .. } if *expected == machines.fingerprint()),
        "{error}"
    );
    let other_key = {
        let pending = others.request().unwrap();
        let text = fs::read_to_string(pending.request).unwrap();
        let root = RootFolder::load(&machines.offline(), &root_passphrase()).unwrap();
        let renamed = text.clone();
        fs::remove_file(machines.offline().join("issuing-1.pem")).unwrap();
        root.sign(&IssuingRequest::read(&renamed).unwrap(), now(), &profile(Kind::Issuing)).unwrap().chain_pem
    };
    assert!(matches!(machines.install(&other_key), Err(AuthorityError::KeyMismatch(_))));
    let blocks: Vec<_> = chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    for broken in ["", "garbage", blocks[0], blocks[1], &format!("{}{}", blocks[1], blocks[0])] {
        assert!(machines.install(broken).is_err(), "{broken}");
    }
    let mixed =
        format!("{}{}", blocks[0], same_name_other_root.split_inclusive("-----END CERTIFICATE-----\n").nth(1).unwrap());
    assert!(matches!(machines.install(&mixed), Err(AuthorityError::NotSignedByRoot)));
    let read = IssuingChain::read(&chain).unwrap();
    for at in [UnixMillis(0), now().plus(DAY * 4000)] {
        let early = install_issuing(&machines.ca(), &read, &machines.fingerprint(), &issuing_passphrase(), at);
        assert!(matches!(early, Err(AuthorityError::NotValidNow)), "{early:?}");
    }
    let wrong = install_issuing(&machines.ca(), &read, &machines.fingerprint(), &root_passphrase(), now());
    assert!(matches!(wrong, Err(AuthorityError::WrongPassphrase(_))), "{wrong:?}");
    assert_eq!(machines.files(), ["issuing-1.csr", "issuing-1.key"], "nothing was installed");
    let elsewhere = machines.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let wrong = install_issuing(&elsewhere, &read, &machines.fingerprint(), &issuing_passphrase(), now());
    assert!(matches!(wrong, Err(AuthorityError::NotRequested { generation: 1, .. })), "{wrong:?}");
    machines.install(&chain).unwrap();
    // From now on the folder knows its root, whatever is said to be it.
    let error = install_issuing(
        &machines.ca(),
        &IssuingChain::read(&same_name_other_root).unwrap(),
        &others.fingerprint(),
        &issuing_passphrase(),
        now(),
    );
    assert!(matches!(error, Err(AuthorityError::OtherRoot { .. })), "{error:?}");
}

#[test]
fn a_leaf_is_no_issuing_ca() {
    let world = crate::world::World::new("c1");
    let pair = world.issue(Role::Shard, "a");
    let leaf_and_root = pair.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    assert!(IssuingChain::read(&(leaf_and_root + &world.authority.ca_pem())).is_err());
}

#[test]
fn older_cas_take_back_what_they_signed_and_sign_nothing_new() {
    let machines = TwoMachines::new();
    let first = machines.next();
    let second = machines.next();
    assert_eq!((first.generation(), second.generation()), (1, 2));
    let trust = ClusterTrust::new(machines.cluster.clone(), &shardlift_pki::certificates_in(&second.ca_pem()).unwrap())
        .unwrap();
    assert_eq!(second.listing(now()).unwrap(), [1, 2]);
    for generation in [1, 2] {
        let text = second.sign_list_as(generation, 5, now(), DAY, []).unwrap();
        let list = RevocationList::read(&text, &trust).unwrap();
        assert_eq!((list.issuer(), list.number()), (&*format!("issuing-{generation}"), 5));
    }
    assert!(matches!(second.sign_list_as(3, 5, now(), DAY, []), Err(AuthorityError::NoSuchCa(3))));
    let (_, csr) = create_key_and_request().unwrap();
    let node = identity("c1", Role::Node, "n");
    let issued = second.issue(&profile(Kind::Node), &node, &[], &check(&csr).unwrap(), now()).unwrap();
    let chain = shardlift_pki::certificates_in(&issued.chain_pem).unwrap();
    let domains = shardlift_pki::trust::TrustDomains { cluster: trust, legacy: Vec::new() };
    assert_eq!(domains.classify(&chain, now()).unwrap().issuer, "issuing-2");
    assert_eq!(second.listing(now().plus(DAY * 1200)).unwrap(), [2], "the first one has ended by then");
    // A key that was taken away signs no lists; the certificate may stay.
    fs::remove_file(machines.ca().join("issuing-1.key")).unwrap();
    let alone = Authority::load(&machines.ca(), &issuing_passphrase()).unwrap();
    assert_eq!((alone.generation(), alone.listing(now()).unwrap()), (2, vec![2]));
}
