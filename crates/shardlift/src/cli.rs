//! What can be asked on the command line. Help, completions and man pages come from here and from nowhere else.

mod audit;
mod batches;
mod certificates;
mod cluster;
mod nodes;
mod pki;
mod plans;
mod receipts;
mod roles;
mod values;
mod what_if;

pub use audit::{AuditCommand, AuditFiles, ShowAudit, Since, VerifyAudit};
pub use batches::{BatchCommand, ReleaseBatch, RollBackBatch, StartBatch, WaitBatch};
pub use certificates::{CertCommand, CertFilter, GetCrl, RevokeCertificates};
pub use cluster::{DoctorArguments, StatusArguments, StatusToken, TokenCommand};
pub use nodes::{
    AbortNode, DefineNode, EnrollNode, FleetFilter, NodeCommand, NodeToken, RenewNode, RetryNode, RollBackNode,
    SetNode, VerifyNode, WriteOffNode,
};
pub use pki::{CaCommand, CreateRoot, InstallCa, PassphraseArguments, PkiCommand, RequestCa, RootCommand, SignCa};
pub use plans::{GoalWord, PlanCommand, PlanDraft, PlanPicture, PlanWishes};
pub use receipts::{Expected, ExportReceipts, Fact, ReceiptCommand, ShowReceipt, VerifyReceipts};
pub use roles::{
    ClientAuthWord, InitArguments, LimitShard, OperatorCommand, PrepareOperator, PrepareRouter, PrepareShard,
    RouterCommand, RunRole, ShardCommand,
};
pub use values::{
    AllowedTargets, Ceiling, HostName, NamedReason, NodeSeq, Pace, Quota, Size, Span, SpreadCustomer, Switch,
};
pub use what_if::{ShardRate, WhatIf};

use crate::exit::EXIT_CODES;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Moves backup nodes off an overloaded server while backups go on.
///
/// Every command talks to one controller, which a context file names (see --context). Data goes to stdout, talk to stderr.
#[derive(Debug, Parser)]
#[command(name = "shardlift", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_long_help = "EXAMPLES:
  shardlift init --cluster prod --zone backup.example --dir shardlift
  shardlift status --watch
  shardlift batch start canary --wait")]
pub struct Cli {
    /// What holds for all commands.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for all commands.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// File that names the controller and the operator's certificate
    /// [default: ./shardlift/operator.toml, then ~/.config/shardlift/operator.toml].
    #[arg(long, global = true, env = "SHARDLIFT_CONTEXT", value_name = "FILE", help_heading = "Global options")]
    pub context: Option<PathBuf>,
    /// Address of the controller, instead of the one in the context.
    #[arg(
        id = "controller_address",
        long = "controller",
        global = true,
        env = "SHARDLIFT_CONTROLLER",
        value_name = "HOST:PORT",
        help_heading = "Global options"
    )]
    pub controller: Option<String>,
    /// How data is printed; the JSON is stable and has the field names of operator.proto.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub output: Format,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: one document, or one a line where something is watched.
    Json,
}

/// How the log of a role looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// A line a message.
    #[default]
    Text,
    /// An object a message.
    Json,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new cluster: CA, store, certificates and configuration files
    Init(Box<InitArguments>),
    /// Run the controller, with the status API beside it
    #[command(after_long_help = "EXAMPLES:
  shardlift controller --config /etc/shardlift/controller.toml
  shardlift controller --config controller.toml --log-format json")]
    Controller(RunRole),
    /// Run a shard, or set one up
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    #[command(after_long_help = "EXAMPLES:
  shardlift shard --config /etc/shardlift/shard.toml
  shardlift shard list")]
    Shard {
        /// Run.
        #[command(flatten)]
        run: RunRole,
        /// Set up.
        #[command(subcommand)]
        command: Option<ShardCommand>,
    },
    /// Run a router, or set one up
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    #[command(after_long_help = "EXAMPLES:
  shardlift router --config /etc/shardlift/router.toml
  shardlift router list")]
    Router {
        /// Run.
        #[command(flatten)]
        run: RunRole,
        /// Set up.
        #[command(subcommand)]
        command: Option<RouterCommand>,
    },
    /// Give another operator a certificate and a context
    #[command(subcommand)]
    Operator(OperatorCommand),
    /// Backup clients: whose they are, where they are, their certificates
    #[command(subcommand)]
    Node(NodeCommand),
    /// Plans: which node moves where and in which batch
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Batches: start them, watch them, end their soak, move them back
    #[command(subcommand)]
    Batch(BatchCommand),
    /// Signed receipts of nodes that moved: get them, check them offline
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Certificates of the cluster: who has which, and what is taken back
    #[command(subcommand)]
    Cert(CertCommand),
    /// The CA itself: a root on another machine, and the issuing CAs below it; talks to nobody
    #[command(subcommand)]
    Pki(PkiCommand),
    /// The audit log: who did what, checked and shown offline
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The whole cluster at a glance
    Status(StatusArguments),
    /// Compare what is recorded with what all parts say, and say what helps
    Doctor(DoctorArguments),
    /// Tokens for the status API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print completions for a shell
    #[command(after_long_help = "EXAMPLES:
  shardlift completions bash
  shardlift completions zsh")]
    Completions {
        /// For which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_long_help = "EXAMPLES:
  shardlift man /usr/local/share/man/man1")]
    Man {
        /// Where to; made when it is not there.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// The whole command line, with the exit codes in the help of every command.
#[must_use]
pub fn command() -> clap::Command {
    with_exit_codes(Cli::command())
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    let examples = command.get_after_long_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    let command = command.after_long_help(format!("{examples}{EXIT_CODES}"));
    command.mut_subcommands(with_exit_codes)
}

#[cfg(test)]
mod tests;
