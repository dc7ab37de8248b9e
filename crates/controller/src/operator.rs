//! The operator's service. Questions are answered from the recorded world and from what was observed; wishes become inputs
//! of the loop, and are answered when they are durable.

mod batches;
mod certificates;
mod diagnose;
mod estimates;
mod fleet;
mod limits;
mod loss;
mod parts;
mod plans;
mod progress;
mod receipts;
mod service;
mod settings;
mod status;
mod tokens;
mod verify;
mod way_back;

use futures::StreamExt as _;
use service::{asker, batch_wish, node_wish, ordered, wish};
use shardlift_api::v1;
use shardlift_audit::field;
use shardlift_migration::Input;
use tonic::{Request, Response, Status};

pub(crate) use batches::{batch_progress, in_order, members};
pub(crate) use fleet::{certificate_word, rfc3339};
pub(crate) use parts::check_address;
pub(crate) use plans::REQUEST_BYTES_MAX;
pub(crate) use progress::{of_node as node_progress, percent};
pub(crate) use service::OperatorService;
pub(crate) use way_back::way_back;

/// The words for a node's phase, as views and figures use them.
pub(crate) const PHASES: [&str; 13] = [
    "settled",
    "planned",
    "seeding",
    "following",
    "ready",
    "fenced",
    "sealed",
    "committed",
    "soaking",
    "rolling_back",
    "released",
    "restoring",
    "undoing",
];

