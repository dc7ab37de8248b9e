//! What a power cut makes of the writes to a file that were not synced.

use rand::Rng as _;
use rand::rngs::StdRng;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What a disk writes in one piece.
const SECTOR_BYTES: u64 = 512;

/// One change of a file, with what is needed to undo it: `length` is the file's before.
#[derive(Debug)]
pub(crate) enum Change {
    /// Written there, over `before` or past the end.
    Bytes { offset: u64, before: Vec<u8>, data: Vec<u8>, length: u64 },
    /// Cut, which took `tail`, or extended.
    Length { target: u64, tail: Vec<u8>, length: u64 },
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    Nothing,
    /// Each write by itself.
    Pieces,
}

/// Undoes all, then does again what was on the disk by chance. True when that is not all.
pub(crate) fn tear(file: &File, changes: Vec<Change>, dice: &mut StdRng) -> io::Result<bool> {
    let fate = match dice.random_range(0..4) {
        0 => Fate::Whole,
        1 => Fate::Nothing,
        _ => Fate::Pieces,
    };
    if fate == Fate::Whole || changes.is_empty() {
        return Ok(false);
    }
    changes.iter().rev().try_for_each(|change| change.undo(file))?;
    let mut torn = false;
    for change in changes {
        let share = if fate == Fate::Pieces { dice.random_range(0..3) } else { 0 };
        match share {
            0 => torn = true,
            1 => change.redo(file, None)?,
            _ => {
                let sectors = change.sectors();
                let kept = dice.random_range(0..=sectors);
                torn |= kept < sectors;
                change.redo(file, Some(kept))?;
            }
        }
    }
    Ok(torn)
}

impl Change {
    fn undo(&self, file: &File) -> io::Result<()> {
        match self {
            Self::Bytes { offset, before, length, .. } => {
                file.write_all_at(before, *offset)?;
                file.set_len(*length)
            }
            Self::Length { target, tail, length } => {
                file.set_len(*length)?;
                if tail.is_empty() { Ok(()) } else { file.write_all_at(tail, *target) }
            }
        }
    }

    fn sectors(&self) -> u64 {
        match self {
            Self::Bytes { offset, data, .. } => {
                let end = offset + data.len() as u64;
                end.div_ceil(SECTOR_BYTES) - offset / SECTOR_BYTES
            }
            Self::Length { .. } => 1,
        }
    }

    /// All of it, or so many of its sectors.
    fn redo(&self, file: &File, sectors: Option<u64>) -> io::Result<()> {
        match self {
            Self::Bytes { offset, data, .. } => {
                let end = sectors.map_or(u64::MAX, |sectors| (offset / SECTOR_BYTES + sectors) * SECTOR_BYTES);
                let kept = end.saturating_sub(*offset).min(data.len() as u64);
                file.write_all_at(&data[..usize::try_from(kept).map_err(io::Error::other)?], *offset)
            }
            Self::Length { target, .. } if sectors != Some(0) => file.set_len(*target),
            Self::Length { .. } => Ok(()),
        }
    }
}
