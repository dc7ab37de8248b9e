//! A plan file on another base: revisions and the world that it was drawn in change, comments and layout stay.

use super::FILE_BYTES_MAX;
use super::drawn::{Drawn, write_drawn};
use std::collections::BTreeMap;

/// What a plan file is brought up to.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its new revision.
    pub revision: u64,
    /// The revision in force.
    pub based_on: u64,
    /// The world to note as that which it was drawn in; `None`: the one that is noted stays.
    pub drawn: Option<Drawn>,
}

/// The file on another base: same moves, same comments, same layout.
///
/// # Errors
/// [`RebaseError`]; never for a file that [`crate::parse()`] has read.
pub fn rebase(text: &str, base: &Base) -> Result<String, RebaseError> {
    let mut document: toml_edit::DocumentMut = text.parse()?;
    for (key, number) in [("revision", base.revision), ("based_on", base.based_on)] {
        put(document.as_table_mut(), key, whole(number)?);
    }
    let Some(drawn) = &base.drawn else { return fits(document.to_string()) };
    let Some(table) = document.get_mut("drawn").and_then(toml_edit::Item::as_table_like_mut) else {
        let mut text = document.to_string();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write_drawn(&mut text, drawn);
        return fits(text);
    };
    let at: toml_edit::Datetime = drawn.at.parse().map_err(|_| RebaseError::Time)?;
    put(table, "at", at.into());
    let nodes = drawn.nodes.iter().map(|(node, then)| Ok((node.as_str(), then.to_string().into())));
    replace(table, "nodes", nodes.collect::<Result<_, RebaseError>>()?);
    let targets = drawn.targets.iter().map(|(target, free)| Ok((target.as_str(), whole(free.0)?)));
    replace(table, "targets", targets.collect::<Result<_, RebaseError>>()?);
    fits(document.to_string())
}

/// Why a file cannot be put on another base.
#[derive(Debug, thiserror::Error)]
pub enum RebaseError {
    /// It is no TOML.
    #[error("the file is not valid TOML")]
    Syntax(#[from] toml_edit::TomlError),
    /// It would have more than [`FILE_BYTES_MAX`] bytes.
    #[error("the file would have {0} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLong(usize),
    /// A figure beyond what TOML can hold.
    #[error("{0} is beyond what TOML can hold")]
    Figure(u64),
    /// The time of the drawing is none.
    #[error("the time of the drawing is not RFC 3339")]
    Time,
}

fn fits(text: String) -> Result<String, RebaseError> {
    if text.len() > FILE_BYTES_MAX { Err(RebaseError::TooLong(text.len())) } else { Ok(text) }
}

fn whole(figure: u64) -> Result<toml_edit::Value, RebaseError> {
    i64::try_from(figure).map(toml_edit::Value::from).map_err(|_| RebaseError::Figure(figure))
}

/// Gives a key a value, in the place of the old one and with the comment behind it.
fn put(table: &mut dyn toml_edit::TableLike, key: &str, mut value: toml_edit::Value) {
    match table.get_mut(key).and_then(toml_edit::Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, toml_edit::value(value));
        }
    }
}

/// Makes these the entries of a table within.
fn replace(table: &mut dyn toml_edit::TableLike, key: &str, entries: BTreeMap<&str, toml_edit::Value>) {
    let within = table.entry(key).or_insert_with(toml_edit::table);
    let Some(within) = within.as_table_like_mut() else { return };
    let gone: Vec<String> =
        within.iter().map(|(name, _)| name.to_owned()).filter(|name| !entries.contains_key(name.as_str())).collect();
    for name in gone {
        within.remove(&name);
    }
    for (name, value) in entries {
        put(within, name, value);
    }
}
