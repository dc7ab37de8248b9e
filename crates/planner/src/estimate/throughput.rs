//! What comes through a cap: samples above it are cut down to it, those below are not made up for.
//!
//! So the mean under a cap is less than the cap, and less than the mean, wherever samples lie on both sides of it.

/// Samples of throughput, to be asked what is left of them under a cap.
pub(super) struct Throughput {
    /// Bytes per second, ascending.
    rates: Vec<f64>,
    /// Time of the samples up to each rate, and bytes in it; one more than there are rates.
    sums: Vec<(f64, f64)>,
}

/// Samples, all faster or slower by the same factor.
#[derive(Clone, Copy)]
pub(super) struct Pace<'t> {
    throughput: &'t Throughput,
    factor: f64,
    /// Share of time in which anything moves.
    moving: f64,
}

impl Throughput {
    /// Of rates, each with how long it held.
    pub(super) fn of(samples: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut samples: Vec<(f64, f64)> = samples.collect();
        samples.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut sums = vec![(0.0, 0.0)];
        let (mut time, mut bytes) = (0.0, 0.0);
        for (rate, millis) in &samples {
            time += millis;
            bytes += rate * millis;
            sums.push((time, bytes));
        }
        Self { rates: samples.into_iter().map(|(rate, _)| rate).collect(), sums }
    }

    /// Each sample times a factor above zero.
    pub(super) const fn times(&self, factor: f64) -> Pace<'_> {
        Pace { throughput: self, factor, moving: 1.0 }
    }
}

impl Pace<'_> {
    /// As if one sample more had been nothing at all: what was never seen may still come (Laplace's rule of succession).
    /// Under a cap stalls are what makes moves late, and few samples may have none.
    pub(super) fn with_a_stall(self) -> Self {
        let count = self.throughput.rates.len() as f64;
        Self { moving: count / (count + 1.0), ..self }
    }

    /// The mean when nothing goes faster than `cap`.
    pub(super) fn below(self, cap: f64) -> f64 {
        let Throughput { rates, sums } = self.throughput;
        let cap = cap / self.factor;
        let at = rates.partition_point(|rate| *rate <= cap);
        let (Some((time, bytes)), Some((all, _))) = (sums.get(at), sums.last()) else { return 0.0 };
        // An infinite cap has nothing above it.
        let above = if at < rates.len() { (all - time) * cap } else { 0.0 };
        if *all > 0.0 { (bytes + above) / all * self.factor * self.moving } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_on_both_sides_of_a_cap_bring_less_than_the_cap() {
        let throughput = Throughput::of([(30.0, 1.0), (10.0, 1.0), (20.0, 2.0)].into_iter());
        let below = |factor: f64, cap: f64| throughput.times(factor).below(cap);
        assert_eq!([below(1.0, f64::INFINITY), below(1.0, 30.0), below(2.0, f64::INFINITY)], [20.0, 20.0, 40.0]);
        assert_eq!([below(1.0, 20.0), below(1.0, 10.0), below(1.0, 5.0), below(1.0, 0.0)], [17.5, 10.0, 5.0, 0.0]);
        assert_eq!(below(0.5, 10.0), 8.75);
        assert_eq!(throughput.times(1.0).with_a_stall().below(10.0), 7.5);
        assert_eq!(Throughput::of(std::iter::empty()).times(1.0).below(1.0), 0.0);
    }
}
