//! A disk that can lose its power: ext4 on a loop device. Needs root, `mount`, `mkfs.ext4` and `perl`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system on an image of its own; unmounted, and its loop device freed, when dropped.
pub(crate) struct Disk {
    _temp: tempfile::TempDir,
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// A fresh disk, or why there can be none here.
    pub(crate) fn new(mebibytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("root is needed".to_owned());
        }
        let temp = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (image, mount) = (temp.path().join("image"), temp.path().join("mount"));
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mebibytes << 20).map_err(|error| error.to_string())?;
        std::fs::create_dir(&mount).map_err(|error| error.to_string())?;
        run("perl", &["-e", "exit 0"])?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path(&image)])?;
        let disk = Self { _temp: temp, image, mount };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    fn mount(&self) -> Result<(), String> {
        // The loop device frees itself when it is unmounted.
        run("mount", &["-o", "loop", path(&self.image), path(&self.mount)])
    }

    /// Cuts the power: what the file system has not yet written is gone, and nothing can be written any more.
    pub(crate) fn cut(&self) {
        // EXT4_IOC_SHUTDOWN, `_IOR('X', 125, u32)`, with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let script =
            r#"open(my $d, "<", $ARGV[0]) or die; my $f = pack("L", 2); ioctl($d, 0x8004587d, $f) or die "ioctl: $!""#;
        run("perl", &["-e", script, path(&self.mount)]).unwrap();
    }

    /// Power is back: the file system recovers from its own log.
    pub(crate) fn restart(&self) {
        run("umount", &[path(&self.mount)]).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if run("umount", &[path(&self.mount)]).is_err()
            && is_mounted(&self.mount)
            && let Err(error) = run("umount", &["-l", path(&self.mount)])
        {
            eprintln!("left mounted: {}: {error}", self.mount.display());
        }
    }
}

fn is_mounted(mount: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1) == mount.to_str())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Says loudly that `test` did not run: past the test runner, which keeps what a passing test prints to itself.
pub(crate) fn skipped(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
