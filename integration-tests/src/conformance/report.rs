//! What a run found.

use super::peer::Protocol;
use std::fmt;

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As expected.
    Ok,
    /// Not as expected: in which steps, and what was wrong with their answers.
    Wrong(String),
    /// The peer has not what the case needs.
    NotApplicable(&'static str),
}

/// One case over one protocol.
#[derive(Debug, Clone)]
pub struct Row {
    /// The case.
    pub case: &'static str,
    /// What it says, in words.
    pub says: &'static str,
    /// Over which protocol.
    pub protocol: Protocol,
    /// Statuses expected, step by step; a `+` for each further property.
    pub expected: String,
    /// Statuses seen, step by step.
    pub seen: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Where this server departs from the reference, and why.
    pub departures: Vec<&'static str>,
    /// True when our shard is expected to behave otherwise than this server.
    pub differs_from_ours: bool,
}

/// All rows of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The peer's name.
    pub peer: String,
    /// The rows, in the order of the run.
    pub rows: Vec<Row>,
}

impl Report {
    /// The rows that are not as expected.
    #[must_use]
    pub fn wrong(&self) -> Vec<&Row> {
        self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Wrong(_))).collect()
    }

    /// How many rows were run to a verdict.
    #[must_use]
    pub fn judged(&self) -> usize {
        self.rows.iter().filter(|row| !matches!(row.verdict, Verdict::NotApplicable(_))).count()
    }

    /// Ids of the cases in which this server departs from the reference.
    #[must_use]
    pub fn departing(&self) -> Vec<&'static str> {
        let mut ids: Vec<_> = self.rows.iter().filter(|row| !row.departures.is_empty()).map(|row| row.case).collect();
        ids.dedup();
        ids
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "REST conformance of {}: {} cases judged, {} wrong", self.peer, self.judged(), self.wrong().len())?;
        writeln!(f, "{:<34} {:<3} {:<34} {:<24} ok", "case", "", "expected", "seen")?;
        for row in &self.rows {
            let verdict = match &row.verdict {
                Verdict::Ok => "yes".to_owned(),
                Verdict::Wrong(reason) => format!("NO: {reason}"),
                Verdict::NotApplicable(reason) => format!("not applicable: {reason}"),
            };
            writeln!(f, "{:<34} {:<3} {:<34} {:<24} {verdict}", row.case, row.protocol, row.expected, row.seen)?;
            for why in &row.departures {
                writeln!(f, "{:<38} departs: {why}", "")?;
            }
        }
        Ok(())
    }
}
