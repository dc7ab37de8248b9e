//! Figures: side by side with what one would use instead, on the same machine, in the same run; and of the live move.
//!
//! [`serving`] measures `restic backup`, `restore` and `check` through router and shard against the same restic with servers of
//! others. [`flip`] measures what clients notice of a flip, [`clients`] what they feel of a move. [`moving`] measures the data plane:
//! the same trees moved by Shardlift and by others. All figures are printed and appended to a report.

mod clients;
mod flip;
mod line;
mod moving;
mod report;
mod serving;

pub use clients::{ClientsBench, clients};
pub use flip::{FlipBench, FlipFigures, flip};
pub use moving::{Cache, Machine, MoveBench, MoveConditions, MoveFigure, MoveGoal, MoveLimit, MoveRow, moving};
pub use report::{ClientsFirst, Comparison, ParkedTimes, Retries, append};
pub use serving::{ServingBench, serving};

use anyhow::{Context as _, Result};
use rand::{RngCore as _, SeedableRng as _};
use std::io::Write as _;
use std::path::Path;

/// Size of one of the files that are backed up, in MiB.
const FILE_MIB: u64 = 64;

/// Fills a folder with bytes that neither compress nor repeat.
fn fill(folder: &Path, mebibytes: u64) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(42);
    let mut buffer = vec![0; 1 << 20];
    for number in 0..mebibytes.div_ceil(FILE_MIB) {
        let mut file = std::fs::File::create(folder.join(format!("file-{number}.bin")))?;
        for _ in 0..FILE_MIB.min(mebibytes - number * FILE_MIB) {
            rng.fill_bytes(&mut buffer);
            file.write_all(&buffer).context("writing what is backed up")?;
        }
    }
    Ok(())
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let middle = seconds.len() / 2;
    if seconds.len().is_multiple_of(2) { f64::midpoint(seconds[middle - 1], seconds[middle]) } else { seconds[middle] }
}

/// Makes the same start for whoever is measured next: as much memory for the page cache as the run will need is touched and free
/// (in a virtual machine the first touch is dear), and the disk has nothing left to do from before.
fn even_out(root: &Path, mebibytes: u64) -> Result<()> {
    let path = root.join("ballast");
    let mut file = std::fs::File::create(&path).context("making the ballast")?;
    let buffer = vec![1; 1 << 20];
    for _ in 0..mebibytes {
        file.write_all(&buffer).context("writing the ballast")?;
    }
    drop(file);
    std::fs::remove_file(&path).context("removing the ballast")?;
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_two() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&mut [4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
