//! Templates against the configuration that the roles really read.

use super::*;
use crate::context::Context;
use shardlift_controller::ControllerConfig;
use shardlift_router::server::RouterConfig;
use shardlift_shard::server::ShardConfig;

fn fixed(template: &str, fields: &[&'static str]) -> Values {
    let listens = |values: Values, name: &'static str| match name {
        name if name.ends_with("_listen") || name.ends_with("_address") => values.set(name, "127.0.0.1:1"),
        name => values.set(name, "c1.example"),
    };
    let values = fields.iter().fold(Values::default(), |values, name| listens(values, name));
    match template {
        CONTROLLER => values.set("cluster", "c1"),
        _ => values,
    }
}

const CONTROLLER_FIELDS: &[&str] = &[
    "zone",
    "store",
    "operator_listen",
    "operator_address",
    "enrolment_listen",
    "enrolment_address",
    "certificate",
    "key",
    "ca",
    "folder",
    "passphrase_file",
];
const SHARD_FIELDS: &[&str] =
    &["name", "cluster", "data", "client_listen", "control_listen", "client_auth", "certificate", "key", "ca"];
const ROUTER_FIELDS: &[&str] =
    &["name", "cluster", "state", "client_listen", "control_listen", "certificate", "key", "ca"];

/// The same with every example put in force.
fn with_examples(text: &str) -> String {
    let is_example =
        |line: &str| line.strip_prefix("# ").is_some_and(|rest| rest.contains(" = ") && !rest.contains("  "));
    text.lines().map(|line| if is_example(line) { format!("{}\n", &line[2..]) } else { format!("{line}\n") }).collect()
}

fn values(template: &str) -> Values {
    match template {
        CONTROLLER => fixed(template, CONTROLLER_FIELDS),
        ROUTER => named(fixed(template, ROUTER_FIELDS)),
        _ => {
            let mut values = named(fixed(template, SHARD_FIELDS));
            values.take("client_auth");
            values.set("client_auth", "certificate")
        }
    }
}

fn named(mut values: Values) -> Values {
    values.take("name");
    values.take("cluster");
    values.set("name", "part-1").set("cluster", "c1")
}

#[test]
fn every_template_is_what_its_role_reads_with_and_without_its_examples() {
    let folder = Path::new("/etc/shardlift");
    for (template, name) in [(CONTROLLER, "controller"), (SHARD, "shard"), (ROUTER, "router")] {
        let text = render(template, values(template)).unwrap();
        assert!(!text.contains(" = ?") && !text.contains("#?"), "{text}");
        let full = with_examples(&text);
        // One of three.
        let is_alternative =
            |line: &&str| !line.starts_with("passphrase_descriptor") && !line.starts_with("passphrase_credential");
        let full = full.lines().filter(is_alternative).map(|line| format!("{line}\n")).collect::<String>();
        assert!(full.len() < text.len(), "{name} has examples");
        for text in [text, full] {
            let parsed = match name {
                "controller" => ControllerConfig::parse(&text, folder).map(|_| ()).map_err(|error| error.to_string()),
                "shard" => ShardConfig::parse(&text, folder).map(|_| ()).map_err(|error| error.to_string()),
                _ => RouterConfig::parse(&text, &folder.join("r.toml")).map(|_| ()).map_err(|error| error.to_string()),
            };
            assert_eq!(parsed, Ok(()), "{name}:\n{text}");
        }
    }
    let context = Values::default().set("cluster", "c1").set("controller", "a:1").set("enrolment", "a:2");
    let context = context.set("certificate", "o.pem").set("key", "o.key").set("ca", "ca.pem");
    Context::parse(&render(OPERATOR, context).unwrap(), &folder.join("operator.toml")).unwrap();
}

#[test]
fn every_field_of_a_template_is_explained() {
    for template in [CONTROLLER, SHARD, ROUTER, OPERATOR] {
        let mut above = "";
        for line in template.lines() {
            let is_field = line.ends_with(" = ?") || line.starts_with("#? ");
            assert!(!is_field || above.starts_with('#'), "{line}");
            above = line;
        }
    }
}

#[test]
fn a_value_cannot_break_out_of_its_quotes() {
    let values = Values::default().set("name", "a\"\nevil = true\n#");
    let text = render("name = ?", values).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(table.len(), 1, "{text}");
}

#[test]
fn a_value_too_many_or_too_few_is_told() {
    assert!(render("name = ?", Values::default()).is_err());
    assert!(render("a = ?", Values::default().set("a", "1").set("b", "1")).is_err());
}
