//! The doctor: what does not fit, what helps, and the repairs that need no operator's judgement.
//!
//! A finding's command is data from elsewhere: only the forms that are listed here are carried out.

use crate::cli::{DoctorArguments, Global};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{clean, doctor_text, print, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_model::{BatchId, NodeId};
use std::collections::BTreeSet;

/// The outcome of a repair that was begun.
const DONE: &str = "done";

/// What was found, and what was done about it.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    found: v1::DiagnoseResponse,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Vec<Applied>>,
}

/// What became of one proposal.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Applied {
    subject: String,
    command: String,
    outcome: String,
}

/// What can be carried out.
#[derive(Debug, PartialEq, Eq)]
enum Repair {
    RetryNode(NodeId),
    ResumeBatch(BatchId),
}

impl Repair {
    fn parse(command: &str) -> Option<Self> {
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            // A name that is none makes the command one that is not known.
            ["node", "retry", node] => node.parse().ok().map(Self::RetryNode),
            ["batch", "resume", batch] => batch.parse().ok().map(Self::ResumeBatch),
            _ => None,
        }
    }

    async fn apply(&self, connection: &Connection) -> Result<(), Failure> {
        let mut client = connection.client.clone();
        match self {
            Self::RetryNode(node) => {
                let request = v1::RetryNodeRequest { node: node.to_string(), accept_damaged: false };
                connection.answer(client.retry_node(request)).await.map(drop)
            }
            Self::ResumeBatch(batch) => {
                let request = v1::BatchRequest { batch: batch.to_string() };
                connection.answer(client.resume_batch(request)).await.map(drop)
            }
        }
    }
}

pub(crate) async fn doctor(global: &Global, arguments: DoctorArguments) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let node = arguments.node.map(|node| node.to_string()).unwrap_or_default();
    let mut found = look(&connection, &node).await?;
    let mut applied = None;
    if arguments.apply {
        let done = apply(&connection, &found.findings).await?;
        if done.iter().any(|applied| applied.outcome == DONE) {
            talk("what was begun takes its time: a cause that is still there shows itself again later");
        }
        applied = Some(done);
        found = look(&connection, &node).await?;
    }
    let report = Report { found, applied };
    print(global.output, &report, |report| doctor_text(&report.found))?;
    verdict(&report.found)
}

async fn look(connection: &Connection, node: &str) -> Result<v1::DiagnoseResponse, Failure> {
    connection.answer(connection.client.clone().diagnose(v1::DiagnoseRequest { node: node.to_owned() })).await
}

/// Carries out each proposal once. A refusal is told and the next one is tried; silence ends it.
async fn apply(connection: &Connection, findings: &[v1::Finding]) -> Result<Vec<Applied>, Failure> {
    let mut seen = BTreeSet::new();
    let mut applied = Vec::new();
    for finding in findings {
        let v1::Finding { subject, command, .. } = finding;
        if !command.is_empty() && !seen.insert(command) {
            continue;
        }
        let outcome = match Repair::parse(command) {
            None => not_applicable(finding),
            Some(repair) => match repair.apply(connection).await {
                Ok(()) => DONE.to_owned(),
                Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
                Err(failure) => format!("refused: {}", failure.what),
            },
        };
        let what = if command.is_empty() { &finding.what } else { command };
        talk(&clean(&format!("{subject}: {what}: {outcome}")));
        applied.push(Applied { subject: subject.clone(), command: command.clone(), outcome });
    }
    Ok(applied)
}

fn not_applicable(finding: &v1::Finding) -> String {
    if finding.command.is_empty() {
        return "not applicable: it needs an operator".to_owned();
    }
    "not applicable: this command is not known here".to_owned()
}

/// Findings come before silence: what is wrong is known for sure.
fn verdict(found: &v1::DiagnoseResponse) -> Result<(), Failure> {
    match (found.findings.len(), found.unchecked.len()) {
        (0, 0) => Ok(()),
        (0, silent) => {
            let failure =
                Failure::new(Exit::Partly, format!("{silent} parts did not answer: nothing is known of them"));
            Err(failure.advise("start them, then look again"))
        }
        (count, _) => Err(Failure::new(Exit::Problems, format!("{count} findings"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_commands_with_valid_names_are_repairs() {
        assert_eq!(Repair::parse("node retry acme/web-1"), Some(Repair::RetryNode("acme/web-1".parse().unwrap())));
        assert_eq!(Repair::parse("batch resume canary"), Some(Repair::ResumeBatch("canary".parse().unwrap())));
        for other in [
            "",
            "node retry",
            "node retry ../etc",
            "node retry a --accept-damaged",
            "node abort a",
            "node rollback a",
            "batch release canary",
            "batch resume 'Not A Name'",
            "shardlift node retry a",
            "node  retry a",
        ] {
            assert_eq!(Repair::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn health_findings_and_silence_have_their_own_exit_codes() {
        let exit = |findings: usize, silent: usize| {
            let findings = vec![v1::Finding::default(); findings];
            let unchecked = vec!["shard a: refused".to_owned(); silent];
            verdict(&v1::DiagnoseResponse { findings, nodes_checked: 1, unchecked }).err().map(|failure| failure.exit)
        };
        assert_eq!(exit(0, 0), None);
        assert_eq!(exit(0, 1), Some(Exit::Partly));
        assert_eq!([exit(2, 0), exit(2, 1)], [Some(Exit::Problems), Some(Exit::Problems)]);
    }

    #[test]
    fn the_report_has_the_names_of_the_protocol_and_what_was_applied_when_asked() {
        let found = v1::DiagnoseResponse { nodes_checked: 3, ..Default::default() };
        let json = |applied| serde_json::to_value(Report { found: found.clone(), applied }).unwrap();
        assert_eq!(json(None), serde_json::json!({"findings": [], "nodes_checked": 3, "unchecked": []}));
        let done = Applied { subject: "a".into(), command: "node retry a".into(), outcome: DONE.into() };
        assert_eq!(json(Some(vec![done]))["applied"][0]["command"], "node retry a");
    }
}
