//! Changes of names that are not durable yet, and how each is undone.

use std::io;
use std::path::PathBuf;

/// One change of a name, with what is needed to undo it.
#[derive(Debug)]
pub(super) enum Named {
    Made(PathBuf),
    Renamed { source: PathBuf, target: PathBuf, covered: Option<PathBuf> },
    Removed { path: PathBuf, kept: PathBuf },
    FolderRemoved(PathBuf),
}

/// As if it had not happened.
pub(super) fn undo(named: Named) -> io::Result<()> {
    match named {
        Named::Made(path) => match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            // It went with its folder, or by another name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        },
        Named::Renamed { source, target, covered } => {
            std::fs::rename(&target, source)?;
            covered.map_or(Ok(()), |kept| std::fs::rename(kept, target))
        }
        Named::Removed { path, kept } => std::fs::rename(kept, path),
        Named::FolderRemoved(path) => std::fs::create_dir(path),
    }
}
