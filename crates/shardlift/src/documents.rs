//! Completions and manual pages, generated from the command line itself.

use crate::cli;
use crate::exit::Failure;
use crate::output;
use std::path::Path;

/// Completions for a shell, on stdout.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    output::put(&completion_text(shell))
}

fn completion_text(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "shardlift", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// One page for every command.
pub(crate) fn man(folder: &Path) -> Result<(), Failure> {
    let made = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(cli::command(), folder));
    made.map_err(|error| Failure::caused(format!("the pages cannot be written to {}", folder.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_completions_for_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let script = completion_text(*shell);
            for word in ["enroll", "advertise-peer", "release", "rollback", "rehearse", "doctor"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn every_command_gets_a_page_with_its_exit_codes() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("man1");
        man(&folder).unwrap();
        for page in ["shardlift.1", "shardlift-batch-start.1", "shardlift-node-rollback.1", "shardlift-doctor.1"] {
            let text = std::fs::read_to_string(folder.join(page)).unwrap();
            assert!(text.contains("EXIT CODES") && text.contains("EXAMPLES"), "{page}");
        }
    }
}
