//! The way into the loop: a bounded queue of inputs, each answered only after what it led to is durable.

use shardlift_api::fault::{Fault, FaultKind};
use shardlift_migration::decide::RefusalKind;
use shardlift_migration::{Input, Refusal};
use tokio::sync::{mpsc, oneshot};

/// Inputs that may wait in the queue.
const QUEUE: usize = 1024;

/// An input and who waits for its answer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) input: Input,
    pub(crate) answer: oneshot::Sender<Result<(), Refusal>>,
}

/// Why an input led to nothing.
#[derive(Debug)]
pub(crate) enum Unheard {
    /// The state of things forbids it.
    Refused(Refusal),
    /// The loop has ended; whether the input was recorded is unknown.
    Stopped,
}

/// The sending end.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    requests: mpsc::Sender<Request>,
}

impl Inputs {
    /// Both ends.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, queue) = mpsc::channel(QUEUE);
        (Self { requests }, queue)
    }

    /// Hands in an input; what it led to is durable when this returns.
    pub(crate) async fn submit(&self, input: Input) -> Result<(), Unheard> {
        let (answer, decided) = oneshot::channel();
        self.requests.send(Request { input, answer }).await.map_err(|_closed| Unheard::Stopped)?;
        match decided.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => Err(Unheard::Refused(refusal)),
            Err(_dropped) => Err(Unheard::Stopped),
        }
    }

    /// Hands in an observation or an answer. A refusal is of no concern to who reports; false when the loop has ended.
    pub(crate) async fn report(&self, input: Input) -> bool {
        match self.submit(input).await {
            Ok(()) => true,
            Err(Unheard::Refused(refusal)) => {
                tracing::warn!(reason = refusal.message, "an observation was refused");
                true
            }
            Err(Unheard::Stopped) => false,
        }
    }
}

impl From<Unheard> for Fault {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Refused(refusal) => refused(&refusal),
            Unheard::Stopped => {
                Self::new(FaultKind::Unavailable, "the controller is stopping: ask again whether it was recorded")
            }
        }
    }
}

/// What is wrong, and on a second line what to do about it.
pub(crate) fn refused(refusal: &Refusal) -> Fault {
    let kind = match refusal.kind {
        RefusalKind::NotFound => FaultKind::NotFound,
        RefusalKind::Invalid => FaultKind::Invalid,
        RefusalKind::Conflict => FaultKind::Exists,
        RefusalKind::Precondition => FaultKind::Refused,
    };
    let text = match refusal.advice.as_str() {
        "" => refusal.message.clone(),
        advice => format!("{}\n{advice}", refusal.message),
    };
    Fault::new(kind, text)
}
