//! A ready folder for a part or another operator: the key is made here, the controller signs, the configuration is
//! written and read back the way the role reads it. All or nothing.

mod roles;

pub(crate) use roles::{operator, router, shard};

use crate::cli::{Format, Global};
use crate::connection::Connection;
use crate::draft::{Draft, refuse_if_used};
use crate::exit::{Exit, Failure};
use crate::output::{self, fields, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_controller::InitFile;
use shardlift_model::{Identity, Role};
use shardlift_pki::bundle;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::secret::SecretPem;
use shardlift_pki::tls::{CredentialPaths, Credentials};
use std::path::{Path, PathBuf};

/// What a folder gets.
#[derive(Debug)]
struct Preparation {
    role: Role,
    name: String,
    folder: PathBuf,
    host_names: Vec<String>,
    /// Name and text of the configuration file.
    config: (String, String),
    /// CA files.
    legacy: Vec<InitFile>,
    /// A folder to make within it.
    inner_folder: Option<&'static str>,
    dry_run: bool,
    /// What to do next.
    next: String,
}

#[derive(Debug, Serialize)]
struct Prepared {
    role: String,
    name: String,
    folder: PathBuf,
    config: PathBuf,
    dry_run: bool,
}

/// Signed and packed.
async fn carry_out(global: &Global, connection: &Connection, preparation: Preparation) -> Result<(), Failure> {
    let folder = std::path::absolute(&preparation.folder)
        .map_err(|error| Failure::caused(format!("{} cannot be used", preparation.folder.display()), &error))?;
    let Preparation { role, name, config: (file, text), dry_run, next, .. } = &preparation;
    refuse_if_used(&folder)?;
    if *dry_run {
        talk("dry run: nothing was made and no certificate asked for; this would be the configuration:");
        return output::put(text);
    }
    make(connection, &preparation, &folder).await?;
    let prepared =
        Prepared { role: role.to_string(), name: name.clone(), config: folder.join(file), folder, dry_run: false };
    if global.output == Format::Table {
        talk(&format!("next:\n{next}"));
    }
    output::print(global.output, &prepared, |prepared| {
        fields(&[
            (prepared.role.as_str(), prepared.name.clone()),
            ("folder", prepared.folder.display().to_string()),
            ("configuration", prepared.config.display().to_string()),
        ])
    })
}

async fn make(connection: &Connection, preparation: &Preparation, folder: &Path) -> Result<(), Failure> {
    let Preparation { role, name, config: (file, text), legacy, inner_folder, .. } = preparation;
    let draft = Draft::begin(folder)?;
    let (key, csr_der) = create_key_and_request().map_err(|error| Failure::caused("no key was made", &error))?;
    let request = v1::IssueRoleCertificateRequest {
        role: role.to_string(),
        name: name.clone(),
        dns_names: preparation.host_names.clone(),
        csr_der,
    };
    let mut client = connection.client.clone();
    let issued = connection.answer(client.issue_role_certificate(request)).await?;
    let paths = write_credentials(draft.path(), *role, &issued, &key)?;
    check_credentials(connection, preparation, paths)?;
    for legacy in legacy {
        write(&draft.path().join(&legacy.path), &legacy.contents)?;
    }
    if let Some(name) = inner_folder {
        draft.folder(name)?;
    }
    write(&draft.path().join(file), text)?;
    draft.finish().map(drop)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    bundle::write(path, text).map_err(|error| Failure::caused("a file was not written", &error))
}

fn write_credentials(
    folder: &Path,
    role: Role,
    issued: &v1::IssueRoleCertificateResponse,
    key: &SecretPem,
) -> Result<CredentialPaths, Failure> {
    let paths = CredentialPaths {
        certificate: folder.join(format!("{role}.pem")),
        key: folder.join(format!("{role}.key")),
        ca: folder.join(shardlift_controller::init::CA_PEM),
        legacy_ca: Vec::new(),
    };
    write(&paths.certificate, &issued.chain_pem)?;
    write(&paths.ca, &issued.ca_pem)?;
    let written = bundle::write_private(&paths.key, key);
    written.map_err(|error| Failure::caused("the key was not written", &error))?;
    Ok(paths)
}

/// The certificate is what was asked for, and the files work together.
fn check_credentials(
    connection: &Connection,
    preparation: &Preparation,
    paths: CredentialPaths,
) -> Result<(), Failure> {
    let credentials = Credentials::load(paths);
    let found =
        credentials.map_err(|error| Failure::caused("the certificate that was issued cannot be used", &error))?;
    let Preparation { role, name, .. } = preparation;
    let expected = Identity::new(connection.context.cluster.clone(), *role, name);
    let expected = expected.map_err(|error| Failure::caused("the name", &error).with_exit(Exit::Usage))?;
    if found.identity() == expected {
        return Ok(());
    }
    let what = format!("the controller issued a certificate for {}, not for {expected}", found.identity());
    Err(Failure::new(Exit::Failed, what)
        .advise("the context names another cluster, or the controller is not the one meant"))
}
