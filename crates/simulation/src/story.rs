//! What happened, in order: one line for each thing that somebody did or was told. Two runs of one seed tell the same story.

use sha2::{Digest as _, Sha256};
use std::fmt::{self, Display, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Virtual time since the start.
    pub at: Duration,
    /// Who did it or was told.
    pub who: String,
    /// What.
    pub what: String,
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} {:<12} {}", self.at.as_secs_f64(), self.who, self.what)
    }
}

#[derive(Debug, Default)]
struct Told {
    now: Duration,
    lines: Vec<Line>,
    violations: Vec<String>,
}

/// The story of one run; clones tell the same one.
#[derive(Debug, Clone, Default)]
pub struct Story(Arc<Mutex<Told>>);

impl Story {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time has come so far.
    pub fn set_now(&self, now: Duration) {
        self.told().now = now;
    }

    /// How far time has come.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.told().now
    }

    /// Adds a line.
    pub fn tell(&self, who: &str, what: impl Display) {
        let mut told = self.told();
        let line = Line { at: told.now, who: who.to_owned(), what: what.to_string() };
        told.lines.push(line);
    }

    /// Adds a line that must never be in a story.
    pub fn violate(&self, who: &str, what: impl Display) {
        self.tell(who, format_args!("VIOLATION: {what}"));
        let violation = format!("{who}: {what}");
        self.told().violations.push(violation);
    }

    /// What should not have happened.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.told().violations.clone()
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.told().lines.clone()
    }

    /// Hash of all lines: what two runs of one seed are compared by.
    #[must_use]
    pub fn trace(&self) -> String {
        let mut text = String::new();
        for line in &self.told().lines {
            // A string takes any text.
            let _infallible = writeln!(text, "{line}");
        }
        hex::encode(Sha256::digest(text))
    }
}
