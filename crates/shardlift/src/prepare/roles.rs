//! What is written for each role.

use super::{Preparation, carry_out};
use crate::cli::{Global, PrepareOperator, PrepareRouter, PrepareShard};
use crate::connection::Connection;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::init::{advertised, legacy_files, legacy_names, own_tls};
use crate::template::{self, Values, render};
use clap::ValueEnum as _;
use shardlift_model::{ClusterId, Role};
use shardlift_router::server::RouterConfig;
use shardlift_shard::server::ShardConfig;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Folder of the repositories within a shard's folder.
const DATA: &str = "data";

pub(crate) async fn shard(global: &Global, arguments: PrepareShard) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let legacy = legacy_files(&arguments.legacy_ca)?;
    let text = shard_text(&connection.context.cluster, &arguments, legacy_names(&legacy))?;
    let next = next(&arguments.folder, "shard", arguments.name.as_str(), arguments.control_listen);
    let preparation = Preparation {
        role: Role::Shard,
        name: arguments.name.to_string(),
        host_names: host_names(&arguments.dns, &arguments.ip),
        config: ("shard.toml".to_owned(), text),
        legacy,
        inner_folder: arguments.data.is_none().then_some(DATA),
        dry_run: arguments.dry_run,
        folder: arguments.folder,
        next,
    };
    carry_out(global, &connection, preparation).await
}

pub(super) fn shard_text(
    cluster: &ClusterId,
    arguments: &PrepareShard,
    legacy: Option<Vec<String>>,
) -> Result<String, Failure> {
    let data = arguments.data.as_deref().map(absolute).transpose()?.unwrap_or_else(|| PathBuf::from(DATA));
    let optional = |name, path: &Option<PathBuf>, values: Values| match path {
        Some(path) => values.path(name, &absolute(path)?),
        None => Ok(values),
    };
    let auth = arguments.client_auth.to_possible_value();
    let values = Values::default()
        .set("name", arguments.name.as_str())
        .set("cluster", cluster.as_str())
        .path("data", &data)?
        .address("client_listen", arguments.client_listen)
        .set_some("client_address", told(arguments.advertise_client.as_deref(), arguments.client_listen)?)
        .address("control_listen", arguments.control_listen)
        .set_some("peer_address", told(arguments.advertise_peer.as_deref(), arguments.control_listen)?)
        .set_some("metrics_listen", arguments.metrics_listen.map(|address| address.to_string()))
        .set("client_auth", auth.as_ref().map_or("certificate", |word| word.get_name()))
        .set_some("create_nodes", arguments.create_nodes.then_some(true))
        .set_some("append_only", arguments.append_only.then_some(true))
        .set_some("capacity_bytes", number("--capacity", arguments.capacity)?)
        .set_some("default_quota_bytes", number("--default-quota", arguments.default_quota)?)
        .set_some("legacy_ca", legacy);
    let values = optional("state", &arguments.state, values)?;
    let values = optional("htpasswd", &arguments.htpasswd, values)?;
    let values = optional("client_certificate", &readable(&arguments.client_certificate)?, values)?;
    let values = optional("client_key", &readable(&arguments.client_key)?, values)?;
    let text = render(template::SHARD, own_tls(values, "shard"))?;
    ShardConfig::parse(&text, Path::new("")).map_err(|error| refused(&error))?;
    Ok(text)
}

pub(crate) async fn router(global: &Global, arguments: PrepareRouter) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let text = router_text(&connection.context.cluster, &arguments)?;
    let next = next(&arguments.folder, "router", arguments.name.as_str(), arguments.control_listen);
    let preparation = Preparation {
        role: Role::Router,
        name: arguments.name.to_string(),
        host_names: host_names(&arguments.dns, &arguments.ip),
        config: ("router.toml".to_owned(), text),
        legacy: Vec::new(),
        inner_folder: None,
        dry_run: arguments.dry_run,
        folder: arguments.folder,
        next,
    };
    carry_out(global, &connection, preparation).await
}

pub(super) fn router_text(cluster: &ClusterId, arguments: &PrepareRouter) -> Result<String, Failure> {
    let values = Values::default()
        .set("name", arguments.name.as_str())
        .set("cluster", cluster.as_str())
        .set("state", "routes")
        .address("client_listen", arguments.client_listen)
        .set_some("client_address", told(arguments.advertise_client.as_deref(), arguments.client_listen)?)
        .address("control_listen", arguments.control_listen)
        .set_some("metrics_listen", arguments.metrics_listen.map(|address| address.to_string()));
    let text = render(template::ROUTER, own_tls(values, "router"))?;
    RouterConfig::parse(&text, Path::new("router.toml")).map_err(|error| refused(&error))?;
    Ok(text)
}

