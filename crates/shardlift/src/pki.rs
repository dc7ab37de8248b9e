//! `shardlift pki`: a root on one machine and issuing CAs on another, with files between them. No controller is asked.

mod ca;
mod root;

use crate::cli::{CaCommand, Format, PkiCommand, RootCommand};
use crate::exit::{Exit, Failure};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Largest request or certificate that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

pub(crate) async fn run(format: Format, command: PkiCommand) -> Result<(), Failure> {
    match command {
        PkiCommand::Root(RootCommand::Create(arguments)) => root::create(format, &arguments),
        PkiCommand::Root(RootCommand::Sign(arguments)) => root::sign(format, &arguments).await,
        PkiCommand::Ca(CaCommand::Request(arguments)) => ca::request(format, &arguments),
        PkiCommand::Ca(CaCommand::Install(arguments)) => ca::install(format, &arguments).await,
        PkiCommand::Ca(CaCommand::Show { folder }) => ca::show(format, &folder),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    let cannot = |error| Failure::caused(format!("{} cannot be read", path.display()), &error);
    read.map_err(|error| cannot(error).with_exit(Exit::Unreadable))?;
    Ok(text)
}

/// A fingerprint as it is typed: of either case, with or without colons.
fn is_same(typed: &str, found: &str) -> bool {
    let digits: String = typed.trim().chars().filter(|digit| *digit != ':').collect();
    digits.eq_ignore_ascii_case(found)
}

#[cfg(test)]
mod tests;
