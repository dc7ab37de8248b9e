//! Conditions under which a plan is estimated.

use super::values::{Ceiling, Pace};
use clap::Args;
use shardlift_model::ShardId;
use std::path::PathBuf;
use std::str::FromStr;

/// Other conditions; what is not given stays as it is.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift plan what-if
  shardlift plan what-if --cap 50MiB/s --workers 2
  shardlift plan what-if plan.toml --windows '02:00-06:00, 22:00-23:30'
  shardlift plan what-if --target-cap shard-b=20MiB/s --target-cap shard-c=none -o json")]
pub struct WhatIf {
    /// The plan file [default: what is left of the plan in force].
    pub file: Option<PathBuf>,
    /// Bytes per second that leave the source at most, at all hours, such as 50MiB/s, or none.
    #[arg(long, value_name = "RATE")]
    pub cap: Option<Ceiling<Pace>>,
    /// Hours in which data moves, in UTC, such as '02:00-06:00, 22:00-23:30', or none for all hours.
    #[arg(long, value_name = "WINDOWS")]
    pub windows: Option<String>,
    /// Nodes that copy at the same time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub workers: Option<u32>,
    /// What a target takes at most, such as shard-b=20MiB/s; may be repeated.
    #[arg(long = "target-cap", value_name = "SHARD=RATE")]
    pub target_caps: Vec<ShardRate>,
}

/// `SHARD=RATE`, where the rate may be `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRate {
    /// Which shard.
    pub shard: ShardId,
    /// Bytes per second at most.
    pub rate: Ceiling<Pace>,
}

impl FromStr for ShardRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').and_then(|(shard, rate)| Some((shard.parse().ok()?, rate.parse().ok()?)));
        let (shard, rate) = pair.ok_or_else(|| format!("{text:?} is not SHARD=RATE, such as shard-b=20MiB/s"))?;
        Ok(Self { shard, rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_a_rate_or_none() {
        let of =
            |text: &str| text.parse::<ShardRate>().map(|one| (one.shard.to_string(), one.rate.or(0, |rate| rate.0)));
        assert_eq!(of("shard-b=20MiB/s"), Ok(("shard-b".to_owned(), 20 << 20)));
        assert_eq!(of("shard-b=none"), Ok(("shard-b".to_owned(), 0)));
        for bad in ["", "shard-b", "=5MiB", "shard-b=", "shard-b=0", "A B=5MiB"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
