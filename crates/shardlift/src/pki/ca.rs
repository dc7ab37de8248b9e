//! Where an issuing CA signs.

use super::{is_same, read};
use crate::cli::{Format, InstallCa, RequestCa};
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::output::{self, fields, print, rfc3339, table, talk};
use crate::passphrase::{self, Asked};
use serde::Serialize;
use shardlift_pki::authority::{
    AuthorityError, CaCertificate, IssuingChain, install_issuing, list_cas, request_issuing, root_fingerprint_in,
};
use shardlift_pki::profile::{Kind, Profile};
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
struct Requested {
    cluster: String,
    generation: u32,
    request: PathBuf,
    key_fingerprint: String,
}

#[derive(Debug, Serialize)]
struct Installed {
    cluster: String,
    generation: u32,
    folder: PathBuf,
    root_fingerprint: String,
    not_after: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    cas: Vec<ShownCa>,
}

#[derive(Debug, Serialize)]
struct ShownCa {
    name: String,
    fingerprint: String,
    not_before: String,
    not_after: String,
    has_key: bool,
}

pub(super) fn request(format: Format, arguments: &RequestCa) -> Result<(), Failure> {
    let is_new = !arguments.folder.join("root.pem").exists();
    let asked = if is_new { Asked::Twice } else { Asked::Once };
    let passphrase = passphrase::needed(&arguments.passphrase, "the issuing CA", asked)?;
    let profile = Profile::built_in(Kind::Issuing);
    let profile = profile.map_err(|error| Failure::caused("a built-in profile is not usable", &error))?;
    let pending = request_issuing(&arguments.folder, &arguments.cluster, arguments.generation, &passphrase, &profile);
    let pending = pending.map_err(|error| {
        let advice = match &error {
            AuthorityError::Pending(_) => {
                "take it to the root (`shardlift pki root sign`), or remove it and its key to begin anew"
            }
            AuthorityError::WrongPassphrase(_) => "all CAs of a folder have one passphrase",
            _ => "nothing was changed",
        };
        Failure::caused("no issuing CA was asked for", &error).advise(advice)
    })?;
    talk("next, where the root is kept:\n  shardlift pki root sign REQUEST --dir DIR --out FILE");
    let requested = Requested {
        cluster: pending.cluster.to_string(),
        generation: pending.generation,
        request: pending.request,
        key_fingerprint: pending.key_fingerprint,
    };
    print(format, &requested, |requested| {
        fields(&[
            ("issuing CA", format!("{} of cluster {}", requested.generation, requested.cluster)),
            ("request", requested.request.display().to_string()),
            ("key fingerprint", requested.key_fingerprint.clone()),
        ])
    })
}

pub(super) async fn install(format: Format, arguments: &InstallCa) -> Result<(), Failure> {
    let failed = |error: AuthorityError| Failure::caused("nothing was installed", &error).with_exit(Exit::Refused);
    let chain = IssuingChain::read(&read(&arguments.certificate)?).map_err(failed)?;
    let root = chain.root_fingerprint();
    match (root_fingerprint_in(&arguments.folder).map_err(failed)?, &arguments.root) {
        (None, Some(expected)) if !is_same(expected, &root) => {
            let (expected, found) = (expected.clone(), root);
            return Err(failed(AuthorityError::OtherRoot { expected, found }));
        }
        (None, None) => confirm(&format!("Trust this root from now on?\nIts fingerprint: {root}"), false).await?,
        // A folder that knows its root takes no other one.
        _ => {}
    }
    let passphrase = passphrase::needed(&arguments.passphrase, "the issuing CA", Asked::Once)?;
    let installed = install_issuing(&arguments.folder, &chain, &root, &passphrase, output::now()).map_err(failed)?;
    talk("a controller that runs takes it up on SIGHUP; a new cluster is made with `shardlift init --ca DIR`");
    let installed = Installed {
        cluster: installed.cluster().to_string(),
        generation: installed.generation(),
        folder: arguments.folder.clone(),
        root_fingerprint: installed.fingerprint(),
        not_after: rfc3339(installed.not_after().map_err(failed)?),
    };
    print(format, &installed, |installed| {
        fields(&[
            ("issuing CA", format!("{} of cluster {}", installed.generation, installed.cluster)),
            ("folder", installed.folder.display().to_string()),
            ("root fingerprint", installed.root_fingerprint.clone()),
            ("ends", installed.not_after.clone()),
        ])
    })
}

pub(super) fn show(format: Format, folder: &Path) -> Result<(), Failure> {
    let found = list_cas(folder).map_err(|error| Failure::caused("the CA cannot be read", &error))?;
    let shown = Shown { cas: found.into_iter().map(shown).collect() };
    print(format, &shown, |shown| {
        let row = |ca: &ShownCa| {
            let key = if ca.has_key { "here" } else { "elsewhere" };
            vec![ca.name.clone(), ca.not_after.clone(), key.to_owned(), ca.fingerprint.clone()]
        };
        table(&["CA", "ENDS", "KEY", "FINGERPRINT"], shown.cas.iter().map(row))
    })
}

fn shown(ca: CaCertificate) -> ShownCa {
    let CaCertificate { name, fingerprint, not_before, not_after, has_key } = ca;
    ShownCa { name, fingerprint, not_before: rfc3339(not_before), not_after: rfc3339(not_after), has_key }
}
