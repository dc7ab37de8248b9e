//! The six nodes, their files and their history.

use super::report::NodeReport;
use crate::{Restic, TreeShape, change_tree, fill_tree};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};

/// Snapshots made on the source, for each node.
const HISTORY: u64 = 3;

/// Node, customer, files, size of its one large file in KiB. The largest one is the one that never rests.
const NODES: [(&str, &str, usize, u64); 6] = [
    ("acme/web-1", "acme", 60, 1024),
    ("acme/web-2", "acme", 60, 1536),
    ("acme/mail", "acme", 120, 6 * 1024),
    ("db-1", "globex", 40, 12 * 1024),
    ("files", "globex", 200, 4 * 1024),
    ("laptop-7", "globex", 80, 2 * 1024),
];

const BUSY: &str = "db-1";

/// A node and what is known about its data.
pub(super) struct Member {
    pub(super) node: String,
    pub(super) customer: String,
    pub(super) busy: bool,
    pub(super) tree: PathBuf,
    shape: TreeShape,
    /// Ids of the snapshots that its client was told are saved, short.
    pub(super) acknowledged: Vec<String>,
    pub(super) report: NodeReport,
    /// What did not hold, in words.
    pub(super) problems: Vec<String>,
}

pub(super) fn members(folder: &Path) -> Result<Vec<Member>> {
    let member = |(node, customer, files, large_kib): (&str, &str, usize, u64)| {
        let tree = folder.join("machines").join(node.replace('/', "--")).join("files");
        std::fs::create_dir_all(&tree).with_context(|| format!("creating {}", tree.display()))?;
        Ok(Member {
            node: node.to_owned(),
            customer: customer.to_owned(),
            busy: node == BUSY,
            tree,
            shape: TreeShape { files, large_files: 1, large_bytes: large_kib << 10 },
            acknowledged: Vec::new(),
            report: NodeReport { node: node.to_owned(), customer: customer.to_owned(), ..NodeReport::default() },
            problems: Vec::new(),
        })
    };
    NODES.into_iter().map(member).collect()
}

/// `restic init` in the data folder itself: the layout of a restic server is that of a local repository.
pub(super) async fn create(binary: &Path, data: &Path, member: &Member) -> Result<()> {
    let home = member.tree.with_file_name("home");
    let parent = data.join(&member.node);
    std::fs::create_dir_all(parent.parent().unwrap_or(data))?;
    Restic::new(binary, &home, &data.to_string_lossy(), &member.node)?.init().await.map(drop)
}

/// Makes the files, backs them up, changes them, backs them up ...
pub(super) async fn back_up_history(client: &Restic, member: &mut Member) -> Result<()> {
    let seed = member.node.bytes().map(u64::from).sum::<u64>();
    for round in 0..HISTORY {
        if round == 0 {
            fill_tree(&member.tree, seed, member.shape)?;
        } else {
            change_tree(&member.tree, seed + round)?;
        }
        let outcome = client.backup(&member.tree).await?;
        member.acknowledged.push(outcome.saved_snapshot().context("restic names no snapshot")?);
    }
    let listed = client.snapshots().await?.len();
    ensure!(listed == member.acknowledged.len(), "{}: {listed} snapshots are listed", member.node);
    Ok(())
}
