//! Who may call what: one row per method, and one per protocol beside gRPC; default deny.
//!
//! A method without a row is refused at run time, and a test over the descriptors fails.

use crate::fault::{Fault, FaultKind};
use shardlift_model::{Peer, Role};
use std::task::{Context, Poll};
use tonic::Status;
use tower::{Layer, Service};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A certificate of this cluster with this role.
    Role(Role),
    /// Anyone who can open a TLS connection: the method asks for another proof itself.
    TokenInBody,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Path of the method, `/package.Service/Method`.
    pub method: &'static str,
    /// Who may call it.
    pub caller: Caller,
}

macro_rules! rows {
    ($($service:literal => $caller:expr, [$($method:literal),* $(,)?];)*) => {
        &[$($(Row { method: concat!("/shardlift.v1.", $service, "/", $method), caller: $caller }),*),*]
    };
}

/// The table.
pub const ROWS: &[Row] = rows! {
    "ShardControl" => Caller::Role(Role::Controller), [
        "DescribeShard", "GetLimits", "SetLimits", "TakeRevocations", "ListNodes", "GetNode", "GetHistory", "ListActivity", "SetNode", "OfferNode",
        "StartReplica",
        "VerifyReplica", "DeepVerify", "Fence", "RenewFence", "Unfence", "CompleteReplica", "Seal", "Promote", "Retire", "Detach", "Quarantine",
        "Restore", "TakeStock", "Depose", "EndLegacyCredentials", "DiscardReplica",
    ];
    "Replication" => Caller::Role(Role::Shard), [
        "ListObjects", "ReadJournal", "GetDigest", "ReadDigest", "GetSideData",
    ];
    "RouterControl" => Caller::Role(Role::Controller), ["ApplyRoutes", "GetRoutes", "DescribeRouter", "TakeRevocations"];
    "PartCertificate" => Caller::Role(Role::Controller), ["DescribeCertificate", "RequestCertificate", "TakeCertificate"];
    "Operator" => Caller::Role(Role::Operator), [
        "GetStatus", "WatchStatus", "AddShard", "ListShards", "LimitShard", "AddRouter", "ListRouters", "ListFleet", "ShowNode",
        "ExplainNode", "DefineNode", "ChangeSettings", "VerifyNode", "MakePlan", "CheckPlan", "ApplyPlan", "ShowPlan", "EstimatePlan",
        "GraphPlan", "DiffPlan", "RebasePlan",
        "ListBatches", "StartBatch", "PauseBatch", "ResumeBatch", "ReleaseBatch", "RollBackBatch", "AbortNode",
        "RollBackNode", "PreviewLoss", "PreviewBatchLoss", "WriteOffWriter", "RestoreNode", "GetReceipt", "ListReceipts",
        "Diagnose", "RetryNode",
        "CreateEnrolmentToken",
        "CreateStatusToken", "IssueRoleCertificate", "ListCertificates", "RevokeCertificates", "GetRevocations",
    ];
    "Enrolment" => Caller::TokenInBody, ["Enrol"];
    "Renewal" => Caller::Role(Role::Node), ["Renew"];
};

/// Protocols of the listeners that gRPC is served on, by ALPN.
pub const PROTOCOLS: &[(&[u8], Caller)] = &[(crate::OBJECTS_ALPN, Caller::Role(Role::Shard))];

/// Whether this peer may speak this protocol.
///
/// # Errors
/// As [`authorise`].
pub fn authorise_protocol(protocol: &[u8], peer: Option<&Peer>) -> Result<(), Fault> {
    let caller = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map(|(_, caller)| *caller);
    admit(&String::from_utf8_lossy(protocol), caller, peer)
}

/// Whether this peer may call this method.
///
/// # Errors
/// A fault for the caller; the log says who asked for what.
pub fn authorise(method: &str, peer: Option<&Peer>) -> Result<(), Fault> {
    admit(method, ROWS.iter().find(|row| row.method == method).map(|row| row.caller), peer)
}

