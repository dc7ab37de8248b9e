//! Finding repositories that are in the data folder already: a folder with a `config` file, one or two levels deep.
//!
//! Nothing on disk is changed: the same folder can be given back to the server it came from at any time.

use super::Engine;
use super::error::EngineError;
use super::record::Mode;
use super::writer::{Done, Work};
use shardlift_model::NodeId;
use std::path::Path;

impl Engine {
    /// Makes every repository on disk a node; answers how many were new. Those that are known stay what they are.
    pub(crate) fn adopt(&self) -> Result<u64, EngineError> {
        let mut adopted = 0;
        for node in self.repositories()? {
            if self.nodes.get(&node).is_none() {
                let done = self.writer.submit_blocking(&node, Work::Create(Mode::Serving))?;
                adopted += u64::from(done == Done::Created(true));
                tracing::info!(%node, "a repository on disk is taken in");
            }
        }
        Ok(adopted)
    }

    fn repositories(&self) -> Result<Vec<NodeId>, EngineError> {
        let mut found = Vec::new();
        for account in folders(self.layout.root())? {
            // What cannot be a node's name was never served by any server of this protocol.
            let Ok(node) = account.parse::<NodeId>() else { continue };
            let folder = self.layout.node(&node);
            if has_config(&folder)? {
                found.push(node);
            }
            for sub in folders(&folder)? {
                let Ok(node) = format!("{account}/{sub}").parse::<NodeId>() else { continue };
                if has_config(&self.layout.node(&node))? {
                    found.push(node);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

fn has_config(folder: &Path) -> Result<bool, EngineError> {
    let config = folder.join("config");
    match std::fs::metadata(&config) {
        Ok(found) => Ok(found.is_file()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::io("look for", config)(error)),
    }
}

/// Names of the folders in a folder, links to folders included. An unreadable one is an error: what cannot be seen is not absent.
fn folders(folder: &Path) -> Result<Vec<String>, EngineError> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(EngineError::io("list", folder))? {
        let entry = entry.map_err(EngineError::io("list", folder))?;
        if let (true, Ok(name)) = (entry.path().is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    Ok(names)
}
