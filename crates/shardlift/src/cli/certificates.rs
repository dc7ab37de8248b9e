//! What an operator asks about certificates.

use clap::{Args, Subcommand};
use shardlift_model::{BatchId, NodeId, RevocationReason};
use std::path::PathBuf;

/// Certificates.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// List the certificates of the cluster that have not ended
    List(CertFilter),
    /// Take certificates back: whoever shows one is cut off and never let in again
    Revoke(RevokeCertificates),
    /// Get the revocation list that holds, and see where it is in force
    Crl(GetCrl),
}

/// Which certificates.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift cert list
  shardlift cert list --node acme/web-1
  shardlift cert list --revoked -o json")]
pub struct CertFilter {
    /// Of this node only.
    #[arg(long)]
    pub node: Option<NodeId>,
    /// Only those that were revoked.
    #[arg(long)]
    pub revoked: bool,
}

/// Certificates to take back.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift cert revoke --node acme/web-1 --reason key-compromise
  shardlift cert revoke --batch canary --reason superseded --yes
  shardlift cert revoke --serial 77c13d0e4fc686e04cc83aa797615d02 --serial 4A:BC:01

With a node go all its certificates of this cluster and its enrolment tokens; running uploads are cut. A new token
(shardlift node token) lets it in again. Certificates of a CA from before the cluster, and passwords, are not touched.
It cannot be undone. The exit code is 6 when a shard did not confirm within five seconds; it is told as soon as it answers.")]
pub struct RevokeCertificates {
    /// All certificates of this node; may be repeated.
    #[arg(long, required_unless_present_any = ["batch", "serial"])]
    pub node: Vec<NodeId>,
    /// All certificates of the nodes of this batch.
    #[arg(long)]
    pub batch: Option<BatchId>,
    /// This one, by its serial number in hex; may be repeated.
    #[arg(long, value_name = "HEX")]
    pub serial: Vec<String>,
    /// Why: key-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn.
    #[arg(long, default_value_t)]
    pub reason: RevocationReason,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

/// The list.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift cert crl
  shardlift cert crl --out /etc/haproxy/shardlift.crl
  shardlift cert crl --out - -o json

The file is a CRL (RFC 5280) in PEM, followed by the certificate of the CA that signed it, and the same for each issuing CA
before that has not ended. It is replaced as a whole. Lists are renewed
daily and good for a week: fetch them again in time where other programs read them.")]
pub struct GetCrl {
    /// Write the list into this file; - is stdout.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
