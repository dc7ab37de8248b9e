//! Asks writer and follower, once after the flip, what went along with the objects: for the receipt.

use super::Context;
use crate::channels::{Deadline as _, Within as _};
use shardlift_api::fault::FaultKind;
use shardlift_api::v1;
use shardlift_migration::soak::{CERTIFICATE_TEXT_BYTES_MAX, CERTIFICATES_NAMED_MAX};
use shardlift_migration::{History, SeenCertificate, SoakFact};
use shardlift_model::{NodeId, Sha256, ShardId, UnixMillis};
use std::time::Duration;
use tonic::Status;

/// How long a shard may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asks those that have not answered yet. One that cannot be reached is asked again with the next look; one that does not know
/// the question, or the node, never: what it does not say stays absent.
pub(super) async fn gather(context: &Context, node: &NodeId, open: &mut Vec<ShardId>, facts: &mut Vec<SoakFact>) {
    let known = context.shared.world(|world| {
        let moving = world.nodes.get(node).and_then(|node| node.migration.as_ref());
        moving.map(|moving| moving.soak.histories.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
    });
    open.retain(|shard| !known.contains(shard));
    let mut unanswered = Vec::new();
    for shard in std::mem::take(open) {
        match ask(context, &shard, node).await {
            Ok(said) => facts.push(SoakFact::HistorySeen { shard, history: history(&said) }),
            Err(status) if FaultKind::from(&status).is_retryable() => unanswered.push(shard),
            Err(status) => {
                tracing::info!(%node, %shard, reason = status.message(), "what went along is not said there");
            }
        }
    }
    *open = unanswered;
}

async fn ask(context: &Context, shard: &ShardId, node: &NodeId) -> Result<v1::NodeHistory, Status> {
    let address = context.shard_address(shard).ok_or_else(|| Status::unavailable("the shard is not recorded"))?;
    let mut client = context.channels.shard(shard, &address);
    let request = v1::GetHistoryRequest { node: node.as_str().to_owned() };
    Ok(client.get_history(DEADLINE.on(request)).within(DEADLINE).await?.into_inner())
}

fn history(said: &v1::NodeHistory) -> History {
    let settings = said.settings.clone().unwrap_or_default();
    let fits = |one: &&v1::SeenCertificate| one.issuer.len().max(one.serial.len()) <= CERTIFICATE_TEXT_BYTES_MAX;
    let certificate = |one: &v1::SeenCertificate| SeenCertificate {
        issuer: one.issuer.clone(),
        serial: one.serial.clone(),
        last_seen_at: UnixMillis(one.last_seen_unix_ms),
    };
    History {
        snapshots: said.snapshots,
        sessions: Some(said.sessions),
        credentials: Some(said.credentials),
        quota_bytes: (settings.quota_bytes > 0).then_some(settings.quota_bytes),
        append_only: settings.append_only,
        holds: settings.holds.len() as u64,
        holds_sha256: hash(&settings.holds),
        certificates: said
            .last_certificates
            .iter()
            .filter(fits)
            .take(CERTIFICATES_NAMED_MAX)
            .map(certificate)
            .collect(),
        certificates_seen: said.certificates,
    }
}

/// Over id, reason and time of every hold, in the order of their ids; each text with its length before it.
fn hash(holds: &[v1::Hold]) -> Sha256 {
    let mut holds: Vec<&v1::Hold> = holds.iter().collect();
    holds.sort_by(|one, other| one.id.cmp(&other.id));
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for hold in holds {
        for text in [&hold.id, &hold.reason] {
            context.update(&(text.len() as u64).to_be_bytes());
            context.update(text.as_bytes());
        }
        context.update(&hold.placed_at_unix_ms.to_be_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Sha256(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str, reason: &str) -> v1::Hold {
        v1::Hold { id: id.into(), reason: reason.into(), placed_at_unix_ms: 1 }
    }

    #[test]
    fn holds_have_the_same_hash_in_any_order_and_another_when_one_differs() {
        let (one, two) = (hold("a", "court"), hold("b", "audit"));
        let both = hash(&[one.clone(), two.clone()]);
        assert_eq!(both, hash(&[two.clone(), one.clone()]));
        for other in [vec![one.clone()], vec![one.clone(), hold("b", "audi")], vec![one, hold("ba", "udit")], vec![]] {
            assert_ne!(both, hash(&other), "{other:?}");
        }
    }

    #[test]
    fn what_a_shard_says_is_kept_within_bounds() {
        let certificate = |serial: &str| v1::SeenCertificate { serial: serial.into(), ..Default::default() };
        let mut said = v1::NodeHistory { sessions: 4, ..Default::default() };
        said.last_certificates = vec![certificate("1"); CERTIFICATES_NAMED_MAX + 5];
        said.last_certificates[0] = certificate(&"f".repeat(CERTIFICATE_TEXT_BYTES_MAX + 1));
        let kept = history(&said);
        assert!(kept.is_bounded() && kept.certificates.len() == CERTIFICATES_NAMED_MAX);
        assert_eq!((kept.sessions, kept.quota_bytes), (Some(4), None));
        assert!(kept.certificates.iter().all(|one| one.serial == "1"));
    }
}
