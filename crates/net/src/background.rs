//! Work that gives way: it has threads of its own, which the system lets run when others leave some of the processors.

use crate::machine::is_simulated;
use std::future::Future;
use std::io;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How nice the threads are: beside a thread of the usual kind that wants a processor for itself, one of these has about a tenth of it.
const NICENESS: i32 = 10;

/// Threads that give way to all others. What runs on them, runs on them as a whole: tasks that it spawns and work that blocks too.
///
/// In a simulation there are no threads: what is spawned here is a task like any other.
#[derive(Debug)]
pub struct Background {
    /// `None` in a simulation, and while it is dropped.
    runtime: Option<Runtime>,
}

impl Background {
    /// As many threads as there are processors.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(name: &str) -> io::Result<Self> {
        if is_simulated() {
            return Ok(Self { runtime: None });
        }
        let runtime = Builder::new_multi_thread().thread_name(name).on_thread_start(give_way).enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Begins a task here.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            None => tokio::spawn(task),
        }
    }
}

impl Drop for Background {
    /// Tasks end where they wait; work that blocks goes on to its end. Whoever needs more waits for them before.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Of the calling thread alone: that is what Linux means by a process here.
fn give_way() {
    let present = rustix::process::getpriority_process(None).unwrap_or(0);
    // A system that refuses leaves it a thread like any other: nothing but its turn depends on it.
    let _ = rustix::process::setpriority_process(None, present.max(NICENESS));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[tokio::test]
    async fn tasks_and_blocking_work_in_the_background_are_nice_and_nobody_else_is() {
        let before = niceness();
        let background = Background::start("background").unwrap();
        let (task, blocking) =
            background.spawn(async { (niceness(), crate::spawn_blocking(niceness).await.unwrap()) }).await.unwrap();
        // One that was nicer already stays so.
        assert_eq!((task, blocking), (NICENESS.max(before), NICENESS.max(before)));
        drop(background);
        assert_eq!((niceness(), tokio::task::spawn_blocking(niceness).await.unwrap()), (before, before));
    }
}
