//! Answers on stdout: tables for people, JSON for programs.
//!
//! JSON is the message itself under the names of `operator.proto`. Text in tables comes from elsewhere and is cleaned of
//! anything that could steer a terminal.

mod certificates;
mod estimates;
mod fleet;
mod limits;
mod receipt;
mod tables;
mod verify;
mod way_back;

pub(crate) use certificates::{certificate_table, part_name, revocations_text};
pub(crate) use estimates::estimate_text;
pub(crate) use fleet::{batch_text, explain_text, fleet_table, node_text};
pub(crate) use limits::limits_text;
pub(crate) use receipt::receipt_text;
pub(crate) use tables::{batch_table, check_text, node_count, progress, router_table, shard_table, status_text};
pub(crate) use verify::{verify_line, verify_text};
pub(crate) use way_back::{batch_loss_text, batch_way_back, doctor_text, flip_words, loss_text, node_way_back};

use crate::cli::Format;
use crate::exit::Failure;
use comfy_table::Table;
use serde::Serialize;
use shardlift_model::{ByteCount, UnixMillis};
use std::io::Write as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Prints an answer.
pub(crate) fn print<T: Serialize>(format: Format, answer: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
    match format {
        Format::Table => put(&text(answer)),
        Format::Json => put(&pretty(answer)?),
    }
}

fn pretty<T: Serialize>(answer: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(answer).map_err(|error| Failure::caused("the answer cannot be shown", &error))
}

/// One document on one line, for what is watched.
pub(crate) fn print_line<T: Serialize>(answer: &T) -> Result<(), Failure> {
    let line = serde_json::to_string(answer);
    put(&line.map_err(|error| Failure::caused("the answer cannot be shown", &error))?)
}

/// Data as it is, with a line end.
pub(crate) fn put(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.trim_end_matches('\n').as_bytes());
    let written = written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
    written.map_err(|error| Failure::caused("stdout cannot be written", &error))
}

/// A line for people, on stderr.
pub(crate) fn talk(text: &str) {
    // Nobody listens any more when stderr is closed; the command's work does not depend on it.
    let _closed = writeln!(std::io::stderr().lock(), "{text}");
}

/// A table with plain columns.
pub(crate) fn table(headers: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.force_no_tty().set_header(headers.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| clean(cell)).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.load_style(comfy_table::presets::NOTHING);
    table.trim_fmt()
}

/// Lines of `name: value`; empty values are left out.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    let shown = fields.iter().filter(|(_, value)| !value.is_empty());
    let line = |(name, value): &(&str, String)| {
        let value = value.lines().map(clean).collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(width + 1)));
        format!("{:width$} {value}\n", format!("{name}:"))
    };
    shown.map(line).collect()
}

/// Text that cannot steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| {
            if c == '\n' {
                ' '
            } else if steers(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Bytes as people read them.
pub(crate) fn bytes(count: u64) -> String {
    ByteCount(count).to_string()
}

/// An instant, or a dash when there was none.
pub(crate) fn instant(unix_ms: u64) -> String {
    if unix_ms == 0 {
        return "-".to_owned();
    }
    rfc3339(UnixMillis(unix_ms))
}

/// An instant as programs read it.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    seconds.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} ms", at.0))
}

/// This machine's time of day.
pub(crate) fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A length of time in its two largest units.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m {s}s"),
        (0, h, m, _) => format!("{h}h {m}m"),
        (d, h, _, _) => format!("{d}d {h}h"),
    }
}

/// A dash for nothing.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
