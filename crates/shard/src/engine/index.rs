//! Opening the index: a redb file in the state folder, with a marker beside it.
//!
//! A file that should be there and is not must never be taken for an empty index: that would make every object on the
//! disk "new" and forget every token. So the file is created only in a folder without marker, under another name first.

use super::error::EngineError;
use super::layout::sync_folder;
use super::nodes::Nodes;
use super::pages;
use super::record::{NodeRecord, SeenCertificate};
use super::tables;
use rand::Rng as _;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _};
use shardlift_model::UnixMillis;
use shardlift_net::disk::{self, How, WriteFile};
use std::fs;
use std::io::Write as _;
use std::path::Path;

const FILE: &str = "index.redb";
const CREATING: &str = "index.redb.creating";
const MARKER: &str = "index.marker";
const ID: &[u8] = b"id";
const VERSION: &[u8] = b"version";
/// What the kernel caches of the file comes on top of it, and gives way when memory is short.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// The state folder may lie in the data folder only where no node can be.
pub(crate) fn check_folder(data: &Path, state: &Path) -> Result<(), EngineError> {
    if !data.is_dir() {
        return Err(EngineError::State(format!("the data folder {} does not exist", data.display())));
    }
    let absolute = |path: &Path| std::path::absolute(path).map_err(EngineError::io("find", path));
    let (data, state) = (absolute(data)?, absolute(state)?);
    let inside = state.strip_prefix(&data).ok().and_then(|rest| rest.components().next());
    let first = inside.map(|part| part.as_os_str().to_string_lossy().into_owned());
    if state == data || first.is_some_and(|first| !first.starts_with('.')) {
        return Err(EngineError::State(format!("the state folder {} could be a node's", state.display())));
    }
    Ok(())
}

/// Opens the index, or creates it in a fresh folder.
pub(crate) fn open(state: &Path) -> Result<Database, EngineError> {
    // Its own name too: without it all that is synced in it would be gone.
    disk::create_folders(state, 0o700).map_err(EngineError::io("create", state))?;
    let (file, marker) = (state.join(FILE), state.join(MARKER));
    let marked = match fs::read_to_string(&marker) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(EngineError::io("read", marker)(error)),
    };
    let present = file.try_exists().map_err(EngineError::io("look for", &file))?;
    if marked.is_some() && !present {
        let text =
            format!("{} is gone but its marker is there; restore it, or start with a new state folder", file.display());
        return Err(EngineError::State(text));
    }
    if !present {
        create(state)?;
    }
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_repair_callback(|session| tracing::info!(progress = session.progress(), "the index is being repaired"));
    let db = pages::open(&builder, &file)?;
    let id = read_id(&db)?;
    match marked {
        Some(marked) if marked != id => {
            Err(EngineError::State(format!("{} belongs to another state folder than its marker", file.display())))
        }
        Some(_) => Ok(db),
        None => {
            // A crash came between the first commit and the marker, or this is the first start.
            write_marker(&marker, &id)?;
            sync_folder(state)?;
            Ok(db)
        }
    }
}

fn create(state: &Path) -> Result<(), EngineError> {
    let creating = state.join(CREATING);
    super::layout::remove(&creating)?;
    let id = format!("{:032x}", rand::rng().random::<u128>());
    {
        let db = pages::create(&creating)?;
        let write = db.begin_write().map_err(EngineError::index)?;
        {
            for table in tables::ALL {
                write.open_table(table).map_err(EngineError::index)?;
            }
            let mut meta = write.open_table(tables::META).map_err(EngineError::index)?;
            meta.insert(ID, id.as_bytes()).map_err(EngineError::index)?;
            meta.insert(VERSION, b"1".as_slice()).map_err(EngineError::index)?;
        }
        write.commit().map_err(EngineError::index)?;
    }
    let sync = WriteFile::open(&creating, How::Present).and_then(|file| file.sync());
    sync.map_err(EngineError::io("make durable", &creating))?;
    disk::rename(&creating, &state.join(FILE)).map_err(EngineError::io("rename", &creating))?;
    sync_folder(state)
}

fn write_marker(marker: &Path, id: &str) -> Result<(), EngineError> {
    let write = || {
        let writing = marker.with_extension("writing");
        let mut file = WriteFile::open(&writing, How::Emptied(0o600))?;
        writeln!(file, "{id}")?;
        file.sync()?;
        disk::rename(&writing, marker)
    };
    write().map_err(EngineError::io("write", marker))
}

fn read_id(db: &Database) -> Result<String, EngineError> {
    let read = db.begin_read().map_err(EngineError::index)?;
    let meta = read.open_table(tables::META).map_err(EngineError::index)?;
    let version = meta.get(VERSION).map_err(EngineError::index)?;
    if version.is_none_or(|version| version.value() != b"1") {
        return Err(EngineError::State("the index was written by another version".to_owned()));
    }
    let id = meta.get(ID).map_err(EngineError::index)?;
    let id = id.and_then(|id| String::from_utf8(id.value().to_vec()).ok());
    id.ok_or_else(|| EngineError::State("the index has no id".to_owned()))
}

/// Publishes all nodes of the index. Called once, before anything else looks.
pub(crate) fn load(db: &Database, nodes: &Nodes) -> Result<(), EngineError> {
    let read = db.begin_read().map_err(EngineError::index)?;
    let table = read.open_table(tables::NODES).map_err(EngineError::index)?;
    let certificates = read.open_table(tables::CERTIFICATES).map_err(EngineError::index)?;
    for row in table.iter().map_err(EngineError::index)? {
        let (key, value) = row.map_err(EngineError::index)?;
        let node = tables::node_in_key(key.value())?;
        let cell = nodes.publish(&node, NodeRecord::decode(value.value())?);
        let (start, end) = (tables::node_key(&node), tables::node_end(&node));
        for row in certificates.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(EngineError::index)? {
            let (key, value) = row.map_err(EngineError::index)?;
            let (issuer, serial) = tables::certificate_in_key(&node, key.value())?;
            let first_seen = UnixMillis(tables::number(value.value(), 0)?);
            let last_seen = UnixMillis(tables::number(value.value(), 8)?);
            let seen = SeenCertificate { issuer: issuer.clone(), serial: serial.clone(), first_seen, last_seen };
            super::nodes::lock(&cell.certificates).insert((issuer, serial), seen);
        }
    }
    super::activity::load(db, nodes)
}
