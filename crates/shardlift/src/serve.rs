//! The roles: built from their configuration, run until SIGTERM or SIGINT, certificates read again at SIGHUP.

use crate::cli::RunRole;
use crate::exit::{Exit, Failure};
use crate::logging;
use shardlift_api::fault::chain;
use shardlift_controller::{Controller, ControllerConfig};
use shardlift_portal::{Portal, PortalConfig};
use shardlift_router::server::{Router, RouterConfig};
use shardlift_shard::server::{Shard, ShardConfig};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

pub(crate) async fn controller(run: RunRole) -> Result<(), Failure> {
    let (path, announce) = start(run)?;
    let config = ControllerConfig::load(&path).map_err(|error| refused(&path, &error))?;
    let controller = Controller::build(config).map_err(|error| not_built("controller", &error))?;
    let stop = stop_signal()?;
    let until = |stop: watch::Receiver<bool>| async move { told_to_stop(stop).await };
    let portal = match controller.status_listen() {
        None => None,
        Some(listen) => {
            let config = PortalConfig { listen, credentials: controller.credentials() };
            let portal = Portal::build(config, controller.view());
            Some(portal.map_err(|error| not_built("status API", &error))?)
        }
    };
    let leading = controller.run(until(stop.clone()), announce);
    let Some(portal) = portal else { return leading.await.map_err(|error| ended("controller", &error)) };
    tokio::pin!(leading);
    let serving = beside(portal, stop, announce);
    tokio::select! {
        led = &mut leading => led.map_err(|error| ended("controller", &error)),
        served = serving => {
            served?;
            leading.await.map_err(|error| ended("controller", &error))
        }
    }
}

/// The status API shows the migration and must not stop it: once it has served, its end is logged and no more.
async fn beside(portal: Portal, stop: watch::Receiver<bool>, announce: bool) -> Result<(), Failure> {
    let has_served = AtomicBool::new(false);
    let announce = announcer(announce);
    let served = portal.run(told_to_stop(stop), |name, address| {
        has_served.store(true, Ordering::Relaxed);
        announce(name, address);
    });
    match served.await {
        Err(error) if has_served.load(Ordering::Relaxed) => {
            tracing::error!(error = chain(&error), "the status API ended; the controller goes on without it");
            Ok(())
        }
        served => served.map_err(|error| ended("status API", &error)),
    }
}

pub(crate) async fn shard(run: RunRole) -> Result<(), Failure> {
    let (path, announce) = start(run)?;
    let config = ShardConfig::load(&path).map_err(|error| refused(&path, &error))?;
    let shard = Shard::build(config).await.map_err(|error| not_built("shard", &error))?;
    let reloadable = shard.reloadable();
    on_hangup(move || reloadable.reload())?;
    let stop = stop_signal()?;
    shard.run(told_to_stop(stop), announcer(announce)).await.map_err(|error| ended("shard", &error))
}

pub(crate) async fn router(run: RunRole) -> Result<(), Failure> {
    let (path, announce) = start(run)?;
    let config = RouterConfig::load(&path).map_err(|error| refused(&path, &error))?;
    let router = Router::build(config).map_err(|error| not_built("router", &error))?;
    let credentials = router.credentials();
    on_hangup(move || credentials.reload())?;
    let stop = stop_signal()?;
    router.run(told_to_stop(stop), announcer(announce)).await.map_err(|error| ended("router", &error))
}

fn start(run: RunRole) -> Result<(PathBuf, bool), Failure> {
    logging::start(run.log_format, &run.log)?;
    let path = run.config.ok_or_else(|| Failure::new(Exit::Usage, "--config is needed"))?;
    Ok((path, run.announce))
}

fn refused(path: &std::path::Path, error: &(dyn Error + 'static)) -> Failure {
    let failure = Failure::caused(format!("the configuration {} is refused", path.display()), error);
    failure
        .with_exit(Exit::Usage)
        .advise("every field is explained in the file that `shardlift init` or `prepare` wrote")
}

fn not_built(role: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::caused(format!("the {role} cannot start"), error)
}

fn ended(role: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::caused(format!("the {role} stopped"), error)
}

/// Says on stdout, as JSON, which listener is ready where.
fn announcer(announce: bool) -> impl Fn(&str, SocketAddr) {
    move |name, address| {
        tracing::info!(name, %address, "listening");
        if announce {
            let line = serde_json::json!({ "ready": name, "address": address.to_string() });
            if let Err(failure) = crate::output::put(&line.to_string()) {
                tracing::warn!(error = failure.what, "nobody hears the announcement");
            }
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::caused("the process cannot listen for signals", &error))
}

/// Turns true at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<watch::Receiver<bool>, Failure> {
    let (mut terminate, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop");
        sender.send_replace(true);
        // A second one is for those who do not want to wait for open requests.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("asked to stop again: ending at once");
        std::process::exit(Exit::Interrupted as i32);
    });
    Ok(receiver)
}

async fn told_to_stop(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which it never is before it has told.
    let _told = stop.wait_for(|told| *told).await;
}

fn on_hangup<E: Error + 'static>(reload: impl Fn() -> Result<(), E> + Send + Sync + 'static) -> Result<(), Failure> {
    let mut hangup = listen_for(SignalKind::hangup())?;
    let reload = std::sync::Arc::new(reload);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let reload = reload.clone();
            // It reads files.
            let reloaded = tokio::task::spawn_blocking(move || reload().map_err(|error| chain(&error))).await;
            match reloaded {
                Ok(Ok(())) => tracing::info!("certificates read again"),
                Ok(Err(error)) => tracing::error!(error, "not read again: what was in use stays in use"),
                Err(error) => tracing::error!(%error, "reading certificates again ended badly"),
            }
        }
    });
    Ok(())
}
