//! Reading a node's own files again: what is on the disk now, not what was acknowledged once.

use super::Engine;
use super::body::hash_of;
use super::error::EngineError;
use super::rot::Rot;
use aws_lc_rs::digest::{Context, SHA256};
use shardlift_model::{NodeId, ObjectKey, Sha256};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// Objects looked up at a time.
const PAGE: usize = 1000;

const BUFFER_BYTES: usize = 256 * 1024;

/// What reading all objects again has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reread {
    /// Objects read.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects whose bytes are not (or no longer) those recorded, missing ones included.
    pub mismatched: Vec<ObjectKey>,
}

impl Engine {
    /// Reads and hashes every file of a node; `progress` hears of the objects and bytes read so far. What does not match its
    /// record is recorded or becomes an alarm, see [`Engine::record_rot`]. Objects that are deleted meanwhile are left out. Stops soon after the returned future is dropped.
    ///
    /// # Errors
    /// [`EngineError::NodeUnknown`] or a failure of the disk other than a missing file.
    pub async fn reread(
        self: &Arc<Self>,
        node: &NodeId,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<Reread, EngineError> {
        let cell = self.cell(node)?;
        let mut result = Reread::default();
        let mut after = None;
        let progress = Arc::new(progress);
        loop {
            let page = self.page_objects(node, after, PAGE, true).await?;
            for record in &page.objects {
                let record = *record;
                let node = node.clone();
                let found = self.blocking(move |engine| engine.hash_recorded(&node, &record)).await?;
                if found.is_none_or(|(_, sha256)| sha256 != record.sha256) {
                    // Deleted or healed since the page was read, it is neither counted nor a mismatch.
                    if self.record_rot(&cell.id, record.key).await? == Rot::None {
                        continue;
                    }
                    result.mismatched.push(record.key);
                }
                result.objects += 1;
                result.bytes += found.map_or(0, |(size, _)| size);
                progress(result.objects, result.bytes);
            }
            match page.objects.last().filter(|_| page.more) {
                Some(last) => after = Some(last.key),
                None => return Ok(result),
            }
        }
    }
}

/// Length and hash of a file. Blocks.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, Sha256), EngineError> {
    let mut file = File::open(path).map_err(EngineError::io("open", path))?;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).map_err(EngineError::io("read", path))?;
        if read == 0 {
            return Ok((size, hash_of(hash)?));
        }
        hash.update(&buffer[..read]);
        size += read as u64;
    }
}
