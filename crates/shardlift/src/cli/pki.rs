//! The CA itself, on machines that need not know of each other.

use clap::{Args, Subcommand};
use shardlift_model::ClusterId;
use std::path::PathBuf;

/// The CA.
#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// The root, on a machine that needs no network
    #[command(subcommand)]
    Root(RootCommand),
    /// Issuing CAs below it, where the controller runs
    #[command(subcommand)]
    Ca(CaCommand),
}

/// The root.
#[derive(Debug, Subcommand)]
pub enum RootCommand {
    /// Make the root of a new cluster
    Create(CreateRoot),
    /// Sign the request of an issuing CA
    Sign(SignCa),
}

/// Issuing CAs.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the key of the next issuing CA and a request for the root
    Request(RequestCa),
    /// Put the certificate that the root gave beside its key
    Install(InstallCa),
    /// Show the root and the issuing CAs of a folder
    #[command(after_long_help = "EXAMPLES:
  shardlift pki ca show --dir shardlift/ca
  shardlift pki ca show --dir shardlift/ca -o json

No passphrase is needed: only certificates are read.")]
    Show {
        /// Folder of the CA.
        #[arg(long = "dir", value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Where a passphrase comes from; never the command line itself, which others can read.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub struct PassphraseArguments {
    /// Read the passphrase from this file.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from this open descriptor.
    #[arg(long, value_name = "NUMBER")]
    pub passphrase_fd: Option<u32>,
    /// Read the passphrase from this credential of the systemd unit.
    #[arg(long, value_name = "NAME")]
    pub passphrase_credential: Option<String>,
    /// Ask for the passphrase on the terminal.
    #[arg(long)]
    pub ask_passphrase: bool,
}

/// A new root.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift pki root create --cluster prod --dir root
  shardlift pki root create --cluster prod --dir root --passphrase-fd 3

Keep the folder and the passphrase apart from each other and away from the controller: whoever has both can let anybody in.
The passphrase is asked for on the terminal when nothing is said.")]
pub struct CreateRoot {
    /// Name of the cluster that it will vouch for.
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterId,
    /// Folder to make; must not exist or be empty.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// Where the passphrase comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
}

/// A request to sign.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift pki root sign issuing-1.csr --dir root --out issuing-1.pem

Compare the fingerprint of the key with what `shardlift pki ca request` printed before you confirm. The root signs one key under
each number; the same request again gets the same certificate.")]
pub struct SignCa {
    /// The request, as `shardlift pki ca request` made it.
    #[arg(value_name = "REQUEST")]
    pub request: PathBuf,
    /// Folder of the root.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// File for the certificate of the issuing CA and that of the root; must not exist.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Sign only when the key has this fingerprint (SHA-256, hex), and do not ask.
    #[arg(long, value_name = "HEX")]
    pub key: Option<String>,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// Where the passphrase of the root comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
}

/// The next issuing CA.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift pki ca request --cluster prod --dir ca
  shardlift pki ca request --cluster prod --dir /etc/shardlift/ca --passphrase-file /etc/shardlift/ca.passphrase

In the folder of a running controller the passphrase is the one that it uses; the present CA goes on until the next one is
installed.")]
pub struct RequestCa {
    /// Name of the cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterId,
    /// Folder of the CA; made when it is not there.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// Number of the issuing CA [default: the next one].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub generation: Option<u32>,
    /// Where the passphrase of its key comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
}

/// A certificate to install.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift pki ca install issuing-1.pem --dir ca
  shardlift pki ca install issuing-2.pem --dir /etc/shardlift/ca --passphrase-file /etc/shardlift/ca.passphrase

The first certificate brings the root with it: compare its fingerprint with what `shardlift pki root create` printed. A running
controller takes a new issuing CA up on SIGHUP.")]
pub struct InstallCa {
    /// What `shardlift pki root sign` wrote.
    #[arg(value_name = "FILE")]
    pub certificate: PathBuf,
    /// Folder of the CA, where its key is.
    #[arg(long = "dir", value_name = "DIR")]
    pub folder: PathBuf,
    /// SHA-256 fingerprint that the root must have, where the folder knows none yet; then nothing is asked.
    #[arg(long, value_name = "HEX")]
    pub root: Option<String>,
    /// Where the passphrase of the key comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArguments,
}
