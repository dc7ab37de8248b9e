//! The operator: makes the parts known, hands out tokens, applies the plan, does what it is ordered to, and after all is mended
//! helps what needs an operator until every move has come to an end.

use crate::cluster::{Phase, Shared};
use crate::ground::{CONTROLLERS, Ground, NODES, ROUTER, SHARDS};
use crate::mutant::Mutant;
use crate::{liar, oracle};
use anyhow::{Context as _, Result, bail};
use shardlift_api::v1;
use shardlift_api::v1::operator_client::OperatorClient;
use shardlift_model::Role;
use shardlift_pki::tls::{Credentials, Expected, channel};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// What does not come from a controller that has decided something.
const LOST: [Code; 5] = [Code::Unavailable, Code::DeadlineExceeded, Code::Unknown, Code::Cancelled, Code::Internal];

/// How long one call may take.
const CALL_MAX: Duration = Duration::from_secs(8);

/// How long the parts may take to come up.
const SETUP_MAX: Duration = Duration::from_secs(60);

/// How long moves may take to end once all is mended.
pub const END_MAX: Duration = Duration::from_secs(300);

/// The batches and where each goes.
pub const BATCHES: [(&str, &str, [&str; 2]); 2] =
    [("first", "shard-b", ["acme/web-1", "globex"]), ("second", "shard-c", ["acme/web-2", "initech/db"])];

/// Where a node's batch takes it.
#[must_use]
pub fn target_of(node: &str) -> &'static str {
    BATCHES.iter().find(|(_, _, nodes)| nodes.contains(&node)).map_or(BATCHES[0].1, |(_, target, _)| target)
}

/// Phases of a node whose move is over, for now or for good.
const ENDED: [&str; 5] = ["soaking", "released", "aborted", "rolled_back", "settled"];

/// The operator's hands.
#[derive(Clone)]
pub struct Operator {
    pub(crate) shared: Arc<Shared>,
    /// To ask shards themselves, as a controller may.
    pub(crate) asking: Arc<Credentials>,
    clients: Vec<OperatorClient<Channel>>,
}

impl Operator {
    pub(crate) fn tell(&self, what: impl std::fmt::Display) {
        self.shared.story.tell("operator", what);
    }

