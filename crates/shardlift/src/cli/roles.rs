//! Making a cluster and its parts, and running them.

use super::values::{Ceiling, HostName, Pace, Switch};
use super::{LogFormat, PassphraseArguments};
use clap::{Args, Subcommand, ValueEnum};
use shardlift_model::{ClusterId, PartName, RouterId, ServerName, ShardId};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A new cluster.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift init --cluster prod --zone backup.example --dir shardlift
  shardlift init --cluster prod --zone backup.example --dir shardlift --advertise-operator ctl.example:7400 \
--advertise-enrolment ctl.example:7401 --legacy-ca old-ca.pem
  shardlift init --cluster prod --zone backup.example --dir shardlift --ca ca --passphrase-credential shardlift-ca
  shardlift init --cluster lab --zone backup.example --dir lab --operator-listen 127.0.0.1:7400 \
--enrolment-listen 127.0.0.1:7401 --dry-run

With --passphrase-fd or --passphrase-credential the passphrase is written nowhere: the controller will be configured to get
it in the same way at each start.")]
pub struct InitArguments {
    /// Name of the cluster; part of every certificate.
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterId,
    /// DNS zone below which nodes get their server names.
    #[arg(long, value_name = "DOMAIN")]
    pub zone: ServerName,
    /// Folder to make; must not exist or be empty.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// Name of the controller.
    #[arg(long = "name", value_name = "NAME", default_value = "controller-1")]
    pub controller: PartName,
    /// Name of the first operator.
    #[arg(long, value_name = "NAME", default_value = "operator-1")]
    pub operator: PartName,
    /// Where operators are served.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7400")]
    pub operator_listen: SocketAddr,
    /// Where clients enrol.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7401")]
    pub enrolment_listen: SocketAddr,
    /// Where the status API is served.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7402")]
    pub status_listen: SocketAddr,
    /// Where figures are served in plain HTTP [default: not at all].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// What operators connect to [default: the listener, or this machine's name when it is on all addresses].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_operator: Option<String>,
    /// What clients connect to for enrolment [default: as above].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_enrolment: Option<String>,
    /// A further host name or address in the controller's certificate; may be repeated.
    #[arg(long = "dns", visible_alias = "ip", value_name = "NAME")]
    pub host_names: Vec<HostName>,
    /// A CA that clients trust today and have to go on trusting meanwhile; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub legacy_ca: Vec<PathBuf>,
    /// Folder with an issuing CA below a root that is kept elsewhere (shardlift pki ca) [default: a new root and CA].
    #[arg(long, value_name = "DIR")]
    pub ca: Option<PathBuf>,
    /// Where the passphrase of the CA's keys comes from [default: a random one, kept in a file].
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
    /// Check everything and say what would be made; make nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs a role until SIGTERM or SIGINT; SIGHUP reads certificates again.
#[derive(Debug, Clone, Args)]
pub struct RunRole {
    /// Configuration file.
    #[arg(long, value_name = "FILE", required = true)]
    pub config: Option<PathBuf>,
    /// Say on stdout, as one JSON object a line, which listener is ready and where.
    #[arg(long)]
    pub announce: bool,
    /// How the log on stderr looks.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", env = "SHARDLIFT_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: a level, or a filter such as info,shardlift_shard=debug.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "SHARDLIFT_LOG")]
    pub log: String,
}

/// Shards.
#[derive(Debug, Subcommand)]
pub enum ShardCommand {
    /// Add a running shard to the cluster
    #[command(after_long_help = "EXAMPLES:
  shardlift shard add shard-b --control shard-b.example:7411")]
    Add {
        /// Its name, as in its certificate.
        shard: ShardId,
        /// Where its control listener is.
        #[arg(long, value_name = "HOST:PORT")]
        control: String,
    },
    /// List the shards
    #[command(after_long_help = "EXAMPLES:
  shardlift shard list
  shardlift shard list -o json")]
    List,
    /// Show or change what moves and deep verifies may take from a shard's clients
    #[command(
        after_long_help = "Without an option nothing is changed. A change holds at once, for what is under way as well, and the shard
keeps it through a restart until --reset. Of a cap and a window the lower one holds.

EXAMPLES:
  shardlift shard limits source
  shardlift shard limits source --cap 200MiB/s --streams 8
  shardlift shard limits source --window 'UTC+01:00 02:00-06:00 unlimited, else 50 MiB/s'
  shardlift shard limits source --cap none --clients-first off
  shardlift shard limits source --reset"
    )]
    Limits(LimitShard),
    /// Make a ready folder for a new shard: key, certificate, configuration
    Prepare(Box<PrepareShard>),
}

/// What moves and deep verifies may take from a shard's clients.
#[derive(Debug, Args)]
pub struct LimitShard {
    /// Which shard.
    pub shard: ShardId,
    /// Bytes per second at most, such as 50MiB/s, or none.
    #[arg(long, value_name = "RATE")]
    pub cap: Option<Ceiling<Pace>>,
    /// Bytes per second by time of day, such as 'UTC+01:00 02:00-06:00 unlimited, else 50 MiB/s', or none.
    #[arg(long, value_name = "TEXT")]
    pub window: Option<Ceiling<String>>,
    /// Transfers at the same time, in each direction, or none for no limit.
    #[arg(long, value_name = "N")]
    pub streams: Option<Ceiling<u32>>,
    /// Whether less is moved while clients notice.
    #[arg(long, value_name = "ON|OFF")]
    pub clients_first: Option<Switch>,
    /// Bytes per second that are moved however clients fare; none for the usual floor.
    #[arg(long, value_name = "RATE")]
    pub floor: Option<Ceiling<Pace>>,
    /// Back to what the shard is configured with, before all else.
    #[arg(long)]
    pub reset: bool,
}

