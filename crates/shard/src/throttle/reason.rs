//! Why work goes at the rate it goes, in a sentence for operators.

use super::latency::{NOTICED, Operation};
use super::law::BUDGET;
use super::limits::CapReason;
use shardlift_model::ByteCount;
use std::fmt;
use std::time::Duration;

/// Half of the requests for an operation take longer than they usually do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Strain {
    pub(crate) operation: Operation,
    pub(crate) now: Duration,
    pub(crate) usual: Duration,
}

/// More requests are slow than may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slow {
    /// What most of them are for.
    pub(crate) operation: Operation,
    /// Of all requests.
    pub(crate) share: f64,
    /// From here on one for this operation is slow.
    pub(crate) from: Duration,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, from, percent) = (self.operation.word(), Millis(self.from), self.share * 100.0);
        let (times, most) = (NOTICED, BUDGET * 100.0);
        write!(
            f,
            "{percent:.1}% of clients' requests are slow ({word} over {from}, {times} times the usual p99), {most}% may be"
        )
    }
}

impl Strain {
    pub(crate) fn ratio(&self) -> f64 {
        self.now.as_secs_f64() / self.usual.as_secs_f64().max(1e-6)
    }
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, ratio) = (self.operation.word(), self.ratio());
        let (now, usual) = (Millis(self.now), Millis(self.usual));
        write!(f, "clients' p50 of {word} is {now}, {ratio:.1} times the usual {usual}")
    }
}

struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1e3;
        if millis < 10.0 { write!(f, "{millis:.1} ms") } else { write!(f, "{millis:.0} ms") }
    }
}

/// Why the rate is what it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reason {
    /// Nobody is served.
    NoClients,
    /// The operator has said so.
    Off,
    /// A node changes hands: nothing may stand in its way.
    Hurry,
    /// A cap is lower than what clients leave.
    Cap(CapReason),
    /// It is not known yet how long clients usually wait.
    Learning,
    /// Clients notice, each time.
    Held(Strain),
    /// Clients notice, sometimes.
    Slow(Slow),
    /// Clients wait for an answer that does not come.
    Stalled(Duration),
    /// Clients are served as usual; there may be more.
    Rising,
    /// More would not be used.
    Enough,
}

impl Reason {
    /// One word of a closed list, for metrics.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::NoClients => "no_clients",
            Self::Off => "off",
            Self::Hurry => "hurry",
            Self::Cap(CapReason::Always) => "cap",
            Self::Cap(CapReason::Window(_)) => "window",
            Self::Learning => "learning",
            Self::Held(_) => "held",
            Self::Slow(_) => "slow",
            Self::Stalled(_) => "stalled",
            Self::Rising => "rising",
            Self::Enough => "enough",
        }
    }

    pub(crate) const WORDS: [&str; 11] =
        ["no_clients", "off", "hurry", "cap", "window", "learning", "held", "slow", "stalled", "rising", "enough"];

    /// The sentence, with the rate that it is about.
    pub(crate) fn sentence(&self, rate: Option<u64>) -> String {
        let at = rate.map_or_else(|| "unlimited".to_owned(), |rate| format!("{}/s", ByteCount(rate)));
        match self {
            Self::NoClients => format!("no clients: {at}"),
            Self::Off => format!("clients first is off: {at}"),
            Self::Hurry => format!("a node changes hands: {at}"),
            Self::Cap(CapReason::Always) => format!("held at {at}: the cap"),
            Self::Cap(CapReason::Window(name)) if name.is_empty() => format!("held at {at}: cap outside the windows"),
            Self::Cap(CapReason::Window(name)) => format!("held at {at}: cap of the window {name}"),
            Self::Learning => format!("held at {at}: how long clients usually wait is being learned"),
            Self::Held(strain) => format!("held at {at}: {strain}"),
            Self::Slow(slow) => format!("held at {at}: {slow}"),
            Self::Stalled(since) => {
                format!("held at {at}: clients have waited {:.1} s for the shard's answer", since.as_secs_f64())
            }
            Self::Rising => format!("{at} and rising: clients are served as usual"),
            Self::Enough => format!("{at}, more is not asked for: clients are served as usual"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_sentence_with_its_figures() {
        let strain =
            Strain { operation: Operation::Store, now: Duration::from_millis(210), usual: Duration::from_millis(100) };
        let rate = Some(48 << 20);
        assert_eq!(
            Reason::Held(strain).sentence(rate),
            "held at 48.0 MiB/s: clients' p50 of store is 210 ms, 2.1 times the usual 100 ms"
        );
        let slow = Slow { operation: Operation::Store, share: 0.0312, from: Duration::from_micros(16_250) };
        assert_eq!(
            Reason::Slow(slow).sentence(rate),
            "held at 48.0 MiB/s: 3.1% of clients' requests are slow (store over 16 ms, 1.25 times the usual p99), 1% may be"
        );
        assert_eq!(Reason::NoClients.sentence(None), "no clients: unlimited");
        let window = Reason::Cap(CapReason::Window("08:00-18:00".to_owned()));
        assert_eq!(window.sentence(rate), "held at 48.0 MiB/s: cap of the window 08:00-18:00");
        assert_eq!(
            Reason::Stalled(Duration::from_millis(1500)).sentence(Some(8 << 20)),
            "held at 8.0 MiB/s: clients have waited 1.5 s for the shard's answer"
        );
    }
}
