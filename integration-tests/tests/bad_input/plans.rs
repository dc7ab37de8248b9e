//! Plans that name what does not exist, contradict themselves or the world, or are not what they say.

use crate::world::World;
use anyhow::{Context as _, Result, ensure};
use integration_tests::Outcome;
use integration_tests::cluster::ClusterOptions;
use serde_json::Value;
use std::path::Path;

/// Lines 1 to 9; the good one that every bad one is made from.
const GOOD: &str = r#"version = 1
revision = 2
based_on = 1
source = "source"
headroom_percent = 1
[[batch]]
name = "next"
[batch.nodes]
"acme/web-2" = "shard-b"
"#;

/// What is wrong, what is replaced by what, the line that is named, words of the message.
const BAD: [(&str, &str, &str, u64, &str); 11] = [
    ("unknown node", "acme/web-2", "acme/nobody", 9, "acme/nobody"),
    ("unknown shard", "\"shard-b\"", "\"shard-x\"", 9, "shard-x"),
    ("unknown source", "\"source\"", "\"sauce\"", 4, "sauce"),
    ("duplicate node", "\"shard-b\"\n", "\"shard-b\"\n\"acme/web-2\" = \"shard-c\"\n", 10, "acme/web-2"),
    (
        "duplicate node in two batches",
        "\"shard-b\"\n",
        "\"shard-b\"\n[[batch]]\nname = \"more\"\n[batch.nodes]\n\"acme/web-2\" = \"shard-c\"\n",
        13,
        "acme/web-2",
    ),
    ("cyclic revision", "based_on = 1", "based_on = 2", 2, "cyclic"),
    ("stale revision", "revision = 2\nbased_on = 1", "revision = 1\nbased_on = 0", 2, "stale"),
    ("a batch after itself", "name = \"next\"", "name = \"next\"\nafter = [\"next\"]", 8, "next"),
    ("target full", "\"shard-b\"", "\"shard-c\"", 9, "shard-c"),
    ("wrong type", "revision = 2", "revision = \"two\"", 2, "number"),
    ("not TOML", "[[batch]]", "[[batch", 6, ""),
];

async fn check(world: &World, file: &Path) -> Result<Outcome> {
    world
        .cluster
        .cli()
        .run(&["plan".as_ref(), "check".as_ref(), file.as_os_str(), "-o".as_ref(), "json".as_ref()])
        .await
}

async fn apply(world: &World, file: &Path, revision: &str) -> Result<Outcome> {
    let arguments = ["plan".as_ref(), "apply".as_ref(), file.as_os_str(), "--revision".as_ref(), revision.as_ref()];
    world.cluster.cli().run(&arguments).await
}

#[tokio::test]
async fn a_bad_plan_is_refused_with_line_and_column_and_changes_nothing() -> Result<()> {
    let test = "a_bad_plan_is_refused_with_line_and_column_and_changes_nothing";
    let small = toml::Table::from_iter([("capacity_bytes".to_owned(), toml::Value::Integer(4096))]);
    let options =
        ClusterOptions { shard_settings: [("shard-c".to_owned(), small)].into(), ..ClusterOptions::default() };
    let Some(world) = World::set(test, &["acme/web-1", "acme/web-2"], options).await? else { return Ok(()) };
    world.apply_plan(&["acme/web-1"]).await?;
    let before = world.state().await?;
    for (what, found, replaced, line, words) in BAD {
        ensure!(GOOD.contains(found), "{what}: nothing to replace");
        let file = world.root.file("bad.toml", GOOD.replacen(found, replaced, 1))?;
        let outcome = check(&world, &file).await.context(what)?;
        ensure!(outcome.code == Some(5), "{what}: exit code {:?}\n{}", outcome.code, outcome.stderr);
        let answer: Value =
            serde_json::from_str(&outcome.stdout).with_context(|| format!("{what}: {}", outcome.stdout))?;
        let problems = answer["problems"].as_array().with_context(|| format!("{what}: {answer}"))?;
        let named = problems.iter().any(|problem| {
            let at = problem["line"].as_u64() == Some(line) && problem["column"].as_u64().is_some_and(|c| c > 0);
            at && problem.to_string().contains(words)
        });
        ensure!(named, "{what}: line {line} and {words:?} are expected in {answer:#}");
        let revision = if what == "stale revision" { "1" } else { "2" };
        let outcome = apply(&world, &file, revision).await?;
        ensure!(matches!(outcome.code, Some(2 | 3 | 5)), "{what}: apply ended with {:?}", outcome.code);
        ensure!(!outcome.stderr.trim().is_empty(), "{what}: apply says nothing");
        world.unchanged(&before, what).await?;
    }
    let file = world.root.file("good-2.toml", GOOD)?;
    let outcome = apply(&world, &file, "7").await?;
    ensure!(outcome.code == Some(3), "another revision was reviewed: {outcome:?}");
    world.unchanged(&before, "another revision").await?;
    // What all the bad ones were made from is good.
    let outcome = check(&world, &file).await?;
    ensure!(outcome.is_ok(), "{outcome:?}");
    let outcome = apply(&world, &file, "2").await?;
    ensure!(outcome.is_ok(), "{outcome:?}");
    Ok(())
}
