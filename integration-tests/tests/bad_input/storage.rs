//! Uploads that do not fit: over the quota, on a full disk. Nothing of them stays.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use integration_tests::cluster::ClusterOptions;
use integration_tests::conformance::Login;
use integration_tests::{TestRoot, Validity, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

const NODE: &str = "acme/web-1";

fn name_of(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

fn names_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// Uploads `bytes` and insists on 507 and on a folder that is as it was; then on the next small upload being fine.
async fn does_not_fit(world: &World, bytes: Bytes) -> Result<()> {
    let old = world.cluster.old_ca().client("acme", "acme", Validity::Now)?;
    let login = Login::certificate(&std::fs::read_to_string(old.both_path)?);
    let repository = world.cluster.repository("source", NODE);
    let files = names_below(&repository)?;
    let before = world.state().await?;
    let answer = world.upload(NODE, login.clone(), &name_of(&bytes), bytes).await?;
    ensure!(answer == Some(507), "{answer:?}");
    ensure!(names_below(&repository)? == files, "something of the upload stayed");
    world.unchanged(&before, "an upload that does not fit").await?;
    ensure!(world.listing(NODE, login.clone()).await? == Some(200), "reading goes on");
    let small = Bytes::from_static(b"small enough");
    let answer = world.upload(NODE, login, &name_of(&small), small).await?;
    ensure!(answer == Some(200), "what fits is still taken: {answer:?}");
    Ok(())
}

#[tokio::test]
async fn an_upload_over_the_quota_is_refused_and_nothing_of_it_stays() -> Result<()> {
    let test = "an_upload_over_the_quota_is_refused_and_nothing_of_it_stays";
    let quota = toml::Table::from_iter([("default_quota_bytes".to_owned(), toml::Value::Integer(8 << 20))]);
    let options = ClusterOptions { shard_settings: [("source".to_owned(), quota)].into(), ..ClusterOptions::default() };
    let Some(world) = World::set(test, &[NODE], options).await? else { return Ok(()) };
    does_not_fit(&world, Bytes::from(vec![7; 9 << 20])).await
}

/// A file system of its own, gone with its guard.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(folder: &Path, mebibytes: u32) -> Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let options = format!("size={mebibytes}m,mode=0700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        Ok(status.context("starting mount")?.status.success().then(|| Self(folder.to_owned())))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        match Command::new("umount").arg(&self.0).status() {
            Ok(status) if status.success() => {}
            other => eprintln!("{} stays mounted: {other:?}", self.0.display()),
        }
    }
}

#[tokio::test]
async fn an_upload_to_a_full_disk_is_refused_and_nothing_of_it_stays() -> Result<()> {
    let test = "an_upload_to_a_full_disk_is_refused_and_nothing_of_it_stays";
    let root = TestRoot::new("full-disk")?;
    let data = root.path().join("data");
    // What the disk has to hold besides: the shard's own records, and the space that it sets aside.
    let Some(disk) = Tmpfs::mount(&data, 48)? else {
        skip(test, "a tmpfs cannot be mounted (root is needed)");
        return Ok(());
    };
    let options = ClusterOptions { source_data: Some(data), ..ClusterOptions::default() };
    let world = World::set(test, &[NODE], options).await?;
    let outcome = match &world {
        Some(world) => does_not_fit(world, Bytes::from(vec![7; 64 << 20])).await,
        None => Ok(()),
    };
    drop(world);
    drop(disk);
    outcome
}
