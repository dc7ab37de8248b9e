//! Receipts as files, judged by the command itself.

use super::*;
use crate::exit::Exit;
use shardlift_model::{Identity, Role, UnixMillis};
use shardlift_pki::authority::Authority;
use shardlift_pki::bundle;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{CredentialPaths, Credentials};

fn facts() -> Facts {
    let state =
        r#"{"seq":41,"digest":"DIGEST","objects":9,"bytes":900,"damaged":0}"#.replace("DIGEST", &"0a".repeat(32));
    let text = r#"{
        "cluster":"c1","node":"acme/web-1","customer":"acme","server_name":"web-1.backup.example",
        "place":{"source":"old","target":"b","batch":"canary","plan_revision":3,"generation":2,"term":7,"route_version":12},
        "source":STATE,"target":{"state":STATE,"promoted_seq":50,"snapshots":3},
        "history":{"source":null,"target":{"snapshots":3,"sessions":4,"credentials":1,"quota_bytes":1024,
            "append_only":true,"holds":1,"holds_sha256":"00","certificates_seen":2}},
        "deep_verify":{"before":STATE,"source":null,"target":{"begun_unix_ms":5,"ended_unix_ms":6,"objects":9,"bytes":900,"known_damaged":0}},
        "losses":{"damage_accepted":false,"damage_accepted_by":null,
            "given_up":[{"at_unix_ms":1000,"writer":"x","after_seq":8,"generation":1}]},
        "certificates":{"new":{"issuer":"issuing-1","serial":"4a","last_seen_unix_ms":9},
            "old":[{"issuer":"legacy","serial":"07","last_seen_unix_ms":3}]},
        "soak":{"verdict":"good","forced":false,"backup_seen_unix_ms":2000},
        "times":{"planned_unix_ms":1000,"started_unix_ms":2000,"seeded_unix_ms":3000,"ready_unix_ms":4000,
            "fenced_unix_ms":5000,"sealed_unix_ms":5100,"committed_unix_ms":5200,"promoted_unix_ms":5300,
            "flipped_unix_ms":6000,"released_unix_ms":null},
        "ordered_by":{"planned":"operator ann","started":null,"released":"operator bob"}
    }"#;
    serde_json::from_str(&text.replace("STATE", &state)).unwrap()
}

