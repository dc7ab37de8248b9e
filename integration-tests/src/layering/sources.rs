//! How a source file must look: it introduces itself, is of a size one can read, and has a name that says something.
//! In pure crates it also keeps away from the clock, the disk, the network and unordered maps.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// Longest file, in lines. The aim is far below; this is where a build breaks.
const LINES_MAX: usize = 600;

/// Names that say nothing about what is inside.
const NAMES_FORBIDDEN: [&str; 10] = [
    "mod.rs",
    "utils.rs",
    "util.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
    "types.rs",
    "misc.rs",
    "manager.rs",
    "shared.rs",
];

/// What pure code may not name. Split so that this very list does not contain what it looks for.
const IMPURE: [&str; 14] = [
    "SystemTime",
    "Instant",
    "std::fs",
    "fs::",
    "std::net::Tcp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "HashMap",
    "HashSet",
    "std::env",
    "std::process",
    "std::thread",
    "println!",
];

/// A source file.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it is, for messages.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

fn is_generated_folder(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "target" || name == ".git")
}

/// All `.rs` files below `root`, in order, build output left out.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn rust_sources(root: &Path) -> Result<Vec<SourceFile>> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !is_generated_folder(&path) {
                    waiting.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                found.push(SourceFile { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What is wrong with a file of any crate.
#[must_use]
pub fn check_source(file: &SourceFile) -> Vec<String> {
    let shown = file.path.display();
    let mut wrong = Vec::new();
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    if NAMES_FORBIDDEN.contains(&name.as_ref()) {
        wrong.push(format!("{shown}: a file name that says nothing"));
    }
    let introduced = file.text.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 8);
    if !introduced {
        wrong.push(format!("{shown}: does not open with `//!` and a sentence"));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{shown}: {lines} lines, {LINES_MAX} at most"));
    }
    wrong
}

/// The code of a line: comments are free to speak about clocks.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

fn names(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(|c| is_part(c) && word.starts_with(is_part));
        let after = code[at + word.len()..].chars().next().is_some_and(|c| is_part(c) && word.ends_with(is_part));
        // `std::net::Tcp` stands for everything that begins so.
        !before && (!after || word.ends_with("Tcp"))
    })
}

/// What a file of a pure crate names although it may not.
#[must_use]
pub fn check_pure_source(file: &SourceFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for word in IMPURE.iter().filter(|word| names(code_of(line), word)) {
            wrong.push(format!("{}:{}: `{word}` in a pure crate", file.path.display(), number + 1));
        }
    }
    wrong
}
