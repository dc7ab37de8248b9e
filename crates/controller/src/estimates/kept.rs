//! The file in which measured throughput survives a restart. It stands beside the folder of the store, for it is no part of
//! the record: a missing or damaged one means that measuring begins again, never that a controller does not start.

use super::measured::Measured;
use serde::{Deserialize, Serialize};
use shardlift_net::disk::{self, How, WriteFile};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Format of the files that this program writes.
const VERSION: u32 = 1;

/// Larger ones are not of this program.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<M> {
    version: u32,
    measured: M,
}

/// Where it is kept for a store in this folder.
pub(crate) fn beside(store: &Path) -> PathBuf {
    with_suffix(store, ".measured.json")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// What was measured before; nothing when that cannot be told.
pub(super) fn read(path: &Path) -> Measured {
    match try_read(path) {
        Ok(measured) => measured,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::info!(file = %path.display(), "no throughput was measured before");
            Measured::default()
        }
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "measured throughput cannot be read: measuring begins again");
            Measured::default()
        }
    }
}

fn try_read(path: &Path) -> io::Result<Measured> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    let kept: Kept<Measured> = serde_json::from_slice(&text)?;
    if kept.version == VERSION {
        return Ok(kept.measured);
    }
    Err(io::Error::other(format!("it has format version {}, this program knows version {VERSION}", kept.version)))
}

/// Replaces it as a whole, durably.
pub(super) fn write(path: &Path, measured: &Measured) -> io::Result<()> {
    let text = serde_json::to_vec(&Kept { version: VERSION, measured })?;
    let fresh = with_suffix(path, ".new");
    let mut file = WriteFile::open(&fresh, How::Emptied(0o600))?;
    file.write_all(&text)?;
    file.sync()?;
    disk::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => disk::sync_folder(folder),
        _ => disk::sync_folder(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimates::meter::Taken;
    use shardlift_model::UnixMillis;
    use shardlift_planner::estimate::RateSample;

    fn measured() -> Measured {
        let mut measured = Measured::default();
        for at in 1..=50 {
            let sample = RateSample { at: UnixMillis(at * 10_000), millis: 10_000, bytes: at << 20, workers: 2 };
            measured.take(&Taken { samples: vec![("a".parse().unwrap(), sample)], all: Some(sample) }, 4);
        }
        measured
    }

    #[test]
    fn what_was_measured_survives_and_replaces_what_was_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = beside(&root.path().join("store"));
        assert_eq!(path, root.path().join("store.measured.json"));
        assert_eq!(read(&path), Measured::default());
        write(&path, &Measured::default()).unwrap();
        write(&path, &measured()).unwrap();
        assert_eq!(read(&path), measured());
        let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["store.measured.json"]);
    }

    #[test]
    fn a_damaged_file_means_to_begin_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        write(&path, &measured()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let other_version = String::from_utf8(whole.clone()).unwrap().replace("\"version\":1", "\"version\":2");
        for text in [&whole[..whole.len() / 2], b"", b"{}", b"\xff\xfe", other_version.as_bytes()] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path), Measured::default());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(read(&path), Measured::default());
        assert!(write(&path, &measured()).is_err(), "a folder is in the way");
    }
}
