//! Dependency edges between our crates, and the outside crates a pure crate may use.

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};
use std::path::{Path, PathBuf};

/// A dependency of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// True when only its tests need it.
    pub dev: bool,
}

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
}

/// Our crates, without the common prefix, and which of ours each may use. A crate that is missing here is refused.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("model", &[]),
    ("planner", &["model"]),
    ("migration", &["planner", "model"]),
    ("api", &["migration", "planner", "model"]),
    ("net", &[]),
    ("pki", &["net", "model"]),
    ("receipt", &["pki", "model"]),
    ("audit", &["model"]),
    ("store", &["model"]),
    ("custody", &["api", "pki", "net"]),
    ("shard", &["custody", "api", "pki", "net", "model"]),
    ("router", &["custody", "api", "pki", "net", "model"]),
    // Custody is what its tests serve in the place of parts.
    ("controller", &["custody", "audit", "receipt", "store", "pki", "net", "api", "migration", "planner", "model"]),
    ("portal", &["pki", "api", "migration", "model"]),
    ("sim", &["store", "api", "migration", "planner", "model"]),
    ("simulation", &["controller", "shard", "router", "store", "pki", "net", "api", "migration", "planner", "model"]),
    (
        "",
        &[
            "controller",
            "shard",
            "router",
            "portal",
            "audit",
            "receipt",
            "store",
            "pki",
            "api",
            "migration",
            "planner",
            "model",
        ],
    ),
];

/// Pure crates and the outside crates each may use: values, text and errors. No runtime, clock, randomness, file, network.
const PURE: [(&str, &[&str]); 4] = [
    ("model", &["serde", "thiserror", "hex", "sha2"]),
    ("planner", &["serde", "thiserror", "toml_edit", "toml"]),
    ("migration", &["serde", "thiserror"]),
    ("audit", &["serde", "serde_json", "thiserror", "hex", "sha2", "time"]),
];

/// What the tests of a pure crate may use on top; a seed comes from outside even there.
const PURE_TESTS: [&str; 4] = ["proptest", "expect-test", "serde_json", "toml"];

/// The test kit sits above everything and nothing may use it.
const KIT: &str = "integration-tests";

fn short(name: &str) -> Option<&str> {
    if name == "shardlift" { Some("") } else { name.strip_prefix("shardlift-") }
}

fn lookup<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
}

fn check_edge(package: &str, dependency: &Dependency, allowed: &[&str]) -> Option<String> {
    if dependency.name == KIT {
        return Some(format!("{package} depends on {KIT}: nothing may"));
    }
    let named = package.strip_prefix("shardlift-").unwrap_or("");
    let Some(target) = short(&dependency.name) else {
        let pure = lookup(&PURE, named)?;
        let for_tests = dependency.dev && PURE_TESTS.contains(&dependency.name.as_str());
        let allowed = for_tests || pure.contains(&dependency.name.as_str());
        return (!allowed).then(|| format!("{package} is pure and depends on {}", dependency.name));
    };
    (!allowed.contains(&target)).then(|| format!("{package} depends on {}: arrows point down only", dependency.name))
}

/// Checks every edge; one line for each that is wrong.
#[must_use]
pub fn check_edges(packages: &[Package]) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in packages.iter().filter(|package| package.name != KIT) {
        match short(&package.name).and_then(|name| lookup(&ALLOWED, name)) {
            None => wrong.push(format!("{} has no place in the layering", package.name)),
            Some(allowed) => {
                wrong.extend(package.dependencies.iter().filter_map(|d| check_edge(&package.name, d, allowed)))
            }
        }
    }
    wrong
}

/// The packages of the workspace whose root is `root`, as cargo sees them.
///
/// # Errors
/// When cargo does not answer.
pub fn workspace_packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("asking cargo for the workspace")?;
    let package = |package: &cargo_metadata::Package| Package {
        name: package.name.to_string(),
        folder: package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned()).unwrap_or_default(),
        dependencies: package
            .dependencies
            .iter()
            .map(|d| Dependency { name: d.name.clone(), dev: d.kind == DependencyKind::Development })
            .collect(),
    };
    Ok(metadata.packages.iter().map(package).collect())
}
