//! What this machine can do at most, part by part: hashing, TLS over loopback, writing.

use super::command::{program, run};
use super::figures::MoveLimit;
use super::start::Cache;
use super::start::make_even;
use super::tls::{Settings, memory_to_memory};
use crate::tool;
use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use rand::{RngCore as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What all threads together hash.
const HASHED_BYTES: u64 = 1 << 30;

/// Measured over the rounds, by name.
#[derive(Default)]
pub(super) struct Limits {
    measured: BTreeMap<&'static str, Vec<f64>>,
    file: Option<PathBuf>,
}

fn rate(bytes: u64, began: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    mebibytes / began.elapsed().as_secs_f64()
}

fn hash(threads: u64, bytes: u64) -> Result<f64> {
    let chunk = vec![7; 256 * 1024];
    let began = Instant::now();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            let mut hash = Hash::new(&SHA256);
            for _chunk in 0..bytes / threads / chunk.len() as u64 {
                hash.update(&chunk);
            }
            std::hint::black_box(hash.finish());
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    ends.into_iter().try_for_each(|end| end.map_err(|_panic| anyhow!("a hashing thread panicked")))?;
    Ok(rate(bytes, began))
}

impl Limits {
    fn note(&mut self, name: &'static str, mebibytes_per_second: f64) {
        self.measured.entry(name).or_default().push(mebibytes_per_second);
    }

    /// Everything once. `mebibytes`: what is written, and moved over TLS.
    pub(super) async fn round(&mut self, root: &Path, settings: &Settings, mebibytes: u64) -> Result<()> {
        let bytes = mebibytes << 20;
        let settings = settings.clone();
        let in_memory = tokio::task::spawn_blocking(move || -> Result<_> {
            let hashed = [hash(1, HASHED_BYTES.min(bytes))?, hash(2, HASHED_BYTES.min(bytes))?];
            let moved = [1, 2].map(|connections| -> Result<f64> {
                let began = Instant::now();
                memory_to_memory(&settings, connections, bytes / connections as u64)?;
                Ok(rate(bytes, began))
            });
            let [one, two] = moved;
            Ok([hashed[0], hashed[1], one?, two?])
        });
        let in_memory = in_memory.await??;
        for (name, figure) in ["sha256-1", "sha256-2", "tls-1", "tls-2"].into_iter().zip(in_memory) {
            self.note(name, figure);
        }
        self.write(root, mebibytes).await
    }

    /// `dd` of bytes that are in memory already, made durable.
    async fn write(&mut self, root: &Path, mebibytes: u64) -> Result<()> {
        let dd = tool("bench move: dd", "dd").context("dd is not installed")?;
        let source = self.source(root, mebibytes)?;
        for (name, flags) in [("dd-fsync", None), ("dd-direct", Some("oflag=direct"))] {
            if flags.is_some() && !super::pipeline::can_write_directly(root)? {
                continue;
            }
            let target = root.join("dd-target");
            make_even(root, &source, mebibytes, Cache::Warm)?;
            let mut command = program(&dd);
            command.arg(format!("if={}/file", source.display())).arg(format!("of={}", target.display()));
            command.args(["bs=1M", "conv=fsync"]).args(flags);
            let began = Instant::now();
            run(command, "dd", root, None).await?;
            self.note(name, rate(mebibytes << 20, began));
            std::fs::remove_file(&target).context("removing what dd has written")?;
        }
        Ok(())
    }

    /// A folder with one file of bytes that no disk can leave out.
    fn source(&mut self, root: &Path, mebibytes: u64) -> Result<PathBuf> {
        if let Some(folder) = &self.file {
            return Ok(folder.clone());
        }
        let folder = root.join("dd-source");
        std::fs::create_dir_all(&folder)?;
        let mut file = std::fs::File::create(folder.join("file")).context("making the source of dd")?;
        let (mut rng, mut buffer) = (rand::rngs::StdRng::seed_from_u64(1), vec![0; 1 << 20]);
        for _mebibyte in 0..mebibytes {
            rng.fill_bytes(&mut buffer);
            file.write_all(&buffer)?;
        }
        self.file = Some(folder.clone());
        Ok(folder)
    }

    /// What was measured.
    pub(super) fn figures(&self) -> Vec<MoveLimit> {
        let figure = |(name, values): (&&'static str, &Vec<f64>)| MoveLimit::new(name, values);
        self.measured.iter().map(figure).collect()
    }
}
