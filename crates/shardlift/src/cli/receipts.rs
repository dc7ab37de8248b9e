//! What an operator, or anybody with a file, asks about receipts.

use clap::{Args, Subcommand};
use shardlift_model::{BatchId, NodeId};
use std::path::PathBuf;
use std::str::FromStr;

/// Receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Get the signed receipt of a node that moved
    Show(ShowReceipt),
    /// Get the receipts of all nodes of a batch, each into a file
    Export(ExportReceipts),
    /// Check receipts offline, with nothing but the cluster's root certificate
    Verify(VerifyReceipts),
}

/// One receipt.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift receipt show acme/web-1
  shardlift receipt show acme/web-1 --out web-1.receipt.json
  shardlift receipt show acme/web-1 --batch canary

The receipt is made once, when the soak of the move has ended, and its bytes never change: one line of JSON.
Refused (3) while the move is not complete, and for one that was taken back; stderr says where it stands.")]
pub struct ShowReceipt {
    /// Of which node.
    pub node: NodeId,
    /// Of its move in this batch [default: the last one that has a receipt].
    #[arg(long)]
    pub batch: Option<BatchId>,
    /// Write it into this file instead of stdout; a file with other contents is not overwritten.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The receipts of a batch.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift receipt export canary --dir receipts

Files are named after node and generation, with + in the place of /: acme+web-1.2.receipt.json.
Files that are there already with the same contents are left as they are; with other contents they are not overwritten.
The exit code is 6 when some nodes of the batch have no receipt; stderr names them and says why.")]
pub struct ExportReceipts {
    /// Which.
    pub batch: BatchId,
    /// Where to; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Receipts to check.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES:
  shardlift receipt verify web-1.receipt.json --ca root.pem
  shardlift receipt verify receipts/a.json receipts/b.json --ca root.pem -o json
  shardlift receipt verify web-1.receipt.json --ca root.pem --against node=acme/web-1 --against batch=canary

No controller is asked and no context is needed. Checked are the signature, the chain to one of the roots of --ca, the role
`controller` of the certificate, that it was valid when the receipt was issued, and that the receipt does not contradict
itself. --against refuses a good receipt that is about something else.
The exit code is 5 when one does not verify, and 7 when none of them is wrong but one cannot be read.")]
pub struct VerifyReceipts {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The cluster's root certificate; several in one file while one replaces another.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// What each receipt has to be about: node, customer, cluster, source, target, batch, plan, generation or digest.
    #[arg(long, value_name = "FACT=VALUE")]
    pub against: Vec<Expected>,
}

/// What a receipt has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// About what.
    pub fact: Fact,
    /// What.
    pub value: String,
}

/// What a receipt can be held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// The node.
    Node,
    /// Whose it was.
    Customer,
    /// The cluster.
    Cluster,
    /// Where it left.
    Source,
    /// Where it went.
    Target,
    /// The batch.
    Batch,
    /// The plan's revision.
    Plan,
    /// The node's fence since then.
    Generation,
    /// The digest of all objects.
    Digest,
}

impl Fact {
    /// All of them, with their words.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Node, "node"),
        (Self::Customer, "customer"),
        (Self::Cluster, "cluster"),
        (Self::Source, "source"),
        (Self::Target, "target"),
        (Self::Batch, "batch"),
        (Self::Plan, "plan"),
        (Self::Generation, "generation"),
        (Self::Digest, "digest"),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(fact, _)| *fact == self).map_or("", |(_, word)| word)
    }
}

impl FromStr for Expected {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, value) = text.split_once('=').ok_or_else(|| "FACT=VALUE is expected".to_owned())?;
        let found = Fact::ALL.into_iter().find(|(_, known)| *known == word);
        let (fact, _) = found.ok_or_else(|| format!("`{word}` is nothing that a receipt can be held against"))?;
        if value.is_empty() {
            Err(format!("{word}: a value is expected"))
        } else {
            Ok(Self { fact, value: value.to_owned() })
        }
    }
}
