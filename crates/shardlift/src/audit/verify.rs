//! Checks a log offline: files, a root certificate and a head that was kept; a verdict out.

use super::files::{Line, segments};
use super::note;
use crate::cli::{Format, VerifyAudit};
use crate::exit::{Exit, Failure};
use crate::output::{clean, print};
use crate::receipts::roots;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use shardlift_api::fault::chain;
use shardlift_audit::{Check, Fault, Head, PAYLOAD_TYPE, Report, Signed, Statement, write_instant};
use shardlift_model::Role;
use shardlift_pki::envelope::Envelope;

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Verdict {
    good: bool,
    records: u64,
    segments: u64,
    head: String,
    signed: Option<SignedHead>,
    torn_bytes: u64,
    faults: Vec<Wrong>,
    more_faults: u64,
}

#[derive(Debug, Serialize)]
struct SignedHead {
    head: String,
    at: String,
    by: String,
}

#[derive(Debug, Serialize)]
struct Wrong {
    seq: u64,
    kind: &'static str,
    file: String,
    line: u64,
    what: String,
}

pub(super) fn verify(format: Format, arguments: &VerifyAudit) -> Result<(), Failure> {
    let roots = arguments.ca.as_deref().map(roots).transpose()?;
    let segments = segments(&arguments.paths)?;
    let judge = Box::new(|text: &str| judge(text, roots.as_deref()));
    let after = arguments.after.unwrap_or(Head::NONE);
    let mut check = Check::new(after, &arguments.head, roots.is_some(), judge);
    for segment in &segments {
        check.segment(&segment.name());
        segment.read(|Line { text, ended }| {
            check.line(text, ended);
            Ok(())
        })?;
    }
    tell(format, check.end(), roots.is_some(), arguments)
}

fn tell(format: Format, report: Report, believed: bool, arguments: &VerifyAudit) -> Result<(), Failure> {
    let (records, head) = (report.records, report.head);
    let faults = report.faults.len() as u64 + report.more_faults;
    let first = report.faults.first().map(ToString::to_string);
    let (torn, signed) = (report.torn_bytes, report.signed.as_ref().map(|signed| signed.statement.head.seq));
    print(format, &verdict(report), |verdict| text(verdict, believed))?;
    if torn > 0 {
        note(&format!(
            "the last line is unfinished ({torn} bytes): a crash leaves that, the controller takes it away when it starts"
        ));
    }
    if let Some(first) = first {
        let more = if faults > 1 { format!(" ({} more)", faults - 1) } else { String::new() };
        let failure = Failure::new(Exit::Problems, format!("{first}{more}"));
        return Err(
            failure.advise("keep the folder as it is; the controller's log and its journal tell what happened too")
        );
    }
    if !believed {
        note("without --ca nothing shows that the controller wrote it: a log that was written anew would look as good");
    } else if signed != Some(head.seq.saturating_sub(1)) {
        let from = signed.map_or(1, |seq| seq + 1);
        note(&format!(
            "records {from} to {} came after the last checkpoint: their chain is good, no signature covers them",
            head.seq
        ));
    }
    if arguments.head.is_empty() {
        note(&format!("{records} records; without --head nobody can tell whether there were more"));
    }
    Ok(())
}

/// What the envelope of a checkpoint is worth: with roots, a controller's signature; without, that it fits together.
fn judge(text: &str, roots: Option<&[CertificateDer<'static>]>) -> Result<Signed, String> {
    let envelope = Envelope::read(format!("{text}\n").as_bytes()).map_err(|error| chain(&error))?;
    let payload = envelope.signed(PAYLOAD_TYPE).map_err(|error| chain(&error))?;
    let statement = Statement::read(payload).map_err(|_| "what is signed is no statement about a log".to_owned())?;
    let Some(roots) = roots else { return Ok(Signed { statement, by: String::new() }) };
    let signer = envelope.signer(roots, statement.at, Role::Controller).map_err(|error| chain(&error))?;
    if signer.identity.cluster != statement.cluster {
        return Err(format!("it was signed by a controller of {}", signer.identity.cluster));
    }
    Ok(Signed { statement, by: format!("{}, certificate {} of {}", signer.identity, signer.serial, signer.issuer) })
}

fn verdict(report: Report) -> Verdict {
    let wrong = |fault: Fault| Wrong {
        seq: fault.seq,
        kind: fault.kind.code(),
        what: fault.to_string(),
        file: fault.file,
        line: fault.line,
    };
    let signed = |signed: Signed| SignedHead {
        head: signed.statement.head.to_string(),
        at: write_instant(signed.statement.at),
        by: signed.by,
    };
    Verdict {
        good: report.faults.is_empty(),
        records: report.records,
        segments: report.segments,
        head: report.head.to_string(),
        signed: report.signed.map(signed),
        torn_bytes: report.torn_bytes,
        faults: report.faults.into_iter().map(wrong).collect(),
        more_faults: report.more_faults,
    }
}

fn text(verdict: &Verdict, believed: bool) -> String {
    let Verdict { records, segments, head, .. } = verdict;
    let mut lines = vec![
        format!("{}: {records} records in {segments} segments", if verdict.good { "good" } else { "NOT GOOD" }),
        format!("head:       {head}"),
    ];
    lines.extend(verdict.signed.as_ref().map(|signed| {
        let by =
            if believed { format!(", by {}", signed.by) } else { ", signature not checked against a CA".to_owned() };
        format!("checkpoint: {} at {}{by}", signed.head, signed.at)
    }));
    lines.extend(verdict.faults.iter().map(|wrong| format!("{}:{}: {}", wrong.file, wrong.line, wrong.what)));
    if verdict.more_faults > 0 {
        lines.push(format!("and {} more", verdict.more_faults));
    }
    lines.iter().map(|line| clean(line)).collect::<Vec<_>>().join("\n")
}
