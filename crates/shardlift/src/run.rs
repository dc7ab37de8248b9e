//! From the arguments of the process to its exit code.

use crate::cli::{
    Cli, Command, NodeCommand, OperatorCommand, ReceiptCommand, RouterCommand, ShardCommand, TokenCommand,
};
use crate::exit::{Exit, Failure};
use crate::{
    audit, batches, certificates, cli, doctor, documents, enroll, enrolment_tokens, init, nodes, output, parts, pki,
    plans, prepare, receipts, renew, rollback, serve, status, tokens, verify,
};
use clap::FromArgMatches as _;
use std::process::ExitCode;

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    shardlift_pki::install_crypto_provider();
    let parsed = cli::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and ends well; clap knows. A closed stdout is nobody's loss.
            let _closed = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::talk(&format!("error: {}", output_of(&failure)));
            failure.exit.into()
        }
    }
}

fn output_of(failure: &Failure) -> String {
    failure.to_string().lines().map(output::clean).collect::<Vec<_>>().join("\n")
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Init(arguments) => return init::init(global.output, *arguments),
        Command::Completions { shell } => return documents::completions(shell),
        Command::Man { folder } => return documents::man(&folder),
        Command::Audit(command) => return audit::run(global.output, &command),
        Command::Receipt(ReceiptCommand::Verify(arguments)) => return receipts::verify(global.output, &arguments),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::caused("the process cannot start its threads", &error))?;
    runtime.block_on(async {
        match command {
            // Asks nobody: Ctrl-C ends it, and what it makes is there as a whole or not at all.
            Command::Pki(command) => pki::run(global.output, command).await,
            Command::Controller(run) => serve::controller(run).await,
            Command::Shard { run, command: None } => serve::shard(run).await,
            Command::Router { run, command: None } => serve::router(run).await,
            command => interruptible(ask(global, command)).await,
        }
    })
}

/// Ctrl-C ends the command, not what the controller does.
async fn interruptible(asking: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        done = asking => done,
        signal = tokio::signal::ctrl_c() => {
            signal.map_err(|error| Failure::caused("the process cannot listen for Ctrl-C", &error))?;
            let failure = Failure::new(Exit::Interrupted, "interrupted; what was asked of the controller goes on");
            Err(failure.advise("`shardlift status` shows how far it is"))
        }
    }
}

async fn ask(global: cli::Global, command: Command) -> Result<(), Failure> {
    let global = &global;
    match command {
        Command::Shard { command: Some(command), .. } => match command {
            ShardCommand::Add { shard, control } => parts::add_shard(global, &shard, control).await,
            ShardCommand::List => parts::list_shards(global).await,
            ShardCommand::Limits(arguments) => parts::limit_shard(global, arguments).await,
            ShardCommand::Prepare(arguments) => prepare::shard(global, *arguments).await,
        },
        Command::Router { command: Some(command), .. } => match command {
            RouterCommand::Add { router, control } => parts::add_router(global, &router, control).await,
            RouterCommand::List => parts::list_routers(global).await,
            RouterCommand::Prepare(arguments) => prepare::router(global, *arguments).await,
        },
        Command::Operator(OperatorCommand::Prepare(arguments)) => prepare::operator(global, arguments).await,
        Command::Node(command) => ask_node(global, command).await,
        Command::Plan(command) => plans::run(global, command).await,
        Command::Batch(command) => batches::run(global, command).await,
        Command::Receipt(command) => receipts::run(global, command).await,
        Command::Cert(command) => certificates::run(global, command).await,
        Command::Status(arguments) => status::status(global, &arguments).await,
        Command::Doctor(arguments) => doctor::doctor(global, arguments).await,
        Command::Token(TokenCommand::Status(arguments)) => tokens::status(global, arguments).await,
        Command::Init(_)
        | Command::Pki(_)
        | Command::Audit(_)
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Controller(_)
        | Command::Shard { command: None, .. }
        | Command::Router { command: None, .. } => Ok(()),
    }
}

async fn ask_node(global: &cli::Global, command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::List(filter) => nodes::list(global, filter).await,
        NodeCommand::Show { node } => nodes::show(global, &node).await,
        NodeCommand::Explain { node } => nodes::explain(global, &node).await,
        NodeCommand::Define(arguments) => nodes::define(global, arguments).await,
        NodeCommand::Set(arguments) => nodes::set(global, arguments).await,
        NodeCommand::Verify(arguments) => verify::verify(global, arguments).await,
        NodeCommand::Token(arguments) => enrolment_tokens::token(global, arguments).await,
        NodeCommand::Enroll(arguments) => enroll::enroll(global.output, arguments).await,
        NodeCommand::Renew(arguments) => renew::renew(global.output, arguments).await,
        NodeCommand::Abort(arguments) => nodes::abort(global, arguments).await,
        NodeCommand::Retry(arguments) => nodes::retry(global, arguments).await,
        NodeCommand::Rollback(arguments) => rollback::node(global, arguments).await,
        NodeCommand::WriteOff(arguments) => nodes::write_off(global, arguments).await,
        NodeCommand::Restore { node } => nodes::restore(global, &node).await,
    }
}
