//! Runs the cases, one after the other.

use super::case::{Action, Case, Needs, Step};
use super::cases;
use super::expect::Expect;
use super::peer::{Peer, Protocol, Which};
use super::report::{Report, Row, Verdict};
use super::request::Request;
use super::wire::{HalfUpload, Seen, exchange};
use anyhow::Result;
use futures::future::try_join_all;

/// Runs every case that applies to `peer`, over each of its protocols. A case that cannot be carried out (no connection,
/// no answer in time) is a wrong row, not an end of the run.
pub async fn run(peer: &Peer) -> Report {
    let mut rows = Vec::new();
    for protocol in &peer.protocols {
        for case in cases::all(peer, *protocol).into_iter().filter(|case| case.mode == peer.mode) {
            rows.push(run_case(peer, *protocol, &case).await);
        }
    }
    Report { peer: peer.name.clone(), rows }
}

fn lacking(peer: &Peer, protocol: Protocol, case: &Case) -> Option<&'static str> {
    case.needs.iter().find_map(|needs| match needs {
        Needs::Password if peer.owner.basic.is_none() => Some("no passwords"),
        Needs::OtherAccount if peer.other.is_none() => Some("no private repositories"),
        Needs::OwnRepository if peer.repository.is_some() => Some("one repository for all cases"),
        Needs::Http1 if protocol != Protocol::Http1 => Some("a matter of HTTP/1.1"),
        Needs::ExclusiveCreate if peer.which == Which::Rclone => Some("rclone looks first and writes then"),
        _ => None,
    })
}

async fn run_case(peer: &Peer, protocol: Protocol, case: &Case) -> Row {
    let expect = |step: &Step| step.expected.of(peer.which).to_string();
    let departures = case.steps.iter().flat_map(|step| &step.expected.why);
    let mut row = Row {
        case: case.id,
        says: case.says,
        protocol,
        expected: case.steps.iter().map(expect).collect::<Vec<_>>().join(" "),
        seen: String::new(),
        verdict: Verdict::Ok,
        departures: departures.filter(|(which, _)| *which == peer.which).map(|(_, why)| *why).collect(),
        differs_from_ours: case.departs(peer.which),
    };
    if let Some(reason) = lacking(peer, protocol, case) {
        row.verdict = Verdict::NotApplicable(reason);
        return row;
    }
    let mut held = None;
    let mut seen = Vec::new();
    // A wrong answer does not end the case: what follows shows what it has led to.
    let mut objections = Vec::new();
    for (number, step) in case.steps.iter().enumerate() {
        let outcome = run_step(peer, protocol, step).await;
        // What was held open before this step has now been there for all of it.
        if let Some(upload) = held.take() {
            HalfUpload::vanish(upload);
        }
        match outcome {
            Ok(done) => {
                seen.extend(done.seen);
                held = done.held;
                objections.extend(done.objection.map(|objection| format!("step {}: {objection}", number + 1)));
            }
            Err(error) => {
                objections.push(format!("step {}: {error:#}", number + 1));
                break;
            }
        }
    }
    if !objections.is_empty() {
        row.verdict = Verdict::Wrong(objections.join("; "));
    }
    row.seen = seen.join(" ");
    row
}

#[derive(Default)]
struct Done {
    seen: Vec<String>,
    objection: Option<String>,
    held: Option<HalfUpload>,
}

async fn run_step(peer: &Peer, protocol: Protocol, step: &Step) -> Result<Done> {
    let expect = step.expected.of(peer.which);
    match &step.action {
        Action::Ask(request) => {
            let answer = exchange(peer, request, protocol).await?;
            Ok(Done { seen: vec![answer.short()], objection: expect.objection(&answer), held: None })
        }
        Action::Race { requests, winners } => race(peer, protocol, requests, *winners, expect).await,
        Action::HoldUpload(request) => {
            Ok(Done { held: Some(HalfUpload::begin(peer, request).await?), ..Done::default() })
        }
    }
}

async fn race(peer: &Peer, protocol: Protocol, requests: &[Request], winners: usize, expect: &Expect) -> Result<Done> {
    let answers = try_join_all(requests.iter().map(|request| exchange(peer, request, protocol))).await?;
    let won = |answer: &&Seen| matches!(answer, Seen::Answer(answer) if answer.status == 200);
    let count = answers.iter().filter(won).count();
    // The reference answers 403 to those that come later, and how many come later is luck.
    let right = if peer.which == Which::RestServer { (1..=winners).contains(&count) } else { count == winners };
    let objection = if right {
        answers.iter().filter(|answer| !won(answer)).find_map(|answer| expect.objection(answer))
    } else {
        Some(format!("{count} answers of 200 instead of {winners}"))
    };
    let mut seen: Vec<String> = answers.iter().map(Seen::short).collect();
    seen.sort();
    Ok(Done { seen: vec![format!("[{}]", seen.join(","))], objection, held: None })
}
