//! The operator's first day: every command of `docs/operations/first-batch.md`, in order, as it stands there.
//!
//! Only the variables of its step 0 are set: addresses on loopback, folders of the test. Files other than ```sh blocks
//! (a systemd unit) are not commands. The services that the document starts in the background end with the script.

use anyhow::{Context as _, Result, ensure};
use integration_tests::cluster::binary;
use integration_tests::{
    ConnectProxy, ProcessSpec, Restic, TestCa, TestRoot, TreeShape, free_address, generate_tree, skip, tool,
};
use std::path::Path;
use std::time::Duration;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/first-batch.md");
const DAY_MAX: Duration = Duration::from_secs(180);

/// The blocks that begin with ```sh, in order, each preceded by its line number.
fn commands(document: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line.trim() == "```sh" {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            blocks.push((number + 2, block.collect::<Vec<_>>().join("\n")));
        }
    }
    blocks
}

#[test]
fn only_blocks_of_commands_are_taken() {
    let found = commands("a\n```sh\nb\nc\n```\n```ini\nd\n```\n```sh\ne\n```\n");
    assert_eq!(found, [(3, "b\nc".to_owned()), (10, "e".to_owned())]);
}

fn script(document: &str) -> String {
    let mut script = "set -euo pipefail\n".to_owned();
    for (line, block) in commands(document) {
        script += &format!("echo '== line {line}'\n{block}\n");
    }
    // Nothing that was started in the background outlives the day.
    script + "echo '== the end'\nkill $(jobs -p)\nwait || true\n"
}

fn variables(root: &TestRoot, ca: &TestCa, router: &str, data: &Path) -> Result<Vec<(&'static str, String)>> {
    let server = ca.server("server")?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let mut variables = vec![
        ("ROOT", text(&root.folder("etc")?)),
        ("SOURCE_DATA", text(data)),
        ("TARGET_DATA", text(&root.path().join("new-data"))),
        ("TARGET_CAPACITY", "1073741824".to_owned()),
        ("ROUTER_CLIENTS", router.to_owned()),
        ("OLD_CA", text(ca.certificate_path())),
        ("OLD_CERTIFICATE", text(&server.certificate_path)),
        ("OLD_KEY", text(&server.key_path)),
    ];
    let listeners = [
        "OPERATORS",
        "ENROLMENT",
        "STATUS_API",
        "SOURCE_CLIENTS",
        "SOURCE_CONTROL",
        "TARGET_CLIENTS",
        "TARGET_CONTROL",
        "ROUTER_CONTROL",
    ];
    for name in listeners {
        variables.push((name, free_address()?.to_string()));
    }
    Ok(variables)
}

#[tokio::test]
async fn every_command_of_the_first_day_works_as_written() -> Result<()> {
    let test = "every_command_of_the_first_day_works_as_written";
    let Some(restic) = tool(test, "restic") else { return Ok(()) };
    let Ok(document) = std::fs::read_to_string(DOCUMENT) else {
        skip(test, "docs/operations/first-batch.md does not exist");
        return Ok(());
    };
    let blocks = commands(&document).len();
    ensure!(blocks >= 8, "only {blocks} blocks of commands");
    let root = TestRoot::new("first-day")?;
    let (data, tree) = (root.folder("old-data")?, root.folder("tree")?);
    std::fs::create_dir_all(data.join("acme"))?;
    generate_tree(&tree, 9, TreeShape { files: 12, large_files: 0, large_bytes: 0 })?;
    for node in ["acme/web-1", "acme/web-2"] {
        let local = Restic::new(&restic, &root.path().join("home"), &data.to_string_lossy(), node)?;
        local.init().await?;
        local.backup(&tree).await?;
    }
    let ca = TestCa::new(&root.path().join("old-ca"), "Legacy Backup CA")?;
    let router = free_address()?;
    let proxy = ConnectProxy::start(Some(router)).await?;
    let programs = root.folder("bin")?;
    std::os::unix::fs::symlink(binary()?, programs.join("shardlift"))?;
    let path = std::env::var("PATH").context("no PATH")?;

    let file = root.file("first-day.sh", script(&document))?;
    let mut day = ProcessSpec::new("first-day", Path::new("/bin/bash"), root.path())
        .arg(&file)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("HTTPS_PROXY", proxy.url())
        .env("RESTIC_PASSWORD", "correct horse")
        .env("RESTIC_CACHE_DIR", root.path().join("cache"));
    for (name, value) in variables(&root, &ca, &router.to_string(), &data)? {
        day = day.env(name, value);
    }
    let mut day = day.spawn()?;
    let ended = day.wait_end(DAY_MAX).await;
    let log = day.log()?;
    println!("{log}");
    let status = ended?;
    ensure!(status.success() && log.contains("== the end"), "the day ended with {status}");
    Ok(())
}