    /// Asks whichever controller leads, until one answers or time is up. A refusal is an answer.
    pub(crate) async fn call<T, F>(&self, ask: impl Fn(OperatorClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut last = Status::unavailable("nobody was asked");
        for _round in 0..20 {
            for client in &self.clients {
                match tokio::time::timeout(CALL_MAX, ask(client.clone())).await {
                    Ok(Ok(answer)) => return Ok(answer.into_inner()),
                    Ok(Err(status)) => last = status,
                    Err(_elapsed) => last = Status::deadline_exceeded("no answer"),
                }
                if !LOST.contains(&last.code()) {
                    return Err(last);
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(last)
    }

    async fn set_up(&self) -> Result<()> {
        for shard in SHARDS {
            let lies = self.shared.mutant == Some(Mutant::OpenFence) && shard == SHARDS[0];
            let port = if lies { liar::PORT } else { 8001 };
            let request = v1::AddShardRequest { shard: shard.into(), control_address: format!("{shard}:{port}") };
            self.call(|mut client| {
                let request = request.clone();
                async move { client.add_shard(request).await }
            })
            .await?;
        }
        let request = v1::AddRouterRequest { router: ROUTER.into(), control_address: format!("{ROUTER}:8001") };
        self.call(|mut client| {
            let request = request.clone();
            async move { client.add_router(request).await }
        })
        .await?;
        self.until("all nodes are known and routed", SETUP_MAX, async || {
            let status = self.status().await?;
            let routed = status.routers.first().is_some_and(|router| router.version == status.route_version);
            Ok(status.nodes == NODES.len() as u64 && routed && status.route_version > 0)
        })
        .await?;
        for (node, _) in NODES {
            let request = v1::CreateEnrolmentTokenRequest { node: node.into(), valid_minutes: 600 };
            let made = self
                .call(|mut client| {
                    let request = request.clone();
                    async move { client.create_enrolment_token(request).await }
                })
                .await?;
            self.shared.hand_over(node, made.token, made.ca_fingerprint);
        }
        self.until("all clients work", SETUP_MAX, async || Ok(self.shared.all_work())).await
    }

    async fn until(&self, what: &str, limit: Duration, holds: impl AsyncFn() -> Result<bool, Status>) -> Result<()> {
        let end = self.shared.story.now() + limit;
        loop {
            if holds().await? {
                return Ok(());
            }
            if self.shared.story.now() > end {
                bail!("not within {limit:?}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn status(&self) -> Result<v1::StatusView, Status> {
        self.call(async |mut client| client.get_status(v1::GetStatusRequest {}).await).await
    }

    async fn plan(&self) -> Result<()> {
        let mut toml =
            "version = 1\nrevision = 1\nbased_on = 0\nsource = \"source\"\nheadroom_percent = 1\n".to_owned();
        for (name, target, nodes) in BATCHES {
            toml += &format!("[[batch]]\nname = \"{name}\"\nafter = []\n[batch.nodes]\n");
            for node in nodes {
                toml += &format!("\"{node}\" = \"{target}\"\n");
            }
        }
        let request = v1::ApplyPlanRequest { toml, revision: 1, ..Default::default() };
        self.call(|mut client| {
            let request = request.clone();
            async move { client.apply_plan(request).await }
        })
        .await
        .context("the plan is refused")?;
        Ok(())
    }

    async fn serve_orders(&self) {
        while !self.shared.is_at(Phase::Healed) {
            match self.shared.next_order() {
                Some(order) => self.carry_out(&order).await,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        // What was ordered while all was on fire is done all the same.
        while let Some(order) = self.shared.next_order() {
            self.carry_out(&order).await;
        }
    }

    pub(crate) async fn fleet(&self) -> Result<Vec<v1::FleetNode>, Status> {
        let request = v1::ListFleetRequest { limit: 100, ..Default::default() };
        let answer = self
            .call(|mut client| {
                let request = request.clone();
                async move { client.list_fleet(request).await }
            })
            .await?;
        Ok(answer.nodes)
    }

    /// Every move comes to an end; a held one gets what it needs from an operator.
    async fn see_to_the_end(&self) -> Result<()> {
        let end = self.shared.story.now() + END_MAX;
        let mut told = String::new();
        loop {
            let fleet = self.fleet().await?;
            let stands: Vec<_> = fleet.iter().map(|node| format!("{}={}", node.node, node.phase)).collect();
            let stands = stands.join(" ");
            if stands != told {
                self.tell(&stands);
                told = stands;
            }
            if fleet.len() == NODES.len() && fleet.iter().all(|node| ENDED.contains(&node.phase.as_str())) {
                return Ok(());
            }
            for node in fleet.iter().filter(|node| !node.held_because.is_empty()) {
                self.tell(format_args!("{} is held: {}", node.node, node.held_because));
                let request = v1::RetryNodeRequest { node: node.node.clone(), accept_damaged: true };
                let retried = self
                    .call(|mut client| {
                        let request = request.clone();
                        async move { client.retry_node(request).await }
                    })
                    .await;
                if let Err(status) = retried {
                    self.tell(format_args!("{}: {}", node.node, status.message()));
                }
            }
            if self.shared.story.now() > end {
                for node in fleet.iter().filter(|node| !ENDED.contains(&node.phase.as_str())) {
                    let why = format!("{} {}", node.waiting_for, node.held_because);
                    self.shared
                        .story
                        .violate("operator", format_args!("{} does not end: {}: {why}", node.node, node.phase));
                }
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// From the first part to the last look.
///
/// # Errors
/// When the run cannot even begin, or nobody leads at its end.
pub async fn run(ground: Rc<Ground>, shared: Arc<Shared>) -> Result<()> {
    let own = ground.credentials(Role::Operator, "alice")?;
    let to = |name: &str| channel(&own, &format!("{name}:7400"), Expected::one(Role::Controller, name));
    let clients = CONTROLLERS.map(|name| OperatorClient::new(to(name))).into();
    let asking = ground.credentials(Role::Controller, CONTROLLERS[0])?;
    let operator = Operator { shared, asking, clients };
    operator.set_up().await.context("setting up")?;
    operator.plan().await?;
    operator.shared.go_on_to(Phase::Moving);
    operator.serve_orders().await;
    operator.see_to_the_end().await?;
    operator.shared.go_on_to(Phase::Looking);
    operator.until("all clients have looked", END_MAX, async || Ok(operator.shared.all_done())).await?;
    oracle::look(&operator).await
}
