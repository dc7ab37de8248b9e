//! A question before something that clients notice, or that cannot be undone. Asked on a terminal; elsewhere `--yes` has to
//! stand for the answer.

use crate::exit::{Exit, Failure};
use crate::output::talk;
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use tokio::sync::oneshot;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Goes on when the operator wants it.
pub(crate) async fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    match way(yes, can_ask()) {
        Way::On => Ok(()),
        Way::Unasked => {
            let failure = Failure::new(Exit::Usage, "this asks before it begins, and stdin is no terminal");
            Err(failure.advise("--yes answers the question beforehand"))
        }
        Way::Ask => {
            put_question(&format!("{question} [y/N] "));
            let answer = answer().await.map_err(|error| Failure::caused("no answer can be read", &error))?;
            let refused = || Failure::new(Exit::Failed, "not confirmed: nothing was changed");
            if is_yes(&answer) { Ok(()) } else { Err(refused()) }
        }
    }
}

/// True when somebody could be asked.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

/// Goes on when the operator types the name of what it is about: a thing that loses data is not agreed to by habit.
pub(crate) async fn confirm_name(question: &str, name: &str) -> Result<(), Failure> {
    put_question(&format!("{question} Type its name to go on: "));
    let answer = answer().await.map_err(|error| Failure::caused("no answer can be read", &error))?;
    let refused = || Failure::new(Exit::Failed, "not confirmed: nothing was changed");
    if names(&answer, name) { Ok(()) } else { Err(refused()) }
}

fn names(answer: &str, name: &str) -> bool {
    answer.trim() == name
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    On,
    Ask,
    Unasked,
}

fn way(yes: bool, is_terminal: bool) -> Way {
    match (yes, is_terminal) {
        (true, _) => Way::On,
        (false, true) => Way::Ask,
        (false, false) => Way::Unasked,
    }
}

fn put_question(question: &str) {
    let mut stderr = std::io::stderr().lock();
    if write!(stderr, "{question}").and_then(|()| stderr.flush()).is_err() {
        drop(stderr);
        talk(question);
    }
}

/// A thread of its own reads it: Ctrl-C ends the command while the terminal still waits for a line.
async fn answer() -> std::io::Result<String> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut line);
        // Nobody waits any more when the command was interrupted.
        let _interrupted = tell.send(read.map(|_| line));
    });
    told.await.unwrap_or_else(|_gone| Err(std::io::ErrorKind::UnexpectedEof.into()))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_yes_goes_on() {
        assert_eq!([way(true, true), way(true, false)], [Way::On, Way::On]);
        assert_eq!([way(false, true), way(false, false)], [Way::Ask, Way::Unasked]);
    }

    #[test]
    fn only_the_whole_name_is_the_name() {
        assert!(names(" acme/web-1\r\n", "acme/web-1"));
        for other in ["", "\n", "y", "yes", "acme", "acme/web-10", "ACME/web-1"] {
            assert!(!names(other, "acme/web-1"), "{other:?}");
        }
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        for yes in ["y\n", "Y", " yes \r\n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n", "no", "yep", "y y"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
