//! Where the root is kept.

use super::{is_same, read};
use crate::cli::{CreateRoot, Format, SignCa};
use crate::confirm::confirm;
use crate::draft::Draft;
use crate::exit::{Exit, Failure};
use crate::output::{self, fields, print, rfc3339, talk};
use crate::passphrase::{self, Asked};
use serde::Serialize;
use shardlift_pki::authority::{AuthorityError, IssuingRequest, RootFolder, create_root};
use shardlift_pki::bundle;
use shardlift_pki::profile::{Kind, Profile};
use std::path::PathBuf;

#[derive(Debug, Serialize)]
struct Created {
    cluster: String,
    folder: PathBuf,
    root_fingerprint: String,
    not_after: String,
}

#[derive(Debug, Serialize)]
struct Signed {
    file: PathBuf,
    cluster: String,
    generation: u32,
    key_fingerprint: String,
    root_fingerprint: String,
    not_after: String,
    repeated: bool,
}

fn failed(what: &'static str) -> impl FnOnce(AuthorityError) -> Failure {
    move |error| Failure::caused(what, &error)
}

fn profile(kind: Kind) -> Result<Profile, Failure> {
    Profile::built_in(kind).map_err(|error| Failure::caused("a built-in profile is not usable", &error))
}

pub(super) fn create(format: Format, arguments: &CreateRoot) -> Result<(), Failure> {
    let draft = Draft::begin(&arguments.folder)?;
    let passphrase = passphrase::needed(&arguments.passphrase, "the new root", Asked::Twice)?;
    let root = create_root(&arguments.cluster, &passphrase, output::now(), &profile(Kind::Root)?);
    let root = root.map_err(failed("no root was made"))?;
    root.save(draft.path()).map_err(failed("no root was made"))?;
    let not_after = root.not_after().map_err(failed("no root was made"))?;
    let folder = draft.finish()?;
    let created = Created {
        cluster: arguments.cluster.to_string(),
        root_fingerprint: root.fingerprint(),
        not_after: rfc3339(not_after),
        folder,
    };
    talk("next, where the controller will run:\n  shardlift pki ca request --cluster NAME --dir DIR");
    print(format, &created, |created| {
        fields(&[
            ("cluster", created.cluster.clone()),
            ("folder", created.folder.display().to_string()),
            ("root fingerprint", created.root_fingerprint.clone()),
            ("ends", created.not_after.clone()),
        ])
    })
}

pub(super) async fn sign(format: Format, arguments: &SignCa) -> Result<(), Failure> {
    let request = IssuingRequest::read(&read(&arguments.request)?);
    let request =
        request.map_err(failed("this cannot be signed")).map_err(|failure| failure.with_exit(Exit::Refused))?;
    let key_fingerprint = request.key_fingerprint();
    refuse_used(arguments)?;
    match &arguments.key {
        Some(expected) if !is_same(expected, &key_fingerprint) => {
            let why = format!("the key in the request has the fingerprint {key_fingerprint}, not {expected}");
            return Err(
                Failure::new(Exit::Refused, why).advise("it is not the request you were told of: do not sign it")
            );
        }
        Some(_) => {}
        None => {
            let (cluster, generation) = (request.cluster(), request.generation());
            let what = format!("Sign issuing CA {generation} of cluster {cluster}?");
            confirm(
                &format!("{what}\nThe fingerprint of its key: {key_fingerprint}\nIt can let anybody in."),
                arguments.yes,
            )
            .await?;
        }
    }
    let passphrase = passphrase::needed(&arguments.passphrase, "the root", Asked::Once)?;
    let folder = RootFolder::load(&arguments.folder, &passphrase).map_err(failed("the root cannot be used"))?;
    let signed = folder.sign(&request, output::now(), &profile(Kind::Issuing)?);
    let signed = signed.map_err(failed("nothing was signed")).map_err(|failure| failure.with_exit(Exit::Refused))?;
    let written = bundle::write(&arguments.out, &signed.chain_pem);
    written.map_err(|error| {
        let failure = Failure::caused("the certificate was not written", &error);
        failure.advise("repeat the command with another --out: the same request gets the same certificate")
    })?;
    talk("next, where the request was made:\n  shardlift pki ca install FILE --dir DIR");
    let signed = Signed {
        file: arguments.out.clone(),
        cluster: request.cluster().to_string(),
        generation: request.generation(),
        key_fingerprint,
        root_fingerprint: folder.root().fingerprint(),
        not_after: rfc3339(signed.not_after),
        repeated: signed.is_repeated,
    };
    print(format, &signed, |signed| {
        fields(&[
            ("issuing CA", format!("{} of cluster {}", signed.generation, signed.cluster)),
            ("file", signed.file.display().to_string()),
            ("key fingerprint", signed.key_fingerprint.clone()),
            ("root fingerprint", signed.root_fingerprint.clone()),
            ("ends", signed.not_after.clone()),
        ])
    })
}

fn refuse_used(arguments: &SignCa) -> Result<(), Failure> {
    if arguments.out.exists() {
        let failure = Failure::new(Exit::Failed, format!("{} is there already", arguments.out.display()));
        return Err(failure.advise("give another --out; nothing was signed"));
    }
    Ok(())
}
