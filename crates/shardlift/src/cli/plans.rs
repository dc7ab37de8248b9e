//! What an operator asks about plans.

use clap::{Args, Subcommand};
use shardlift_model::{NodeId, ShardId};
use std::path::PathBuf;

/// Plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Draft a plan from the live inventory
    Make(PlanDraft),
    /// Say what is wrong with a plan file, with line and column
    #[command(after_long_help = "EXAMPLES:
  shardlift plan check plan.toml
  shardlift plan check plan.toml --offline")]
    Check {
        /// The plan file.
        file: PathBuf,
        /// Look at the form alone; ask no controller.
        #[arg(long)]
        offline: bool,
    },
    /// Put a plan in force, by the revision that was reviewed
    #[command(after_long_help = "EXAMPLES:
  shardlift plan apply plan.toml --revision 1
  shardlift plan apply plan.toml --revision 1 --dry-run")]
    Apply {
        /// The plan file.
        file: PathBuf,
        /// The revision that was reviewed; the file must say the same.
        #[arg(long, value_name = "N")]
        revision: u64,
        /// Check it against the world and stop before it is applied.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the plan that is in force
    #[command(after_long_help = "EXAMPLES:
  shardlift plan show
  shardlift plan show -o json")]
    Show,
}

/// A new plan.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift plan make --source source --target shard-b --target shard-c --canary 1 --out plan.toml
  shardlift plan make --source source --batch 40 --headroom 30 --exclude acme/db")]
pub struct PlanDraft {
    /// The shard to relieve.
    #[arg(long, value_name = "SHARD")]
    pub source: ShardId,
    /// A shard that takes nodes; may be repeated [default: all others].
    #[arg(long = "target", value_name = "SHARD")]
    pub targets: Vec<ShardId>,
    /// Nodes in the first batch.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub canary: u32,
    /// Nodes in each later batch [default: all that remain].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub batch: u32,
    /// A node that stays; may be repeated.
    #[arg(long, value_name = "NODE")]
    pub exclude: Vec<NodeId>,
    /// What stays free on each target, in percent [default: the planner's].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..100))]
    pub headroom: Option<u32>,
    /// File to write; stdout when absent.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file when it is there.
    #[arg(long, requires = "out")]
    pub force: bool,
}