fn admit(what: &str, caller: Option<Caller>, peer: Option<&Peer>) -> Result<(), Fault> {
    let identity = peer.and_then(Peer::identity);
    let allowed = match caller {
        Some(Caller::TokenInBody) => true,
        Some(Caller::Role(role)) => identity.is_some_and(|identity| identity.role() == role),
        None => false,
    };
    if allowed {
        return Ok(());
    }
    let who = identity.map_or_else(|| "nobody".to_owned(), ToString::to_string);
    tracing::warn!(method = what, who, address = ?peer.and_then(|peer| peer.address), "call refused by policy");
    match identity {
        None => Err(Fault::new(FaultKind::Unauthenticated, "a certificate of this cluster is required")),
        Some(identity) => {
            Err(Fault::new(FaultKind::Forbidden, format!("the role {} may not call this", identity.role())))
        }
    }
}

/// Stands in the extensions of an answer that [`Guard`] has given in the place of the service.
#[derive(Debug, Clone, Copy)]
pub struct RefusedByPolicy;

/// The layer that every gRPC server carries.
#[derive(Debug, Clone, Copy, Default)]
pub struct GuardLayer;

/// [`GuardLayer`] around a service.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner }
    }
}

impl<S, B, R> Service<http::Request<B>> for Guard<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    R: Default,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = futures::future::Either<S::Future, std::future::Ready<Result<http::Response<R>, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match authorise(request.uri().path(), request.extensions().get::<Peer>()) {
            Ok(()) => futures::future::Either::Left(self.inner.call(request)),
            Err(fault) => {
                let mut refusal = Status::from(fault).into_http();
                refusal.extensions_mut().insert(RefusedByPolicy);
                futures::future::Either::Right(std::future::ready(Ok(refusal)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use shardlift_model::{Holder, Identity, PeerCertificate};
    use std::collections::BTreeSet;

    fn methods() -> BTreeSet<String> {
        let set = prost_types::FileDescriptorSet::decode(crate::v1::DESCRIPTORS).unwrap();
        let mut methods = BTreeSet::new();
        for service in set.file.iter().flat_map(|file| &file.service) {
            for method in &service.method {
                methods.insert(format!("/shardlift.v1.{}/{}", service.name(), method.name()));
            }
        }
        methods
    }

    fn peer(role: Role) -> Peer {
        let holder = Holder::Member(Identity::new("c1".parse().unwrap(), role, "x").unwrap());
        let certificate = PeerCertificate { holder, serial: "1".into(), issuer: "issuing-1".into() };
        Peer { certificate: Some(certificate), address: None }
    }

    #[test]
    fn every_method_has_exactly_one_row() {
        let rows: Vec<String> = ROWS.iter().map(|row| row.method.to_owned()).collect();
        assert_eq!(rows.len(), rows.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), methods());
    }

    #[test]
    fn each_method_admits_its_role_and_no_other() {
        for row in ROWS {
            let Caller::Role(allowed) = row.caller else { continue };
            for role in Role::ALL {
                assert_eq!(authorise(row.method, Some(&peer(role))).is_ok(), role == allowed, "{} {role}", row.method);
            }
            assert!(authorise(row.method, None).is_err());
            let legacy = PeerCertificate {
                holder: Holder::Legacy { account: "x".into() },
                serial: "1".into(),
                issuer: "legacy".into(),
            };
            assert!(authorise(row.method, Some(&Peer { certificate: Some(legacy), address: None })).is_err());
        }
    }

    #[test]
    fn each_protocol_admits_its_role_and_no_other_and_no_protocol_is_invented() {
        for (protocol, caller) in PROTOCOLS {
            for role in Role::ALL {
                let admitted = authorise_protocol(protocol, Some(&peer(role))).is_ok();
                assert_eq!(admitted, *caller == Caller::Role(role), "{role}");
                assert!(authorise_protocol(b"invented/1", Some(&peer(role))).is_err());
            }
            assert!(authorise_protocol(protocol, None).is_err());
        }
    }

    #[test]
    fn a_method_without_a_row_is_refused_to_all() {
        for role in Role::ALL {
            assert!(authorise("/shardlift.v1.Operator/Invented", Some(&peer(role))).is_err());
        }
    }
}
