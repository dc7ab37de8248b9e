//! What turns have left behind, kept out of the way while others are measured.
//!
//! To remove a tree is not over when it is removed: ext4 without a journal does not use an inode again for a minute, and finds out for
//! each new file which ones these are. Whoever writes 200,000 files after somebody else's were removed takes up to four times as long.
//! So nothing is removed while there is room, and everybody waits after a removal.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::block_in_place;

/// How long removed files are felt, and a little more.
const FELT: Duration = Duration::from_secs(65);

/// What must be free before a turn: its own bytes so many times, and as many more.
const TIMES: u64 = 3;
const MORE_BYTES: u64 = 1 << 30;

/// A folder for what is not needed any more.
pub(super) struct Spent {
    folder: PathBuf,
    count: AtomicU64,
}

impl Spent {
    pub(super) fn new(root: &Path) -> Result<Self> {
        let folder = root.join("spent");
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(Self { folder, count: AtomicU64::new(0) })
    }

    /// Puts a folder aside.
    pub(super) fn keep(&self, folder: &Path) -> Result<()> {
        let place = self.folder.join(self.count.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::rename(folder, place).with_context(|| format!("putting {} aside", folder.display()))
    }

    /// Before a turn that writes so many bytes. Removes what was put aside when there is no room beside it.
    pub(super) async fn make_room(&self, bytes: u64) -> Result<()> {
        let system = rustix::fs::statvfs(&self.folder).context("asking for free space")?;
        if is_enough(system.f_bavail * system.f_frsize, bytes) || self.is_empty()? {
            return Ok(());
        }
        println!("the disk is getting full: what is not needed any more is removed");
        block_in_place(|| self.empty())?;
        tokio::time::sleep(FELT).await;
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        let emptied = std::fs::remove_dir_all(&self.folder).and_then(|()| std::fs::create_dir_all(&self.folder));
        emptied.with_context(|| format!("emptying {}", self.folder.display()))?;
        super::start::sync(&self.folder)
    }

    fn is_empty(&self) -> Result<bool> {
        Ok(self.folder.read_dir().context("looking for what was put aside")?.next().is_none())
    }
}

/// Whether a turn that writes so many bytes has room.
fn is_enough(free: u64, bytes: u64) -> bool {
    free >= TIMES * bytes + MORE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestRoot;

    #[test]
    fn what_is_put_aside_stays_until_it_is_emptied() {
        let root = TestRoot::new("spent").unwrap();
        let spent = Spent::new(root.path()).unwrap();
        assert!(spent.is_empty().unwrap());
        for name in ["a", "b"] {
            let folder = root.folder(name).unwrap();
            std::fs::write(folder.join("file"), name).unwrap();
            spent.keep(&folder).unwrap();
            assert!(!folder.exists());
        }
        assert!(!spent.is_empty().unwrap());
        assert_eq!(std::fs::read(root.path().join("spent/1/file")).unwrap(), b"b");
        spent.empty().unwrap();
        assert!(spent.is_empty().unwrap());
        assert!(spent.keep(&root.path().join("missing")).is_err());
    }

    #[test]
    fn a_turn_needs_room_for_what_it_writes_and_more() {
        assert!(is_enough(4 << 30, 1 << 30) && !is_enough((4 << 30) - 1, 1 << 30));
        assert!(!is_enough(1 << 29, 0));
    }
}
