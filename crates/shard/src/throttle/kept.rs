//! The limits that an operator has set, in a file of the state folder: durable before they are in force.
//!
//! Written anew each time (temp file, sync, rename, sync of the folder). What is damaged refuses to start: an operator's cap is not
//! forgotten in silence.

use super::limits::Limits;
use crate::engine::EngineError;
use serde::{Deserialize, Serialize};
use shardlift_net::disk::{self, How, WriteFile};
use std::io::Write as _;
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "limits.json";

const VERSION: u32 = 1;

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    version: u32,
    /// The highest term of a leader that has set limits (INV-03).
    pub(super) term: u64,
    /// Grows with every change.
    pub(super) revision: u64,
    /// `None`: as the configuration says.
    pub(super) limits: Option<Limits>,
}

impl Kept {
    pub(super) const fn new(term: u64, revision: u64, limits: Option<Limits>) -> Self {
        Self { version: VERSION, term, revision, limits }
    }
}

/// The file.
#[derive(Debug, Clone)]
pub(super) struct KeptFile {
    folder: PathBuf,
}

impl KeptFile {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What was kept last; nothing before the first time. Blocks.
    pub(super) fn read(&self) -> Result<Kept, EngineError> {
        let path = self.folder.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::new(0, 0, None)),
            Err(error) => return Err(EngineError::io("read", &path)(error)),
        };
        let help = "restore it from a backup, or remove it: the limits of the configuration hold then";
        let bad = |what: String| EngineError::State(format!("{} {what}; {help}", path.display()));
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| bad(format!("is damaged: {error}")))?;
        if kept.version != VERSION {
            return Err(bad(format!("has version {}, not {VERSION}", kept.version)));
        }
        match kept.limits.clone().map(Limits::checked) {
            Some(Err(error)) => Err(bad(format!("is damaged: {error}"))),
            _ => Ok(kept),
        }
    }

    /// Durable when it returns. Blocks.
    pub(super) fn write(&self, kept: &Kept) -> Result<(), EngineError> {
        let (path, temp) = (self.folder.join(FILE_NAME), self.folder.join("limits.json.new"));
        let text = serde_json::to_vec_pretty(kept).map_err(|error| EngineError::Record(error.to_string()))?;
        let mut file = WriteFile::open(&temp, How::Emptied(0o600)).map_err(EngineError::io("create", &temp))?;
        file.write_all(&text).map_err(EngineError::io("write", &temp))?;
        file.sync().map_err(EngineError::io("make durable", &temp))?;
        disk::rename(&temp, &path).map_err(EngineError::io("name", &path))?;
        disk::sync_folder(&self.folder).map_err(EngineError::io("make durable", &self.folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeptFile::new(folder.path());
        assert_eq!(file.read().unwrap(), Kept::new(0, 0, None));
        let windows = Some("UTC+01:00 08:00-18:00 20 MiB/s, else unlimited".parse().unwrap());
        let kept = Kept::new(7, 3, Some(Limits { cap: Some(50 << 20), windows, ..Limits::default() }));
        file.write(&kept).unwrap();
        assert_eq!(file.read().unwrap(), kept);
        file.write(&Kept::new(8, 4, None)).unwrap();
        assert_eq!(file.read().unwrap(), Kept::new(8, 4, None));
        let path = folder.path().join(FILE_NAME);
        for damaged in ["", "{}", "{\"version\":2,\"term\":1,\"revision\":1,\"limits\":null}", "[1"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(file.read(), Err(EngineError::State(_))), "{damaged:?}");
        }
        let senseless = Kept::new(1, 1, Some(Limits { streams: Some(0), ..Limits::default() }));
        std::fs::write(&path, serde_json::to_vec(&senseless).unwrap()).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("streams"));
    }
}