/// A new shard's folder.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift shard prepare shard-b --dir /etc/shardlift --dns '*.backup.example' --data /srv/backup
  shardlift shard prepare source --dir source --dns '*.backup.example' --data /srv/rest-server \
--client-auth either --legacy-ca old-ca.pem --client-certificate old.pem --client-key old.key
  shardlift shard prepare shard-b --dir shard-b --client-listen 127.0.0.1:7410 --control-listen 127.0.0.1:7411 --dry-run")]
pub struct PrepareShard {
    /// Name of the shard; part of its certificate.
    pub name: ShardId,
    /// Folder to make; must not exist or be empty.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// A host name in its certificate, such as *.backup.example; may be repeated.
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<HostName>,
    /// An address in its certificate; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<std::net::IpAddr>,
    /// Where clients (and routers) connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7410")]
    pub client_listen: SocketAddr,
    /// Where the controller and other shards connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7411")]
    pub control_listen: SocketAddr,
    /// Where figures are served in plain HTTP; a loopback address [default: not at all].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// What routers connect to [default: the listener, or this machine's name when it is on all addresses].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_client: Option<String>,
    /// What other shards connect to [default: as above].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_peer: Option<String>,
    /// Folder of the repositories; one of a rest-server is adopted in place [default: data, in the new folder].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the shard's own records [default: .shardlift, in the data folder].
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// What clients must show.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub client_auth: ClientAuthWord,
    /// Password file [default: .htpasswd, in the data folder].
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,
    /// A CA whose client certificates count as well; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub legacy_ca: Vec<PathBuf>,
    /// The server certificate that clients know today, to be shown to them instead of the new one.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    pub client_key: Option<PathBuf>,
    /// Let clients create repositories of their own.
    #[arg(long)]
    pub create_nodes: bool,
    /// Refuse deletions by clients, locks apart.
    #[arg(long)]
    pub append_only: bool,
    /// Bytes that may be used [default: the whole disk].
    #[arg(long, value_name = "BYTES")]
    pub capacity: Option<u64>,
    /// Bytes that each node may use [default: no limit].
    #[arg(long, value_name = "BYTES")]
    pub default_quota: Option<u64>,
    /// Check everything and print the configuration; make nothing and ask for no certificate.
    #[arg(long)]
    pub dry_run: bool,
}

/// What clients must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ClientAuthWord {
    /// A certificate.
    #[default]
    Certificate,
    /// A password.
    Password,
    /// A certificate, or a password until the release.
    Either,
    /// Both.
    Both,
}

/// Routers.
#[derive(Debug, Subcommand)]
pub enum RouterCommand {
    /// Add a running router to the cluster
    #[command(after_long_help = "EXAMPLES:
  shardlift router add router-1 --control router-1.example:7421")]
    Add {
        /// Its name, as in its certificate.
        router: RouterId,
        /// Where its control listener is.
        #[arg(long, value_name = "HOST:PORT")]
        control: String,
    },
    /// List the routers
    #[command(after_long_help = "EXAMPLES:
  shardlift router list
  shardlift router list -o json")]
    List,
    /// Make a ready folder for a new router: key, certificate, configuration
    Prepare(Box<PrepareRouter>),
}

/// A new router's folder.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift router prepare router-1 --dir /etc/shardlift --client-listen 0.0.0.0:443
  shardlift router prepare router-1 --dir router --client-listen 127.0.0.1:7420 --control-listen 127.0.0.1:7421 --dry-run")]
pub struct PrepareRouter {
    /// Name of the router; part of its certificate.
    pub name: RouterId,
    /// Folder to make; must not exist or be empty.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// A host name in its certificate; may be repeated.
    #[arg(long = "dns", value_name = "NAME")]
    pub dns: Vec<HostName>,
    /// An address in its certificate; may be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Vec<std::net::IpAddr>,
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:443")]
    pub client_listen: SocketAddr,
    /// Where the controller connects.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7421")]
    pub control_listen: SocketAddr,
    /// Where figures are served in plain HTTP; a loopback address [default: not at all].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Where the controller probes clients' way [default: the listener, or this machine's name when it is on all addresses].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise_client: Option<String>,
    /// Check everything and print the configuration; make nothing and ask for no certificate.
    #[arg(long)]
    pub dry_run: bool,
}

/// Operators.
#[derive(Debug, Subcommand)]
pub enum OperatorCommand {
    /// Make a ready folder for another operator: key, certificate, context
    Prepare(PrepareOperator),
}

/// Another operator's folder.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift operator prepare alice --dir alice")]
pub struct PrepareOperator {
    /// Name of the operator; part of the certificate and of what is recorded.
    pub name: PartName,
    /// Folder to make; must not exist or be empty.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// Check everything and print the context; make nothing and ask for no certificate.
    #[arg(long)]
    pub dry_run: bool,
}
