//! Commands to the former writer of a node: it forwards and follows, stops following, is put into quarantine and taken out; it takes
//! the node back without its new writer, which gives it up when it returns.

use super::Control;
use super::commands::{address, command};
use super::fault::of_engine;
use super::message;
use crate::admission::Retirement;
use crate::engine::{EngineError, Mode};
use shardlift_api::fault::Fault;
use shardlift_api::v1;
use shardlift_model::{NodeId, Token};

impl Control {
    /// The copy follows from the moment that this is durable.
    pub(super) async fn retire(&self, request: v1::RetireRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let gone = Retirement {
            target: self.other_shard("target", &request.target)?,
            client_address: address("target_client_address", &request.target_client_address)?,
            peer_address: address("target_peer_address", &request.target_peer_address)?,
            from_seq: request.from_seq,
        };
        let _steering = self.jobs.steer(&node).await;
        self.engine.admission().retire(&node, token, gone).await.map_err(of_engine)?;
        self.start_job(&node);
        self.status(&node)
    }

    pub(super) async fn detach(&self, request: v1::DetachRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        self.engine.accept_token(&node, token).await.map_err(of_engine)?;
        self.jobs.stop(&node).await;
        let detached = self.engine.detach(&node, token).await;
        self.start_job(&node);
        detached.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn quarantine(&self, request: v1::QuarantineRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        self.rest_job(&node, token).await?;
        let aside = self.engine.quarantine(&node, token).await;
        self.start_job(&node);
        aside.map_err(of_engine)?;
        self.status(&node)
    }

    pub(super) async fn restore(&self, request: v1::RestoreRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        self.engine.restore(&node, token).await.map_err(of_engine)?;
        self.status(&node)
    }

    /// The copy goes on to follow when this is refused, and never again once it is not.
    pub(super) async fn take_stock(&self, request: v1::TakeStockRequest) -> Result<v1::TakeStockResponse, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        self.rest_job(&node, token).await?;
        let stock = self.engine.admission().take_stock(&node, token).await;
        self.start_job(&node);
        let digest = message::final_message(&stock.map_err(of_engine)?);
        Ok(v1::TakeStockResponse { digest: Some(digest) })
    }

    pub(super) async fn depose(&self, request: v1::DeposeRequest) -> Result<v1::NodeStatus, Fault> {
        let (node, token) = command(&request.node, request.token)?;
        let _steering = self.jobs.steer(&node).await;
        self.engine.accept_token(&node, token).await.map_err(of_engine)?;
        self.jobs.stop(&node).await;
        let deposed = self.engine.admission().depose(&node, token).await;
        self.start_job(&node);
        deposed.map_err(of_engine)?;
        self.status(&node)
    }

    /// Ends the job of a copy that follows the writer, so that nothing is written behind the command. Any other job goes on:
    /// the command will be refused. INV-03: the token is durable first.
    async fn rest_job(&self, node: &NodeId, token: Token) -> Result<(), Fault> {
        self.engine.accept_token(node, token).await.map_err(of_engine)?;
        let snapshot = self.engine.node(node).ok_or_else(|| of_engine(EngineError::NodeUnknown(node.clone())))?;
        if matches!(snapshot.mode, Mode::Incoming { .. }) && snapshot.replica.is_some_and(|replica| replica.resumed) {
            self.jobs.stop(node).await;
        }
        Ok(())
    }

    /// Starts the job of a node that is incoming still, whatever became of the command; a job that runs stays.
    fn start_job(&self, node: &NodeId) {
        if let Some(snapshot) = self.engine.node(node) {
            self.jobs.start(&snapshot);
        }
    }
}
