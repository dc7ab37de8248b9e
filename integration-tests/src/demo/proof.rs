//! What shows that a node has moved whole: the two data folders compared byte by byte, then the client itself.

use super::fleet::Member;
use super::report::NodeReport;
use crate::cluster::Cluster;
use crate::{Restic, change_tree, differences, same_bytes};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs all proofs and fills the node's row of the report.
pub(super) async fn of_member(cluster: &Cluster, restic: &Path, member: &mut Member) -> Result<()> {
    let view = cluster.node(&member.node).await?;
    let report = &mut member.report;
    report.source = "source".to_owned();
    report.target = view["shard"].as_str().context("the node has no shard")?.to_owned();
    report.generation = number(&view, "generation")?;
    let client = cluster.new_client(restic, &member.node)?;
    // Before the client touches the target again: only a node that went on writing may have more there.
    let [source, target] = [&report.source, &report.target].map(|shard| cluster.repository(shard, &member.node));
    let differing = copy_differences(&source, &target, member.busy)?;
    let verified = view["verified"]["objects"].as_u64().is_some_and(|objects| objects > 0);
    report.digest_equal = differing.is_empty() && verified && report.source != report.target;
    member.problems.extend(differing.into_iter().take(5));
    checks(&client, member).await?;
    let view = cluster.node(&member.node).await?;
    member.report.objects = number(&view, "objects")?;
    member.report.bytes = number(&view, "bytes")?;
    Ok(())
}

fn number(view: &Value, field: &str) -> Result<u64> {
    view[field].as_u64().with_context(|| format!("no number `{field}` in {view}"))
}

async fn checks(client: &Restic, member: &mut Member) -> Result<()> {
    let checked = client.run(&["check", "--read-data"]).await?;
    member.report.check_ok = note(member, "check", &checked);

    let restored = member.tree.with_file_name("restored");
    let target = ["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), restored.as_os_str()];
    let outcome = client.run(&target).await?;
    if note(member, "restore", &outcome) {
        let copy = restored.join(member.tree.strip_prefix("/").context("an absolute path is expected")?);
        let differing = differences(&member.tree, &copy)?;
        member.report.restore_equal = differing.is_empty();
        member.problems.extend(differing.into_iter().take(5).map(|line| format!("restored: {line}")));
    }

    change_tree(&member.tree, 77)?;
    let outcome = client.run(&["backup".as_ref(), member.tree.as_os_str()]).await?;
    if note(member, "backup", &outcome) {
        member.acknowledged.extend(outcome.saved_snapshot());
        let listed = client.snapshots().await?;
        let is_listed = |short: &String| listed.iter().any(|snapshot| snapshot.id.starts_with(short.as_str()));
        // INV-02: whatever a client was told is saved is there, from before, during and after the move.
        let lost: Vec<_> = member.acknowledged.iter().filter(|short| !is_listed(short)).cloned().collect();
        member.report.backup_after_ok = lost.is_empty() && listed.len() == member.acknowledged.len();
        member.report.snapshots = listed.len() as u64;
        member.problems.extend(lost.into_iter().map(|short| format!("snapshot {short} was acknowledged and is lost")));
    }
    Ok(())
}

fn note(member: &mut Member, verb: &str, outcome: &crate::Outcome) -> bool {
    if !outcome.is_ok() {
        let NodeReport { client_errors, .. } = &mut member.report;
        *client_errors += 1;
        member.problems.push(format!("{verb}: exit code {:?}: {}", outcome.code, outcome.stderr.trim()));
    }
    outcome.is_ok()
}

fn files(root: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path.strip_prefix(root)?.to_owned(), path);
            }
        }
    }
    Ok(found)
}

/// Where the copy at the target is not the source's. `went_on`: the client wrote to the target since; then the target may
/// have more, and locks, which come and go, are no evidence.
///
/// # Errors
/// When a file cannot be read.
pub fn copy_differences(source: &Path, target: &Path, went_on: bool) -> Result<Vec<String>> {
    let (ours, theirs) = (files(source)?, files(target)?);
    let mut lines = Vec::new();
    for (name, path) in &ours {
        match theirs.get(name) {
            None if went_on && name.starts_with("locks") => {}
            None => lines.push(format!("{} is not at the target", name.display())),
            Some(copy) if !same_bytes(path, copy)? => lines.push(format!("{} has other bytes", name.display())),
            Some(_) => {}
        }
    }
    if !went_on {
        let more = theirs.keys().filter(|name| !ours.contains_key(*name));
        lines.extend(more.map(|name| format!("{} is only at the target", name.display())));
    }
    if ours.is_empty() {
        lines.push("the source has nothing to compare with".to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn a_copy_that_differs_is_not_taken_for_equal() {
        let root = TestRoot::new("proof").unwrap();
        let (a, b) = (root.folder("a").unwrap(), root.folder("b").unwrap());
        for (folder, name, bytes) in [(&a, "config", "1"), (&b, "config", "1"), (&a, "locks", "x")] {
            std::fs::create_dir_all(folder.join("locks.d")).unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        assert_eq!(copy_differences(&a, &b, true).unwrap(), Vec::<String>::new());
        assert_eq!(copy_differences(&a, &b, false).unwrap(), ["locks is not at the target"]);
        std::fs::write(b.join("config"), "2").unwrap();
        std::fs::write(b.join("new"), "2").unwrap();
        assert_eq!(copy_differences(&a, &b, true).unwrap(), ["config has other bytes"]);
        assert_eq!(copy_differences(&a, &b, false).unwrap().len(), 3);
        assert_eq!(copy_differences(&root.folder("e").unwrap(), &b, true).unwrap().len(), 1);
    }
}