pub(crate) async fn operator(global: &Global, arguments: PrepareOperator) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let Context { cluster, controller, enrolment, .. } = &connection.context;
    let values = Values::default().set("cluster", cluster.as_str());
    let values = values.set("controller", controller.as_str()).set("enrolment", enrolment.as_str());
    let text = render(template::OPERATOR, own_tls(values, "operator"))?;
    let next = format!("  take {} to the operator's machine, as ~/.config/shardlift", arguments.folder.display());
    let preparation = Preparation {
        role: Role::Operator,
        name: arguments.name.to_string(),
        host_names: Vec::new(),
        config: ("operator.toml".to_owned(), text),
        legacy: Vec::new(),
        inner_folder: None,
        dry_run: arguments.dry_run,
        folder: arguments.folder,
        next,
    };
    carry_out(global, &connection, preparation).await
}

fn next(folder: &Path, role: &str, name: &str, control: SocketAddr) -> String {
    let config = folder.join(format!("{role}.toml"));
    let control = advertised(None, control).unwrap_or_else(|_| control.to_string());
    format!("  shardlift {role} --config {}\n  shardlift {role} add {name} --control {control}", config.display())
}

/// What others are told: nothing when the role can say it itself.
fn told(wish: Option<&str>, listen: SocketAddr) -> Result<Option<String>, Failure> {
    if wish.is_none() && !listen.ip().is_unspecified() {
        return Ok(None);
    }
    advertised(wish, listen).map(Some)
}

fn host_names(dns: &[crate::cli::HostName], ip: &[IpAddr]) -> Vec<String> {
    dns.iter().map(ToString::to_string).chain(ip.iter().map(ToString::to_string)).collect()
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::caused(format!("{} cannot be used", path.display()), &error))
}

fn readable(path: &Option<PathBuf>) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = path
        && let Err(error) = std::fs::File::open(path)
    {
        return Err(Failure::caused(format!("{} cannot be read", path.display()), &error).with_exit(Exit::Usage));
    }
    Ok(path.clone())
}

fn number(name: &str, value: Option<u64>) -> Result<Option<i64>, Failure> {
    let too_large = |_| Failure::new(Exit::Usage, format!("{name}: too large"));
    value.map(i64::try_from).transpose().map_err(too_large)
}

fn refused(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::caused("the configuration would be refused", error).with_exit(Exit::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, RouterCommand, ShardCommand};
    use clap::Parser as _;

    fn shard_of(line: &[&str]) -> Result<String, Failure> {
        let cli = Cli::try_parse_from(["shardlift", "shard", "prepare", "shard-b", "--dir", "d"].iter().chain(line));
        match cli.unwrap().command {
            Command::Shard { command: Some(ShardCommand::Prepare(arguments)), .. } => {
                shard_text(&"c1".parse().unwrap(), &arguments, None)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_shard_on_all_addresses_tells_others_a_name() {
        let config = ShardConfig::parse(&shard_of(&[]).unwrap(), Path::new("/x/shard.toml")).unwrap();
        assert!(config.client_address.unwrap().ends_with(":7410"));
        assert!(config.peer_address.unwrap().ends_with(":7411"));
        assert_eq!(config.engine.data, Path::new("/x/data"));
        let own = ["--client-listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
        let config = ShardConfig::parse(&shard_of(&own).unwrap(), Path::new("/x/shard.toml")).unwrap();
        assert_eq!((config.client_address, config.peer_address), (None, None));
    }

    #[test]
    fn what_is_asked_for_is_what_the_shard_reads() {
        let line =
            ["--data", "/srv/b", "--client-auth", "either", "--create-nodes", "--append-only", "--capacity", "5"];
        let config = ShardConfig::parse(&shard_of(&line).unwrap(), Path::new("/x/shard.toml")).unwrap();
        assert_eq!(config.engine.data, Path::new("/srv/b"));
        assert!(config.create_nodes && config.engine.append_only && config.client_auth.takes_passwords());
        assert_eq!(config.engine.capacity.unwrap().0, 5);
    }

    #[test]
    fn what_the_shard_would_refuse_is_refused_before_a_certificate_is_asked_for() {
        assert_eq!(shard_of(&["--metrics-listen", "0.0.0.0:1"]).unwrap_err().exit, Exit::Usage);
        let missing = ["--client-certificate", "/nowhere", "--client-key", "/nowhere"];
        assert_eq!(shard_of(&missing).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_router_gets_a_configuration_that_it_reads() {
        let cli = Cli::try_parse_from(["shardlift", "router", "prepare", "r1", "--dir", "d"]).unwrap();
        let Command::Router { command: Some(RouterCommand::Prepare(arguments)), .. } = cli.command else {
            panic!("not a router");
        };
        let text = router_text(&"c1".parse().unwrap(), &arguments).unwrap();
        let config = RouterConfig::parse(&text, Path::new("/x/router.toml")).unwrap();
        assert_eq!(config.name.as_str(), "r1");
        assert!(config.client_address.unwrap().ends_with(":443"));
    }
}
