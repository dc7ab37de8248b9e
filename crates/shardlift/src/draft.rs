//! Folders that are complete and on disk, or not there: made beside their place, then renamed to it.

use crate::exit::{Exit, Failure};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A folder under construction; gone when it is dropped before it is finished.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
    wanted: PathBuf,
    parent: PathBuf,
    is_finished: bool,
}

fn failed<'p>(what: &'p str, path: &'p Path) -> impl FnOnce(io::Error) -> Failure + 'p {
    move |error| Failure::caused(format!("could not {what} {}", path.display()), &error)
}

/// Refuses a folder in which something is.
pub(crate) fn refuse_if_used(folder: &Path) -> Result<(), Failure> {
    let is_used = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed("look into", folder)(error)),
    };
    if is_used {
        let failure = Failure::new(Exit::Failed, format!("{} is not empty", folder.display()));
        return Err(failure.advise("give a folder that is new or empty; nothing was changed"));
    }
    Ok(())
}

impl Draft {
    /// Begins a folder that only its owner may enter.
    pub(crate) fn begin(wanted: &Path) -> Result<Self, Failure> {
        refuse_if_used(wanted)?;
        let absolute = std::path::absolute(wanted).map_err(failed("find", wanted))?;
        let (Some(name), Some(parent)) = (absolute.file_name(), absolute.parent()) else {
            return Err(Failure::new(Exit::Usage, format!("{} cannot be made", wanted.display())));
        };
        fs::create_dir_all(parent).map_err(failed("make", parent))?;
        let path = parent.join(format!(".{}.draft-{:016x}", name.to_string_lossy(), rand::random::<u64>()));
        DirBuilder::new().mode(0o700).create(&path).map_err(failed("make", &path))?;
        Ok(Self { path, parent: parent.to_owned(), wanted: absolute, is_finished: false })
    }

    /// Where it is for now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder within it.
    pub(crate) fn folder(&self, name: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(failed("make", &path))
    }

    /// Puts it in its place; returns the place.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Failure> {
        let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
        sync(&self.path).map_err(failed("sync", &self.path))?;
        // Fails when somebody has put something there meanwhile; an empty folder is replaced.
        fs::rename(&self.path, &self.wanted).map_err(failed("make", &self.wanted))?;
        self.is_finished = true;
        sync(&self.parent).map_err(failed("sync", &self.parent))?;
        Ok(self.wanted.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            crate::output::talk(&format!("{} was left behind and may be deleted: {error}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_there_when_it_is_finished_and_not_before() {
        let root = tempfile::tempdir().unwrap();
        let wanted = root.path().join("deep/shard");
        let draft = Draft::begin(&wanted).unwrap();
        fs::write(draft.path().join("file"), "1").unwrap();
        assert!(!wanted.exists());
        assert_eq!(draft.finish().unwrap(), wanted);
        assert_eq!(fs::read_to_string(wanted.join("file")).unwrap(), "1");
        assert_eq!(fs::metadata(&wanted).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_what_is_used_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let wanted = root.path().join("shard");
        drop(Draft::begin(&wanted).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let draft = Draft::begin(&wanted).unwrap();
        fs::create_dir(&wanted).unwrap();
        fs::write(wanted.join("precious"), "1").unwrap();
        assert!(Draft::begin(&wanted).is_err());
        assert!(draft.finish().is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(wanted.join("precious")).unwrap(), "1");
    }
}
