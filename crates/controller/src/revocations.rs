//! Signs the revocation lists that follow from what is recorded, believes them first, and brings them to every shard and router.
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
use std::collections::{BTreeMap, BTreeSet};
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
    let mut believed = BTreeMap::new();
    loop {
        if context.shared.world(|world| world.revocation_list.is_due(clock::now())) {
            context.inputs.report(Input::RenewRevocationList).await;
        }
        match issuer.lists(&context.shared) {
            Ok(lists) => {
                for list in &lists {
                    if believed.insert(list.issuer.clone(), list.number) != Some(list.number) {
                        believe(&credentials, list);
                    }
                }
                bringing.bring(&context, &lists);
            }
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

/// To whom, and of which CA.
type Delivery = (ListHolder, String);

/// One delivery of each CA's list to each part at the same time.
#[derive(Default)]
struct Bringing {
    tasks: JoinSet<Delivery>,
    under_way: BTreeSet<Delivery>,
}

impl Bringing {
    fn bring(&mut self, context: &Context, lists: &[Arc<SignedList>]) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(delivery) => drop(self.under_way.remove(&delivery)),
                // Which one it was is not known: all may be tried again.
                Err(_panicked) => self.under_way.clear(),
            }
        }
        for list in lists {
            let behind = context.shared.both(|recorded, observed| behind(&recorded.world, observed, list));
            for part in behind {
                let delivery = (part, list.issuer.clone());
                if self.under_way.insert(delivery.clone()) {
                    let (context, list) = (context.clone(), Arc::clone(list));
                    self.tasks.spawn(async move {
                        deliver(&context, &delivery.0, &list).await;
                        delivery
                    });
                }
            }
        }
    }
}

/// Parts that do not hold this list, as far as they have said.
fn behind(world: &World, observed: &Observed, list: &SignedList) -> Vec<ListHolder> {
    ListHolder::all(world).filter(|part| observed.list_at(part, &list.issuer) < list.number).collect()
}

async fn deliver(context: &Context, part: &ListHolder, list: &SignedList) {
    let request = DEADLINE.on(v1::TakeRevocationsRequest { list_pem: list.pem.clone() });
    let taken = match part {
        ListHolder::Shard(shard) => {
            let Some(address) = context.shard_address(shard) else { return };
            context.channels.shard(shard, &address).take_revocations(request).within(DEADLINE).await
        }
        ListHolder::Router(router) => {
            let Some((_, address)) = context.routers().into_iter().find(|(known, _)| known == router) else {
                return;
            };
            context.channels.router(router, &address).take_revocations(request).within(DEADLINE).await
        }
    };
    match taken {
        Ok(taken) => context.shared.observe(|observed| observed.note_list(part, taken.into_inner())),
        Err(status) => {
            tracing::debug!(%part, reason = status.message(), number = list.number, "the revocation list was not taken");
            // Not again at once: it may be away for long.
            tokio::time::sleep(LOOK).await;
        }
    }
}
