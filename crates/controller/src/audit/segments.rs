//! The segments of the log on disk: opened where the last process left off, added to, cut back when that fails, begun anew when full.
//!
//! A group of lines is there as a whole and durable, or it is not there: what was written of one that failed is taken away again. A
//! failed sync is never tried again. Room is reserved ahead, so that a full disk is known before anything is done that would have to
//! be written down.

mod tail;

use shardlift_audit::{Head, segment_first, segment_name};
use shardlift_net::disk::{self, How, WriteFile};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tail::Tail;

/// Room that has to be there beside what is written: for all that was begun before it was known that there is no more.
const ROOM_BYTES: u64 = 1 << 20;

/// What is reserved at a time.
const RESERVED_BYTES: u64 = 4 << 20;

/// Why a log cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder.
    #[error("{} cannot be used", path.display())]
    Disk {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nothing at the end of the newest segment can be read, so that nobody knows which number comes next.
    #[error(
        "no record at the end of {} can be read: `shardlift audit verify` tells how far the log is good; keep the whole folder elsewhere, \
         and a new log begins where it was",
        path.display()
    )]
    Unreadable {
        /// The newest segment.
        path: PathBuf,
    },
}

/// How a log was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The last record.
    pub(super) head: Head,
    /// Bytes of an unfinished line that were taken away.
    pub(super) torn_bytes: u64,
    /// What is wrong with the segment before the present one.
    pub(super) broken: Option<String>,
    /// The present segment has no record yet.
    pub(super) is_new: bool,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segments {
    folder: PathBuf,
    file: WriteFile,
    bytes: u64,
    bytes_max: u64,
    reserved_to: u64,
    /// Nobody knows what is on disk any more.
    dead: bool,
}

impl Segments {
    /// Opens the newest segment, or makes the first one. Only its end is read.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<(Self, Found), OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Disk { path, source }
        };
        disk::create_folders(folder, 0o700).map_err(failed(folder))?;
        let mut all = all_segments(folder).map_err(failed(folder))?;
        let Some(newest) = all.pop() else {
            return Self::new_at(folder, bytes_max, Found::new(Head::NONE)).map_err(failed(folder));
        };
        let path = folder.join(segment_name(newest));
        let tail = Tail::read(&path, newest).map_err(failed(&path))?;
        let found = match tail.last {
            Some(head) => Found { head, torn_bytes: tail.torn_bytes, broken: tail.broken, is_new: false },
            None if tail.is_empty => {
                // It was made and never begun: what it follows is in the one before.
                let head = Self::end_of(folder, all.pop())?;
                let broken = (head.seq + 1 != newest).then(|| format!("segment {newest} follows record {}", head.seq));
                Found { torn_bytes: tail.torn_bytes, broken, ..Found::new(head) }
            }
            None => return Err(OpenError::Unreadable { path }),
        };
        if found.broken.is_some() {
            // Segments are read in the order of their names.
            if found.head.seq < newest {
                return Err(OpenError::Unreadable { path });
            }
            let found = Found { is_new: true, ..found };
            return Self::new_at(folder, bytes_max, found).map_err(failed(folder));
        }
        let mut segments = Self::on(folder, &path, bytes_max, How::Present).map_err(failed(&path))?;
        if found.torn_bytes > 0 {
            segments.bytes -= found.torn_bytes;
            segments.cut().map_err(failed(&path))?;
        }
        Ok((segments, found))
    }

    fn end_of(folder: &Path, segment: Option<u64>) -> Result<Head, OpenError> {
        let Some(first) = segment else { return Ok(Head::NONE) };
        let path = folder.join(segment_name(first));
        let read = Tail::read(&path, first);
        let tail = read.map_err(|source| OpenError::Disk { path: path.clone(), source })?;
        tail.last.ok_or(OpenError::Unreadable { path })
    }

    fn new_at(folder: &Path, bytes_max: u64, found: Found) -> io::Result<(Self, Found)> {
        let path = folder.join(segment_name(found.head.seq + 1));
        let segments = Self::on(folder, &path, bytes_max, How::New(0o600))?;
        disk::sync_folder(folder)?;
        Ok((segments, found))
    }

    fn on(folder: &Path, path: &Path, bytes_max: u64, how: How) -> io::Result<Self> {
        let file = WriteFile::open(path, how)?;
        let bytes = file.file().metadata()?.len();
        Ok(Self { folder: folder.to_owned(), file, bytes, bytes_max, reserved_to: 0, dead: false })
    }

    /// Adds whole lines; durable when it returns. After an error none of them is there.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other(
                "an earlier failure left it in doubt what is on disk: start the controller again",
            ));
        }
        if let Err(error) = self.file.write_all_at(lines, self.bytes) {
            self.dead = self.cut().is_err();
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            self.dead = true;
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }

    /// Back to the last whole line.
    fn cut(&mut self) -> io::Result<()> {
        self.reserved_to = 0;
        self.file.set_len(self.bytes)?;
        self.file.sync()
    }

    /// Makes sure that there is room for what may be under way.
    pub(super) fn reserve(&mut self) -> io::Result<()> {
        if self.dead {
            return self.append(&[]);
        }
        if self.reserved_to >= self.bytes + ROOM_BYTES || shardlift_net::is_simulated() {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(self.file.file(), flags, self.bytes, RESERVED_BYTES) {
            Ok(()) => self.reserved_to = self.bytes + RESERVED_BYTES,
            // A file system that cannot promise room tells at the write.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.reserved_to = u64::MAX,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// True when the next one should begin.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Begins the segment whose first record has this number. After an error the present one goes on.
    pub(super) fn begin(&mut self, first: u64) -> io::Result<()> {
        let path = self.folder.join(segment_name(first));
        // One that an earlier try has made is empty.
        let how = if fs::metadata(&path).is_ok_and(|found| found.len() == 0) { How::Present } else { How::New(0o600) };
        let next = Self::on(&self.folder, &path, self.bytes_max, how)?;
        disk::sync_folder(&self.folder)?;
        // What was reserved and not used is given back.
        if let Err(error) = self.cut() {
            tracing::warn!(%error, "room that was reserved for the audit log is not given back");
        }
        *self = next;
        Ok(())
    }
}

impl Found {
    const fn new(head: Head) -> Self {
        Self { head, torn_bytes: 0, broken: None, is_new: true }
    }
}

/// The first records of all segments, in order.
fn all_segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        all.extend(entry?.file_name().to_str().and_then(segment_first));
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests;
