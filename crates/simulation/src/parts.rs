//! The software of the hosts: the real shard, router and controller, from their configuration on. A part that ends says so;
//! whoever watches over the hosts starts it again.

use crate::cluster::Shared;
use crate::ground::{CLUSTER, CONTROLLERS, Ground, ROUTER, SHARDS};
use crate::liar;
use crate::mutant::Mutant;
use anyhow::{Context as _, Result};
use shardlift_model::Role;
use shardlift_pki::tls::CredentialPaths;
use shardlift_router::server::{Router, RouterConfig};
use shardlift_shard::server::{Shard, ShardConfig};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

fn tls(paths: &CredentialPaths) -> String {
    format!("[tls]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n", paths.certificate, paths.key, paths.ca)
}

/// A shard, until its host dies.
///
/// # Errors
/// Why it does not run.
pub async fn shard(ground: Rc<Ground>, shared: Arc<Shared>, name: &'static str) -> Result<()> {
    let data = shared.folders.data(name);
    let capacity = shared.capacity(name);
    let text = format!(
        "name = \"{name}\"\ncluster = \"{CLUSTER}\"\ndata = {data:?}\ncapacity_bytes = {capacity}\n\
         client_listen = \"0.0.0.0:8000\"\nclient_address = \"{name}:8000\"\n\
         control_listen = \"0.0.0.0:8001\"\npeer_address = \"{name}:8001\"\n{}",
        tls(&ground.paths(Role::Shard, name))
    );
    let shard = Shard::build(ShardConfig::parse(&text, Path::new("shard.toml"))?).await?;
    let running = shard.run(std::future::pending(), |_, _| {});
    if shared.mutant == Some(Mutant::OpenFence) && name == SHARDS[0] {
        let (ran, lied) = tokio::join!(running, liar::serve(&ground, name));
        lied?;
        return Ok(ran?);
    }
    running.await?;
    Ok(())
}

/// The router, until its host dies.
///
/// # Errors
/// Why it does not run.
pub async fn router(ground: Rc<Ground>, shared: Arc<Shared>) -> Result<()> {
    let text = format!(
        "name = \"{ROUTER}\"\ncluster = \"{CLUSTER}\"\nstate = {:?}\nclient_listen = \"0.0.0.0:8443\"\n\
         client_address = \"{ROUTER}:8443\"\ncontrol_listen = \"0.0.0.0:8001\"\n{}",
        shared.folders.router(),
        tls(&ground.paths(Role::Router, ROUTER))
    );
    let router = Router::build(RouterConfig::parse(&text, Path::new("router.toml"))?)?;
    router.run(std::future::pending(), |_, _| {}).await?;
    Ok(())
}

/// A controller, from the moment when it is called to lead until its host dies or another leads.
///
/// # Errors
/// Why it does not run any more.
pub async fn controller(ground: Rc<Ground>, shared: Arc<Shared>, name: &'static str) -> Result<()> {
    let at = CONTROLLERS.iter().position(|known| *known == name).context("no such controller")?;
    if !shared.is_called(at) {
        // Stands by: whoever watches over the hosts starts it anew when it is called.
        return std::future::pending().await;
    }
    let store = shared.open_store(at);
    ground.controller(name)?.run_with(store, std::future::pending()).await?;
    Ok(())
}
