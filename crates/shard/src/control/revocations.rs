//! What the cluster has taken back, as the controller brings it.

use super::Control;
use crate::revocations::TakeError;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_pki::revocation::{ListError, RevocationList};

fn of_take(error: TakeError) -> Fault {
    match error {
        TakeError::List(error @ ListError::Older { .. }) => Fault::new(FaultKind::Refused, error.to_string()),
        TakeError::List(error) => Fault::new(FaultKind::Invalid, format!("the revocation list is not taken: {error}")),
        TakeError::Keeping(error) => Fault::internal(error),
    }
}

fn held(list: &RevocationList) -> v1::HeldRevocations {
    v1::HeldRevocations {
        issuer: list.issuer().to_owned(),
        number: list.number(),
        next_update_unix_ms: list.next_update().0,
        certificates: list.count() as u64,
    }
}

impl Control {
    pub(super) async fn take_revocations(
        &self,
        request: v1::TakeRevocationsRequest,
    ) -> Result<v1::TakeRevocationsResponse, Fault> {
        let (issuer, number) = self.revoked.take(request.list_pem).await.map_err(of_take)?;
        Ok(v1::TakeRevocationsResponse { issuer, number })
    }

    pub(super) fn revocations(&self) -> Vec<v1::HeldRevocations> {
        self.revoked.lists().iter().map(|list| held(list)).collect()
    }
}
