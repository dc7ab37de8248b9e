//! Listings, sizes and bytes.

use super::answer::{self, Answer, Reply};
use super::body::Body;
use super::listing::Version;
use super::range::{self, Selection};
use super::{Deed, Rest};
use crate::admission::Permit;
use crate::engine::ObjectFile;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use shardlift_model::{NodeId, ObjectKey, ObjectKind};
use std::io::SeekFrom;
use tokio::io::AsyncSeekExt as _;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Rest {
    pub(super) async fn list(
        &self,
        node: &NodeId,
        kind: ObjectKind,
        request: &Request<Incoming>,
        _permit: Permit,
    ) -> Result<Answer, Reply> {
        let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let version = Version::asked_for(accept);
        let objects = self.engine.list(node, kind).await.map_err(|error| Reply::of_engine(node, error))?;
        let text = version.render(&objects).map_err(|error| {
            tracing::error!(%node, %error, "a listing could not be written");
            Reply::Broken
        })?;
        let mut answer = Response::new(Body::from(text));
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(version.content_type()));
        Ok(answer)
    }

    pub(super) async fn measure(&self, node: &NodeId, key: ObjectKey, _permit: Permit) -> Result<Answer, Reply> {
        let object = self.open(node, key).await?;
        let mut answer = answer::empty(StatusCode::OK);
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_LENGTH, object.size.into());
        headers.insert(header::CONTENT_TYPE, OCTETS);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        Ok(answer)
    }

    pub(super) async fn read(
        &self,
        node: &NodeId,
        key: ObjectKey,
        request: &Request<Incoming>,
        permit: Permit,
    ) -> Result<Answer, Reply> {
        let object = self.open(node, key).await?;
        let asked = request.headers().get(header::RANGE).and_then(|value| value.to_str().ok());
        // The config of a repository is sent whole, as clients know it from the reference server.
        let asked = asked.filter(|_| key.kind() != ObjectKind::Config);
        let (start, length, status) = match range::select(asked, object.size) {
            Selection::Whole => (0, object.size, StatusCode::OK),
            Selection::Part { start, length } => (start, length, StatusCode::PARTIAL_CONTENT),
            Selection::Unsatisfiable => return Err(Reply::Unsatisfiable { size: object.size }),
        };
        let ObjectFile { size, mut file, .. } = object;
        file.seek(SeekFrom::Start(start)).await.map_err(|error| {
            tracing::error!(%node, %key, %error, "an object cannot be read");
            Reply::Broken
        })?;
        self.note(node, Deed::Sent(length)).await;
        self.metrics.sent(length);
        let mut answer = Response::new(Body::part(file, length, permit, self.engine.throttle().client()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, OCTETS);
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(range) = HeaderValue::from_str(&format!("bytes {start}-{}/{size}", start + length - 1))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok(answer)
    }

    async fn open(&self, node: &NodeId, key: ObjectKey) -> Result<ObjectFile, Reply> {
        let object = self.engine.open_object(node, key).await.map_err(|error| Reply::of_engine(node, error))?;
        object.ok_or(Reply::Nothing)
    }
}
