//! Engine values <-> messages. What comes from outside is checked here, on its way in.

use crate::engine::{
    DeepVerifyState, FinalState, Hold, Mode, NodeSnapshot, ReplicaPhase, SeenCertificate, SessionEnd, SessionRecord,
    Settings, VerifiedRecord,
};
use crate::engine::{HOLD_TEXT_BYTES_MAX, HOLDS_MAX};
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::{convert, v1};
use shardlift_model::{ByteCount, UnixMillis};

/// Most sessions that a node brings along.
const SESSIONS_MAX: usize = 100_000;

/// Most certificates that a node brings along.
const CERTIFICATES_MAX: usize = 10_000;

/// Longest issuer or serial in bytes.
const CERTIFICATE_TEXT_BYTES_MAX: usize = 256;

fn invalid(what: &str) -> Fault {
    Fault::new(FaultKind::Invalid, what)
}

/// A node as the controller sees it. `replica` is what a running job says; without one, what was persisted.
pub(crate) fn node_status(snapshot: &NodeSnapshot, replica: Option<v1::Replica>, connections: u64) -> v1::NodeStatus {
    v1::NodeStatus {
        node: snapshot.node.to_string(),
        mode: mode(&snapshot.mode).into(),
        generation: snapshot.generation.0,
        token: Some(snapshot.token.into()),
        settings: Some(settings_message(&snapshot.settings)),
        seq: snapshot.seq,
        objects: snapshot.objects,
        bytes: snapshot.bytes,
        snapshots: snapshot.snapshots,
        locks: snapshot.locks,
        newest_lock_unix_ms: snapshot.newest_lock.map_or(0, |at| at.0),
        requests_in_flight: snapshot.requests_in_flight,
        open_connections: connections,
        last_snapshot_unix_ms: snapshot.last_snapshot.map_or(0, |at| at.0),
        seen_certificates: snapshot.seen_certificates.iter().map(certificate_message).collect(),
        replica: replica.or_else(|| persisted_replica(snapshot)),
        damaged: snapshot.damaged,
        missing: snapshot.missing,
        promoted_seq: snapshot.promoted_seq,
        forwards_to: snapshot.forward.as_ref().map(|forward| forward.shard.to_string()).unwrap_or_default(),
        forwarding: snapshot.forwarding,
        deep_verify: snapshot.deep_verify.as_ref().map(|state| deep_verify(state, snapshot)),
    }
}

/// What there is to read grows and shrinks with the node until all is read.
fn deep_verify(state: &DeepVerifyState, snapshot: &NodeSnapshot) -> v1::DeepVerify {
    let DeepVerifyState { record, bytes_per_second, waiting_for } = state;
    let total = |now: u64, read: u64| if record.ended_at.is_some() { read } else { now.max(read) };
    v1::DeepVerify {
        token: Some(record.token.into()),
        run: record.run,
        objects_total: total(snapshot.objects, record.objects_read),
        objects_read: record.objects_read,
        bytes_total: total(snapshot.bytes, record.bytes_read),
        bytes_read: record.bytes_read,
        damaged: record.damaged,
        missing: record.missing,
        known_damaged: record.known_damaged,
        names: record.names.iter().map(ToString::to_string).collect(),
        begun_unix_ms: record.begun_at.0,
        ended_unix_ms: record.ended_at.map_or(0, |at| at.0),
        bytes_per_second: *bytes_per_second,
        waiting_for: waiting_for.clone(),
        failure: record.failure.clone().unwrap_or_default(),
    }
}

fn mode(mode: &Mode) -> v1::NodeMode {
    match mode {
        Mode::Serving => v1::NodeMode::Serving,
        Mode::Fenced => v1::NodeMode::Fenced,
        Mode::Sealed { .. } => v1::NodeMode::Sealed,
        Mode::Incoming { .. } | Mode::Stocked { .. } => v1::NodeMode::Incoming,
        Mode::Retired { .. } => v1::NodeMode::Retired,
        Mode::Discarded => v1::NodeMode::Discarded,
        Mode::Quarantined { .. } => v1::NodeMode::Quarantined,
    }
}

