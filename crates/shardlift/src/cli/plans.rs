//! What an operator asks about plans.

use super::WhatIf;
use super::values::{AllowedTargets, Size, SpreadCustomer};
use clap::{Args, Subcommand, ValueEnum};
use shardlift_model::{CustomerId, NodeId, ShardId};
use shardlift_planner::Window;
use std::path::PathBuf;

/// Plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Draft a plan from the live inventory
    Make(Box<PlanDraft>),
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
  shardlift plan apply plan.toml --revision 1 --dry-run
  shardlift plan apply plan.toml --revision 1 --accept-drift")]
    Apply {
        /// The plan file.
        file: PathBuf,
        /// The revision that was reviewed; the file must say the same.
        #[arg(long, value_name = "N")]
        revision: u64,
        /// Check it against the world and stop before it is applied.
        #[arg(long)]
        dry_run: bool,
        /// Apply it although the world has changed since the plan was drawn.
        #[arg(long)]
        accept_drift: bool,
    },
    /// Compare a plan with the world and with the plan in force, or with another file
    #[command(after_long_help = "EXAMPLES:
  shardlift plan diff plan.toml
  shardlift plan diff plan-1.toml plan-2.toml")]
    Diff {
        /// The plan file.
        file: PathBuf,
        /// Another one: what it does otherwise. No controller is asked.
        other: Option<PathBuf>,
    },
    /// Show load by hour of the week before a plan and after it
    #[command(after_long_help = "EXAMPLES:
  shardlift plan graph plan.toml
  shardlift plan graph plan.toml --html plan.html")]
    Graph(PlanPicture),
    /// Make a plan file ready to replace the plan in force; comments and layout stay
    #[command(after_long_help = "EXAMPLES:
  shardlift plan rebase plan.toml
  shardlift plan rebase plan.toml --redraw")]
    Rebase {
        /// The plan file.
        file: PathBuf,
        /// Note the world as it is now as that which the plan was drawn in.
        #[arg(long)]
        redraw: bool,
    },
    /// Print the plan that is in force
    #[command(after_long_help = "EXAMPLES:
  shardlift plan show
  shardlift plan show -o json")]
    Show,
    /// Say how long a plan takes from now on, as things are and under other conditions
    WhatIf(WhatIf),
}

/// A picture of a plan.
#[derive(Debug, Args)]
pub struct PlanPicture {
    /// The plan file.
    pub file: PathBuf,
    /// Write one HTML file with the picture.
    #[arg(long, value_name = "FILE", conflicts_with = "svg")]
    pub html: Option<PathBuf>,
    /// Write the picture alone.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Replace the file when it is there.
    #[arg(long)]
    pub force: bool,
}

/// A new plan.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift plan make --source source --target shard-b --target shard-c --canary 1 --out plan.toml
  shardlift plan make --source source --batch 40 --headroom 30 --exclude acme/db
  shardlift plan make --source source --peak-at-most 60 --max-bytes 2TiB --max-moves 500
  shardlift plan make --source source --leave 200 --hold acme/db --must-move zeta/mail --horizon 90
  shardlift plan make --source source --together acme --spread zeta=50% --allow acme/web-1=shard-b,shard-c
  shardlift plan make --source source --window 22:00-24:00 --window 01:00-05:00
  shardlift plan make --source source --wishes wishes.toml --goal evacuate --out plan.toml")]
pub struct PlanDraft {
    /// The shard to relieve.
    #[arg(long, value_name = "SHARD")]
    pub source: ShardId,
    /// A shard that takes nodes; may be repeated [default: all others].
    #[arg(long = "target", value_name = "SHARD")]
    pub targets: Vec<ShardId>,
    /// Nodes in the first batch [default: 1; after earlier batches, what they advise].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub canary: Option<u32>,
    /// Nodes in each later batch [default: twice as many as in the one before].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub batch: u32,
    /// A node that stays; may be repeated.
    #[arg(long, value_name = "NODE")]
    pub exclude: Vec<NodeId>,
    /// What stays free on each target, in percent [default: the planner's].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..100))]
    pub headroom: Option<u32>,
    /// What the plan is made for.
    #[command(flatten)]
    pub wishes: PlanWishes,
    /// File to write; stdout when absent.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file when it is there.
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// What a plan is made for. It is written into the plan file, and `plan check` holds the plan to it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Wishes")]
pub struct PlanWishes {
    /// When the plan has done enough [default: lowest-peak where load is known, else evacuate].
    #[arg(long, value_enum, value_name = "GOAL", conflicts_with_all = ["peak_at_most", "leave"])]
    pub goal: Option<GoalWord>,
    /// No hour of a shard above this share of its load capacity.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100), conflicts_with = "leave")]
    pub peak_at_most: Option<u8>,
    /// So many nodes stay on the source.
    #[arg(long, value_name = "N")]
    pub leave: Option<u64>,
    /// How far above the lower bound the worst hour may end, in per mille; more moves fewer bytes [default: 20].
    #[arg(long, value_name = "PERMILLE", value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub tolerance: Option<u16>,
    /// Days of growth for which targets keep room [default: 30].
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(0..=3660))]
    pub horizon: Option<u16>,
    /// Most bytes that move, such as 2TiB.
    #[arg(long, value_name = "SIZE")]
    pub max_bytes: Option<Size>,
    /// Most nodes that move.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_moves: Option<u64>,
    /// Nodes of every shard may move, not only those of the source.
    #[arg(long)]
    pub from_any_shard: bool,
    /// A part of each day, in UTC, in which alone batches flip, such as 02:00-06:00; may be repeated [default: whenever it suits
    /// their nodes].
    #[arg(long = "window", value_name = "HH:MM-HH:MM")]
    pub windows: Vec<Window>,
    /// A node that leaves the source whatever it brings; may be repeated.
    #[arg(long = "must-move", value_name = "NODE")]
    pub must_move: Vec<NodeId>,
    /// A node that does not move now; may be repeated.
    #[arg(long = "hold", value_name = "NODE")]
    pub holds: Vec<NodeId>,
    /// A node that stays where it is; may be repeated.
    #[arg(long = "pin", value_name = "NODE")]
    pub pins: Vec<NodeId>,
    /// A customer whose nodes stay together; may be repeated.
    #[arg(long, value_name = "CUSTOMER")]
    pub together: Vec<CustomerId>,
    /// A customer of whose nodes at most so many, or such a share, are on one shard; may be repeated.
    #[arg(long, value_name = "CUSTOMER=N|N%")]
    pub spread: Vec<SpreadCustomer>,
    /// Where a node may go; may be repeated.
    #[arg(long, value_name = "NODE=SHARD[,SHARD]")]
    pub allow: Vec<AllowedTargets>,
    /// File with the table [wishes] of plan files; what is given here as well goes before it.
    #[arg(long = "wishes", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A goal without a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GoalWord {
    /// The worst hour comes as near to the lower bound as the tolerance asks.
    LowestPeak,
    /// Every node that may move leaves the source.
    Evacuate,
}
