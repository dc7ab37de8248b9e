//! What a receipt says of a completed move: the recorded facts in the words of the receipt. Nothing is asked for and nothing is
//! made up: what was not recorded is absent.

use shardlift_migration::record::MoveTimes;
use shardlift_migration::{
    CertificateState, CompletedMove, CopyRead, FinalState, Node, SeenCertificate, SoakFacts, Verdict, World,
};
use shardlift_model::{NodeId, ShardId, UnixMillis};
use shardlift_receipt as receipt;
use shardlift_receipt::{
    Certificate, Certificates, Copy, Deep, Facts, GivenUp, Histories, History, Losses, Orders, Place, Soak, State,
    Target, Times,
};

/// The facts of one completed move.
pub(crate) fn facts(world: &World, node: &NodeId, done: &CompletedMove) -> Facts {
    let (commit, soak) = (&done.commit, &done.soak);
    Facts {
        cluster: world.cluster.clone(),
        node: node.clone(),
        customer: done.customer.clone(),
        server_name: done.server_name.clone(),
        place: Place {
            source: done.source.clone(),
            target: done.target.clone(),
            batch: done.batch.clone(),
            plan_revision: done.plan_revision,
            generation: commit.generation.0,
            term: commit.term.0,
            route_version: done.route_version,
        },
        source: state(&commit.source),
        target: Target {
            state: commit.target.as_ref().map(state),
            promoted_seq: commit.promoted.map(|promoted| promoted.seq),
            snapshots: commit.promoted.map(|promoted| promoted.snapshots),
        },
        history: Histories { source: history(soak, &done.source), target: history(soak, &done.target) },
        deep_verify: Deep {
            before: done.compared.as_ref().map(state),
            source: copy(soak, &done.source),
            target: copy(soak, &done.target),
        },
        losses: losses(done),
        certificates: certificates(done),
        soak: Soak {
            verdict: done.verdict.as_ref().map(verdict),
            forced: done.orders.forced,
            backup_seen_unix_ms: soak.backup_seen.map(millis),
        },
        times: times(&done.times),
        ordered_by: Orders {
            planned: done.orders.planned_by.clone(),
            started: done.orders.started_by.clone(),
            released: done.orders.released_by.clone(),
        },
    }
}

fn millis(at: UnixMillis) -> u64 {
    at.0
}

fn state(state: &FinalState) -> State {
    let FinalState { seq, root, objects, bytes, damaged } = *state;
    State { seq, digest: hex::encode(root.0), objects, bytes, damaged }
}

fn history(soak: &SoakFacts, shard: &ShardId) -> Option<History> {
    let seen = soak.histories.get(shard)?;
    Some(History {
        snapshots: seen.snapshots,
        sessions: seen.sessions,
        credentials: seen.credentials,
        quota_bytes: seen.quota_bytes,
        append_only: seen.append_only,
        holds: seen.holds,
        holds_sha256: hex::encode(seen.holds_sha256.0),
        certificates_seen: seen.certificates_seen,
    })
}

fn copy(soak: &SoakFacts, shard: &ShardId) -> Option<Copy> {
    let CopyRead { begun_at, ended_at, objects, bytes, known_damaged } = soak.reads.get(shard)?.clone();
    Some(Copy {
        begun_unix_ms: begun_at.map(millis),
        ended_unix_ms: ended_at.map(millis),
        objects,
        bytes,
        known_damaged,
    })
}

fn losses(done: &CompletedMove) -> Losses {
    let given_up = |one: &shardlift_migration::record::GivenUp| GivenUp {
        at_unix_ms: one.at.0,
        writer: one.writer.clone(),
        after_seq: one.after_seq,
        generation: one.generation.0,
    };
    Losses {
        damage_accepted: done.commit.damage_accepted,
        damage_accepted_by: done.damage_accepted_by.clone(),
        given_up: done.given_up.iter().map(given_up).collect(),
    }
}