fn persisted_replica(snapshot: &NodeSnapshot) -> Option<v1::Replica> {
    let record = snapshot.replica.as_ref()?;
    let (source, waiting_for) = match &snapshot.mode {
        Mode::Incoming { source, .. } => (source, "its job to start"),
        Mode::Stocked { source, .. } => (source, "its promotion: its stock was taken"),
        _ => return None,
    };
    Some(v1::Replica {
        phase: phase(record.phase).into(),
        source: source.to_string(),
        objects_done: snapshot.objects,
        bytes_done: snapshot.bytes,
        applied_seq: record.applied_seq,
        damaged_at_source: record.damaged_at_source,
        waiting_for: waiting_for.to_owned(),
        verified: record.verified.as_ref().map(verified),
        failure: record.failure.clone().unwrap_or_default(),
        ..v1::Replica::default()
    })
}

pub(crate) fn phase(phase: ReplicaPhase) -> v1::ReplicaPhase {
    match phase {
        ReplicaPhase::Seeding => v1::ReplicaPhase::Seeding,
        ReplicaPhase::Following => v1::ReplicaPhase::Following,
        ReplicaPhase::Complete => v1::ReplicaPhase::Complete,
    }
}

pub(crate) fn verified(record: &VerifiedRecord) -> v1::Verified {
    v1::Verified {
        digest: Some(final_message(&record.state)),
        objects_read: record.objects_read,
        bytes_read: record.bytes_read,
    }
}

pub(crate) fn final_message(state: &FinalState) -> v1::NodeDigest {
    v1::NodeDigest {
        seq: state.seq,
        root: state.root.0.to_vec(),
        objects: state.objects,
        bytes: state.bytes,
        damaged: state.damaged,
    }
}

/// The final state in a command; every command that has one needs it.
pub(crate) fn final_state(message: Option<v1::NodeDigest>) -> Result<FinalState, Fault> {
    let message = message.ok_or_else(|| invalid("final: the command needs one"))?;
    Ok(FinalState {
        seq: message.seq,
        root: convert::sha256(&message.root)?,
        objects: message.objects,
        bytes: message.bytes,
        damaged: message.damaged,
    })
}

pub(crate) fn settings_message(settings: &Settings) -> v1::NodeSettings {
    let text = |name: Option<String>| name.unwrap_or_default();
    v1::NodeSettings {
        customer: text(settings.customer.as_ref().map(ToString::to_string)),
        server_name: text(settings.server_name.as_ref().map(ToString::to_string)),
        quota_bytes: settings.quota.map_or(0, |quota| quota.0),
        append_only: settings.append_only,
        holds: settings.holds.iter().map(hold_message).collect(),
        legacy_credentials_ended: settings.legacy_credentials_ended,
    }
}

fn hold_message(hold: &Hold) -> v1::Hold {
    v1::Hold { id: hold.id.clone(), reason: hold.reason.clone(), placed_at_unix_ms: hold.placed_at.0 }
}

pub(crate) fn settings(message: v1::NodeSettings) -> Result<Settings, Fault> {
    if message.holds.len() > HOLDS_MAX {
        return Err(invalid("settings: more than 64 holds"));
    }
    let customer = match message.customer.as_str() {
        "" => None,
        text => Some(convert::name("customer", text)?),
    };
    let server_name = match message.server_name.as_str() {
        "" => None,
        text => Some(convert::name("server_name", text)?),
    };
    Ok(Settings {
        customer,
        server_name,
        quota: (message.quota_bytes > 0).then_some(ByteCount(message.quota_bytes)),
        append_only: message.append_only,
        holds: message.holds.into_iter().map(hold).collect::<Result<_, _>>()?,
        legacy_credentials_ended: message.legacy_credentials_ended,
    })
}

fn hold(message: v1::Hold) -> Result<Hold, Fault> {
    if message.id.is_empty() || message.id.len() > HOLD_TEXT_BYTES_MAX || message.reason.len() > HOLD_TEXT_BYTES_MAX {
        return Err(invalid("settings: a hold needs an id, and its texts have at most 1024 bytes"));
    }
    Ok(Hold { id: message.id, reason: message.reason, placed_at: UnixMillis(message.placed_at_unix_ms) })
}

pub(crate) fn certificate_message(certificate: &SeenCertificate) -> v1::SeenCertificate {
    v1::SeenCertificate {
        issuer: certificate.issuer.clone(),
        serial: certificate.serial.clone(),
        first_seen_unix_ms: certificate.first_seen.0,
        last_seen_unix_ms: certificate.last_seen.0,
    }
}

