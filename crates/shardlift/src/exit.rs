//! How a command ends: a code for programs; for people a line about what went wrong, and below it what to do.

use shardlift_api::fault::{FaultKind, chain};
use std::fmt;
use std::process::ExitCode;

/// How a process ends. The numbers are documented and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Something did not work.
    Failed = 1,
    /// The command line or an argument cannot be meant.
    Usage = 2,
    /// The controller refused: state, rights or a limit forbid it.
    Refused = 3,
    /// The controller does not answer, or not now.
    Unreachable = 4,
    /// A check did its work and found problems.
    Problems = 5,
    /// Some of it was done, or looked at; the rest is named.
    Partly = 6,
    /// A file is not what it should be, and was not judged.
    Unreadable = 7,
    /// The operator interrupted the command; what the controller does goes on.
    Interrupted = 130,
}

/// Shown below the help of every command.
pub const EXIT_CODES: &str = "\
EXIT CODES:
  0    done
  1    failed
  2    usage: the command line or an argument cannot be meant
  3    refused by the controller: state, rights or a limit forbid it
  4    the controller does not answer
  5    a check found problems
  6    done in part: stderr names what was not
  7    a file cannot be read or is not what it should be, and was not judged
  130  interrupted; what the controller does goes on";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<FaultKind> for Exit {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::Invalid => Self::Usage,
            FaultKind::Exists
            | FaultKind::Refused
            | FaultKind::StaleToken
            | FaultKind::Unauthenticated
            | FaultKind::Forbidden
            | FaultKind::Exhausted => Self::Refused,
            FaultKind::Unavailable => Self::Unreachable,
            FaultKind::NotFound | FaultKind::DataLoss | FaultKind::Internal => Self::Failed,
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What went wrong, in one line.
    pub what: String,
    /// What to do about it, mostly in one line; empty when there is nothing to say.
    pub advice: String,
}

impl Failure {
    /// A failure that speaks for itself.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), advice: String::new() }
    }

    /// An error of a library, with its causes.
    pub fn caused(what: impl fmt::Display, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(Exit::Failed, format!("{what}: {}", chain(error)))
    }

    /// The same with what to do.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    /// The same with another way to end.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// The first line says what, the others what to do.
impl From<&tonic::Status> for Failure {
    fn from(status: &tonic::Status) -> Self {
        let kind = FaultKind::from(status);
        let mut lines = status.message().lines();
        let what = match lines.next() {
            Some(first) if !first.is_empty() => first.to_owned(),
            _ => format!("the controller answered {:?}", status.code()),
        };
        Self { exit: kind.into(), what, advice: lines.collect::<Vec<_>>().join("\n") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.advice.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_api::fault::Fault;

    #[test]
    fn every_fault_has_its_exit_code() {
        let code = |kind| Failure::from(&tonic::Status::from(Fault::new(kind, "said"))).exit as u8;
        let codes = FaultKind::ALL.map(code);
        assert_eq!(codes, [2, 1, 3, 3, 3, 3, 3, 3, 4, 1, 1]);
    }

    #[test]
    fn a_status_becomes_a_line_of_what_and_lines_of_what_to_do() {
        let status = tonic::Status::from(Fault::new(FaultKind::Refused, "the batch runs\npause it first"));
        assert_eq!(Failure::from(&status).to_string(), "the batch runs\n  pause it first");
        let status = tonic::Status::from(Fault::new(FaultKind::Refused, "no\na: lost\nb: lost\nask"));
        assert_eq!(Failure::from(&status).to_string(), "no\n  a: lost\n  b: lost\n  ask");
        let silent = Failure::from(&tonic::Status::unavailable(""));
        assert_eq!((silent.exit, silent.what.as_str()), (Exit::Unreachable, "the controller answered Unavailable"));
    }

    #[test]
    fn all_codes_are_in_the_help() {
        use Exit::{Failed, Interrupted, Partly, Problems, Refused, Unreachable, Unreadable, Usage};
        for exit in [Failed, Usage, Refused, Unreachable, Problems, Partly, Unreadable, Interrupted] {
            assert!(EXIT_CODES.contains(&format!("\n  {:<4} ", exit as u8)), "{exit:?}");
        }
    }
}
