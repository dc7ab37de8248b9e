//! A receipt in words.

use super::{bytes, fields, instant, span};
use crate::receipts::{Judged, Outcome};
use shardlift_receipt::{Certificate, Copy, Facts, History, Receipt};

/// Said of what the controller had not recorded.
const ABSENT: &str = "not recorded";

/// The verdict on one file, and of a good one what it says.
pub(crate) fn receipt_text(judged: &Judged) -> String {
    let word = match judged.outcome {
        Outcome::Good => "good",
        Outcome::Refused => "DOES NOT VERIFY",
        Outcome::Unreadable => "CANNOT BE READ",
    };
    let verdict = match (&judged.reason, &judged.signed_by) {
        (Some(reason), _) => format!("{word}: {reason}"),
        (None, Some(by)) => format!("{word}: signed by {by}"),
        (None, None) => word.to_owned(),
    };
    let head = fields(&[("receipt", judged.file.display().to_string()), ("verdict", verdict)]);
    match &judged.receipt {
        Some(receipt) => head + &said(receipt),
        None => head,
    }
}

fn said(Receipt { issued, facts, .. }: &Receipt) -> String {
    let place = &facts.place;
    let plan = place.plan_revision.map_or_else(|| ABSENT.to_owned(), |revision| revision.to_string());
    fields(&[
        ("issued", instant(issued.at_unix_ms)),
        ("node", format!("{} of customer {}, {}", facts.node, facts.customer, facts.server_name)),
        ("moved", format!("from {} to {} in cluster {}", place.source, place.target, facts.cluster)),
        ("under", format!("batch {}, plan {plan}, generation {}, term {}", place.batch, place.generation, place.term)),
        ("objects", objects(facts)),
        ("digest", facts.source.digest.clone()),
        ("promoted", promoted(facts)),
        ("went along", went_along(facts)),
        ("read again", read_again(facts)),
        ("damage", damage(facts)),
        ("given up", given_up(facts)),
        ("certificate", certificate(facts.certificates.new.as_ref())),
        ("before", before(facts)),
        ("soak", soak(facts)),
        ("times", times(facts)),
        ("parked", parked(facts)),
        ("ordered by", ordered(facts)),
    ])
}

fn objects(facts: &Facts) -> String {
    let state = &facts.source;
    let equal = match facts.target.state {
        Some(_) => "equal at source and target",
        None => "at the source; what the target said is not recorded",
    };
    format!("{} with {}, {equal}, at change {}", state.objects, bytes(state.bytes), state.seq)
}

fn promoted(facts: &Facts) -> String {
    match (facts.target.promoted_seq, facts.target.snapshots) {
        (Some(seq), Some(snapshots)) => format!("at its own change {seq}, with {snapshots} snapshots"),
        _ => ABSENT.to_owned(),
    }
}

fn went_along(facts: &Facts) -> String {
    let side = |name: &str, history: Option<&History>| match history {
        None => format!("{name}: {ABSENT}"),
        Some(history) => {
            let count = |count: Option<u64>| count.map_or_else(|| ABSENT.to_owned(), |count| count.to_string());
            let quota =
                history.quota_bytes.map_or_else(|| "no quota".to_owned(), |quota| format!("quota {}", bytes(quota)));
            let append_only = if history.append_only { ", append-only" } else { "" };
            format!(
                "{name}: {} snapshots, runs: {}, password lines: {}, {} holds, {} certificates seen, {quota}{append_only}",
                history.snapshots,
                count(history.sessions),
                count(history.credentials),
                history.holds,
                history.certificates_seen
            )
        }
    };
    let both = &facts.history;
    format!("{}\n{}", side("source", both.source.as_ref()), side("target", both.target.as_ref()))
}

fn read(copy: Option<&Copy>) -> String {
    let Some(copy) = copy else { return ABSENT.to_owned() };
    let ended = copy.ended_unix_ms.map_or_else(String::new, |at| format!(", ended {}", instant(at)));
    let known = match copy.known_damaged {
        0 => String::new(),
        known => format!(", {known} known to be damaged"),
    };
    format!("{} objects, {}, good{known}{ended}", copy.objects, bytes(copy.bytes))
}