/// Largest page of nodes.
const PAGE_MAX: u32 = 1000;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl v1::operator_server::Operator for OperatorService {
    type WatchStatusStream = status::StatusStream;

    async fn get_status(&self, _request: Request<v1::GetStatusRequest>) -> Answer<v1::StatusView> {
        Ok(Response::new(status::status_view(&self.context.shared, "")))
    }

    async fn watch_status(&self, request: Request<v1::WatchStatusRequest>) -> Answer<Self::WatchStatusStream> {
        let views = status::watch(self.context.shared.clone(), request.into_inner());
        Ok(Response::new(Box::pin(views.take_until(self.stop.clone().cancelled_owned()))))
    }

    async fn add_shard(&self, request: Request<v1::AddShardRequest>) -> Answer<v1::ShardView> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = wish(&asker, "add shard", &request.shard);
        self.audited(wish, move |its| async move { its.add_shard_checked(&request).await }).await
    }

    async fn list_shards(&self, _request: Request<v1::ListShardsRequest>) -> Answer<v1::ListShardsResponse> {
        let shards = self.context.shared.both(|recorded, observed| parts::shard_views(&recorded.world, observed));
        Ok(Response::new(v1::ListShardsResponse { shards }))
    }

    async fn limit_shard(&self, request: Request<v1::LimitShardRequest>) -> Answer<v1::ShardLimitsView> {
        let (asker, request) = (asker(&request), request.into_inner());
        if !limits::changes(&request) {
            return Ok(Response::new(self.limit_shard_checked(request).await?));
        }
        let wish = wish(&asker, "limit shard", &request.shard);
        self.audited(wish, move |its| async move { its.limit_shard_checked(request).await }).await
    }

    async fn add_router(&self, request: Request<v1::AddRouterRequest>) -> Answer<v1::RouterView> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = wish(&asker, "add router", &request.router);
        self.audited(wish, move |its| async move { its.add_router_checked(&request).await }).await
    }

    async fn list_routers(&self, _request: Request<v1::ListRoutersRequest>) -> Answer<v1::ListRoutersResponse> {
        let routers = self.context.shared.both(|recorded, observed| parts::router_views(&recorded.world, observed));
        Ok(Response::new(v1::ListRoutersResponse { routers }))
    }

    async fn list_fleet(&self, request: Request<v1::ListFleetRequest>) -> Answer<v1::ListFleetResponse> {
        Ok(Response::new(self.list_fleet_page(&request.into_inner())?))
    }

    async fn show_node(&self, request: Request<v1::ShowNodeRequest>) -> Answer<v1::FleetNode> {
        Ok(Response::new(self.node_named(&request.into_inner().node)?))
    }

    async fn explain_node(&self, request: Request<v1::ExplainNodeRequest>) -> Answer<v1::ExplainNodeResponse> {
        Ok(Response::new(self.explain_named(&request.into_inner().node)?))
    }

    async fn define_node(&self, request: Request<v1::DefineNodeRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "define node", &request.node);
        self.audited(wish, move |its| async move { its.define_node_checked(&request).await }).await
    }

    async fn change_settings(&self, request: Request<v1::ChangeSettingsRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "change settings", &request.node);
        self.audited(wish, move |its| async move { its.change_settings_checked(request).await }).await
    }

    async fn verify_node(&self, request: Request<v1::VerifyNodeRequest>) -> Answer<v1::DeepVerifyView> {
        let (asker, request) = (asker(&request), request.into_inner());
        if request.look {
            return Ok(Response::new(self.verify_node_checked(&request).await?));
        }
        let wish = node_wish(&asker, "verify node", &request.node);
        self.audited(wish, move |its| async move { its.verify_node_checked(&request).await }).await
    }

    async fn make_plan(&self, request: Request<v1::MakePlanRequest>) -> Answer<v1::MakePlanResponse> {
        Ok(Response::new(self.make_plan_text(&request.into_inner()).await?))
    }

    async fn check_plan(&self, request: Request<v1::CheckPlanRequest>) -> Answer<v1::CheckPlanResponse> {
        Ok(Response::new(self.check_plan_text(&request.into_inner().toml)))
    }

    async fn apply_plan(&self, request: Request<v1::ApplyPlanRequest>) -> Answer<v1::ApplyPlanResponse> {
        let (asker, request) = (asker(&request), request.into_inner());
        let revision = request.revision.to_string();
        let what = if request.accept_drift { "apply plan, drift accepted" } else { "apply plan" };
        let wish = wish(&asker, what, &revision);
        self.audited(wish, move |its| async move { its.apply_plan_text(request, &asker).await }).await
    }

    async fn show_plan(&self, _request: Request<v1::ShowPlanRequest>) -> Answer<v1::ShowPlanResponse> {
        Ok(Response::new(self.present_plan()?))
    }

    async fn graph_plan(&self, request: Request<v1::GraphPlanRequest>) -> Answer<v1::GraphPlanResponse> {
        Ok(Response::new(self.graph_plan_text(&request.into_inner().toml)?))
    }

    async fn diff_plan(&self, request: Request<v1::DiffPlanRequest>) -> Answer<v1::DiffPlanResponse> {
        Ok(Response::new(self.diff_plan_text(&request.into_inner().toml)?))
    }

    async fn rebase_plan(&self, request: Request<v1::RebasePlanRequest>) -> Answer<v1::RebasePlanResponse> {
        Ok(Response::new(self.rebase_plan_text(&request.into_inner())?))
    }

    async fn estimate_plan(&self, request: Request<v1::EstimatePlanRequest>) -> Answer<v1::EstimatePlanResponse> {
        Ok(Response::new(self.estimate_plan_text(&request.into_inner())?))
    }

    async fn list_batches(&self, request: Request<v1::ListBatchesRequest>) -> Answer<v1::ListBatchesResponse> {
        let named = request.into_inner().batch;
        let batches = self.context.shared.both(|recorded, observed| {
            let world = &recorded.world;
            if named.is_empty() {
                return batches::batch_views(world, observed, "");
            }
            let found = world.batches.iter().find(|(name, _)| name.as_str() == named);
            found.map(|(_, batch)| batches::whole_view(world, observed, batch)).into_iter().collect()
        });
        Ok(Response::new(v1::ListBatchesResponse { batches }))
    }

    async fn start_batch(&self, request: Request<v1::BatchRequest>) -> Answer<v1::BatchView> {
        let (asker, name) = (asker(&request), request.into_inner().batch);
        let wish = batch_wish(&asker, "start batch", &name);
        self.audited(wish, move |its| async move {
            its.batch(&name, |batch| ordered(&asker, Input::StartBatch { batch })).await
        })
        .await
    }

    async fn pause_batch(&self, request: Request<v1::BatchRequest>) -> Answer<v1::BatchView> {
        let (asker, name) = (asker(&request), request.into_inner().batch);
        let wish = batch_wish(&asker, "pause batch", &name);
        self.audited(wish, move |its| async move { its.batch(&name, |batch| Input::PauseBatch { batch }).await }).await
    }

    async fn resume_batch(&self, request: Request<v1::BatchRequest>) -> Answer<v1::BatchView> {
        let (asker, name) = (asker(&request), request.into_inner().batch);
        let wish = batch_wish(&asker, "resume batch", &name);
        self.audited(wish, move |its| async move { its.batch(&name, |batch| Input::ResumeBatch { batch }).await }).await
    }

    async fn release_batch(&self, request: Request<v1::ReleaseBatchRequest>) -> Answer<v1::BatchView> {
        let asker = asker(&request);
        let v1::ReleaseBatchRequest { batch: name, force } = request.into_inner();
        let wish = batch_wish(&asker, if force { "release batch by force" } else { "release batch" }, &name);
        self.audited(wish, move |its| async move {
            its.batch(&name, |batch| ordered(&asker, Input::ReleaseBatch { batch, force })).await
        })
        .await
    }

    async fn roll_back_batch(&self, request: Request<v1::RollBackBatchRequest>) -> Answer<v1::BatchView> {
        let asker = asker(&request);
        let v1::RollBackBatchRequest { batch: name, reason, rehearse, accepted_losses } = request.into_inner();
        let losses = loss::Losses::try_from(accepted_losses)?;
        if rehearse {
            let wish = batch_wish(&asker, "rehearse rollback of batch", &name);
            return self
                .audited(wish, move |its| async move { its.rehearse_batch_checked(&name, &losses).await })
                .await;
        }
        let (reason, given_up) = (fleet::reason("rolled back", &asker, &reason), losses.len());
        let wish = match given_up {
            0 => batch_wish(&asker, "roll back batch", &name),
            _ => batch_wish(&asker, "roll back batch without writers", &name).number("given_up_nodes", given_up as u64),
        };
        self.audited(wish, move |its| async move { its.roll_back_batch_checked(&name, reason, losses).await }).await
    }

    async fn abort_node(&self, request: Request<v1::AbortNodeRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "abort node", &request.node);
        self.audited(wish, move |its| async move { its.abort_node_checked(&request, &asker).await }).await
    }

    async fn roll_back_node(&self, request: Request<v1::RollBackNodeRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let about = |what| node_wish(&asker, what, &request.node);
        let wish = match request.accepted_loss {
            Some(v1::AcceptedLoss { after_seq }) => {
                about("roll back node without its writer").number("given_up_after_change", after_seq)
            }
            None if request.rehearse => about("rehearse rollback"),
            None => about("roll back node"),
        };
        self.audited(wish, move |its| async move { its.roll_back_node_checked(&request, &asker).await }).await
    }

    async fn preview_loss(&self, request: Request<v1::PreviewLossRequest>) -> Answer<v1::LossPreview> {
        Ok(Response::new(self.preview_loss_of(&request.into_inner().node).await?))
    }

    async fn preview_batch_loss(&self, request: Request<v1::PreviewBatchLossRequest>) -> Answer<v1::BatchLossPreview> {
        Ok(Response::new(self.preview_batch_loss_of(&request.into_inner().batch).await?))
    }

    async fn write_off_writer(&self, request: Request<v1::WriteOffWriterRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "write off writer", &request.node);
        self.audited(wish, move |its| async move { its.write_off_writer_checked(&request.node).await }).await
    }

    async fn restore_node(&self, request: Request<v1::RestoreNodeRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "restore node", &request.node);
        self.audited(wish, move |its| async move { its.restore_node_checked(&request.node).await }).await
    }

    async fn get_receipt(&self, request: Request<v1::GetReceiptRequest>) -> Answer<v1::ReceiptFile> {
        Ok(Response::new(self.receipt_of(&request.into_inner()).await?))
    }

    async fn list_receipts(&self, request: Request<v1::ListReceiptsRequest>) -> Answer<v1::ListReceiptsResponse> {
        Ok(Response::new(self.receipts_of(&request.into_inner())?))
    }

    async fn diagnose(&self, request: Request<v1::DiagnoseRequest>) -> Answer<v1::DiagnoseResponse> {
        Ok(Response::new(self.diagnose_named(&request.into_inner().node).await?))
    }

    async fn retry_node(&self, request: Request<v1::RetryNodeRequest>) -> Answer<v1::FleetNode> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "retry node", &request.node);
        self.audited(wish, move |its| async move { its.retry_node_checked(&request, &asker).await }).await
    }

    async fn create_enrolment_token(
        &self,
        request: Request<v1::CreateEnrolmentTokenRequest>,
    ) -> Answer<v1::CreateEnrolmentTokenResponse> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = node_wish(&asker, "create enrolment token", &request.node);
        self.audited(wish, move |its| async move { its.grant_enrolment(&request).await }).await
    }

    async fn create_status_token(
        &self,
        request: Request<v1::CreateStatusTokenRequest>,
    ) -> Answer<v1::CreateStatusTokenResponse> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = wish(&asker, "create status token", &request.customer);
        self.audited(wish, move |its| async move { its.grant_status(&request).await }).await
    }

    async fn issue_role_certificate(
        &self,
        request: Request<v1::IssueRoleCertificateRequest>,
    ) -> Answer<v1::IssueRoleCertificateResponse> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = wish(&asker, "issue certificate", &format!("{} {}", request.role, request.name));
        let work = move |its: Self| async move { its.issue_for_role(&request).await };
        let issued = self.audited_with(wish, work, |wish, (serial, _)| vec![wish.text(field::SERIAL, serial)]).await?;
        Ok(issued.map(|(_, answer)| answer))
    }

    async fn list_certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Answer<v1::ListCertificatesResponse> {
        Ok(Response::new(self.list_certificates_page(&request.into_inner())?))
    }

    async fn revoke_certificates(
        &self,
        request: Request<v1::RevokeCertificatesRequest>,
    ) -> Answer<v1::RevokeCertificatesResponse> {
        let (asker, request) = (asker(&request), request.into_inner());
        let wish = certificates::revocation_wish(&asker, &request);
        let work = move |its: Self| async move { its.take_back(&request).await };
        let taken = self.audited_with(wish, work, certificates::taken_back).await?.into_inner();
        Ok(Response::new(self.in_force(taken).await?))
    }

    async fn get_revocations(&self, request: Request<v1::GetRevocationsRequest>) -> Answer<v1::RevocationsView> {
        Ok(Response::new(self.revocations(&request.get_ref().issuer)?))
    }
}
