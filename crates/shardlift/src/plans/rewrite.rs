//! A plan file on the base of the plan in force. Other bytes than those that change stay as they are, and the file is at any instant
//! the old one or the new one.

use super::read_good_plan;
use crate::cli::Global;
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{print, talk};
use serde::Serialize;
use shardlift_api::v1;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
struct Rebased {
    file: PathBuf,
    revision: u64,
    based_on: u64,
    changed: bool,
}

pub(super) async fn rebase(global: &Global, file: &Path, redraw: bool) -> Result<(), Failure> {
    let toml = read_good_plan(file)?;
    let connection = Connection::open(global)?;
    let request = v1::RebasePlanRequest { toml: toml.clone(), redraw };
    let rebased = connection.answer(connection.client.clone().rebase_plan(request)).await?;
    let changed = rebased.toml != toml;
    if changed {
        replace(file, &rebased.toml)
            .map_err(|error| Failure::caused(format!("{} was not rewritten", file.display()), &error))?;
    }
    let v1::RebasePlanResponse { revision, based_on, .. } = rebased;
    print(global.output, &Rebased { file: file.to_owned(), revision, based_on, changed }, |rebased| {
        let file = rebased.file.display();
        talk(&format!("review it, then:\n  shardlift plan apply {file} --revision {revision}"));
        let same = if rebased.changed { "" } else { " already" };
        format!("{file}: revision {revision}, based on {based_on}{same}")
    })
}

/// Writes beside the file, makes that durable, and puts it in its place.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    // Where the file is a link, what it leads to is replaced.
    let file = fs::canonicalize(file)?;
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file in a folder"));
    };
    let beside = folder.join(format!(".{}.new-{:016x}", name.to_string_lossy(), rand::random::<u64>()));
    let written = write(&beside, text, &file).and_then(|()| fs::rename(&beside, &file));
    if written.is_err() {
        // The first error is what matters; what was begun may be gone already.
        let _gone = fs::remove_file(&beside);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write(beside: &Path, text: &str, like: &Path) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).open(beside)?;
    opened.write_all(text.as_bytes())?;
    opened.set_permissions(fs::metadata(like)?.permissions())?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_rights() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("plan.toml");
        fs::write(&file, "old and longer").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, root.path().join("link.toml")).unwrap();
        replace(&root.path().join("link.toml"), "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(root.path().join("link.toml")).unwrap().is_symlink());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("plan.toml");
        fs::create_dir(&folder).unwrap();
        assert!(replace(&folder, "new").is_err());
        assert!(replace(&root.path().join("nobody.toml"), "new").is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
