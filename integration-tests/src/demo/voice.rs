//! What the narrator says: a numbered line for each step, what is done and why.

use std::cell::Cell;
use std::time::Instant;

pub(super) struct Voice {
    began: Instant,
    steps: Cell<u32>,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), steps: Cell::new(0) }
    }

    pub(super) fn step(&self, words: &str) {
        let number = self.steps.get() + 1;
        self.steps.set(number);
        println!("\n[{:>5.1} s] {number}. {words}", self.began.elapsed().as_secs_f32());
    }

    pub(super) fn note(&self, words: &str) {
        println!("[{:>5.1} s]    {words}", self.began.elapsed().as_secs_f32());
    }

    #[expect(clippy::unused_self, reason = "all that is said is said by the narrator")]
    pub(super) fn quote(&self, line: &str) {
        println!("    | {line}");
    }
}
