//! Signs the revocation list that follows from what is recorded, believes it first, and brings it to every shard and router.
//!
//! What a part holds is what it said last; while that is not the list that holds, it is brought again. A part that is away gets it
//! when it is back, before long after its first answer. A list is renewed in time, so that whoever reads one sees that it is fresh.

use crate::channels::{Deadline as _, Within as _};
use crate::clock;
use crate::effects::Context;
use crate::issuer::{Issuer, SignedList};
use crate::observed::{ListHolder, Observed};
use shardlift_api::v1;
use shardlift_migration::{Input, World};
use shardlift_pki::revocation::RevocationList;
use shardlift_pki::tls::Credentials;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between looks, when no change announces itself.
const LOOK: Duration = Duration::from_secs(1);

/// Changes come by the dozen.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a part may take. Shorter than what is promised for a revocation, so that a second try fits.
const DEADLINE: Duration = Duration::from_secs(2);

/// Keeps all parts on the list that holds until told to stop.
pub(crate) async fn run(context: Context, issuer: Arc<Issuer>, credentials: Arc<Credentials>, stop: CancellationToken) {
    let mut changes = context.shared.changes();
    let mut bringing = Bringing::default();
    let mut believed = 0;
    loop {
        if context.shared.world(|world| world.revocation_list.is_due(clock::now())) {
            context.inputs.report(Input::RenewRevocationList).await;
        }
        match issuer.list(&context.shared) {
            Ok(Some(list)) => {
                if believed != list.number {
                    believe(&credentials, &list);
                    believed = list.number;
                }
                bringing.bring(&context, &issuer, &list);
            }
            Ok(None) => {}
            Err(error) => {
                let error = shardlift_api::fault::chain(&error);
                tracing::error!(error, "the revocation list is not signed: what was revoked last is still believed");
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// The controller's own listeners cut off whom the list names.
fn believe(credentials: &Credentials, list: &SignedList) {
    let read = RevocationList::read(&list.pem, &credentials.cluster_trust().cluster);
    if let Err(error) = read.and_then(|list| credentials.revocations().take(list)) {
        tracing::error!(%error, number = list.number, "the own revocation list is not believed");
    }
}

/// One delivery to each part at the same time.
#[derive(Default)]
struct Bringing {
    tasks: JoinSet<ListHolder>,
    under_way: BTreeSet<ListHolder>,
}

impl Bringing {
    fn bring(&mut self, context: &Context, issuer: &Issuer, list: &Arc<SignedList>) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(part) => drop(self.under_way.remove(&part)),
                // Which one it was is not known: all may be tried again.
                Err(_panicked) => self.under_way.clear(),
            }
        }
        let name = issuer.name();
        let behind = context.shared.both(|recorded, observed| behind(&recorded.world, observed, &name, list.number));
        for part in behind {
            if self.under_way.insert(part.clone()) {
                self.tasks.spawn(deliver(context.clone(), part, Arc::clone(list)));
            }
        }
    }
}

/// Parts that do not hold this list, as far as they have said.
fn behind(world: &World, observed: &Observed, issuer: &str, number: u64) -> Vec<ListHolder> {
    ListHolder::all(world).filter(|part| observed.list_at(part, issuer) < number).collect()
}

async fn deliver(context: Context, part: ListHolder, list: Arc<SignedList>) -> ListHolder {
    let request = DEADLINE.on(v1::TakeRevocationsRequest { list_pem: list.pem.clone() });
    let taken = match &part {
        ListHolder::Shard(shard) => {
            let Some(address) = context.shard_address(shard) else { return part };
            context.channels.shard(shard, &address).take_revocations(request).within(DEADLINE).await
        }
        ListHolder::Router(router) => {
            let Some((_, address)) = context.routers().into_iter().find(|(known, _)| known == router) else {
                return part;
            };
            context.channels.router(router, &address).take_revocations(request).within(DEADLINE).await
        }
    };
    match taken {
        Ok(taken) => context.shared.observe(|observed| observed.note_list(&part, taken.into_inner())),
        Err(status) => {
            tracing::debug!(%part, reason = status.message(), number = list.number, "the revocation list was not taken");
            // Not again at once: it may be away for long.
            tokio::time::sleep(LOOK).await;
        }
    }
    part
}
