//! `shardlift init`: a new cluster with a commented configuration file for every role.

use crate::cli::{Format, InitArguments, PassphraseArguments};
use crate::draft::refuse_if_used;
use crate::exit::{Exit, Failure};
use crate::output::{self, fields, talk};
use crate::passphrase::{self, Asked};
use crate::template::{self, Values, render, text_of};
use serde::Serialize;
use shardlift_controller::{ControllerConfig, InitFile, InitOptions, InitPassphrase, InitReport};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Largest file with a CA.
const CA_BYTES_MAX: usize = 1 << 20;

/// What was made, or would be.
#[derive(Debug, Serialize)]
struct Made {
    cluster: String,
    folder: PathBuf,
    controller_config: PathBuf,
    context: PathBuf,
    controller: String,
    enrolment: String,
    ca_fingerprint: String,
    files: Vec<PathBuf>,
    dry_run: bool,
}

pub(crate) fn init(format: Format, arguments: InitArguments) -> Result<(), Failure> {
    let folder = std::path::absolute(&arguments.folder)
        .map_err(|error| Failure::caused(format!("{} cannot be used", arguments.folder.display()), &error))?;
    let operator = advertised(arguments.advertise_operator.as_deref(), arguments.operator_listen)?;
    let enrolment = advertised(arguments.advertise_enrolment.as_deref(), arguments.enrolment_listen)?;
    let legacy = legacy_files(&arguments.legacy_ca)?;
    let files = files(&arguments, &operator, &enrolment, legacy)?;
    let mut made = Made {
        cluster: arguments.cluster.to_string(),
        controller_config: folder.join("controller.toml"),
        context: folder.join("operator.toml"),
        controller: operator.clone(),
        enrolment: enrolment.clone(),
        ca_fingerprint: String::new(),
        files: files.iter().map(|file| folder.join(&file.path)).collect(),
        dry_run: arguments.dry_run,
        folder,
    };
    refuse_if_used(&made.folder)?;
    if !arguments.dry_run {
        let report = create(arguments, &made.folder, &[operator, enrolment], files)?;
        made.ca_fingerprint.clone_from(&report.fingerprint);
        made.files.extend(made_besides(report));
    }
    output::print(format, &made, shown)
}

fn create(
    arguments: InitArguments,
    folder: &Path,
    addresses: &[String],
    files: Vec<InitFile>,
) -> Result<InitReport, Failure> {
    let passphrase = passphrase(&arguments.passphrase)?;
    let options = InitOptions {
        controller_host_names: host_names(&arguments, addresses),
        cluster: arguments.cluster,
        zone: arguments.zone,
        folder: folder.to_owned(),
        controller: arguments.controller,
        operator: arguments.operator,
        passphrase,
        ca: arguments.ca,
        files,
    };
    shardlift_controller::init(options).map_err(|error| {
        Failure::caused("no cluster was made", &error).advise("nothing was left behind; repair the cause and repeat")
    })
}

fn made_besides(report: InitReport) -> impl Iterator<Item = PathBuf> {
    let InitReport { store, ca_folder, passphrase_file, ca, .. } = report;
    let InitReport { controller_certificate, controller_key, operator_certificate, operator_key, .. } = report;
    let made = [store, ca_folder, ca, controller_certificate, controller_key, operator_certificate, operator_key];
    made.into_iter().chain(passphrase_file)
}

/// The host and port that others are told.
pub(crate) fn advertised(wish: Option<&str>, listen: SocketAddr) -> Result<String, Failure> {
    let Some(address) = wish else {
        let host = if listen.ip().is_unspecified() { this_machine() } else { return Ok(listen.to_string()) };
        return Ok(format!("{host}:{}", listen.port()));
    };
    let parts = address.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match parts {
        Some(_) if !address.contains(char::is_whitespace) => Ok(address.to_owned()),
        _ => Err(Failure::new(Exit::Usage, format!("{address:?} is not HOST:PORT"))),
    }
}

