//! The command line as a whole: every command introduces itself and its examples are real.

use super::*;

/// All commands with their names from the root, groups included.
fn all(command: &clap::Command, path: &str, into: &mut Vec<(String, clap::Command)>) {
    let path = format!("{path} {}", command.get_name()).trim_start().to_owned();
    into.push((path.clone(), command.clone()));
    command.get_subcommands().for_each(|sub| all(sub, &path, into));
}

fn commands() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    all(&command(), "", &mut found);
    found
}

/// Splits as a shell does, single quotes understood.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (n, part) in line.split('\'').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(ToOwned::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn every_command_has_one_line_about_it_and_its_exit_codes() {
    for (path, command) in commands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n'), "{path}: {about:?}");
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(EXIT_CODES), "{path}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {}", argument.get_id());
        }
    }
}

#[test]
fn every_example_can_be_typed() {
    let mut tried = 0;
    for (path, command) in commands() {
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  shardlift ")).collect();
        assert!(!examples.is_empty() || command.has_subcommands(), "{path} has no example");
        for example in examples {
            assert!(path == "shardlift" || example.trim().starts_with(&path), "{path}: {example}");
            if let Err(error) = Cli::try_parse_from(words(example)) {
                panic!("{path}: {example}: {error}");
            }
            tried += 1;
        }
    }
    assert!(tried > 55, "{tried}");
}

#[test]
fn a_role_needs_its_configuration_and_its_commands_do_not() {
    let parse = |line: &str| Cli::try_parse_from(words(line)).map_err(|error| error.kind());
    assert_eq!(parse("shardlift shard").unwrap_err(), clap::error::ErrorKind::MissingRequiredArgument);
    assert!(matches!(
        parse("shardlift router list").unwrap().command,
        Command::Router { command: Some(RouterCommand::List), .. }
    ));
    assert!(parse("shardlift shard --config x list").is_err());
}

#[test]
fn global_options_may_stand_after_the_command() {
    let cli = Cli::try_parse_from(words("shardlift node list -o json --context c.toml --controller a:1")).unwrap();
    let Global { context, controller, output } = cli.global;
    assert_eq!((output, context, controller), (Format::Json, Some("c.toml".into()), Some("a:1".into())));
}

#[test]
fn a_loss_is_accepted_with_a_number_or_to_be_asked_for_one() {
    let accepted = |line: &str| match Cli::try_parse_from(words(line)).unwrap().command {
        Command::Node(NodeCommand::Rollback(arguments)) => (arguments.accept_loss, arguments.yes),
        other => panic!("{other:?}"),
    };
    assert_eq!(accepted("shardlift node rollback a"), (None, false));
    assert_eq!(accepted("shardlift node rollback a --accept-loss"), (Some(None), false));
    assert_eq!(accepted("shardlift node rollback a --accept-loss --yes"), (Some(None), true));
    for line in ["shardlift node rollback a --accept-loss 4711 -y", "shardlift node rollback --accept-loss=4711 -y a"] {
        assert_eq!(accepted(line), (Some(Some(4711)), true), "{line}");
    }
}

#[test]
fn the_losses_of_a_batch_are_accepted_node_by_node_or_to_be_asked_for() {
    let accepted = |line: &str| match Cli::try_parse_from(words(line)).unwrap().command {
        Command::Batch(BatchCommand::Rollback(arguments)) => arguments.accept_loss.map(|losses| {
            losses.iter().map(|loss| format!("{}={}", loss.node, loss.seq)).collect::<Vec<_>>().join(" ")
        }),
        other => panic!("{other:?}"),
    };
    assert_eq!(accepted("shardlift batch rollback b"), None);
    assert_eq!(accepted("shardlift batch rollback b --accept-loss --wait").as_deref(), Some(""));
    for line in [
        "shardlift batch rollback b --accept-loss a/x=3 c=0 -y",
        "shardlift batch rollback b --accept-loss=a/x=3 --accept-loss c=0",
        "shardlift batch rollback --accept-loss a/x=3 c=0 -y b",
    ] {
        assert_eq!(accepted(line).as_deref(), Some("a/x=3 c=0"), "{line}");
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused_before_anything_is_asked() {
    for line in [
        "shardlift node show ../etc",
        "shardlift node define a/b",
        "shardlift node token a --valid soon",
        "shardlift plan apply p.toml",
        "shardlift plan make --source s --headroom 100",
        "shardlift plan make --source s --goal fast",
        "shardlift plan make --source s --goal evacuate --leave 3",
        "shardlift plan make --source s --leave 3 --peak-at-most 60",
        "shardlift plan make --source s --peak-at-most 0",
        "shardlift plan make --source s --tolerance 1001",
        "shardlift plan make --source s --horizon 4000",
        "shardlift plan make --source s --max-bytes 2TB",
        "shardlift plan make --source s --max-moves 0",
        "shardlift plan make --source s --spread acme=0%",
        "shardlift plan make --source s --together a/b",
        "shardlift plan make --source s --allow a=",
        "shardlift plan graph p.toml --html a --svg b",
        "shardlift plan rebase",
        "shardlift batch start 'Not A Name'",
        "shardlift node rollback",
        "shardlift node rollback a --rehearse --reason x",
        "shardlift node rollback a --timeout 1h",
        "shardlift node rollback a --rehearse --accept-loss 3",
        "shardlift node rollback a --accept-loss -1",
        "shardlift node rollback a --accept-loss all",
        "shardlift batch rollback b --rehearse --reason x",
        "shardlift batch rollback b --accept-loss 3",
        "shardlift batch rollback b --accept-loss a=x",
        "shardlift batch rollback b --rehearse --accept-loss",
        "shardlift batch release b --yes",
        "shardlift doctor 'Not A Name'",
        "shardlift node enroll --server s:1 --out .",
        "shardlift shard prepare b --dir d --client-certificate c.pem",
        "shardlift init --cluster c --zone 'not a zone' --dir d",
        "shardlift audit verify --head 12",
        "shardlift audit verify --after 12:abc",
        "shardlift audit show --since yesterday",
        "shardlift status -o xml",
    ] {
        let refused = Cli::try_parse_from(words(line)).map(|_| ()).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{line}");
    }
}
