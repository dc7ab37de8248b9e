//! One-time tokens with which machines get their certificates: for one node, or for a batch as a file that a configuration
//! management can hand out.

use crate::cli::{Global, NodeToken, Span};
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{fields, print, rfc3339, talk};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_model::{BatchId, UnixMillis};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A token and all that its use takes.
#[derive(Serialize)]
struct Token {
    node: String,
    token: String,
    expires_at: String,
    expires_at_unix_ms: u64,
    server: String,
    ca_fingerprint: String,
}

/// What came of a batch; the tokens themselves are in the file alone.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    tokens: usize,
    /// Nodes that have a certificate already.
    left_out: usize,
}

pub(crate) async fn token(global: &Global, arguments: NodeToken) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let valid_minutes = arguments.valid.map_or(0, Span::minutes);
    match (arguments.node, arguments.batch, arguments.out) {
        (Some(node), _, _) => print(global.output, &make(&connection, node.as_str(), valid_minutes).await?, shown),
        (None, Some(batch), Some(out)) => {
            let written = of_batch(&connection, &batch, arguments.all, valid_minutes, &out).await?;
            print(global.output, &written, |written| {
                talk("one line of JSON for each node; each token is good once, and the file is for nobody else's eyes");
                fields(&[
                    ("file", written.file.display().to_string()),
                    ("tokens", written.tokens.to_string()),
                    ("left out", format!("{} that have a certificate", written.left_out)),
                ])
            })
        }
        // The command line has asked for one or the other.
        _ => Err(Failure::new(Exit::Usage, "a node, or --batch with --out, is needed")),
    }
}

async fn make(connection: &Connection, node: &str, valid_minutes: u32) -> Result<Token, Failure> {
    let request = v1::CreateEnrolmentTokenRequest { node: node.to_owned(), valid_minutes };
    let made = connection.answer(connection.client.clone().create_enrolment_token(request)).await?;
    Ok(Token {
        node: node.to_owned(),
        token: made.token,
        expires_at: rfc3339(UnixMillis(made.expires_at_unix_ms)),
        expires_at_unix_ms: made.expires_at_unix_ms,
        server: connection.context.enrolment.clone(),
        ca_fingerprint: made.ca_fingerprint,
    })
}

fn shown(token: &Token) -> String {
    talk("shown once; on the client's machine, with the token in a file:");
    talk(&format!("  shardlift node enroll --server {} --token-file FILE --out DIR", token.server));
    fields(&[
        ("node", token.node.clone()),
        ("token", token.token.clone()),
        ("expires", token.expires_at.clone()),
        ("server", token.server.clone()),
        ("CA fingerprint", token.ca_fingerprint.clone()),
    ])
}

async fn of_batch(
    connection: &Connection,
    batch: &BatchId,
    all: bool,
    valid_minutes: u32,
    out: &Path,
) -> Result<Written, Failure> {
    let request = v1::ListBatchesRequest { batch: batch.to_string() };
    let listed = connection.answer(connection.client.clone().list_batches(request)).await?;
    let members: Vec<v1::FleetNode> = listed.batches.into_iter().flat_map(|batch| batch.nodes).collect();
    let count = members.len();
    let wanted: Vec<String> = members.into_iter().filter(|node| all || needs_one(node)).map(|node| node.node).collect();
    let written = Written { file: out.to_owned(), tokens: wanted.len(), left_out: count - wanted.len() };
    let mut file = create(out)?;
    let bar = ProgressBar::new(wanted.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("  {bar:24} {pos} of {len} tokens") {
        bar.set_style(style.progress_chars("=> "));
    }
    for (done, node) in wanted.iter().enumerate() {
        let partly = |failure: Failure| {
            let what = format!("{done} of {} tokens are in {}: {}", wanted.len(), out.display(), failure.what);
            Failure::new(Exit::Partly, what).advise("ask for the rest with another file: --out may not exist yet")
        };
        let token = make(connection, node, valid_minutes).await.map_err(partly)?;
        write_line(&mut file, &token).map_err(|error| partly(Failure::caused("it cannot be written", &error)))?;
        bar.inc(1);
    }
    file.sync_all().map_err(|error| Failure::caused(format!("{} is not safe on disk", out.display()), &error))?;
    bar.finish_and_clear();
    Ok(written)
}

/// Whoever has a certificate needs no token but to replace it.
fn needs_one(node: &v1::FleetNode) -> bool {
    matches!(node.certificate.as_str(), "none" | "token")
}

/// Only its owner may read it, from the first byte on; one that is there is never written over.
fn create(out: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    opened.map_err(|error| {
        let failure = Failure::caused(format!("{} cannot be made", out.display()), &error).with_exit(Exit::Usage);
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.advise("name another file: tokens in this one may be in use"),
            _ => failure,
        }
    })
}

fn write_line(file: &mut File, token: &Token) -> io::Result<()> {
    let mut line = serde_json::to_vec(token)?;
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_of_tokens_is_private_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.jsonl");
        let token = Token {
            node: "acme/web-1".to_owned(),
            token: "sle1.x".to_owned(),
            expires_at: String::new(),
            expires_at_unix_ms: 7,
            server: "ctl:1".to_owned(),
            ca_fingerprint: "00".to_owned(),
        };
        let mut file = create(&path).unwrap();
        write_line(&mut file, &token).unwrap();
        write_line(&mut file, &token).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((line["node"].as_str(), line["token"].as_str()), (Some("acme/web-1"), Some("sle1.x")));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let failure = create(&path).map(drop).unwrap_err();
        assert!(failure.exit == Exit::Usage && failure.advice.contains("another file"), "{failure}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn who_has_a_certificate_is_left_out() {
        let node = |certificate: &str| v1::FleetNode { certificate: certificate.to_owned(), ..Default::default() };
        assert_eq!(
            ["none", "token", "issued", "in_use"].map(|word| needs_one(&node(word))),
            [true, true, false, false]
        );
    }
}
