//! Errors as callers see them.
//!
//! A [`Fault`] has a public text, which says what to do and never holds a secret or a path, and an internal one, which goes
//! to the log only. The types keep them apart. Each fault has a stable code; [`FaultKind`] decides status and retry.

use std::fmt;
use tonic::{Code, Status};

/// Name of the response header (gRPC metadata) that carries the stable code.
pub const CODE_HEADER: &str = "shardlift-code";

/// What sort of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The request cannot be meant.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// There is one already, and it differs.
    Exists,
    /// The state of things forbids it; trying again changes nothing until something else does.
    Refused,
    /// The token is lower than the one persisted (INV-03). Final for this command.
    StaleToken,
    /// No or bad credentials.
    Unauthenticated,
    /// The caller may not.
    Forbidden,
    /// A limit is reached: quota, size, rate.
    Exhausted,
    /// Try again; nothing is wrong with the request.
    Unavailable,
    /// Data is not what it was.
    DataLoss,
    /// A bug or a broken machine.
    Internal,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Invalid,
        Self::NotFound,
        Self::Exists,
        Self::Refused,
        Self::StaleToken,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Exhausted,
        Self::Unavailable,
        Self::DataLoss,
        Self::Internal,
    ];

    /// Whether the same request may succeed later by itself.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::Refused => "refused",
            Self::StaleToken => "stale_token",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Exhausted => "exhausted",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status of the same fault.
    #[must_use]
    pub const fn http_status(self) -> http::StatusCode {
        use http::StatusCode as S;
        match self {
            Self::Invalid => S::BAD_REQUEST,
            Self::NotFound => S::NOT_FOUND,
            Self::Exists | Self::Refused | Self::StaleToken => S::CONFLICT,
            Self::Unauthenticated => S::UNAUTHORIZED,
            Self::Forbidden => S::FORBIDDEN,
            Self::Exhausted => S::TOO_MANY_REQUESTS,
            Self::Unavailable => S::SERVICE_UNAVAILABLE,
            Self::DataLoss | Self::Internal => S::INTERNAL_SERVER_ERROR,
        }
    }

    const fn grpc_code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::Exists => Code::AlreadyExists,
            Self::Refused | Self::StaleToken => Code::FailedPrecondition,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
            Self::Exhausted => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::DataLoss => Code::DataLoss,
            Self::Internal => Code::Internal,
        }
    }
}

/// An error with a text for the caller and one for the log.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    public: String,
    internal: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault whose whole story may be told.
    pub fn new(kind: FaultKind, public: impl Into<String>) -> Self {
        Self { kind, public: public.into(), internal: None }
    }

    /// A fault with a cause that stays inside.
    pub fn caused(
        kind: FaultKind,
        public: impl Into<String>,
        internal: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, public: public.into(), internal: Some(internal.into()) }
    }

    /// A bug or a broken machine: the caller learns nothing but that.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::caused(FaultKind::Internal, "internal error; the server's log says more", cause)
    }

    /// What sort of thing went wrong.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The text for the caller.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The cause, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.internal.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.internal.as_deref().map(|cause| cause as _)
    }
}

/// The last thing that happens to a fault: its cause is logged here, once, and its public text goes out.
impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        if let Some(cause) = &fault.internal {
            tracing::warn!(code = fault.kind.code(), public = fault.public, cause = %chain(cause.as_ref()), "request failed");
        }
        let mut status = Self::new(fault.kind.grpc_code(), fault.public);
        status.metadata_mut().insert(CODE_HEADER, tonic::metadata::MetadataValue::from_static(fault.kind.code()));
        status
    }
}

/// What a caller makes of a status. The code header decides; without it, the gRPC code.
impl From<&Status> for FaultKind {
    fn from(status: &Status) -> Self {
        let code = status.metadata().get(CODE_HEADER).and_then(|value| value.to_str().ok());
        if let Some(kind) = code.and_then(|code| Self::ALL.into_iter().find(|kind| kind.code() == code)) {
            return kind;
        }
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists => Self::Exists,
            Code::FailedPrecondition => Self::Refused,
            Code::Unauthenticated => Self::Unauthenticated,
            Code::PermissionDenied => Self::Forbidden,
            Code::ResourceExhausted => Self::Exhausted,
            Code::DataLoss => Self::DataLoss,
            Code::Unimplemented | Code::Internal => Self::Internal,
            // Transport errors arrive as Unknown or Cancelled: the outcome is unknown, commands are idempotent, so ask again.
            Code::Ok | Code::Unavailable | Code::Aborted | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown => {
                Self::Unavailable
            }
        }
    }
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_the_wire_without_its_cause() {
        for kind in FaultKind::ALL {
            let status = Status::from(Fault::caused(kind, "said", std::io::Error::other("/secret/path")));
            assert_eq!(FaultKind::from(&status), kind);
            assert_eq!(status.message(), "said");
            assert!(!format!("{status:?}").contains("secret"));
        }
    }
}
