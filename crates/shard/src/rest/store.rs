//! Uploads and deletions. What is answered 200 is durable.

use super::answer::{self, Answer, Reply};
use super::{Deed, Rest};
use crate::admission::Permit;
use crate::engine::{PutError, Upload};
use crate::throttle::{Operation, OwnTime};
use http::{Request, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use shardlift_model::{NodeId, ObjectKey, ObjectKind};
use std::time::Duration;
use tokio::time::Instant;

/// Largest config, key or lock, in bytes; real ones have less than one KiB.
const SMALL_BYTES_MAX: u64 = 1 << 20;

/// Largest pack, index or snapshot, in bytes. Clients make packs of at most 128 MiB, older ones left larger indexes.
const LARGE_BYTES_MAX: u64 = 1 << 30;

/// How much of a refused body is read, in bytes: the largest pack of a client with usual settings, twice.
const POUR_OUT_BYTES_MAX: u64 = 64 << 20;

/// How long a refused body is read.
const POUR_OUT_TIME_MAX: Duration = Duration::from_secs(15);

const fn bytes_max(kind: ObjectKind) -> u64 {
    match kind {
        ObjectKind::Config | ObjectKind::Keys | ObjectKind::Locks => SMALL_BYTES_MAX,
        ObjectKind::Data | ObjectKind::Index | ObjectKind::Snapshots => LARGE_BYTES_MAX,
    }
}

impl Rest {
    pub(super) async fn store(
        &self,
        node: &NodeId,
        key: ObjectKey,
        request: Request<Incoming>,
        permit: Permit,
    ) -> Result<Answer, Reply> {
        let max = bytes_max(key.kind());
        let declared = declared_length(&request)?;
        if declared.is_some_and(|length| length > max) {
            return Err(Reply::TooLarge);
        }
        let answers_early = request.version() >= Version::HTTP_2;
        let mut body = request.into_body();
        let taken = self.take_in(node, key, declared, &mut body, &permit).await;
        // Before anything else is waited for: a fence waits for permits.
        drop(permit);
        match taken {
            Ok(received) => {
                self.metrics.received(received);
                self.engine.throttle().stored(node, received);
                self.note(node, Deed::Stored(key, received)).await;
                Ok(answer::empty(StatusCode::OK))
            }
            Err(reply) => {
                if !answers_early {
                    pour_out(&mut body).await;
                }
                Err(reply)
            }
        }
    }

    async fn take_in(
        &self,
        node: &NodeId,
        key: ObjectKey,
        declared: Option<u64>,
        body: &mut Incoming,
        permit: &Permit,
    ) -> Result<u64, Reply> {
        let began = Instant::now();
        let mut own = self.engine.throttle().own_time();
        let upload = own.of(self.engine.begin_put(node, key, declared)).await;
        let mut upload = upload.map_err(|error| Reply::of_upload(node, error))?;
        self.engine.readmission().done(began.elapsed());
        let received = tokio::select! {
            biased;
            received = receive(node, &mut upload, body, bytes_max(key.kind()), self.body_idle_max, &mut own) => received?,
            () = permit.cancelled() => return Err(Reply::Unavailable("the repository is being moved; try again")),
        };
        let ended = Instant::now();
        own.of(upload.finish()).await.map_err(|error| Reply::of_upload(node, error))?;
        self.engine.readmission().done(ended.elapsed());
        self.count(node, own.done(Operation::Store));
        Ok(received)
    }

    pub(super) async fn delete(&self, node: &NodeId, key: ObjectKey, permit: Permit) -> Result<Answer, Reply> {
        if self.engine.is_append_only(node) && key.kind() != ObjectKind::Locks {
            return Err(Reply::Forbidden("the repository is append-only"));
        }
        // Absent counts as deleted: clients repeat a deletion whose answer they lost.
        self.engine.delete(node, key).await.map_err(|error| Reply::of_engine(node, error))?;
        drop(permit);
        self.note(node, Deed::Deleted(key)).await;
        Ok(answer::empty(StatusCode::OK))
    }
}

fn declared_length(request: &Request<Incoming>) -> Result<Option<u64>, Reply> {
    let Some(value) = request.headers().get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or(Reply::Invalid("the content length is no number"))
}

/// Over HTTP/1.1 most clients read no answer before they have sent their body, and a connection that is closed on unread bytes
/// takes the answer with it. So some of the rest is read, bounded in bytes and time, before an error is answered.
pub(super) async fn pour_out(body: &mut Incoming) {
    let mut left = POUR_OUT_BYTES_MAX;
    let pouring = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            if length >= left {
                return;
            }
            left -= length;
        }
    };
    // Whether the time was enough makes no difference to what is answered.
    let _in_time = tokio::time::timeout(POUR_OUT_TIME_MAX, pouring).await;
}

/// Passes the body on as it comes. Returns how much there was.
async fn receive(
    node: &NodeId,
    upload: &mut Upload,
    body: &mut Incoming,
    max: u64,
    idle_max: Duration,
    own: &mut OwnTime<'_>,
) -> Result<u64, Reply> {
    let mut received = 0_u64;
    loop {
        let frame = tokio::time::timeout(idle_max, body.frame()).await.map_err(|_elapsed| Reply::Timeout)?;
        let Some(frame) = frame else { return Ok(received) };
        let frame = frame.map_err(|error| {
            tracing::debug!(%node, %error, "a client ended in the middle of a body");
            Reply::Invalid("the body ended early")
        })?;
        // Trailers carry nothing in this protocol.
        let Ok(bytes) = frame.into_data() else { continue };
        received += bytes.len() as u64;
        if received > max {
            return Err(Reply::of_upload(node, PutError::TooLarge { declared: max }));
        }
        own.of(upload.write(bytes)).await.map_err(|error| Reply::of_upload(node, error))?;
    }
}
