//! The log of a role: to stderr, as lines or as JSON.

use crate::cli::LogFormat;
use crate::exit::{Exit, Failure};
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging; once in a process.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        let what = format!("--log {filter:?} is not a filter: {error}");
        Failure::new(Exit::Usage, what).advise("give a level such as info, or info,shardlift_shard=debug")
    })?;
    let has_colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let started = match format {
        LogFormat::Text => builder.with_ansi(has_colour).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::new(Exit::Failed, format!("the log cannot be started: {error}")))
}
