//! TOML text to a document. TOML's own errors, and keys that are written twice, become findings.

use crate::finding::{Finding, Lines};
use toml_edit::{Document, TableLike, TomlError};

/// How many keys written twice are looked for, one after the other.
const REPEATED_KEYS_MAX: usize = 20;

/// How many bytes may be read again for that.
const BYTES_REREAD_MAX: usize = 16 << 20;

/// The document as far as it can be read, and what is wrong with its syntax.
pub(super) fn document(text: &str, lines: &Lines<'_>) -> (Option<Document<String>>, Vec<Finding>) {
    let mut text = text.to_owned();
    let mut findings = Vec::new();
    let rounds = (BYTES_REREAD_MAX / text.len().max(1)).min(REPEATED_KEYS_MAX);
    loop {
        let error = match Document::parse(text.clone()) {
            Ok(document) => return (Some(document), findings),
            Err(error) => error,
        };
        let repeated = repeated_key(&text, lines, &error).filter(|_| findings.len() < rounds);
        let Some((finding, blanked)) = repeated else {
            // After a line was blanked, other errors can only come from that: a file's own are reported before
            // repeated keys.
            if findings.is_empty() {
                findings.push(other(lines, &error));
            }
            return (None, findings);
        };
        findings.push(finding);
        text = blanked;
    }
}

/// A key that is written twice on a line of its own: the finding, and the text without that line.
fn repeated_key(text: &str, lines: &Lines<'_>, error: &TomlError) -> Option<(Finding, String)> {
    let span = error.span().filter(|_| error.message().starts_with("duplicate key"))?;
    let line_start = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let line_end = text.get(span.end..)?.find('\n').map_or(text.len(), |at| span.end + at);
    if !text.get(line_start..span.start)?.trim().is_empty() {
        return None;
    }
    let written = text.get(span.clone())?;
    // What is no single key has no first place to name; it is reported as a plain error.
    let key = toml_edit::Key::parse(written).ok().filter(|path| path.len() == 1)?.pop()?;
    let (first, in_nodes) = first_place(text.get(..line_start)?, key.get())?;
    let (first, second) = (lines.place(first), lines.place(span.start));
    let message = if in_nodes {
        format!("node {:?} is listed twice in this batch: here and at {first}", key.get())
    } else {
        format!("`{}` is set twice: here and at {first}", key.get().escape_debug())
    };
    let hint = if in_nodes { "a node moves once: remove one of the two lines" } else { "remove one of the two lines" };
    let blank = " ".repeat(line_end - line_start);
    let blanked = format!("{}{blank}{}", text.get(..line_start)?, text.get(line_end..)?);
    Some((lines.finding(second, message, hint), blanked))
}

/// Where a key was written last in the text before it was repeated, and whether as a node.
fn first_place(before: &str, key: &str) -> Option<(usize, bool)> {
    // The text before a repeated key has no error, or that would have been reported instead.
    let document = Document::parse(before).ok()?;
    let root = document.as_table();
    let batch = root.get("batch").and_then(|item| item.as_array_of_tables()).and_then(|all| all.iter().last());
    let nodes = batch.and_then(|batch| batch.get("nodes")).and_then(|item| item.as_table_like());
    let start = |table: &dyn TableLike| table.key(key).and_then(|key| key.span()).map(|span| span.start);
    let in_nodes = nodes.and_then(start).map(|at| (at, true));
    let in_batch = batch.and_then(|batch| start(batch)).map(|at| (at, false));
    let in_root = start(root).map(|at| (at, false));
    [in_nodes, in_batch, in_root].into_iter().flatten().max()
}

fn other(lines: &Lines<'_>, error: &TomlError) -> Finding {
    let at = lines.place(error.span().map_or(0, |span| span.start));
    let line = lines.line(at.line).trim_start();
    let key = line.split(['=', '#']).next().unwrap_or("").trim_end();
    let hint = if line.starts_with("[batch]") {
        "write `[[batch]]`, with two brackets on each side, for every batch".to_owned()
    } else if key.contains('/') && !key.starts_with(['"', '\'']) {
        "put the node's name in quotes: \"acme/web-1\" = \"shard-b\"".to_owned()
    } else {
        "the file must be TOML; look at the marked place and at the line above it".to_owned()
    };
    let message: String = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    lines.finding(at, format!("not valid TOML: {message}"), hint)
}
