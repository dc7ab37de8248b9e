//! The writing end of the bare pipeline.

use super::Writing;
use super::room::{BLOCK_BYTES, Room};
use anyhow::{Context as _, Result};
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

/// Smaller files gain nothing by going past the page cache: each is one write either way.
const DIRECT_BYTES_MIN: u64 = 1 << 20;

/// Some bytes of a file, in the order of the file.
pub(super) struct Piece {
    pub(super) path: PathBuf,
    /// Of the whole file.
    pub(super) bytes: u64,
    pub(super) offset: u64,
    pub(super) length: usize,
    pub(super) room: Room,
}

/// Makes the folders of these files.
pub(super) fn folders<'a>(target: &Path, files: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    let folders: BTreeSet<&Path> = files.filter_map(|file| file.parent()).collect();
    for folder in folders {
        std::fs::create_dir_all(target.join(folder)).with_context(|| format!("creating {}", folder.display()))?;
    }
    Ok(())
}

fn open(path: &Path, direct: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if direct {
        options.custom_flags(OFlags::DIRECT.bits().cast_signed());
    }
    options.open(path)
}

/// Whether this file system takes writes past its page cache.
pub(in crate::bench::moving) fn can_write_directly(folder: &Path) -> Result<bool> {
    let path = folder.join("direct-probe");
    let written = open(&path, true).and_then(|file| file.write_all_at(Room::new().part(BLOCK_BYTES), 0));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("removing the probe"),
        _ => {}
    }
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(false),
        Err(error) => Err(error).context("trying to write past the page cache"),
    }
}

/// Writes pieces until there are no more, and gives their rooms back.
pub(super) fn write_all(
    target: &Path,
    writing: Writing,
    pieces: &Receiver<Piece>,
    give_back: &SyncSender<Room>,
) -> Result<()> {
    let mut present: Option<File> = None;
    for mut piece in pieces {
        let direct = writing == Writing::Direct && piece.bytes >= DIRECT_BYTES_MIN;
        let file = match present.take() {
            Some(file) if piece.offset > 0 => file,
            _ => {
                open(&target.join(&piece.path), direct).with_context(|| format!("creating {}", piece.path.display()))?
            }
        };
        let written = write(&file, &mut piece, direct);
        written.with_context(|| format!("writing {}", piece.path.display()))?;
        present = Some(file);
        // The taking thread may have taken its last piece already.
        drop(give_back.send(piece.room));
    }
    Ok(())
}

/// Whole blocks, where they have to be; what is too much is cut off again.
fn write(file: &File, piece: &mut Piece, direct: bool) -> std::io::Result<()> {
    let length = if direct { piece.length.next_multiple_of(BLOCK_BYTES) } else { piece.length };
    piece.room.part(length)[piece.length..].fill(0);
    file.write_all_at(piece.room.part(length), piece.offset)?;
    if length > piece.length { file.set_len(piece.bytes) } else { Ok(()) }
}
