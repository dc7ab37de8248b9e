//! `shardlift node enroll`, on the client's machine: a one-time token in, the two files that restic takes out.
//!
//! The key is made here and stays here. It is on disk, with the request that was sent, before the token is used: when the
//! answer is lost, the same command sends the same request and gets its certificate after all.

use crate::cli::{EnrollNode, Format};
use crate::connection::not_answered;
use crate::exit::{Exit, Failure};
use crate::output::{fields, print, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_pki::bundle;
use shardlift_pki::enrolment::EnrolmentToken;
use shardlift_pki::request::create_key_and_request;
use shardlift_pki::secret::SecretPem;
use shardlift_pki::tls::pinned_channel;
use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Key and request of an enrolment that has not come to its end; removed then.
const PENDING: &str = "enrolment.pending";

/// Certificate and key, for `restic --tls-client-cert`.
const NODE_PEM: &str = "node.pem";

/// Whom to trust, for `restic --cacert`.
const CA_PEM: &str = "ca.pem";

/// Longest text that may be a token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// How long an enrolment may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
struct Enrolled {
    node: String,
    server_name: String,
    certificate: PathBuf,
    ca: PathBuf,
    restic: String,
}

pub(crate) async fn enroll(format: Format, arguments: EnrollNode) -> Result<(), Failure> {
    let token = read_token(&arguments)?;
    let folder = std::path::absolute(&arguments.folder)
        .map_err(|error| Failure::caused(format!("{} cannot be used", arguments.folder.display()), &error))?;
    let pending = pending(&folder)?;
    let answer = ask(&arguments.server, &token, &pending.csr_der).await?;
    let unusable = |error: &dyn std::fmt::Display| {
        let failure = Failure::new(Exit::Failed, format!("what the controller sent cannot be used: {error}"));
        failure.advise("nothing was changed; the same command may be repeated")
    };
    let node_pem = bundle::client_pem(&answer.chain_pem, &pending.key).map_err(|error| unusable(&error))?;
    let ca_pem = bundle::ca_pem(&[&answer.ca_pem]).map_err(|error| unusable(&error))?;
    let (certificate, ca) = (folder.join(NODE_PEM), folder.join(CA_PEM));
    let not_written =
        |error| Failure::caused("the certificate was not written", &error).advise("repeat the same command");
    // Trust first: whoever finds the new certificate finds the CAs that go with it.
    bundle::write(&ca, &ca_pem).map_err(not_written)?;
    bundle::write_private(&certificate, &node_pem).map_err(not_written)?;
    remove_pending(&folder)?;
    let restic = restic_line(&answer, &certificate, &ca);
    let enrolled = Enrolled { node: answer.node, server_name: answer.server_name, certificate, ca, restic };
    print(format, &enrolled, shown)
}

fn shown(enrolled: &Enrolled) -> String {
    talk(&format!("try it, with the repository URL that you use today if it has a port:\n  {}", enrolled.restic));
    fields(&[
        ("node", enrolled.node.clone()),
        ("server name", enrolled.server_name.clone()),
        ("certificate", enrolled.certificate.display().to_string()),
        ("CA", enrolled.ca.display().to_string()),
    ])
}

fn restic_line(answer: &v1::EnrolResponse, certificate: &Path, ca: &Path) -> String {
    let v1::EnrolResponse { node, server_name, .. } = answer;
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let (certificate, ca) = (quoted(certificate), quoted(ca));
    format!("restic -r rest:https://{server_name}/{node}/ --tls-client-cert {certificate} --cacert {ca} snapshots")
}

fn read_token(arguments: &EnrollNode) -> Result<EnrolmentToken, Failure> {
    let text = match (&arguments.token, &arguments.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => read_text(file).map_err(|error| {
            Failure::caused(format!("{} cannot be read", file.display()), &error).with_exit(Exit::Usage)
        })?,
        (None, None) => String::new(),
    };
    EnrolmentToken::parse(&text).map_err(|error| {
        Failure::new(Exit::Usage, error.to_string()).advise("`shardlift node token NODE` prints one, for the operator")
    })
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        fs::File::open(file)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// A key and the request for it.
struct Pending {
    key: SecretPem,
    csr_der: Vec<u8>,
}

/// The one that is on disk, else a new one that is on disk now.
fn pending(folder: &Path) -> Result<Pending, Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::caused(format!("{} cannot be made", folder.display()), &error))?;
    let path = folder.join(PENDING);
    match fs::read_to_string(&path) {
        Ok(text) => {
            talk("an enrolment that did not come to its end is taken up again");
            let damaged = || {
                let failure = Failure::new(Exit::Failed, format!("{} is damaged", path.display()));
                failure.advise("remove it and ask for a new token: the next try makes a new key")
            };
            let blocks = pem::parse_many(&text).map_err(|_| damaged())?;
            let request = blocks.iter().find(|block| block.tag() == "CERTIFICATE REQUEST").ok_or_else(damaged)?;
            Ok(Pending { csr_der: request.contents().to_vec(), key: SecretPem::new(text) })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_pending(&path),
        Err(error) => Err(Failure::caused(format!("{} cannot be read", path.display()), &error)),
    }
}

fn new_pending(path: &Path) -> Result<Pending, Failure> {
    let (key, csr_der) = create_key_and_request().map_err(|error| Failure::caused("no key was made", &error))?;
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let request = pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", csr_der.clone()), config);
    let both = SecretPem::new(format!("{}{request}", key.expose()));
    let written = bundle::write_private(path, &both);
    written.map_err(|error| Failure::caused("the key was not written", &error))?;
    Ok(Pending { key, csr_der })
}

fn remove_pending(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(PENDING);
    let removed = fs::remove_file(&path);
    // The certificate is in place; what is left is a second copy of its key.
    removed.map_err(|error| {
        Failure::caused(format!("the certificate is in place, but {} is left", path.display()), &error)
            .advise("remove it: it contains the key")
    })
}

async fn ask(server: &str, token: &EnrolmentToken, csr_der: &[u8]) -> Result<v1::EnrolResponse, Failure> {
    let channel = pinned_channel(server, token.root_fingerprint());
    let channel = channel.map_err(|error| Failure::caused("the token cannot be used", &error))?;
    let request = v1::EnrolRequest { token: (*token.text()).clone(), csr_der: csr_der.to_vec() };
    let mut client = EnrolmentClient::new(channel);
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, client.enrol(request)).await;
    let answer = answer.unwrap_or_else(|_elapsed| Err(tonic::Status::deadline_exceeded("no answer in 30 s")));
    answer.map(tonic::Response::into_inner).map_err(|status| {
        not_answered(&status, "controller", server, "the same command may be repeated with the same token")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_repeated_enrolment_sends_the_same_request_for_the_same_key() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("restic");
        let first = pending(&folder).unwrap();
        let again = pending(&folder).unwrap();
        assert_eq!(first.csr_der, again.csr_der);
        assert!(again.key.expose().starts_with(first.key.expose()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(PENDING))), (0o700, 0o600));
        remove_pending(&folder).unwrap();
        assert_ne!(pending(&folder).unwrap().csr_der, first.csr_der);
    }

    #[test]
    fn a_damaged_rest_of_an_enrolment_is_told_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(PENDING), "half").unwrap();
        let failure = pending(root.path()).map(|_| ()).unwrap_err();
        assert!(failure.what.contains("damaged"), "{failure}");
        assert_eq!(fs::read_to_string(root.path().join(PENDING)).unwrap(), "half");
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_and_not_repeated() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out");
        let arguments = EnrollNode {
            server: "127.0.0.1:1".to_owned(),
            token: Some("sle1.not-a-secret".to_owned()),
            token_file: None,
            folder: folder.clone(),
        };
        let failure = enroll(Format::Json, arguments).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(!failure.to_string().contains("not-a-secret") && !folder.exists());
    }

    #[test]
    fn paths_with_odd_characters_survive_the_shell() {
        let answer = v1::EnrolResponse { node: "a/b".into(), server_name: "b.x".into(), ..Default::default() };
        let line = restic_line(&answer, Path::new("/it's/n.pem"), Path::new("/c a.pem"));
        assert_eq!(
            line,
            r"restic -r rest:https://b.x/a/b/ --tls-client-cert '/it'\''s/n.pem' --cacert '/c a.pem' snapshots"
        );
    }
}
