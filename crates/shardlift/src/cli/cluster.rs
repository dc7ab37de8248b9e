//! What an operator asks about the cluster as a whole.

use super::values::Span;
use clap::{Args, Subcommand};
use shardlift_model::{CustomerId, NodeId};

/// The doctor.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift doctor
  shardlift doctor acme/web-1 -o json
  shardlift doctor --apply

Nothing is changed without --apply.
The exit code is 0 when nothing was found and every part answered, 5 when something was found,
and 6 when nothing was found but a part could not be asked.")]
pub struct DoctorArguments {
    /// Look at this node only [default: all].
    pub node: Option<NodeId>,
    /// Carry out what the findings propose (`node retry`, `batch resume`), then look again.
    #[arg(long)]
    pub apply: bool,
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
