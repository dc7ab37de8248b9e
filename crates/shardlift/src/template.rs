//! Configuration files from templates in which every field is explained.
//!
//! A line `NAME = ?` must get a value. A line `#? NAME = EXAMPLE` gets one or stays as a comment with the example. All
//! other lines are taken as they are. Values are TOML, so no text can break out of its quotes.

use crate::exit::{Exit, Failure};
use std::net::SocketAddr;
use std::path::Path;
use toml::Value;

pub(crate) const CONTROLLER: &str = include_str!("../templates/controller.toml");
pub(crate) const SHARD: &str = include_str!("../templates/shard.toml");
pub(crate) const ROUTER: &str = include_str!("../templates/router.toml");
pub(crate) const OPERATOR: &str = include_str!("../templates/operator.toml");

/// Values for a template; each name occurs once in a file.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<(&'static str, Value)>);

impl Values {
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(crate) fn set_some<T: Into<Value>>(self, name: &'static str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub(crate) fn address(self, name: &'static str, address: SocketAddr) -> Self {
        self.set(name, address.to_string())
    }

    /// A path; refused when it is not text, as TOML is.
    pub(crate) fn path(self, name: &'static str, path: &Path) -> Result<Self, Failure> {
        Ok(self.set(name, text_of(path)?))
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.remove(at).1)
    }
}

/// A path as it is written into a file.
pub(crate) fn text_of(path: &Path) -> Result<String, Failure> {
    let bad = || Failure::new(Exit::Usage, format!("the path {} is not text", path.display()));
    path.to_str().map(ToOwned::to_owned).ok_or_else(bad)
}

/// Fills a template.
pub(crate) fn render(template: &str, mut values: Values) -> Result<String, Failure> {
    let mut text = String::new();
    for line in template.lines() {
        text.push_str(&filled(line, &mut values)?);
        text.push('\n');
    }
    match values.0.first() {
        None => Ok(text),
        Some((name, _)) => Err(Failure::new(Exit::Failed, format!("the template has no field {name}"))),
    }
}

fn filled(line: &str, values: &mut Values) -> Result<String, Failure> {
    if let Some(optional) = line.strip_prefix("#? ") {
        let name = optional.split(" = ").next().unwrap_or_default();
        return Ok(values.take(name).map_or_else(|| format!("# {optional}"), |value| format!("{name} = {value}")));
    }
    let Some(name) = line.strip_suffix(" = ?") else { return Ok(line.to_owned()) };
    let missing = || Failure::new(Exit::Failed, format!("the template needs a value for {name}"));
    Ok(format!("{name} = {}", values.take(name).ok_or_else(missing)?))
}

#[cfg(test)]
mod tests;