pub(crate) fn certificates(messages: Vec<v1::SeenCertificate>) -> Result<Vec<SeenCertificate>, Fault> {
    let fits = |text: &str| !text.is_empty() && text.len() <= CERTIFICATE_TEXT_BYTES_MAX;
    if messages.len() > CERTIFICATES_MAX || !messages.iter().all(|one| fits(&one.issuer) && fits(&one.serial)) {
        return Err(invalid("seen certificates: too many, or with texts that cannot be meant"));
    }
    Ok(messages
        .into_iter()
        .map(|one| SeenCertificate {
            issuer: one.issuer,
            serial: one.serial,
            first_seen: UnixMillis(one.first_seen_unix_ms),
            last_seen: UnixMillis(one.last_seen_unix_ms),
        })
        .collect())
}

/// The words in messages.
const SESSION_ENDS: [(SessionEnd, &str); 3] =
    [(SessionEnd::LockDeleted, "lock_deleted"), (SessionEnd::Idle, "idle"), (SessionEnd::Fenced, "fenced")];

pub(crate) fn session_message(session: &SessionRecord) -> v1::SessionRecord {
    let word = SESSION_ENDS.iter().find(|(end, _)| *end == session.end).map_or("", |(_, word)| word);
    v1::SessionRecord {
        started_at_unix_ms: session.started_at.0,
        ended_at_unix_ms: session.ended_at.0,
        end: word.to_owned(),
        objects_put: session.objects_put,
        bytes_put: session.bytes_put,
        objects_deleted: session.objects_deleted,
        bytes_read: session.bytes_read,
        errors: session.errors,
        snapshots_put: session.snapshots_put,
    }
}

pub(crate) fn sessions(messages: Vec<v1::SessionRecord>) -> Result<Vec<SessionRecord>, Fault> {
    if messages.len() > SESSIONS_MAX {
        return Err(invalid("sessions: too many"));
    }
    messages.into_iter().map(session).collect()
}

fn session(message: v1::SessionRecord) -> Result<SessionRecord, Fault> {
    let end = SESSION_ENDS.iter().find(|(_, word)| *word == message.end);
    Ok(SessionRecord {
        started_at: UnixMillis(message.started_at_unix_ms),
        ended_at: UnixMillis(message.ended_at_unix_ms),
        end: end.ok_or_else(|| invalid("session: its end is no known word"))?.0,
        objects_put: message.objects_put,
        bytes_put: message.bytes_put,
        objects_deleted: message.objects_deleted,
        bytes_read: message.bytes_read,
        errors: message.errors,
        snapshots_put: message.snapshots_put,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_wire() {
        let hold = Hold { id: "h1".into(), reason: "court".into(), placed_at: UnixMillis(5) };
        let all = Settings {
            customer: Some("acme".parse().unwrap()),
            server_name: Some("web-1.backup.example".parse().unwrap()),
            quota: Some(ByteCount(7)),
            append_only: true,
            holds: vec![hold],
            legacy_credentials_ended: true,
        };
        for one in [Settings::default(), all] {
            assert_eq!(settings(settings_message(&one)).unwrap(), one);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let of = |change: fn(&mut v1::NodeSettings)| {
            let mut message = v1::NodeSettings::default();
            change(&mut message);
            settings(message).map_err(|fault| fault.kind())
        };
        assert!(of(|_| ()).is_ok());
        assert_eq!(of(|s| s.customer = "../x".into()), Err(FaultKind::Invalid));
        assert_eq!(of(|s| s.server_name = "UPPER".into()), Err(FaultKind::Invalid));
        assert_eq!(of(|s| s.holds = vec![v1::Hold::default(); 1]), Err(FaultKind::Invalid));
        assert_eq!(
            of(|s| s.holds = vec![v1::Hold { id: "x".into(), ..Default::default() }; 65]),
            Err(FaultKind::Invalid)
        );
        assert!(session(v1::SessionRecord { end: "other".into(), ..Default::default() }).is_err());
        assert!(certificates(vec![v1::SeenCertificate::default()]).is_err());
        assert!(final_state(None).is_err());
        assert!(final_state(Some(v1::NodeDigest { root: vec![0; 31], ..Default::default() })).is_err());
    }
}
