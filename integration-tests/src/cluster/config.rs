//! Small changes to configuration files that the program wrote.

use anyhow::{Context as _, Result};
use std::path::Path;
use toml::{Table, Value};

fn change(path: &Path, change: impl FnOnce(&mut Table)) -> Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut table: Table = text.parse().with_context(|| format!("{} is no TOML", path.display()))?;
    change(&mut table);
    std::fs::write(path, toml::to_string(&table)?).with_context(|| format!("writing {}", path.display()))
}

pub(super) fn set_limits(path: &Path, limits: &[(&'static str, i64)]) -> Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    change(path, |table| {
        let section = table.entry("limits").or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(section) = section {
            section.extend(limits.iter().map(|(name, value)| ((*name).to_owned(), Value::Integer(*value))));
        }
    })
}

pub(super) fn merge(path: &Path, settings: &Table) -> Result<()> {
    change(path, |table| table.extend(settings.clone()))
}
