//! CAs and what they sign, with `openssl` as the second opinion.

use crate::world::{DAY, World, has_openssl, identity, now, openssl};
use shardlift_model::{Role, UnixMillis};
use shardlift_pki::authority::{Authority, AuthorityError, CertifiedName, RootMaterial, create_issuing, create_root};
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{CheckedRequest, check, create_key_and_request};
use shardlift_pki::tls::ALPN_HTTP2;
use shardlift_pki::{Passphrase, bundle};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

fn request() -> CheckedRequest {
    check(&create_key_and_request().unwrap().1).unwrap()
}

fn profile(kind: Kind) -> Profile {
    Profile::built_in(kind).unwrap()
}

fn passphrase() -> Passphrase {
    Passphrase::from("correct horse")
}

#[test]
fn openssl_agrees_with_every_leaf() {
    if !has_openssl("openssl_agrees_with_every_leaf") {
        return;
    }
    let world = World::new("c1");
    for role in Role::ALL {
        let paths = world.files(role, "a", &world.authority.ca_pem(), &[]);
        let certificate = paths.certificate.to_str().unwrap();
        let purpose = if matches!(role, Role::Node | Role::Operator) { "sslclient" } else { "sslserver" };
        let arguments = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", paths.ca.to_str().unwrap()];
        let arguments = [&arguments[..], &["-untrusted", certificate, certificate]].concat();
        openssl(world.folder.path(), &arguments).unwrap_or_else(|error| panic!("{role}: {error}"));
        let text = openssl(world.folder.path(), &["x509", "-noout", "-text", "-in", certificate]).unwrap();
        for part in [
            &format!("URI:shardlift://c1/{role}/a"),
            "CA:FALSE",
            "Authority Key Identifier",
            "Subject Key Identifier",
            "TLS Web Client Authentication",
            "Issuer: CN = Shardlift c1 issuing-1",
        ] {
            assert!(text.contains(part), "{role}: {part} is missing in\n{text}");
        }
        assert_eq!(text.contains("TLS Web Server Authentication"), purpose == "sslserver", "{role}");
        assert!(!text.contains("Certificate Sign"), "{role}");
        if purpose == "sslclient" {
            let as_server = ["verify", "-purpose", "sslserver", "-CAfile", paths.ca.to_str().unwrap()];
            let as_server = [&as_server[..], &["-untrusted", certificate, certificate]].concat();
            assert!(openssl(world.folder.path(), &as_server).is_err(), "{role} must be no server");
        }
    }
}

#[test]
fn openssl_agrees_with_the_cas_and_opens_their_keys() {
    if !has_openssl("openssl_agrees_with_the_cas_and_opens_their_keys") {
        return;
    }
    let world = World::new("c1");
    let ca = world.path("ca");
    let run = |arguments: &[&str]| openssl(&ca, arguments);
    run(&["verify", "-x509_strict", "-CAfile", "root.pem", "issuing-1.pem"]).unwrap();
    let root = run(&["x509", "-noout", "-text", "-in", "root.pem"]).unwrap();
    assert!(root.contains("CA:TRUE, pathlen:1") && root.contains("Certificate Sign, CRL Sign"), "{root}");
    let issuing = run(&["x509", "-noout", "-text", "-in", "issuing-1.pem"]).unwrap();
    assert!(issuing.contains("CA:TRUE, pathlen:0"), "{issuing}");
    assert!(issuing.contains("Issuer: CN = Shardlift c1 root"), "{issuing}");
    for key in ["root.key", "issuing-1.key"] {
        run(&["pkey", "-in", key, "-passin", "pass:correct horse", "-noout"]).unwrap();
        assert!(run(&["pkey", "-in", key, "-passin", "pass:wrong", "-noout"]).is_err());
    }
    let fingerprint = run(&["x509", "-noout", "-fingerprint", "-sha256", "-in", "root.pem"]).unwrap();
    let fingerprint = fingerprint.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(fingerprint, world.authority.fingerprint());
}

#[test]
fn a_ca_survives_being_saved_and_only_its_passphrase_opens_it() {
    let world = World::new("c1");
    let dir = world.path("ca");
    let loaded = Authority::load(&dir, &passphrase()).unwrap();
    assert_eq!(loaded.fingerprint(), world.authority.fingerprint());
    assert_eq!((loaded.cluster().as_str(), loaded.generation()), ("c1", 1));
    let error = Authority::load(&dir, &Passphrase::from("wrong")).unwrap_err();
    assert!(matches!(&error, AuthorityError::WrongPassphrase(path) if path.ends_with("issuing-1.key")), "{error}");
    assert!(matches!(RootMaterial::load(&dir, &Passphrase::from("")), Err(AuthorityError::WrongPassphrase(_))));
}

