//! The layering of the workspace, held by a test: arrows point down only, pure crates stay pure, files introduce
//! themselves. Each checker is also fed samples it must refuse.

use anyhow::{Context as _, Result};
use integration_tests::layering::{
    Dependency, Package, SourceFile, check_edges, check_pure_source, check_source, rust_sources, workspace_packages,
};
use std::path::{Path, PathBuf};

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("the workspace is the folder above")?.to_owned())
}

fn package(name: &str, dependencies: &[&str]) -> Package {
    let dependency =
        |name: &&str| Dependency { name: name.trim_start_matches("dev:").to_owned(), dev: name.starts_with("dev:") };
    Package {
        name: name.to_owned(),
        folder: PathBuf::new(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

fn source(path: &str, text: &str) -> SourceFile {
    SourceFile { path: PathBuf::from(path), text: text.to_owned() }
}

#[test]
fn arrows_point_down_only() -> Result<()> {
    let packages = workspace_packages(&root()?)?;
    assert!(packages.len() >= 12, "only {} packages found", packages.len());
    assert_eq!(check_edges(&packages), Vec::<String>::new());
    Ok(())
}

#[test]
fn an_arrow_that_points_up_or_sideways_is_refused() {
    for (name, dependency) in [
        ("shardlift-model", "shardlift-planner"),
        ("shardlift-planner", "shardlift-migration"),
        ("shardlift-migration", "shardlift-store"),
        ("shardlift-api", "shardlift-pki"),
        ("shardlift-store", "shardlift-migration"),
        ("shardlift-pki", "shardlift-api"),
        ("shardlift-shard", "shardlift-store"),
        ("shardlift-shard", "shardlift-router"),
        ("shardlift-router", "shardlift-controller"),
        ("shardlift-portal", "shardlift-store"),
        ("shardlift-portal", "shardlift-controller"),
        ("shardlift-controller", "shardlift"),
        ("shardlift-model", "dev:shardlift-planner"),
        ("shardlift", "integration-tests"),
        ("shardlift-model", "tokio"),
        ("shardlift-planner", "rand"),
        ("shardlift-planner", "dev:tokio"),
        ("shardlift-migration", "tracing"),
        ("shardlift-migration", "redb"),
    ] {
        let wrong = check_edges(&[package(name, &[dependency])]);
        assert_eq!(wrong.len(), 1, "{name} -> {dependency}: {wrong:?}");
    }
    assert_eq!(check_edges(&[package("shardlift-extra", &[])]).len(), 1, "an unknown crate");
}

#[test]
fn an_arrow_that_points_down_is_accepted() {
    let good = [
        package("shardlift-model", &["serde", "dev:proptest"]),
        package("shardlift-controller", &["shardlift-store", "shardlift-migration", "tokio"]),
        package("shardlift", &["shardlift-controller", "shardlift-shard", "clap"]),
        package("integration-tests", &["shardlift-model", "rcgen"]),
    ];
    assert_eq!(check_edges(&good), Vec::<String>::new());
}

#[test]
fn every_source_file_introduces_itself_and_can_be_read() -> Result<()> {
    let root = root()?;
    let mut sources = rust_sources(&root.join("crates"))?;
    sources.extend(rust_sources(&root.join("integration-tests"))?);
    assert!(sources.len() > 20, "only {} files found", sources.len());
    let wrong: Vec<String> = sources.iter().flat_map(check_source).collect();
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_file_that_hides_what_it_is_is_refused() {
    let good = "//! A file with a purpose.\n";
    assert_eq!(check_source(&source("src/seal.rs", good)), Vec::<String>::new());
    for (path, text) in [
        ("src/seal.rs", "use std::fmt;\n".to_owned()),
        ("src/seal.rs", String::new()),
        ("src/seal.rs", "//!\n".to_owned()),
        ("src/seal.rs", format!("\n{good}")),
        ("src/seal/mod.rs", good.to_owned()),
        ("src/utils.rs", good.to_owned()),
        ("src/common.rs", good.to_owned()),
        ("src/helper.rs", good.to_owned()),
        ("src/types.rs", good.to_owned()),
        ("src/seal.rs", format!("{good}{}", "\n".repeat(600))),
    ] {
        assert_eq!(check_source(&source(path, &text)).len(), 1, "{path}: {:?}", text.get(..20));
    }
}

#[test]
fn pure_crates_touch_no_clock_disk_network_or_unordered_map() -> Result<()> {
    let root = root()?;
    for name in ["model", "planner", "migration"] {
        let sources = rust_sources(&root.join("crates").join(name).join("src"))?;
        assert!(!sources.is_empty(), "{name} has no sources");
        let wrong: Vec<String> = sources.iter().flat_map(check_pure_source).collect();
        assert_eq!(wrong, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn impure_code_is_refused_and_talk_about_it_is_not() {
    for line in [
        "use std::time::{SystemTime, Duration};",
        "let now = std::time::Instant::now();",
        "use std::fs;",
        "fs::read(path)",
        "std::net::TcpStream::connect(a)",
        "let map: HashMap<u8, u8> = x;",
        "use std::collections::HashSet;",
        "std::env::var(name)",
        "println!(\"x\")",
    ] {
        assert!(!check_pure_source(&source("a.rs", line)).is_empty(), "{line}");
    }
    for line in [
        "// an Instant is given as an argument",
        "use std::time::Duration;",
        "struct InstantMs(u64);",
        "use std::net::SocketAddr;",
        "BTreeMap::new()",
        "offs::x",
    ] {
        assert_eq!(check_pure_source(&source("a.rs", line)), Vec::<String>::new());
    }
}
