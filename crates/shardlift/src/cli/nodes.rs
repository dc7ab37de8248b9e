//! What an operator asks about nodes, and what a client's machine asks.

use super::values::{NamedReason, Pace, Quota, Span, Switch};
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
    /// Deep verify: have a shard read all objects of a node again from its disk
    Verify(VerifyNode),
    /// Make a one-time token with which a node's machine gets its certificate
    Token(NodeToken),
    /// On the client's machine: get the certificate that restic takes
    Enroll(EnrollNode),
    /// On the client's machine: get a new certificate before the present one ends
    Renew(RenewNode),
    /// Take a node out of its batch before the commit and give it back to its source
    Abort(AbortNode),
    /// Let a held node go on after its cause was dealt with
    Retry(RetryNode),
    /// Move a node back to where it came from, with all that was stored since the flip
    Rollback(RollBackNode),
    /// Wait no longer for a shard that a node went back without and that will never return
    WriteOff(WriteOffNode),
    /// Take the old copy of a released node out of quarantine, so that a rollback is possible again
    #[command(after_long_help = "EXAMPLES:
  shardlift node restore acme/web-1

The target serves all the while. The node soaks once more, and its batch is released once more.")]
    Restore {
        /// Which.
        node: NodeId,
    },
}

/// Which nodes.
#[derive(Debug, Default, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node list
  shardlift node list --shard source --customer acme
  shardlift node list --phase ready -o json
  shardlift node list --phase rolling_back")]
pub struct FleetFilter {
    /// Of this customer only.
    #[arg(long)]
    pub customer: Option<CustomerId>,
    /// On this shard only.
    #[arg(long)]
    pub shard: Option<ShardId>,
    /// In this phase only: settled (no move, or one that is over: released, aborted, rolled_back), planned, seeding, following,
    /// ready, fenced, sealed, committed, soaking, rolling_back, released, restoring, undoing.
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

/// A copy that is to be read again.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node verify acme/web-1 --wait
  shardlift node verify acme/web-1 --limit 50MiB
  shardlift node verify acme/web-1 --shard source --wait -o json

The shard that serves the node reads every object again, past its page cache where the file system lets it, at the pace
that its configuration allows (deep_verify_bytes_per_second), and goes on after a restart. The same command joins one that is
under way. Damage that came with a move by an operator's leave is told apart from damage that arose at this shard.
The exit code is 5 when objects are known to be damaged or missing, those of the former sort apart; use --wait to know all.")]
pub struct VerifyNode {
    /// Which.
    pub node: NodeId,
    /// The shard whose copy is read [default: the one that serves the node].
    #[arg(long)]
    pub shard: Option<ShardId>,
    /// Read at most so many bytes in a second, such as 50MiB; the shard's own limit holds in any case.
    #[arg(long, value_name = "SIZE")]
    pub limit: Option<Pace>,
    /// Stay and show progress until all is read; Ctrl-C leaves it going.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this time; the reading goes on.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub timeout: Option<Span>,
}

/// A one-time token, or those of a batch.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node token acme/web-1
  shardlift node token acme/web-1 --valid 1h -o json
  shardlift node token --batch canary --out tokens.jsonl --valid 48h

The file has a line of JSON for each node: node, token, server, expiry and the fingerprint of the CA. A configuration management
gives each machine its token, and `shardlift node enroll` uses it there.")]
pub struct NodeToken {
    /// For which node.
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    pub node: Option<NodeId>,
    /// For all nodes of a batch that have no certificate yet.
    #[arg(long, requires = "out")]
    pub batch: Option<BatchId>,
    /// File for the tokens of a batch; it must not exist.
    #[arg(long, value_name = "FILE", requires = "batch")]
    pub out: Option<PathBuf>,
    /// For those, too, that have a certificate.
    #[arg(long, requires = "batch")]
    pub all: bool,
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

/// A certificate that is to be renewed.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node renew --out /etc/restic/shardlift
  shardlift node renew --out /etc/restic/shardlift --daemon
  shardlift node renew --out /etc/restic/shardlift --force

The first is for a timer: it does nothing before two thirds of the certificate's life are over. --daemon stays and renews in
time. The present certificate is the proof, no token is needed. node.pem and ca.pem are replaced; backups that run go on with what
they have read.")]
pub struct RenewNode {
    /// The folder that `node enroll` was given.
    #[arg(long = "out", value_name = "DIR")]
    pub folder: PathBuf,
    /// Where the controller serves enrolment, if it has moved.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// SHA-256 fingerprint of the root that vouches for it, if that has changed.
    #[arg(long, value_name = "HEX")]
    pub root: Option<String>,
    /// Renew although it is not due.
    #[arg(long, conflicts_with = "daemon")]
    pub force: bool,
    /// Stay, and renew each time it is due.
    #[arg(long)]
    pub daemon: bool,
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

/// A node that should go back.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node rollback acme/web-1
  shardlift node rollback acme/web-1 --reason 'slow restores' --wait --yes
  shardlift node rollback acme/web-1 --rehearse --wait
  shardlift node rollback acme/web-1 --accept-loss
  shardlift node rollback acme/web-1 --accept-loss 4711 --reason 'disk burnt' --wait --yes

Its clients wait for about as long as is said before the question; no backup is lost.
A way back that does not work is undone and the node soaks on; with --wait, the exit code is 1.
A rehearsal does all but the seal and the commit, asks nothing, and leaves the node where it is.

--accept-loss is for a shard that is gone for good: its node goes back without it, and what it stored
after the change SEQ is given up. Without SEQ it shows what that would be and asks for the node's name.
Refused (3) while that shard answers, and when the old copy has less than SEQ.
There is no way out of it once it has begun.
With --wait it ends when clients are served again, even if the shard that was given up never returns.")]
pub struct RollBackNode {
    /// Which.
    pub node: NodeId,
    /// Why; recorded and shown.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "rehearse")]
    pub reason: String,
    /// Prove the way back up to the seal, then let the node soak on.
    #[arg(long)]
    pub rehearse: bool,
    /// Go back without the shard that serves it, which is gone for good: what it stored after its change SEQ is lost.
    #[arg(long, value_name = "SEQ", num_args = 0..=1, conflicts_with = "rehearse")]
    pub accept_loss: Option<Option<u64>>,
    /// Stay and show progress until it is back, or soaks again; Ctrl-C leaves it running.
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this time; the way back goes on.
    #[arg(long, value_name = "TIME", requires = "wait")]
    pub timeout: Option<Span>,
    /// Do not ask; needed where there is no terminal to ask on. With --accept-loss it needs SEQ.
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// A node whose former shard is not coming back.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift node write-off acme/web-1 --yes

After `node rollback --accept-loss`, the shard that was given up has to give up the node in turn when it returns; until then the
node cannot be planned to move. This ends the waiting.
The same when a shard is lost after a rollback with it was committed: the node is served by its source, nothing is lost, and only
the answer of that shard is waited for. Refused (3) in that case while the shard answers.
Whatever may be found of that shard later is never served.")]
pub struct WriteOffNode {
    /// Which.
    pub node: NodeId,
    /// Do not ask; needed where there is no terminal to ask on.
    #[arg(long, short = 'y')]
    pub yes: bool,
}