#[test]
fn signing_needs_no_root_key() {
    let world = World::new("c1");
    fs::remove_file(world.path("ca/root.key")).unwrap();
    let loaded = Authority::load(&world.path("ca"), &passphrase()).unwrap();
    let node = identity("c1", Role::Node, "n");
    loaded.issue(&profile(Kind::Node), &node, &[], &request(), now()).unwrap();
}

#[test]
fn ca_files_are_private_and_never_overwritten() {
    let world = World::new("c1");
    let dir = world.path("ca");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        files.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    files.sort();
    assert_eq!(files, ["issuing-1.key", "issuing-1.pem", "root.key", "root.pem"], "nothing is left over");
    let before = fs::read(dir.join("root.key")).unwrap();
    let again = Authority::init(&dir, &"c1".parse().unwrap(), &passphrase(), now());
    assert!(matches!(again, Err(AuthorityError::Exists(_))), "{again:?}");
    assert_eq!(fs::read(dir.join("root.key")).unwrap(), before);
    fs::set_permissions(dir.join("issuing-1.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Authority::load(&dir, &passphrase()), Err(AuthorityError::Exposed(_))));
}

#[test]
fn the_newest_issuing_ca_signs_and_has_its_own_name() {
    let world = World::new("c1");
    let dir = world.path("ca");
    let root = RootMaterial::load(&dir, &passphrase()).unwrap();
    for generation in [2, 10] {
        create_issuing(&root, generation, &passphrase(), now(), &profile(Kind::Issuing)).unwrap().save(&dir).unwrap();
    }
    let newest = Authority::load(&dir, &passphrase()).unwrap();
    assert_eq!(newest.generation(), 10);
    let node = identity("c1", Role::Node, "n");
    let issued = newest.issue(&profile(Kind::Node), &node, &[], &request(), now()).unwrap();
    let chain = shardlift_pki::certificates_in(&issued.chain_pem).unwrap();
    let roots = shardlift_pki::certificates_in(&newest.ca_pem()).unwrap();
    let cluster = shardlift_pki::trust::ClusterTrust::new("c1".parse().unwrap(), &roots).unwrap();
    let domains = shardlift_pki::trust::TrustDomains { cluster, legacy: Vec::new() };
    let peer = domains.classify(&chain, now()).unwrap();
    assert_eq!((peer.issuer.as_str(), &peer.serial), ("issuing-10", &issued.serial));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (one, two) = (World::new("c1"), World::new("c1"));
    let swap = |file: &str| fs::copy(two.path("ca").join(file), one.path("ca").join(file)).map(drop).unwrap();
    swap("issuing-1.key");
    assert!(matches!(Authority::load(&one.path("ca"), &passphrase()), Err(AuthorityError::KeyMismatch(_))));
    swap("issuing-1.pem");
    assert!(matches!(Authority::load(&one.path("ca"), &passphrase()), Err(AuthorityError::NotSignedByRoot)));
    fs::write(one.path("ca/issuing-1.key"), "garbage").unwrap();
    assert!(matches!(Authority::load(&one.path("ca"), &passphrase()), Err(AuthorityError::NotAKey(_))));
    fs::remove_file(one.path("ca/issuing-1.pem")).unwrap();
    assert!(matches!(Authority::load(&one.path("ca"), &passphrase()), Err(AuthorityError::NoIssuingCa(_))));
}

#[test]
fn a_renewal_of_one_key_has_another_serial() {
    let world = World::new("c1");
    let request = request();
    let node = identity("c1", Role::Node, "n");
    let mut serials = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let issued = world.authority.issue(&profile(Kind::Node), &node, &[], &request, now()).unwrap();
        assert_eq!(issued.serial.len(), 32, "128 bits");
        assert!(serials.insert(issued.serial));
    }
}

#[test]
fn validity_comes_from_the_profile_and_ends_with_the_signer() {
    let world = World::new("c1");
    let node = identity("c1", Role::Node, "n");
    let issue = |profile: &Profile, at| world.authority.issue(profile, &node, &[], &request(), at);
    let issued = issue(&profile(Kind::Node), now()).unwrap();
    assert!((179..=180).contains(&(issued.not_after.since(now()).as_secs() / 86_400)));
    let long = issue(&profile(Kind::Node).with_validity(DAY * 9000), now()).unwrap();
    assert_eq!(long.not_after, world.authority.not_after().unwrap());
    let after = world.authority.not_after().unwrap().plus(Duration::from_secs(1));
    assert!(matches!(issue(&profile(Kind::Node), after), Err(AuthorityError::NotValidNow)));
    assert!(matches!(issue(&profile(Kind::Node), UnixMillis(0)), Err(AuthorityError::NotValidNow)));
}

#[test]
fn what_does_not_go_together_is_not_signed() {
    let world = World::new("c1");
    let node = identity("c1", Role::Node, "n");
    let host: Vec<CertifiedName> = vec!["a.example".parse().unwrap()];
    let issue = |profile: &Profile, identity, names: &[CertifiedName]| {
        world.authority.issue(profile, identity, names, &request(), now()).map(drop)
    };
    let wrong = issue(&profile(Kind::Shard), &node, &[]);
    assert!(matches!(wrong, Err(AuthorityError::WrongProfile { .. })), "{wrong:?}");
    assert!(matches!(issue(&profile(Kind::Root), &node, &[]), Err(AuthorityError::WrongProfile { .. })));
    assert!(matches!(issue(&profile(Kind::Node), &node, &host), Err(AuthorityError::HostNames(Kind::Node))));
    let other = identity("c2", Role::Node, "n");
    assert!(matches!(issue(&profile(Kind::Node), &other, &[]), Err(AuthorityError::OtherCluster(_))));
    let cluster = "c1".parse().unwrap();
    assert!(create_root(&cluster, &passphrase(), now(), &profile(Kind::Issuing)).is_err());
    let empty = create_root(&cluster, &Passphrase::from(""), now(), &profile(Kind::Root));
    assert!(matches!(empty, Err(AuthorityError::EmptyPassphrase)), "{empty:?}");
}

#[test]
fn host_names_are_checked() {
    for good in ["a.example", "*.backup.example", "localhost", "127.0.0.1", "::1"] {
        assert_eq!(good.parse::<CertifiedName>().unwrap().to_string(), good);
    }
    for bad in ["", "*", "*.", "*.example", "a.*.example", "**.a.example", "A.example", "a b", "-a.example"] {
        assert!(bad.parse::<CertifiedName>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn a_wildcard_serves_every_node_name() {
    let world = World::new("c1");
    let (key, csr) = create_key_and_request().unwrap();
    let names = ["*.backup.example".parse().unwrap()];
    let shard = identity("c1", Role::Shard, "a");
    let request = check(&csr).unwrap();
    let issued = world.authority.issue(&profile(Kind::Shard), &shard, &names, &request, now()).unwrap();
    let pair = crate::world::Pair { chain: issued.chain_pem, key };
    let paths = world.put("shard", &pair, &world.authority.ca_pem(), &[]);
    let server = shardlift_pki::tls::Credentials::load(paths).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = shardlift_pki::tls::server_only_config(&server, &[ALPN_HTTP2]).unwrap();
    let client = std::sync::Arc::new(crate::world::plain_client(&world.authority.ca_pem(), None));
    for (name, good) in [("node-7.backup.example", true), ("a.b.backup.example", false), ("backup.example", false)] {
        let connecting = async {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = rustls_pki_types::ServerName::try_from(name).unwrap();
            tokio_rustls::TlsConnector::from(client.clone()).connect(name, tcp).await.is_ok()
        };
        let accepting = async {
            let (tcp, from) = listener.accept().await.unwrap();
            let trust = tls.trust();
            // The client's verdict is the one that counts.
            drop(shardlift_pki::tls::handshake(tcp, Some(from), tls.config(), &trust).await);
        };
        assert_eq!(tokio::join!(connecting, accepting).0, good, "{name}");
    }
}

#[test]
fn long_and_foreign_names_are_carried_by_the_identity() {
    let world = World::new("c1");
    for name in ["büro_2/Haupt".to_owned(), format!("{}/{}", "x".repeat(99), "y".repeat(99))] {
        let node = identity("c1", Role::Node, &name);
        let issued = world.authority.issue(&profile(Kind::Node), &node, &[], &request(), now()).unwrap();
        assert_eq!(shardlift_pki::identity::identity_in(&issued.certificate_der).unwrap(), node);
        assert!(shardlift_pki::identity::common_name(&issued.certificate_der).unwrap().chars().count() <= 64);
        if has_openssl("long_and_foreign_names_are_carried_by_the_identity") {
            bundle::write(&world.path("n.pem"), &issued.chain_pem).unwrap();
            let verify = ["verify", "-x509_strict", "-CAfile", "ca/root.pem", "-untrusted", "n.pem", "n.pem"];
            openssl(world.folder.path(), &verify).unwrap();
        }
    }
}
