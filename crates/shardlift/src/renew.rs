//! `shardlift node renew`, on the client's machine: a new certificate for a new key before the present one ends.
//!
//! Once, for a timer; or for ever, as a daemon. Who asks is proven by the present certificate, so no token is needed.

use crate::cli::{Format, RenewNode};
use crate::client_folder::{Folder, Home, leaf};
use crate::connection::not_answered;
use crate::exit::{Exit, Failure};
use crate::output::{fields, now, print, rfc3339, talk};
use rand::Rng as _;
use serde::Serialize;
use shardlift_api::v1;
use shardlift_api::v1::renewal_client::RenewalClient;
use shardlift_model::UnixMillis;
use shardlift_pki::identity;
use shardlift_pki::tls::pinned_channel_as;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long a renewal may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// How soon a daemon tries again, and how late at most.
const RETRY: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(3600);

const REPEAT: &str = "the present certificate is unchanged: repeat the command; one that was revoked needs a new token";

/// A daemon looks at the file so often: somebody else may have renewed or enrolled.
const LOOK: Duration = Duration::from_secs(3600);

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    begins: UnixMillis,
    ends: UnixMillis,
}

impl Life {
    /// At two thirds of the life: there is a third of it left to find out what is wrong.
    fn due(self) -> UnixMillis {
        UnixMillis(self.begins.0.saturating_add(self.length().saturating_mul(2) / 3))
    }

    /// Most that a daemon waits beyond that, so that a thousand clients of one day do not come in one minute.
    fn jitter_max(self) -> u64 {
        self.length() / 30
    }

    const fn length(self) -> u64 {
        self.ends.0.saturating_sub(self.begins.0)
    }
}

#[derive(Debug, Serialize)]
struct Renewed {
    renewed: bool,
    node: String,
    certificate: PathBuf,
    ends_at: String,
    due_at: String,
}

pub(crate) async fn renew(format: Format, arguments: RenewNode) -> Result<(), Failure> {
    let folder = Folder::at(&arguments.folder)?;
    if arguments.daemon {
        return keep_renewing(&folder, &arguments).await;
    }
    let (life, node) = present(&folder)?;
    let is_due = arguments.force || now() >= life.due();
    let life = if is_due { renew_now(&folder, &arguments).await? } else { life };
    let renewed = Renewed {
        renewed: is_due,
        node,
        certificate: folder.certificate(),
        ends_at: rfc3339(life.ends),
        due_at: rfc3339(life.due()),
    };
    print(format, &renewed, |renewed| {
        if !renewed.renewed {
            talk("it is not due yet: nothing was done (--force renews all the same)");
        }
        fields(&[
            ("node", renewed.node.clone()),
            ("certificate", renewed.certificate.display().to_string()),
            ("ends", renewed.ends_at.clone()),
            ("renewal due", renewed.due_at.clone()),
        ])
    })
}

/// Life and node of the certificate that is in use.
fn present(folder: &Folder) -> Result<(Life, String), Failure> {
    let unreadable = |what: String| {
        let path = folder.certificate().display().to_string();
        Failure::new(Exit::Unreadable, format!("{path}: {what}")).advise("enrol again with a new token")
    };
    let leaf = leaf(&folder.present()?).ok_or_else(|| unreadable("there is no certificate in it".to_owned()))?;
    let read =
        |found: Result<UnixMillis, identity::IdentityError>| found.map_err(|error| unreadable(error.to_string()));
    let life = Life { begins: read(identity::not_before(&leaf))?, ends: read(identity::not_after(&leaf))? };
    let identity = identity::identity_in(&leaf).map_err(|error| unreadable(error.to_string()))?;
    if now() > life.ends {
        return Err(unreadable(format!("it has ended at {}", rfc3339(life.ends))));
    }
    Ok((life, identity.name().to_owned()))
}

