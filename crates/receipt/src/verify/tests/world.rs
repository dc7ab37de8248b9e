//! A cluster that issues receipts, honest ones and others.

use super::super::*;
use crate::Issued;
use crate::facts::*;
use shardlift_model::Identity;
use shardlift_pki::authority::Authority;
use shardlift_pki::envelope::StatementSigner;
use shardlift_pki::profile::{Kind, Profile};
use shardlift_pki::request::{check, create_key_and_request};
use shardlift_pki::tls::{CredentialPaths, Credentials};
use shardlift_pki::{Passphrase, bundle, certificates_in};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

pub(super) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis(since.as_millis().try_into().unwrap())
}

/// A cluster's CA and whom it certifies.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) authority: Authority,
    cluster: &'static str,
}

impl World {
    pub(super) fn new(cluster: &'static str) -> Self {
        shardlift_pki::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let authority = Authority::init(&ca, &cluster.parse().unwrap(), &Passphrase::from("open"), now()).unwrap();
        Self { folder, authority, cluster }
    }

    pub(super) fn roots(&self) -> Vec<CertificateDer<'static>> {
        certificates_in(&self.authority.ca_pem()).unwrap()
    }

    pub(super) fn signer(&self, role: Role) -> StatementSigner {
        let (key, csr) = create_key_and_request().unwrap();
        let profile = Profile::built_in(Kind::from(role)).unwrap().with_validity(Duration::from_secs(86_400));
        let identity = Identity::new(self.cluster.parse().unwrap(), role, "one").unwrap();
        let issued = self.authority.issue(&profile, &identity, &[], &check(&csr).unwrap(), now()).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{role}.{end}"));
        let paths =
            CredentialPaths { certificate: path("pem"), key: path("key"), ca: path("ca"), legacy_ca: Vec::new() };
        bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
        bundle::write_private(&paths.key, &key).unwrap();
        bundle::write(&paths.ca, &self.authority.ca_pem()).unwrap();
        Credentials::load(paths).unwrap().statement_signer().unwrap()
    }
}

/// The world of most tests: making a CA takes its time.
pub(super) fn world() -> &'static (World, StatementSigner) {
    static WORLD: OnceLock<(World, StatementSigner)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let world = World::new("c1");
        let signer = world.signer(Role::Controller);
        (world, signer)
    })
}

pub(super) fn state() -> State {
    State { seq: 41, digest: "0a".repeat(32), objects: 9, bytes: 900, damaged: 0 }
}

pub(super) fn read_copy(known_damaged: u64) -> Option<Copy> {
    Some(Copy { begun_unix_ms: Some(5), ended_unix_ms: Some(6), objects: 9, bytes: 900, known_damaged })
}

pub(super) fn facts() -> Facts {
    let history = || History {
        snapshots: 3,
        sessions: Some(4),
        credentials: Some(1),
        quota_bytes: None,
        append_only: true,
        holds: 1,
        holds_sha256: "0b".repeat(32),
        certificates_seen: 2,
    };
    Facts {
        cluster: "c1".parse().unwrap(),
        node: "acme/web-1".parse().unwrap(),
        customer: "acme".parse().unwrap(),
        server_name: "web-1.backup.example".parse().unwrap(),
        place: Place {
            source: "old".parse().unwrap(),
            target: "b".parse().unwrap(),
            batch: "canary".parse().unwrap(),
            plan_revision: Some(3),
            generation: 2,
            term: 7,
            route_version: Some(12),
        },
        source: state(),
        target: Target { state: Some(state()), promoted_seq: Some(50), snapshots: Some(3) },
        history: Histories { source: Some(history()), target: Some(history()) },
        deep_verify: Deep { before: Some(state()), source: read_copy(0), target: read_copy(0) },
        losses: Losses { damage_accepted: false, damage_accepted_by: None, given_up: Vec::new() },
        certificates: Certificates {
            new: Some(Certificate {
                issuer: Some("issuing-1".into()),
                serial: "4a".into(),
                last_seen_unix_ms: Some(9),
            }),
            old: Some(Vec::new()),
        },
        soak: Soak { verdict: Some("good".into()), forced: Some(false), backup_seen_unix_ms: Some(8) },
        times: Times {
            planned_unix_ms: Some(1),
            started_unix_ms: Some(2),
            seeded_unix_ms: Some(3),
            ready_unix_ms: Some(4),
            fenced_unix_ms: Some(5),
            sealed_unix_ms: Some(6),
            committed_unix_ms: Some(7),
            promoted_unix_ms: Some(8),
            flipped_unix_ms: Some(9),
            released_unix_ms: None,
        },
        ordered_by: Orders { planned: Some("operator `ann`".into()), started: None, released: None },
    }
}

pub(super) fn receipt(signer: &StatementSigner, at: UnixMillis, facts: Facts) -> Receipt {
    let issued = Issued {
        at_unix_ms: at.0,
        by: signer.identity().to_uri(),
        serial: signer.serial().unwrap(),
        chain_sha256: signer.chain_sha256(),
    };
    Receipt { format: FORMAT, issued, facts }
}

/// Signs whatever it is given: what an honest controller would not.
pub(super) fn forge(signer: &StatementSigner, change: impl FnOnce(&mut Receipt)) -> String {
    let mut receipt = receipt(signer, now(), facts());
    change(&mut receipt);
    signer.sign(PAYLOAD_TYPE, &serde_json::to_vec(&receipt).unwrap()).unwrap()
}

pub(super) fn signer_of(world: &World, identity: &Identity) -> StatementSigner {
    let (key, csr) = create_key_and_request().unwrap();
    let profile = Profile::built_in(Kind::from(identity.role())).unwrap();
    let issued = world.authority.issue(&profile, identity, &[], &check(&csr).unwrap(), now()).unwrap();
    let path = |end: &str| world.folder.path().join(format!("member.{end}"));
    let paths = CredentialPaths { certificate: path("pem"), key: path("key"), ca: path("ca"), legacy_ca: Vec::new() };
    bundle::write(&paths.certificate, &issued.chain_pem).unwrap();
    bundle::write_private(&paths.key, &key).unwrap();
    bundle::write(&paths.ca, &world.authority.ca_pem()).unwrap();
    Credentials::load(paths).unwrap().statement_signer().unwrap()
}