fn this_machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What is given, the hosts of the addresses, and the local ones.
fn host_names(arguments: &InitArguments, addresses: &[String]) -> Vec<String> {
    let mut names: Vec<String> = arguments.host_names.iter().map(ToString::to_string).collect();
    let hosts = addresses.iter().filter_map(|address| address.rsplit_once(':')).map(|(host, _)| host);
    let hosts = hosts.map(|host| host.trim_start_matches('[').trim_end_matches(']').to_lowercase());
    // A machine's name may be none that a certificate can carry, such as one with an underscore.
    names.extend(hosts.filter(|host| host.parse::<crate::cli::HostName>().is_ok()));
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn passphrase(arguments: &PassphraseArguments) -> Result<InitPassphrase, Failure> {
    let is_kept = arguments.passphrase_fd.is_none() && arguments.passphrase_credential.is_none();
    Ok(match passphrase::given(arguments, Asked::Twice)? {
        None => InitPassphrase::Random,
        Some(passphrase) if is_kept => InitPassphrase::Kept(passphrase),
        Some(passphrase) => InitPassphrase::Elsewhere(passphrase),
    })
}

/// Copies of CA files, named by their number.
pub(crate) fn legacy_files(paths: &[PathBuf]) -> Result<Vec<InitFile>, Failure> {
    let read = |(n, path): (usize, &PathBuf)| {
        let bad = |why: String| Failure::new(Exit::Usage, format!("{} is no file with a CA: {why}", path.display()));
        let contents = std::fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        if contents.len() > CA_BYTES_MAX {
            return Err(bad("larger than 1 MiB".to_owned()));
        }
        shardlift_pki::certificates_in(&contents).map_err(|error| bad(error.to_string()))?;
        if contents.contains("PRIVATE KEY") {
            return Err(bad("there is a private key in it; give the certificates alone".to_owned()));
        }
        Ok(InitFile { path: format!("legacy-ca-{}.pem", n + 1).into(), contents })
    };
    paths.iter().enumerate().map(read).collect()
}

/// The names of such files, for a configuration.
pub(crate) fn legacy_names(files: &[InitFile]) -> Option<Vec<String>> {
    let names: Vec<String> = files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
    if names.is_empty() { None } else { Some(names) }
}

fn files(
    arguments: &InitArguments,
    operator: &str,
    enrolment: &str,
    legacy: Vec<InitFile>,
) -> Result<Vec<InitFile>, Failure> {
    let cluster = arguments.cluster.as_str();
    let controller = Values::default()
        .set("cluster", cluster)
        .set("zone", arguments.zone.as_str())
        .set("store", shardlift_controller::init::STORE)
        .address("operator_listen", arguments.operator_listen)
        .set("operator_address", operator)
        .address("enrolment_listen", arguments.enrolment_listen)
        .set("enrolment_address", enrolment)
        .address("status_listen", arguments.status_listen)
        .set_some("metrics_listen", arguments.metrics_listen.map(|address| address.to_string()))
        .set_some("legacy_ca", legacy_names(&legacy))
        .set("folder", shardlift_controller::init::CA);
    let controller = match (arguments.passphrase.passphrase_fd, &arguments.passphrase.passphrase_credential) {
        (Some(number), _) => controller.set("passphrase_descriptor", i64::from(number)),
        (None, Some(name)) => controller.set("passphrase_credential", name.as_str()),
        (None, None) => controller.set("passphrase_file", shardlift_controller::init::PASSPHRASE),
    };
    let controller = render(template::CONTROLLER, own_tls(controller, "controller"))?;
    let parsed = ControllerConfig::parse(&controller, Path::new(""));
    parsed.map_err(|error| Failure::caused("the controller's configuration", &error).with_exit(Exit::Usage))?;
    let context = Values::default().set("cluster", cluster).set("controller", operator).set("enrolment", enrolment);
    let mut files = legacy;
    let mut add = |path: &str, contents: String| files.push(InitFile { path: path.into(), contents });
    add("controller.toml", controller);
    add("operator.toml", render(template::OPERATOR, own_tls(context, "operator"))?);
    add("examples/shard.toml", render(template::SHARD, example_shard(cluster))?);
    add("examples/router.toml", render(template::ROUTER, example_router(cluster))?);
    Ok(files)
}

/// Certificate, key and root as they are named in the folder of a part.
pub(crate) fn own_tls(values: Values, role: &str) -> Values {
    let ca = shardlift_controller::init::CA_PEM;
    values.set("certificate", format!("{role}.pem")).set("key", format!("{role}.key")).set("ca", ca)
}

fn example_shard(cluster: &str) -> Values {
    let values = Values::default().set("name", "shard-b").set("cluster", cluster).set("data", "/srv/backup");
    let values = values.set("client_listen", "0.0.0.0:7410").set("control_listen", "0.0.0.0:7411");
    own_tls(values.set("client_auth", "certificate"), "shard")
}

fn example_router(cluster: &str) -> Values {
    let values = Values::default().set("name", "router-1").set("cluster", cluster).set("state", "routes");
    own_tls(values.set("client_listen", "0.0.0.0:443").set("control_listen", "0.0.0.0:7421"), "router")
}

fn shown(made: &Made) -> String {
    if made.dry_run {
        talk("dry run: nothing was made");
    } else {
        let config = made.controller_config.display();
        talk(&format!(
            "next:\n  shardlift controller --config {config}\n  shardlift --context {} shard prepare NAME --dir DIR",
            made.context.display()
        ));
    }
    let files: Vec<String> = made.files.iter().filter_map(|file| text_of(file).ok()).collect();
    fields(&[
        ("cluster", made.cluster.clone()),
        ("folder", made.folder.display().to_string()),
        ("context", made.context.display().to_string()),
        ("controller", made.controller.clone()),
        ("enrolment", made.enrolment.clone()),
        ("CA fingerprint", made.ca_fingerprint.clone()),
        ("files", files.join("\n")),
    ])
}

#[cfg(test)]
mod tests;