/// The new one is the one that the gate before the flip has seen; all others that either side has seen are old.
fn certificates(done: &CompletedMove) -> Certificates {
    let histories = [&done.target, &done.source].map(|shard| done.soak.histories.get(shard));
    let mut seen: Vec<&SeenCertificate> = Vec::new();
    for one in histories.iter().flatten().flat_map(|history| &history.certificates) {
        if !seen.iter().any(|other| (&other.issuer, &other.serial) == (&one.issuer, &one.serial)) {
            seen.push(one);
        }
    }
    let named = |one: &SeenCertificate| Certificate {
        issuer: Some(one.issuer.clone()),
        serial: one.serial.clone(),
        last_seen_unix_ms: Some(one.last_seen_at.0),
    };
    let serial = match &done.certificate {
        CertificateState::InUse { serial } => Some(serial.clone()),
        CertificateState::None | CertificateState::TokenCreated | CertificateState::Issued { .. } => None,
    };
    let is_new = |one: &SeenCertificate| {
        one.issuer != shardlift_pki::trust::LEGACY_ISSUER && serial.as_deref() == Some(one.serial.as_str())
    };
    let new = serial.as_ref().map(|serial| {
        let unseen = || Certificate { issuer: None, serial: serial.clone(), last_seen_unix_ms: None };
        seen.iter().find(|one| is_new(one)).map_or_else(unseen, |one| named(one))
    });
    let old = histories.iter().any(Option::is_some).then(|| {
        let mut old: Vec<Certificate> = seen.iter().filter(|one| !is_new(one)).map(|one| named(one)).collect();
        old.sort_by_key(|one| std::cmp::Reverse(one.last_seen_unix_ms));
        old
    });
    Certificates { new, old }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good => "good".to_owned(),
        Verdict::Bad { reason } => format!("bad: {reason}"),
    }
}

fn times(times: &MoveTimes) -> Times {
    let of = |at: Option<UnixMillis>| at.map(millis);
    Times {
        planned_unix_ms: of(times.planned),
        started_unix_ms: of(times.started),
        seeded_unix_ms: of(times.seeded),
        ready_unix_ms: of(times.ready),
        fenced_unix_ms: of(times.fenced),
        sealed_unix_ms: of(times.sealed),
        committed_unix_ms: of(times.committed),
        promoted_unix_ms: of(times.promoted),
        flipped_unix_ms: of(times.flipped),
        released_unix_ms: of(times.released),
    }
}

/// Why a node has no receipt for its present or last move, in words, with what to do.
pub(crate) fn missing(world: &World, node: &Node, waits: Option<&String>, now: UnixMillis) -> String {
    let name = &node.node;
    if !node.receipts_due.is_empty() {
        let why = waits.map_or_else(|| "try again in a moment".to_owned(), |why| format!("it waits: {why}"));
        return format!("the move of {name} is complete and its receipt is being made\n{why}");
    }
    let Some(moving) = &node.migration else {
        return format!("node {name} has never moved: there is nothing to give a receipt for");
    };
    let (phase, target) = (moving.phase(), &moving.target);
    match phase {
        shardlift_migration::Phase::RolledBack | shardlift_migration::Phase::RollingBack => {
            let to = &moving.source;
            format!(
                "the move of {name} to {target} was taken back to {to}: such a move has no receipt\n`shardlift node explain {name}` tells what happened"
            )
        }
        shardlift_migration::Phase::Aborted | shardlift_migration::Phase::Undoing => {
            format!("node {name} left its batch before the commit and stays where it was: there is no receipt")
        }
        _ => {
            let batch = world.batches.get(&moving.batch);
            let soaks = batch.filter(|_| moving.is_soaking());
            let left = soaks.map(|batch| world.soak_missing(batch, now)).unwrap_or_default();
            let lacks = match (soaks, left.as_slice()) {
                (None, _) => format!("`shardlift node explain {name}` says what it waits for"),
                (Some(batch), []) => format!("an operator ends the soak: `shardlift batch release {}`", batch.batch),
                (Some(_), left) => format!("the soak still has to show: {}", left.join("; ")),
            };
            format!("the move of {name} to {target} is {phase}; a receipt is made when its soak has ended\n{lacks}")
        }
    }
}

/// What has become of a node since one of its receipts; empty: nothing.
pub(crate) fn since(node: &Node, of: &shardlift_migration::IssuedReceipt) -> String {
    if node.generation != of.generation {
        let (generation, shard) = (node.generation.0, &node.shard);
        return format!("since then the node has moved on: generation {generation}, on {shard}");
    }
    match node.migration.as_ref().filter(|moving| !moving.stage.is_over()) {
        Some(moving) => format!("the node is {} again, from {} to {}", moving.phase(), moving.source, moving.target),
        None => String::new(),
    }
}

/// The file of a receipt that is known to be the node's, checked once more before it is recorded.
pub(crate) fn is_good(
    text: &str,
    node: &NodeId,
    roots: &[rustls::pki_types::CertificateDer<'static>],
) -> Result<(), String> {
    let verified = receipt::verify(text.as_bytes(), roots).map_err(|doubt| shardlift_api::fault::chain(&doubt))?;
    if verified.receipt.facts.node == *node { Ok(()) } else { Err("it is about another node".to_owned()) }
}

#[cfg(test)]
mod tests;
