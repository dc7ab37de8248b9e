//! What the figures were measured on and with: they mean nothing without it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// The machine and its programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that this program may use.
    pub cores: usize,
    /// The processor's own name for itself.
    pub processor: String,
    /// All memory.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Of the folder that everything is in.
    pub file_system: String,
    /// First line of what each program says of its version.
    pub programs: BTreeMap<String, String>,
}

const UNKNOWN: &str = "unknown";

fn read(path: &str) -> String {
    // What a machine does not tell of itself is unknown, and no reason not to measure.
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value behind `name` in lines of `name : value`.
fn value(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn file_system(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        folder.starts_with(place).then(|| (place.len(), kind.to_owned()))
    });
    mounts.max().map_or_else(|| UNKNOWN.to_owned(), |(_, kind)| kind)
}

fn version(program: &Path, argument: &str) -> String {
    let mut command = Command::new(program);
    let said = command.arg(argument).stdin(Stdio::null()).output();
    let first = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().trim().to_owned();
    // ssh says it on standard error.
    let said = said.map(|said| if said.stdout.is_empty() { first(&said.stderr) } else { first(&said.stdout) });
    said.unwrap_or_else(|error| error.to_string())
}

impl Machine {
    /// The present one, with these programs.
    pub(super) fn here(folder: &Path, programs: &BTreeMap<&str, std::path::PathBuf>) -> Self {
        let asked = |name: &str| match name {
            "ssh" => Some("-V"),
            "openssl" => Some("version"),
            "rclone" | "restic" => Some("version"),
            "rsync" | "tar" | "cp" | "dd" => Some("--version"),
            _ => None,
        };
        let versions =
            programs.iter().filter_map(|(name, path)| Some(((*name).to_owned(), version(path, asked(name)?))));
        let memory =
            value(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| UNKNOWN.to_owned()),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(folder),
            programs: versions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells_of_itself() {
        let programs = BTreeMap::from([("tar", std::path::PathBuf::from("/bin/sh"))]);
        let machine = Machine::here(Path::new("/"), &programs);
        assert!(machine.cores > 0 && machine.memory_mib > 100 && machine.file_system != UNKNOWN, "{machine:?}");
        assert!(machine.programs.contains_key("tar"));
        assert_eq!(value("a : 1\nmodel name\t: X 2\n", "model name").as_deref(), Some("X 2"));
    }
}
