//! Reading a file from the disk, and not from what memory remembers of it.
//!
//! With `O_DIRECT` where the file system takes it: the bytes come from the disk into a buffer of our own, and the page cache
//! stays as clients have made it. Elsewhere the file's pages are given up before and after each step (`posix_fadvise`), which a
//! kernel heeds for pages that are written and that nobody has mapped.
//!
//! Every byte is hashed once and in order, whichever way it came.

use super::body::hash_of;
use super::error::EngineError;
use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{Advice, OFlags, fadvise, fcntl_setfl};
use rustix::io::Errno;
use shardlift_model::Sha256;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Direct reads and writes begin at a multiple of this, in the file and in memory. No common disk asks for more.
pub(crate) const ALIGNMENT: usize = 4096;

/// Bytes read in one step.
pub(crate) const STEP_BYTES: usize = 1 << 20;

/// How the bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Past the page cache.
    Direct,
    /// Through it, with its pages given up.
    Cached,
}

/// A file that is being read and hashed.
pub(crate) struct Reading {
    path: PathBuf,
    file: File,
    way: Way,
    /// The aligned part of a larger buffer, which is never resized.
    buffer: Vec<u8>,
    begin: usize,
    hash: Context,
    size: u64,
}

impl Reading {
    /// Opens a file that should have this length. Blocks.
    pub(crate) fn open(path: &Path, expected: u64) -> Result<Self, EngineError> {
        let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
        let opened = match OpenOptions::new().read(true).custom_flags(direct).open(path) {
            Err(error) if is_invalid(&error) => File::open(path).map(|file| (file, Way::Cached)),
            opened => opened.map(|file| (file, Way::Direct)),
        };
        let (file, way) = opened.map_err(EngineError::io("open", path))?;
        let needed = usize::try_from(expected).unwrap_or(STEP_BYTES).clamp(1, STEP_BYTES);
        let buffer = vec![0; needed.next_multiple_of(ALIGNMENT) + ALIGNMENT];
        let begin = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let mut reading =
            Self { path: path.to_owned(), file, way, buffer, begin, hash: Context::new(&SHA256), size: 0 };
        if way == Way::Cached {
            reading.go_on_cached();
        }
        Ok(reading)
    }

    /// Reads on for one step; true at the end of the file. Blocks.
    pub(crate) fn step(&mut self) -> Result<bool, EngineError> {
        let end = self.size + STEP_BYTES as u64;
        while self.size < end {
            let read = match self.read() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if self.way == Way::Direct && is_invalid(&error) => {
                    // A file system that opens so and does not read so.
                    fcntl_setfl(&self.file, OFlags::empty())
                        .map_err(|error| EngineError::io("read", &self.path)(error.into()))?;
                    self.go_on_cached();
                    continue;
                }
                read => read.map_err(EngineError::io("read", &self.path))?,
            };
            if read == 0 {
                return Ok(true);
            }
            self.hash.update(&self.buffer[self.begin..self.begin + read]);
            self.give_up(self.size, NonZeroU64::new(read as u64));
            self.size += read as u64;
        }
        Ok(false)
    }

    fn read(&mut self) -> io::Result<usize> {
        let length = self.buffer.len() - ALIGNMENT;
        let aligned = &mut self.buffer[self.begin..self.begin + length];
        if self.way == Way::Direct && !self.size.is_multiple_of(ALIGNMENT as u64) {
            // A direct read ends between two multiples at the end of the file only, and none may begin there.
            return if self.file.metadata()?.len() > self.size { Err(Errno::INVAL.into()) } else { Ok(0) };
        }
        self.file.read_at(aligned, self.size)
    }

    fn go_on_cached(&mut self) {
        self.way = Way::Cached;
        self.give_up(0, None);
    }

    /// Without a length: to the end.
    fn give_up(&self, begin: u64, length: Option<NonZeroU64>) {
        if self.way == Way::Cached
            && let Err(error) = fadvise(&self.file, begin, length, Advice::DontNeed)
        {
            tracing::debug!(%error, "a file system takes no advice");
        }
    }

    pub(crate) const fn way(&self) -> Way {
        self.way
    }

    /// Bytes read so far.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Length and hash of what was read.
    pub(crate) fn finish(self) -> Result<(u64, Sha256), EngineError> {
        Ok((self.size, hash_of(self.hash)?))
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::INVAL.raw_os_error())
}

/// Length and hash of a file. Blocks.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, Sha256), EngineError> {
    let mut reading = Reading::open(path, STEP_BYTES as u64)?;
    while !reading.step()? {}
    reading.finish()
}

/// There is no such file.
pub(crate) fn is_absent(error: &EngineError) -> bool {
    matches!(error, EngineError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// The disk or the file system cannot give the bytes back: damage, as opposed to a machine that is short of something.
pub(crate) fn is_unreadable(error: &EngineError) -> bool {
    let EngineError::Io { source, .. } = error else { return false };
    [Errno::IO, Errno::UCLEAN, Errno::BADMSG].iter().any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::hash;

    fn files() -> Vec<(tempfile::TempDir, &'static str)> {
        // One on a disk, one where nothing is a disk; either may or may not take direct reads.
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        vec![(disk, "disk"), (memory, "memory")]
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * 31 + at / 257) % 251).unwrap()).collect()
    }

    #[test]
    fn every_length_is_hashed_the_same_either_way() {
        for (folder, name) in files() {
            for length in [0, 1, 4095, 4096, 4097, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES + 7] {
                let (path, data) = (folder.path().join("file"), content(length));
                std::fs::write(&path, &data).unwrap();
                let expected = (length as u64, hash(&data));
                assert_eq!(hash_file(&path).unwrap(), expected, "{name} {length}");
                let mut cached = Reading::open(&path, 5).unwrap();
                fcntl_setfl(&cached.file, OFlags::empty()).unwrap();
                cached.go_on_cached();
                while !cached.step().unwrap() {}
                assert_eq!(cached.finish().unwrap(), expected, "{name} {length} through the page cache");
            }
        }
    }

    #[test]
    fn a_file_system_that_refuses_direct_reads_in_the_middle_is_read_on_through_the_cache() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let (path, data) = (folder.path().join("file"), content(2 * STEP_BYTES));
        std::fs::write(&path, &data).unwrap();
        let mut reading = Reading::open(&path, data.len() as u64).unwrap();
        if reading.way() == Way::Cached {
            println!("SKIPPED: the fallback from direct reads: the file system here takes none");
            return;
        }
        // Into memory at an odd place: what file systems answer with EINVAL.
        reading.begin = (reading.begin + 1) % ALIGNMENT;
        while !reading.step().unwrap() {}
        println!("read on {:?}", reading.way());
        assert_eq!(reading.finish().unwrap(), (data.len() as u64, hash(&data)));
    }

    #[test]
    fn only_what_the_disk_cannot_give_back_is_unreadable() {
        let of = |errno: Errno| EngineError::io("read", "/x")(errno.into());
        assert!(is_unreadable(&of(Errno::IO)) && is_unreadable(&of(Errno::UCLEAN)));
        assert!(!is_unreadable(&of(Errno::MFILE)) && !is_unreadable(&of(Errno::ACCESS)));
        assert!(is_absent(&of(Errno::NOENT)) && !is_absent(&of(Errno::IO)));
    }
}
