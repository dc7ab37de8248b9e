//! What a run costs: time, CPU of all processes of both ends, and memory of each end.
//!
//! CPU is read from the kernel before and after: of servers with all their children, ended or not, and of all programs that this
//! one started and has seen end. Memory of an end is the highest sum, at any sample, of the high-water marks of its processes that
//! lived then. What processes share is counted for each, so an end of several processes comes out a little too high, never too low
//! but for what happens within one sample.

use anyhow::{Context as _, Result, anyhow};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two samples of memory.
const SAMPLE_PAUSE: Duration = Duration::from_millis(50);

/// Linux shows processor times in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// Gives.
    Source,
    /// Takes.
    Target,
    /// Neither: its processor time counts, its memory belongs to no end.
    Beside,
}

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_source_bytes: u64,
    pub(super) peak_target_bytes: u64,
}

/// Processor time of a process itself, and of its children that it has seen end, in ticks.
fn ticks(pid: &str) -> Option<[u64; 2]> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let fields: Vec<u64> =
        stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4).map_while(|f| f.parse().ok()).collect();
    match fields[..] {
        [user, system, children_user, children_system] => Some([user + system, children_user + children_system]),
        _ => None,
    }
}

/// A process and all its living descendants. One that has ended meanwhile has none.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(one) = family.get(next).copied() {
        next += 1;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{one}/task")) else { continue };
        for thread in threads.flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    family
}

fn cpu_of(servers: &[u32]) -> f64 {
    let members = servers.iter().flat_map(|server| family(*server));
    let ticks: u64 = members.filter_map(|pid| ticks(&pid.to_string())).flatten().sum();
    #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds are far below 2^52")]
    let seconds = ticks as f64 / TICKS_PER_SECOND;
    seconds
}

/// High-water mark of a process's memory.
fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Lets the high-water mark begin anew. A kernel that does not allow it leaves the mark of the process's whole life.
fn forget_peak(pid: u32) {
    // Reported as memory, which is too much then, never too little.
    if let Err(error) = std::fs::write(format!("/proc/{pid}/clear_refs"), "5") {
        eprintln!("the memory of process {pid} is that of its whole life: {error}");
    }
}

#[derive(Default)]
struct Watched {
    roots: Mutex<Vec<(End, u32)>>,
    ended: AtomicBool,
}

impl Watched {
    fn roots(&self) -> Vec<(End, u32)> {
        // Pushed to and read, whole values.
        self.roots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Measures from when it is made until it is stopped.
pub(super) struct Meter {
    began: Instant,
    cpu_before: f64,
    servers: Vec<u32>,
    own: bool,
    watched: Arc<Watched>,
    sampler: Option<JoinHandle<BTreeMap<End, u64>>>,
}

fn sample(watched: &Watched, peaks: &mut BTreeMap<End, u64>) {
    let mut now: BTreeMap<End, u64> = BTreeMap::new();
    for (end, root) in watched.roots() {
        *now.entry(end).or_default() += family(root).into_iter().filter_map(peak_of).sum::<u64>();
    }
    for (end, bytes) in now {
        let peak = peaks.entry(end).or_default();
        *peak = bytes.max(*peak);
    }
}

impl Meter {
    /// Begins, with the servers that run already. `own`: this program itself is what is measured.
    pub(super) fn start(servers: &[(End, u32)], own: bool) -> Result<Self> {
        servers.iter().for_each(|(_, pid)| forget_peak(*pid));
        let watched = Arc::new(Watched { roots: Mutex::new(servers.to_vec()), ended: AtomicBool::new(false) });
        let eye = Arc::clone(&watched);
        let sampler = std::thread::Builder::new().name("sampler".to_owned()).spawn(move || {
            let mut peaks = BTreeMap::new();
            while !eye.ended.load(Ordering::SeqCst) {
                sample(&eye, &mut peaks);
                std::thread::park_timeout(SAMPLE_PAUSE);
            }
            peaks
        });
        let sampler = Some(sampler.context("starting the sampler")?);
        let servers: Vec<u32> = servers.iter().map(|(_, pid)| *pid).collect();
        let mut meter = Self { began: Instant::now(), cpu_before: 0.0, servers, own, watched, sampler };
        meter.cpu_before = meter.cpu()?;
        meter.began = Instant::now();
        Ok(meter)
    }

    fn cpu(&self) -> Result<f64> {
        let [own, children] = ticks("self").context("the kernel does not tell our processor time")?;
        let ticks = if self.own { own + children } else { children };
        #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds are far below 2^52")]
        let ours = ticks as f64 / TICKS_PER_SECOND;
        Ok(ours + cpu_of(&self.servers))
    }

    /// Watches the memory of a program that this one has started; its processor time is seen when it ends.
    pub(super) fn watch(&self, end: End, pid: u32) {
        self.watched.roots.lock().unwrap_or_else(PoisonError::into_inner).push((end, pid));
    }

    /// Ends. The time is taken first.
    pub(super) fn stop(mut self) -> Result<Usage> {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu_seconds = self.cpu()? - self.cpu_before;
        self.watched.ended.store(true, Ordering::SeqCst);
        let mut peaks = BTreeMap::new();
        sample(&self.watched, &mut peaks);
        if let Some(sampler) = self.sampler.take() {
            sampler.thread().unpark();
            let sampled = sampler.join().map_err(|_panic| anyhow!("the sampler panicked"))?;
            for (end, bytes) in sampled {
                let peak = peaks.entry(end).or_default();
                *peak = bytes.max(*peak);
            }
        }
        let of = |end| peaks.get(&end).copied().unwrap_or(0);
        let (peak_source_bytes, peak_target_bytes) = (of(End::Source), of(End::Target));
        Ok(Usage { seconds, cpu_seconds, peak_source_bytes, peak_target_bytes })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // One that was not stopped: its run failed.
        self.watched.ended.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    const BUSY: &str = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";

    #[test]
    fn grandchildren_count_whether_they_have_ended_or_not() {
        // A server whose child has worked and ended, and whose other child lives.
        let script = format!("sleep 600 & read line; sh -c '{BUSY}'; echo done; wait");
        let mut server =
            Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let meter = Meter::start(&[(End::Target, server.id())], false).unwrap();
        let before = cpu_of(&[server.id()]);
        drop(server.stdin.take());
        let mut said = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut said).unwrap();
        let (usage, cpu_seconds) = (meter.stop().unwrap(), cpu_of(&[server.id()]) - before);
        for member in family(server.id()).into_iter().skip(1) {
            let pid = rustix::process::Pid::from_raw(i32::try_from(member).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        server.wait().unwrap();
        assert!(cpu_seconds > 0.02 && cpu_seconds <= usage.seconds + 0.05, "{cpu_seconds} of {usage:?}");
        assert!(usage.cpu_seconds >= cpu_seconds, "{usage:?}");
        assert!(usage.peak_target_bytes > 100_000 && usage.peak_source_bytes == 0, "{usage:?}");
    }

    #[test]
    fn a_program_that_has_ended_counts() {
        let meter = Meter::start(&[], false).unwrap();
        let mut child = Command::new("sh").args(["-c", BUSY]).spawn().unwrap();
        meter.watch(End::Source, child.id());
        child.wait().unwrap();
        let usage = meter.stop().unwrap();
        assert!(usage.cpu_seconds > 0.02, "{usage:?}");
        assert!(usage.peak_source_bytes > 100_000, "{usage:?}");
    }
}