fn read_again(facts: &Facts) -> String {
    let deep = &facts.deep_verify;
    let before = deep.before.as_ref().map_or_else(
        || ABSENT.to_owned(),
        |state| format!("{} objects, {}, compared at change {}", state.objects, bytes(state.bytes), state.seq),
    );
    let (source, target) = (read(deep.source.as_ref()), read(deep.target.as_ref()));
    format!("target before the flip: {before}\nsource after it: {source}\ntarget after it: {target}")
}

fn damage(facts: &Facts) -> String {
    let by = facts.losses.damage_accepted_by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    match (facts.source.damaged, facts.losses.damage_accepted) {
        (0, false) => "none".to_owned(),
        (0, true) => format!("none; it would have been accepted{by}"),
        (damaged, _) => {
            format!("{damaged} objects were damaged at the source and were moved as they are, accepted{by}")
        }
    }
}

fn given_up(facts: &Facts) -> String {
    let one = |loss: &shardlift_receipt::GivenUp| {
        format!(
            "before this move, at {}: what {} stored after its change {}",
            instant(loss.at_unix_ms),
            loss.writer,
            loss.after_seq
        )
    };
    match facts.losses.given_up.as_slice() {
        [] => "nothing".to_owned(),
        losses => losses.iter().map(one).collect::<Vec<_>>().join("\n"),
    }
}

fn certificate(one: Option<&Certificate>) -> String {
    match one {
        None => ABSENT.to_owned(),
        Some(one) => {
            let issuer = one
                .issuer
                .as_deref()
                .map_or_else(|| "of an issuer that is not recorded".to_owned(), |issuer| format!("of {issuer}"));
            format!("{} {issuer}", one.serial)
        }
    }
}

fn before(facts: &Facts) -> String {
    match facts.certificates.old.as_deref() {
        None => ABSENT.to_owned(),
        Some([]) => "none was seen".to_owned(),
        Some(old) => old.iter().map(|one| certificate(Some(one))).collect::<Vec<_>>().join("\n"),
    }
}

fn soak(facts: &Facts) -> String {
    let soak = &facts.soak;
    let verdict = soak.verdict.as_deref().unwrap_or("no verdict");
    let forced = if soak.forced == Some(true) { ", released by force" } else { "" };
    let backup =
        soak.backup_seen_unix_ms.map_or_else(String::new, |at| format!(", first backup at the target {}", instant(at)));
    format!("{verdict}{forced}{backup}")
}

fn times(facts: &Facts) -> String {
    let times = &facts.times;
    let all = [
        ("planned", times.planned_unix_ms),
        ("started", times.started_unix_ms),
        ("seeded", times.seeded_unix_ms),
        ("ready", times.ready_unix_ms),
        ("fenced", times.fenced_unix_ms),
        ("sealed", times.sealed_unix_ms),
        ("committed", times.committed_unix_ms),
        ("promoted", times.promoted_unix_ms),
        ("flipped", times.flipped_unix_ms),
        ("released", times.released_unix_ms),
    ];
    let line = |(name, at): (&str, Option<u64>)| format!("{name:<9} {}", at.map_or_else(|| ABSENT.to_owned(), instant));
    all.map(line).join("\n")
}

fn parked(facts: &Facts) -> String {
    let (from, to) = (facts.times.fenced_unix_ms, facts.times.promoted_unix_ms);
    match from.zip(to).and_then(|(from, to)| to.checked_sub(from)) {
        Some(ms) if ms < 10_000 => format!("writes waited about {ms} ms"),
        Some(ms) => format!("writes waited about {}", span(ms)),
        None => ABSENT.to_owned(),
    }
}

fn ordered(facts: &Facts) -> String {
    let orders = &facts.ordered_by;
    let who = |who: &Option<String>| who.clone().unwrap_or_else(|| ABSENT.to_owned());
    format!("plan: {}\nstart: {}\nrelease: {}", who(&orders.planned), who(&orders.started), who(&orders.released))
}
