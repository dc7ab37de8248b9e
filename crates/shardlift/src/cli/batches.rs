//! What an operator asks about batches.

use super::values::{NodeSeq, Span};
use clap::{Args, Subcommand};
use shardlift_model::BatchId;

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
    /// End the soak: old credentials stop working, the old copies are put into quarantine
    Release(ReleaseBatch),
    /// Move the nodes of a batch back to where they came from, with all that was stored since the flip
    Rollback(RollBackBatch),
}

/// A batch to start.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift batch start canary
  shardlift batch start batch-2 --wait --timeout 6h

With --wait, the exit code is 6 when some nodes soak and others left the batch or were moved back.
stderr names them.")]
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
  shardlift batch wait batch-2 --timeout 6h

The exit code is 6 when some nodes soak and others left the batch or were moved back.
stderr names them.")]
pub struct WaitBatch {
    /// Which.
    pub batch: BatchId,
    /// Give up waiting after this time; the batch goes on.
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
}

/// A batch whose soak is to end.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift batch release canary
  shardlift batch release canary --force

Refused before the verdict of the soak is good.
After the release a rollback needs `shardlift node restore` first.")]
pub struct ReleaseBatch {
    /// Which.
    pub batch: BatchId,
    /// Release it without a good verdict of its soak.
    #[arg(long)]
    pub force: bool,
}

/// A batch that should go back.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift batch rollback canary
  shardlift batch rollback canary --reason 'restores are slow' --wait --yes
  shardlift batch rollback canary --rehearse --wait
  shardlift batch rollback canary --accept-loss
  shardlift batch rollback canary --accept-loss acme/web-1=4711 acme/web-2=12 --reason 'disk burnt' --wait --yes

Each node goes back by itself as soon as it can; the others of the batch are not waited for.
With --wait, the exit code is 6 when some nodes are back and others are not; stderr names them.
A rehearsal is one of a single node, the first that can: all but the seal and the commit. It asks nothing
and leaves the batch where it is; with --wait, the exit code is 1 when it did not come to its end.

Refused (3), with nothing begun, when the shard that serves one of its nodes does not answer.
--accept-loss is for shards that are gone for good: their nodes go back without them, and what each stored after
its change SEQ is given up; all others go back with all of their changes. Without NODE=SEQ it shows what that
would be, node by node, and asks for the batch's name; with -o json and no terminal it prints it.
Refused, with nothing begun, when a node whose shard is gone is not named, or its old copy has less than SEQ.
There is no way out of it once it has begun.
With --wait it ends when clients are served again, even if a shard that was given up never returns.")]
pub struct RollBackBatch {
    /// Which.
    pub batch: BatchId,
    /// Why; recorded and shown.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "rehearse")]
    pub reason: String,
    /// Prove the way back of one of its nodes up to the seal, then let it soak on.
    #[arg(long)]
    pub rehearse: bool,
    /// Go back without the shards that are gone for good: what they stored for NODE after its change SEQ is lost.
    #[arg(long, value_name = "NODE=SEQ", num_args = 0.., conflicts_with = "rehearse")]
    pub accept_loss: Option<Vec<NodeSeq>>,
    /// Stay and show progress until its nodes are back, or soak again; Ctrl-C leaves it running.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this time; the way back goes on.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub timeout: Option<Span>,
    /// Do not ask; needed where there is no terminal to ask on. With --accept-loss it needs NODE=SEQ.
    #[arg(long, short = 'y')]
    pub yes: bool,
}
