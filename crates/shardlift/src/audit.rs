//! The audit log as files: checked, shown and measured without a controller.

mod files;
mod verify;

use crate::cli::{AuditCommand, AuditFiles, Format, ShowAudit};
use crate::exit::{Exit, Failure};
use crate::output::{clean, put, talk};
use files::{Line, segments};
use shardlift_audit::{Head, NotARecord, Record, Value, field, what, write_instant};
use std::io::{BufWriter, ErrorKind, Write as _};

pub(crate) fn run(format: Format, command: &AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(arguments) => verify::verify(format, arguments),
        AuditCommand::Show(arguments) => show(format, arguments),
        AuditCommand::Head(arguments) => head(arguments),
    }
}

/// The last record that can be read; without one there is nothing to keep.
fn head(arguments: &AuditFiles) -> Result<(), Failure> {
    for segment in segments(&arguments.paths)?.into_iter().rev() {
        let mut last = None;
        segment.read(|line| {
            if let Line { text, ended: true } = line
                && let Ok(record) = Record::read(text)
            {
                last = Some(Head { seq: record.seq, hash: record.hash });
            }
            Ok(())
        })?;
        if let Some(last) = last {
            return put(&last.to_string());
        }
    }
    Err(Failure::new(Exit::Unreadable, "there is no record in it"))
}

fn show(format: Format, arguments: &ShowAudit) -> Result<(), Failure> {
    let mut bad = 0_u64;
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    for segment in segments(&arguments.paths)? {
        segment.read(|Line { text, ended }| {
            let read = if ended { Record::read(text) } else { Err(NotARecord::NoHash) };
            let Ok(record) = read else {
                bad += u64::from(ended);
                return Ok(());
            };
            if !is_wanted(&record, arguments) {
                return Ok(());
            }
            match format {
                Format::Json => stdout.write_all(text)?,
                Format::Table => stdout.write_all(told(&record).as_bytes())?,
            }
            stdout.write_all(b"\n")
        })?;
    }
    match stdout.flush() {
        // Who reads the first lines and goes has what it wants.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        flushed => flushed.map_err(|error| Failure::caused("stdout cannot be written", &error))?,
    }
    if bad == 0 {
        return Ok(());
    }
    let failure = Failure::new(Exit::Partly, format!("{bad} lines are no records and were left out"));
    Err(failure.advise("`shardlift audit verify` says what is wrong with them"))
}

fn is_wanted(record: &Record, wanted: &ShowAudit) -> bool {
    let node = |node: &String| {
        record.is_about(&[field::NODE, field::NODES], node) || record.entry.who == format!("node {node}")
    };
    let serial = |serial: &String| {
        let digits: String = serial.chars().filter(|digit| *digit != ':').collect();
        let digits = digits.to_ascii_lowercase();
        record.is_about(&[field::SERIAL, field::SERIALS, field::SHOWN], digits.trim_start_matches('0'))
    };
    wanted.since.is_none_or(|since| record.at >= since.0)
        && wanted.node.as_ref().is_none_or(node)
        && wanted.serial.as_ref().is_none_or(serial)
        && (!wanted.refused || record.entry.outcome != "done")
}

/// A record in a line.
fn told(record: &Record) -> String {
    let entry = &record.entry;
    let mut line = format!("{:>7} {} {}: {}", record.seq, write_instant(record.at), entry.who, entry.what);
    let mut add = |text: &str| {
        line.push(' ');
        line.push_str(text);
    };
    add(&entry.subject);
    add(&format!("[{}]", entry.outcome));
    // The signature is for machines, the chain for `verify`.
    for (name, value) in
        entry.fields.iter().filter(|(name, _)| *name != field::ENVELOPE || entry.what != what::CHECKPOINT)
    {
        match value {
            Value::Number(number) => add(&format!("{name}={number}")),
            Value::Text(text) => add(&format!("{name}={text:?}")),
            Value::Names(names) => add(&format!("{name}={}", names.join(","))),
        }
    }
    clean(&line)
}

/// On stderr, what is not wrong and still has to be known.
fn note(text: &str) {
    talk(&format!("note: {text}"));
}