/// A cluster's CA with a receipt of its controller.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        shardlift_pki::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (cluster, now) = ("c1".parse().unwrap(), crate::output::now());
        let authority = Authority::init(&path("authority"), &cluster, &"open".into(), now).unwrap();
        let (key, csr) = create_key_and_request().unwrap();
        let identity = Identity::new(cluster, Role::Controller, "ctl").unwrap();
        let profile = Profile::built_in(Kind::Controller).unwrap();
        let issued = authority.issue(&profile, &identity, &[], &check(&csr).unwrap(), now).unwrap();
        let paths = CredentialPaths {
            certificate: path("controller.pem"),
            key: path("controller.key"),
            ca: path("ca.pem"),
            legacy_ca: Vec::new(),
        };
        bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
        bundle::write_private(&paths.key, &key).unwrap();
        bundle::write(&paths.ca, &authority.ca_pem()).unwrap();
        let signer = Credentials::load(paths).unwrap().statement_signer().unwrap();
        let text = shardlift_receipt::issue(facts(), &signer, now).unwrap();
        bundle::write(&path("good.json"), &text).unwrap();
        bundle::write(&path("changed.json"), &text.replacen('A', "B", 1)).unwrap();
        bundle::write(&path("none.json"), "{}\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, files: &[&str], against: &[&str]) -> VerifyReceipts {
        VerifyReceipts {
            files: files.iter().map(|name| self.path(name)).collect(),
            ca: self.path("ca.pem"),
            against: against.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn exit(&self, files: &[&str], against: &[&str]) -> Option<Exit> {
        verify(Format::Json, &self.arguments(files, against)).err().map(|failure| failure.exit)
    }
}

#[test]
fn the_exit_code_tells_good_from_wrong_from_unreadable() {
    let desk = Desk::new();
    assert_eq!(desk.exit(&["good.json"], &[]), None);
    assert_eq!(desk.exit(&["good.json", "good.json"], &[]), None);
    assert_eq!(desk.exit(&["changed.json"], &[]), Some(Exit::Problems));
    assert_eq!(desk.exit(&["none.json"], &[]), Some(Exit::Unreadable));
    assert_eq!(desk.exit(&["not-there.json"], &[]), Some(Exit::Unreadable));
    assert_eq!(desk.exit(&["good.json", "none.json"], &[]), Some(Exit::Unreadable));
    assert_eq!(desk.exit(&["none.json", "changed.json", "good.json"], &[]), Some(Exit::Problems));
    bundle::write(&desk.path("large.json"), &" ".repeat(300 * 1024)).unwrap();
    assert_eq!(desk.exit(&["large.json"], &[]), Some(Exit::Unreadable));
}

#[test]
fn a_ca_that_is_none_is_a_mistake_of_the_caller() {
    let desk = Desk::new();
    for ca in ["good.json", "not-there.pem", "controller.key"] {
        let arguments = VerifyReceipts { ca: desk.path(ca), ..desk.arguments(&["good.json"], &[]) };
        let failure = verify(Format::Json, &arguments).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{ca}: {failure}");
    }
    let other = Desk::new();
    let arguments = VerifyReceipts { ca: other.path("ca.pem"), ..desk.arguments(&["good.json"], &[]) };
    assert_eq!(verify(Format::Json, &arguments).unwrap_err().exit, Exit::Problems);
}

#[test]
fn a_good_receipt_about_something_else_is_refused() {
    let desk = Desk::new();
    let digest = format!("digest={}", "0a".repeat(32));
    let right = [
        "node=acme/web-1",
        "customer=acme",
        "cluster=c1",
        "source=old",
        "target=b",
        "batch=canary",
        "plan=3",
        "generation=2",
        &digest,
    ];
    assert_eq!(right.len(), Fact::ALL.len());
    assert_eq!(desk.exit(&["good.json"], &right), None);
    for one in right {
        let other = format!("{one}0");
        assert_eq!(desk.exit(&["good.json"], &[&other]), Some(Exit::Problems), "{other}");
    }
    for text in ["node", "node=", "colour=red", "=x"] {
        assert!(text.parse::<Expected>().is_err(), "{text}");
    }
}

#[test]
fn a_summary_says_what_was_accepted_and_what_is_not_recorded() {
    let desk = Desk::new();
    let roots = roots(&desk.path("ca.pem")).unwrap();
    let good = receipt_text(&judge(&desk.path("good.json"), &roots, &[]));
    for part in [
        "good: signed by controller ctl, certificate",
        "acme/web-1 of customer acme",
        "from old to b in cluster c1",
        "batch canary, plan 3, generation 2, term 7",
        "9 with 900 B, equal at source and target, at change 41",
        "source: not recorded",
        "target before the flip: 9 objects, 900 B, compared at change 41",
        "what x stored after its change 8",
        "07 of legacy",
        "released  not recorded",
        "writes waited about 300 ms",
        "start: not recorded",
        "release: operator bob",
    ] {
        assert!(good.contains(part), "{part:?} is not in\n{good}");
    }
    let changed = receipt_text(&judge(&desk.path("changed.json"), &roots, &[]));
    assert!(changed.contains("DOES NOT VERIFY: it") && !changed.contains("acme"), "{changed}");
    assert_eq!(changed.lines().count(), 2, "one clear line: {changed}");
    let none = receipt_text(&judge(&desk.path("none.json"), &roots, &[]));
    assert!(none.contains("CANNOT BE READ: it is no signed envelope"), "{none}");
    let at = UnixMillis(judge(&desk.path("good.json"), &roots, &[]).receipt.unwrap().issued.at_unix_ms);
    assert!(at <= crate::output::now());
}
