//! What anybody with the files asks of the audit log.

use clap::{Args, Subcommand};
use shardlift_audit::{Head, parse_instant};
use shardlift_model::UnixMillis;
use std::path::PathBuf;
use std::str::FromStr;

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check the log offline: say which record was altered, moved or taken away
    Verify(VerifyAudit),
    /// Show records, all or some of them
    Show(ShowAudit),
    /// Print number and hash of the last record, to be kept elsewhere
    Head(AuditFiles),
}

/// Where the log is.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift audit head /var/lib/shardlift/audit
  shardlift audit head audit-00000000000000000001.jsonl

Keep what it prints on another machine, or in a ticket: `shardlift audit verify --head` notices later when the log was cut
before that record, or written anew. The log is not checked here.")]
pub struct AuditFiles {
    /// The folder of the log, or single files of it; beside the store of the controller.
    #[arg(value_name = "FOLDER|FILE", default_value = "audit")]
    pub paths: Vec<PathBuf>,
}

/// A log to check.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift audit verify /var/lib/shardlift/audit --ca ca.pem
  shardlift audit verify audit --ca ca.pem --head 4711:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  shardlift audit verify audit -o json

No controller is asked and no context is needed. Checked are the hash of each record, the chain through all of them, their
numbers, the beginnings of segments and the checkpoints; with --ca also that the controller's key signed the checkpoints and
that none is missing. Without a head that was kept elsewhere, nobody can tell whether the end was cut off.
An unfinished last line is what a crash leaves, and no fault.
The exit code is 5 when something is wrong with the log, and 7 when it cannot be read.")]
pub struct VerifyAudit {
    /// The folder of the log, or single files of it; beside the store of the controller.
    #[arg(value_name = "FOLDER|FILE", default_value = "audit")]
    pub paths: Vec<PathBuf>,
    /// The cluster's root certificate; several in one file while one replaces another.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A record that the log has to have, as `audit head` printed it; may be repeated.
    #[arg(long, value_name = "SEQ:HASH")]
    pub head: Vec<Head>,
    /// The record that the first one given follows, when the older files lie elsewhere.
    #[arg(long, value_name = "SEQ:HASH")]
    pub after: Option<Head>,
}

/// Records to show.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift audit show /var/lib/shardlift/audit --since 2026-11-01
  shardlift audit show audit --node acme/web-1
  shardlift audit show audit --serial 77c13d0e4fc686e04cc83aa797615d02 -o json

With -o json the records are printed as they stand in the log, one a line. Lines that are no records are left out and counted
on stderr, with exit code 6: `shardlift audit verify` says what is wrong with them.")]
pub struct ShowAudit {
    /// The folder of the log, or single files of it; beside the store of the controller.
    #[arg(value_name = "FOLDER|FILE", default_value = "audit")]
    pub paths: Vec<PathBuf>,
    /// From this time on, in UTC: 2026-11-24, 2026-11-24T12:34 or 2026-11-24T12:34:56.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Since>,
    /// About this node.
    #[arg(long)]
    pub node: Option<String>,
    /// About the certificate with this serial.
    #[arg(long, value_name = "HEX")]
    pub serial: Option<String>,
    /// What was refused, and nothing else.
    #[arg(long)]
    pub refused: bool,
}

/// A time in UTC, of which the end may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since(pub UnixMillis);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WHOLE: &str = "0000-01-01T00:00:00.000Z";
        let given = text.trim_end_matches('Z');
        let rest = WHOLE.get(given.len()..).filter(|_| given.len() >= "0000-01-01".len());
        let read = rest.and_then(|rest| parse_instant(&format!("{given}{rest}")));
        read.map(Self).ok_or_else(|| format!("{text:?} is not a time such as 2026-11-24 or 2026-11-24T12:34:56"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_lack_its_end() {
        let at = |text: &str| text.parse::<Since>().map(|since| since.0.0);
        assert_eq!(at("2026-11-24"), Ok(1_795_478_400_000));
        assert_eq!(at("2026-11-24T12:34"), Ok(1_795_523_640_000));
        assert_eq!(at("2026-11-24T12:34:56Z"), Ok(1_795_523_696_000));
        assert_eq!(at("2026-11-24T12:34:56.007Z"), Ok(1_795_523_696_007));
        for text in ["", "2026", "2026-13-01", "yesterday", "2026-11-24 12:34", "2026-11-24T12:34:56.0071Z"] {
            assert!(at(text).is_err(), "{text}");
        }
    }
}
