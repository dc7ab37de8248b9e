//! How long to wait before the next try: twice as long each time, up to a bound, with jitter, so that many who wait for
//! the same part do not come back at the same instant.

use std::time::Duration;

/// Bounds of a wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

/// Waits between tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    bounds: Bounds,
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self { bounds, next: bounds.min }
    }

    /// The length of the next wait: between half and all of the present bound.
    fn advance(&mut self) -> Duration {
        let wait = self.next.mul_f64(0.5 + shardlift_net::spread() / 2.0);
        self.next = (self.next * 2).min(self.bounds.max);
        wait
    }

    pub(crate) async fn wait(&mut self) {
        let wait = self.advance();
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_stay_there() {
        let bounds = Bounds { min: Duration::from_millis(100), max: Duration::from_secs(2) };
        let mut backoff = Backoff::new(bounds);
        let waits: Vec<Duration> = (0..20).map(|_| backoff.advance()).collect();
        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[10..].iter().all(|wait| *wait >= Duration::from_secs(1) && *wait <= Duration::from_secs(2)));
    }
}
