//! Where things are on disk: the folder layout of restic's rest-server, so that either server can take over from the other.
//!
//! `<data>/<account>[/<sub>]/{config,data/xx/,index/,keys/,locks/,snapshots/}`, folders 0700, files 0600. Half-written files
//! are called `.<name>.shardlift-<random>` and lie in the folder of the finished one, so that a rename is all it takes. Only small
//! objects of an incoming copy are written under their own names.

use super::error::EngineError;
use rand::Rng as _;
use shardlift_model::{NodeId, ObjectKey, ObjectKind};
use shardlift_net::disk::{self, How, WriteFile};
use std::io;
use std::path::{Path, PathBuf};

const TEMP_MARK: &str = ".shardlift-";

/// Room for what comes below the data folder: most nodes' names, the folders of objects, and a half-written file's name.
const PATH_BYTES: usize = 192;

/// Below the data folder, so that a rename is all it takes to move a copy aside.
const QUARANTINE: &str = ".quarantine";

/// The kinds that are folders.
pub(crate) const FOLDERS: [ObjectKind; 5] =
    [ObjectKind::Keys, ObjectKind::Data, ObjectKind::Index, ObjectKind::Snapshots, ObjectKind::Locks];

/// Paths below the data folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
}

impl Layout {
    pub(crate) const fn new(data: PathBuf) -> Self {
        Self { data }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.data
    }

    /// The name's parts were checked when it was parsed: no `..`, no separator, no leading dot.
    pub(crate) fn node(&self, node: &NodeId) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.data.as_os_str().len() + PATH_BYTES);
        path.push(&self.data);
        path.extend(node.components());
        path
    }

    /// Where an old copy is kept aside. No node's name begins with a dot.
    pub(crate) fn aside(&self, node: &NodeId) -> PathBuf {
        node.components().fold(self.data.join(QUARANTINE), |path, part| path.join(part))
    }

    /// The folder that holds the file of an object.
    pub(crate) fn folder(&self, node: &NodeId, key: &ObjectKey) -> PathBuf {
        let mut path = self.node(node);
        match key {
            ObjectKey::Config => {}
            ObjectKey::Named(ObjectKind::Data, name) => path.extend(["data", &hex::encode(&name.0[..1])]),
            ObjectKey::Named(kind, _) => path.push(kind.as_str()),
        }
        path
    }

    pub(crate) fn file(&self, node: &NodeId, key: &ObjectKey) -> PathBuf {
        let mut path = self.folder(node, key);
        path.push(key.name());
        path
    }

    /// The folder that a listing of a kind stands for.
    pub(crate) fn kind(&self, node: &NodeId, kind: ObjectKind) -> PathBuf {
        match kind {
            ObjectKind::Config => self.node(node),
            _ => self.node(node).join(kind.as_str()),
        }
    }

    /// Makes all folders of a node that are absent; durable when it returns.
    pub(crate) fn create(&self, node: &NodeId) -> Result<(), EngineError> {
        let folder = self.node(node);
        let mut chain = Vec::new();
        let mut path = self.data.clone();
        for part in node.components() {
            path = path.join(part);
            chain.push(path.clone());
        }
        chain.extend(FOLDERS.map(|kind| folder.join(kind.as_str())));
        chain.extend((0..=255_u8).map(|first| folder.join("data").join(hex::encode([first]))));
        for path in chain {
            make_folder(&path).map_err(EngineError::io("create", path))?;
        }
        let mut parents = vec![folder.join("data"), folder.clone(), self.data.clone()];
        parents.extend(folder.parent().map(Path::to_path_buf));
        parents.iter().try_for_each(|path| sync_folder(path))
    }

    /// A new half-written file for this object. Makes the folder when an adopted repository lacks it.
    pub(crate) fn temp(&self, node: &NodeId, key: &ObjectKey) -> io::Result<(PathBuf, WriteFile)> {
        let mut path = self.folder(node, key);
        path.push(format!(".{}{TEMP_MARK}{:016x}", key.name(), rand::rng().random::<u64>()));
        open_new(&path).map(|file| (path, file))
    }

    /// A new file under the object's own name, for an incoming copy: nobody reads there before the index counts the object, and what
    /// a crash leaves is judged by its hash. `None` where there is a file of that name already.
    pub(crate) fn in_place(&self, node: &NodeId, key: &ObjectKey) -> io::Result<Option<(PathBuf, WriteFile)>> {
        let path = self.file(node, key);
        match open_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            file => file.map(|file| Some((path, file))),
        }
    }
}

/// Makes a file, and its folder if that is absent.
fn open_new(path: &Path) -> io::Result<WriteFile> {
    let open = || WriteFile::open(path, How::New(0o600));
    let made = open();
    let (Err(error), Some(folder)) = (&made, path.parent()) else { return made };
    if error.kind() != io::ErrorKind::NotFound {
        return made;
    }
    make_folder(folder)?;
    if let Some(parent) = folder.parent() {
        disk::sync_folder(parent)?;
    }
    open()
}

/// Makes one folder; one that is there is fine.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    match disk::create_folder(path, 0o700) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes names in a folder durable. A failure is final: the kernel may have dropped what it could not write.
pub(crate) fn sync_folder(path: &Path) -> Result<(), EngineError> {
    disk::sync_folder(path).map_err(EngineError::io("make durable", path))
}

/// True for the name of a half-written file of this server (not of rest-server, whose own are left alone).
pub(crate) fn is_temp(name: &str) -> bool {
    name.strip_prefix('.').and_then(|rest| rest.split_once(TEMP_MARK)).is_some_and(|(object, random)| {
        (object == "config" || object.len() == 64)
            && random.len() == 16
            && random.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// Takes a file off the disk; one that is not there is no error. Not yet durable.
pub(crate) fn remove(path: &Path) -> Result<(), EngineError> {
    match disk::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EngineError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A half-written file: goes away with this value unless it was kept.
#[derive(Debug)]
pub(crate) struct Temp {
    path: Option<PathBuf>,
}

impl Temp {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// It has its final name now.
    pub(crate) fn kept(mut self) {
        self.path = None;
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = remove(path)
        {
            tracing::warn!(error = %shardlift_api::fault::chain(&error), "a half-written file stays until the next start");
        }
    }
}
