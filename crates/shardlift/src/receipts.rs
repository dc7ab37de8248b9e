//! Receipts: got from the controller as they were recorded, and checked without it.

mod verify;

pub(crate) use verify::{Judged, Outcome, roots, verify};

use crate::cli::{ExportReceipts, Global, ReceiptCommand, ShowReceipt};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{print, put, rfc3339, table, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_model::{NodeId, UnixMillis};
use shardlift_pki::bundle;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Larger than any receipt.
const FILE_BYTES_MAX: u64 = 256 * 1024;

pub(crate) async fn run(global: &Global, command: ReceiptCommand) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Show(arguments) => show(global, arguments).await,
        ReceiptCommand::Export(arguments) => export(global, arguments).await,
        ReceiptCommand::Verify(arguments) => verify(global.output, &arguments),
    }
}

async fn show(global: &Global, arguments: ShowReceipt) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let batch = arguments.batch.map(|batch| batch.to_string()).unwrap_or_default();
    let request = v1::GetReceiptRequest { node: arguments.node.to_string(), batch };
    let file = connection.answer(connection.client.clone().get_receipt(request)).await?;
    let text = text(&file)?;
    if !file.note.is_empty() {
        talk(&format!("{}: {}", file.node, crate::output::clean(&file.note)));
    }
    match arguments.out {
        None => put(&text),
        Some(path) => {
            keep(&path, &text)?;
            talk(&format!("{}: generation {}, batch {}", path.display(), file.generation, file.batch));
            Ok(())
        }
    }
}

#[derive(Debug, Serialize)]
struct Exported {
    node: String,
    file: PathBuf,
    generation: u64,
    issued_at_unix_ms: u64,
}

#[derive(Debug, Serialize)]
struct Export {
    receipts: Vec<Exported>,
    missing: Vec<v1::ReceiptLine>,
}

async fn export(global: &Global, arguments: ExportReceipts) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let batch = arguments.batch.to_string();
    let request = v1::ListReceiptsRequest { batch: batch.clone() };
    let listed = connection.answer(connection.client.clone().list_receipts(request)).await?.receipts;
    let made = fs::create_dir_all(&arguments.dir);
    made.map_err(|error| Failure::caused(format!("{} cannot be made", arguments.dir.display()), &error))?;
    let (have, missing): (Vec<_>, Vec<_>) = listed.into_iter().partition(|line| line.missing.is_empty());
    let mut export = Export { receipts: Vec::new(), missing };
    for line in have {
        let request = v1::GetReceiptRequest { node: line.node.clone(), batch: batch.clone() };
        let file = connection.answer(connection.client.clone().get_receipt(request)).await?;
        let path = arguments.dir.join(file_name(&line.node, file.generation)?);
        keep(&path, &text(&file)?)?;
        let (generation, issued_at_unix_ms) = (file.generation, file.issued_at_unix_ms);
        export.receipts.push(Exported { node: line.node, file: path, generation, issued_at_unix_ms });
    }
    print(global.output, &export, |export| {
        let row = |one: &Exported| {
            let issued = rfc3339(UnixMillis(one.issued_at_unix_ms));
            vec![one.node.clone(), one.generation.to_string(), issued, one.file.display().to_string()]
        };
        table(&["NODE", "GENERATION", "ISSUED", "FILE"], export.receipts.iter().map(row))
    })?;
    if export.missing.is_empty() {
        return Ok(());
    }
    let why = |line: &v1::ReceiptLine| format!("{}: {}", line.node, line.missing.lines().next().unwrap_or_default());
    let what = format!("{} nodes of batch {batch} have no receipt", export.missing.len());
    let advice = export.missing.iter().map(why).collect::<Vec<_>>().join("\n");
    Err(Failure::new(Exit::Partly, what).advise(advice))
}

/// The name of a receipt's file. What is no name of a node never becomes part of a path; `+` is in no name.
fn file_name(node: &str, generation: u64) -> Result<String, Failure> {
    let unfit = |_| Failure::new(Exit::Failed, "the controller named something that is no node");
    let node: NodeId = node.parse().map_err(unfit)?;
    Ok(format!("{}.{generation}.receipt.json", node.as_str().replace('/', "+")))
}

fn text(file: &v1::ReceiptFile) -> Result<String, Failure> {
    let text = String::from_utf8(file.receipt.clone());
    text.map_err(|_| Failure::new(Exit::Failed, "what the controller sent is no receipt"))
}

/// Writes a receipt. One that is there already stays; anything else that is there stays, too, and is told.
fn keep(path: &Path, text: &str) -> Result<(), Failure> {
    match read(path) {
        Ok(present) if present == text.as_bytes() => return Ok(()),
        Ok(_) => {
            let failure = Failure::new(Exit::Failed, format!("{} is there with other contents", path.display()));
            return Err(failure.advise("nothing was overwritten; name another file"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::caused(format!("{} cannot be read", path.display()), &error)),
    }
    bundle::write(path, text).map_err(|error| Failure::caused("the receipt was not written", &error))
}

/// A file, and no more of it than a receipt can have.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_nodes_and_nothing_else() {
        assert_eq!(file_name("acme/web-1", 2).unwrap(), "acme+web-1.2.receipt.json");
        for node in ["../etc", "/etc", "a/b/c", "", ".hidden", "a\0b", "a+b", "a/../b"] {
            assert!(file_name(node, 2).is_err(), "{node:?}");
        }
    }

    #[test]
    fn a_receipt_that_is_there_stays_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.json");
        keep(&path, "one\n").unwrap();
        keep(&path, "one\n").unwrap();
        let refused = keep(&path, "two\n").unwrap_err();
        assert!(refused.what.contains("other contents"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        assert!(keep(&folder.path().join("no/folder.json"), "one\n").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written is left");
    }
}
