//! What an operator asks of the controller, and what a client's machine asks of it.

use super::values::{NamedReason, Quota, Span, Switch};
use clap::{Args, Subcommand};
use shardlift_model::{BatchId, CustomerId, NodeId, ServerName, ShardId};
use std::path::PathBuf;

/// Nodes.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List the nodes
    List(FleetFilter),
    /// Show all that is known about one node
    #[command(after_long_help = "EXAMPLES:
  shardlift node show acme/web-1
  shardlift node show acme/web-1 -o json")]
    Show {
        /// Which.
        node: NodeId,
    },
    /// Say where a node is in its move, why, what it waits for and what unblocks it
    #[command(after_long_help = "EXAMPLES:
  shardlift node explain acme/web-1")]
    Explain {
        /// Which.
        node: NodeId,
    },
    /// Say whose a node is, and what its client connects to
    Define(DefineNode),
    /// Change a node's quota, append-only flag and holds
    Set(SetNode),
    /// Make a one-time token with which a node's machine gets its certificate
    Token(NodeToken),
    /// On the client's machine: get the certificate that restic takes
    Enroll(EnrollNode),
    /// Take a node out of its batch before the commit and give it back to its source
    Abort(AbortNode),
    /// Let a held node go on after its cause was dealt with
    Retry(RetryNode),
}

/// Which nodes.
#[derive(Debug, Default, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node list
  shardlift node list --shard source --customer acme
  shardlift node list --phase ready -o json")]
pub struct FleetFilter {
    /// Of this customer only.
    #[arg(long)]
    pub customer: Option<CustomerId>,
    /// On this shard only.
    #[arg(long)]
    pub shard: Option<ShardId>,
    /// In this phase only: settled, planned, seeding, following, ready, fenced, sealed, committed, soaking, ...
    #[arg(long)]
    pub phase: Option<String>,
}

/// What is known about a node beyond its shard.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node define acme/web-1 --customer acme
  shardlift node define acme/web-1 --customer acme --server-name web-1.backup.example")]
pub struct DefineNode {
    /// Which.
    pub node: NodeId,
    /// Whose it is.
    #[arg(long, required_unless_present = "server_name")]
    pub customer: Option<CustomerId>,
    /// What its client connects to [default: made from the node's name and the zone].
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<ServerName>,
}

/// What is not given stays as it is.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node set acme/web-1 --quota 500GiB
  shardlift node set acme/web-1 --quota none --append-only on
  shardlift node set acme/web-1 --hold 'case-17=claim of 2026-03' --end-hold case-9

A held node is never deleted. Settings travel with the node when it moves.")]
pub struct SetNode {
    /// Which.
    pub node: NodeId,
    /// Most that it may store, such as 500GiB, or none.
    #[arg(long, value_name = "SIZE", required_unless_present_any = ["append_only", "hold", "end_hold"])]
    pub quota: Option<Quota>,
    /// Whether its client may only add.
    #[arg(long, value_name = "on|off")]
    pub append_only: Option<Switch>,
    /// A reason never to delete it; may be repeated.
    #[arg(long, value_name = "ID=REASON")]
    pub hold: Vec<NamedReason>,
    /// A hold that is over; may be repeated.
    #[arg(long, value_name = "ID")]
    pub end_hold: Vec<String>,
}

/// A one-time token.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node token acme/web-1
  shardlift node token acme/web-1 --valid 1h -o json")]
pub struct NodeToken {
    /// For which node.
    pub node: NodeId,
    /// How long it is good for [default: 24h].
    #[arg(long, value_name = "TIME")]
    pub valid: Option<Span>,
}

/// Needs no context: it runs where restic runs.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node enroll --server ctl.example:7401 --token-file token.txt --out /etc/restic/shardlift
  shardlift node enroll --server ctl.example:7401 --token sle1.SECRET.FINGERPRINT --out .

The key is made here and never leaves this machine. When the answer is lost, the same command again gets the same certificate.")]
pub struct EnrollNode {
    /// Where the controller serves enrolment.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// The token; other users of this machine can see it while the command runs.
    #[arg(long, env = "SHARDLIFT_TOKEN", hide_env_values = true, required_unless_present = "token_file")]
    pub token: Option<String>,
    /// File with the token; - is stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// Folder for node.pem and ca.pem; made when it is not there.
    #[arg(long = "out", value_name = "DIR")]
    pub folder: PathBuf,
}

/// A node that should not move.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node abort acme/web-1 --reason 'restore under way'")]
pub struct AbortNode {
    /// Which.
    pub node: NodeId,
    /// Why; recorded and shown.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// A node that may go on.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node retry acme/web-1
  shardlift node retry acme/web-1 --accept-damaged")]
pub struct RetryNode {
    /// Which.
    pub node: NodeId,
    /// Move it as it is, although objects were already damaged at the source.
    #[arg(long)]
    pub accept_damaged: bool,
}

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

/// Batches.
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    /// List the batches
    #[command(after_long_help = "EXAMPLES:
  shardlift batch list
  shardlift batch list -o json")]
    List,
    /// Show one batch with its nodes
    #[command(after_long_help = "EXAMPLES:
  shardlift batch status canary")]
    Status {
        /// Which.
        batch: BatchId,
    },
    /// Start a batch: its nodes are copied, verified and flipped together
    Start(StartBatch),
    /// Stop a batch from going further before its commit; clients are not affected
    #[command(after_long_help = "EXAMPLES:
  shardlift batch pause batch-2")]
    Pause {
        /// Which.
        batch: BatchId,
    },
    /// Let a paused batch go on
    #[command(after_long_help = "EXAMPLES:
  shardlift batch resume batch-2")]
    Resume {
        /// Which.
        batch: BatchId,
    },
    /// Wait until a batch soaks, or ends otherwise
    Wait(WaitBatch),
    /// End the soak: old credentials stop working, the source copy is no longer served
    #[command(after_long_help = "EXAMPLES:
  shardlift batch release canary")]
    Release {
        /// Which.
        batch: BatchId,
    },
}

/// A batch to start.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift batch start canary
  shardlift batch start batch-2 --wait --timeout 6h")]
pub struct StartBatch {
    /// Which.
    pub batch: BatchId,
    /// Stay and show progress until it soaks; Ctrl-C leaves it running.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this time; the batch goes on.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub timeout: Option<Span>,
}

/// A batch to wait for.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift batch wait batch-2
  shardlift batch wait batch-2 --timeout 6h")]
pub struct WaitBatch {
    /// Which.
    pub batch: BatchId,
    /// Give up waiting after this time; the batch goes on.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
}

/// The whole.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift status
  shardlift status --watch
  shardlift status --watch -o json")]
pub struct StatusArguments {
    /// Stay and show changes; bars on a terminal, lines elsewhere, one JSON document a line with -o json.
    #[arg(long)]
    pub watch: bool,
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token that shows one customer's nodes in the status API
    Status(StatusToken),
}

/// For the status API.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift token status --customer acme
  shardlift token status --customer acme --valid 30d -o json")]
pub struct StatusToken {
    /// Whose nodes it shows.
    #[arg(long)]
    pub customer: CustomerId,
    /// How long it is good for [default: 90d].
    #[arg(long, value_name = "TIME")]
    pub valid: Option<Span>,
}
