//! `shardlift node enroll`, on the client's machine: a one-time token in, the two files that restic takes out.
//!
//! The key is made here and stays here. It is on disk, with the request that was sent, before the token is used: when the
//! answer is lost, the same command sends the same request and gets its certificate after all.

use crate::cli::{EnrollNode, Format};
use crate::client_folder::{Folder, Home};
use crate::connection::not_answered;
use crate::exit::{Exit, Failure};
use crate::output::{fields, print, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_api::v1::enrolment_client::EnrolmentClient;
use shardlift_pki::enrolment::EnrolmentToken;
use shardlift_pki::tls::pinned_channel;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    let folder = Folder::made(&arguments.folder)?;
    let pending = folder.pending()?;
    let answer = ask(&arguments.server, &token, pending.csr_der()).await?;
    let home = Home { server: arguments.server.clone(), root: token.root_fingerprint().to_owned() };
    folder.install(&pending, &answer.chain_pem, &answer.ca_pem, &home)?;
    let (certificate, ca) = (folder.certificate(), folder.ca());
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