async fn renew_now(folder: &Folder, arguments: &RenewNode) -> Result<Life, Failure> {
    let home = match (&arguments.server, &arguments.root) {
        (Some(server), Some(root)) => Home { server: server.clone(), root: root.clone() },
        (server, root) => {
            let known = folder.home()?;
            Home { server: server.clone().unwrap_or(known.server), root: root.clone().unwrap_or(known.root) }
        }
    };
    let shown = folder.present()?;
    folder.forget_finished(&shown)?;
    let pending = folder.pending()?;
    let channel = pinned_channel_as(&home.server, &home.root, &shown);
    let channel = channel.map_err(|error| Failure::caused("the certificate cannot be shown", &error))?;
    let mut client = RenewalClient::new(channel);
    let request = v1::RenewRequest { csr_der: pending.csr_der().to_vec() };
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, client.renew(request)).await;
    let answer = answer.unwrap_or_else(|_elapsed| Err(tonic::Status::deadline_exceeded("no answer in 30 s")));
    let answer = answer
        .map(tonic::Response::into_inner)
        .map_err(|status| not_answered(&status, "controller", &home.server, REPEAT))?;
    let home = Home { root: answer.root_fingerprint, ..home };
    folder.install(&pending, &answer.chain_pem, &answer.ca_pem, &home)?;
    present(folder).map(|(life, _)| life)
}

/// Until it is told to stop. What is on disk is read anew each time.
async fn keep_renewing(folder: &Folder, arguments: &RenewNode) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::caused("the process cannot listen for signals", &error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut told = None;
    let mut retry = RETRY;
    loop {
        let wait = match next(folder, arguments, &mut told).await {
            Ok(wait) => {
                retry = RETRY;
                wait
            }
            Err(failure) => {
                talk(&failure.to_string());
                let wait = retry;
                retry = (retry * 2).min(RETRY_MAX);
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Renews when it is time; how long to wait until the next look. `told` is the certificate whose time was announced, and
/// its time.
async fn next(
    folder: &Folder,
    arguments: &RenewNode,
    told: &mut Option<(Life, UnixMillis)>,
) -> Result<Duration, Failure> {
    let (life, node) = present(folder)?;
    let at = match told {
        Some((known, at)) if *known == life => *at,
        _ => {
            let at = UnixMillis(life.due().0.saturating_add(rand::rng().random_range(0..=life.jitter_max())));
            talk(&format!("{node}: the certificate ends {}; it is renewed {}", rfc3339(life.ends), rfc3339(at)));
            *told = Some((life, at));
            at
        }
    };
    if now() < at {
        return Ok(at.since(now()).min(LOOK));
    }
    let life = renew_now(folder, arguments).await?;
    talk(&format!("{node}: renewed; the new certificate ends {}", rfc3339(life.ends)));
    Ok(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_two_thirds_of_the_life_and_comes_a_thirtieth_later_at_most() {
        let life = Life { begins: UnixMillis(1_000), ends: UnixMillis(91_000) };
        assert_eq!((life.due(), life.jitter_max()), (UnixMillis(61_000), 3_000));
        let backwards = Life { begins: UnixMillis(5), ends: UnixMillis(1) };
        assert_eq!((backwards.due(), backwards.jitter_max()), (UnixMillis(5), 0));
    }

    #[tokio::test]
    async fn what_is_no_folder_of_a_client_is_told() {
        let root = tempfile::tempdir().unwrap();
        let arguments =
            |force| RenewNode { folder: root.path().to_owned(), server: None, root: None, force, daemon: false };
        let failure = renew(Format::Json, arguments(true)).await.unwrap_err();
        assert!(failure.exit == Exit::Unreadable && failure.advice.contains("enroll"), "{failure}");
        std::fs::write(root.path().join("node.pem"), "nothing").unwrap();
        let failure = renew(Format::Json, arguments(true)).await.unwrap_err();
        assert!(failure.exit == Exit::Unreadable && failure.what.contains("no certificate"), "{failure}");
    }
}
