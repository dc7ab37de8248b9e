//! The nodes' side of a cluster: certificates old and new, and the restic that uses them.

use super::{Cluster, ZONE};
use crate::conformance::{Login, Mode, Peer, Protocol, Which};
use crate::{Restic, Validity};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("no text `{field}` in {value}"))?.to_owned())
}

fn as_file(node: &str) -> String {
    node.replace('/', "--")
}

impl Cluster {
    /// What the controller says of a node.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn node(&self, node: &str) -> Result<Value> {
        self.cli.json(&["node", "show", node]).await
    }

    /// The folder of a node's machine.
    #[must_use]
    pub fn machine(&self, node: &str) -> PathBuf {
        self.folder.join("machines").join(as_file(node))
    }

    /// The repository of a node in a shard's data folder.
    #[must_use]
    pub fn repository(&self, shard: &str, node: &str) -> PathBuf {
        self.data(shard).join(node)
    }

    /// The name that a node's client connects to, unless an operator chose another one.
    #[must_use]
    pub fn server_name(&self, node: &str) -> String {
        format!("{}.{ZONE}", as_file(node))
    }

    fn restic(&self, binary: &Path, node: &str) -> Result<Restic> {
        let base = format!("https://{}", self.server_name(node));
        Ok(Restic::new(binary, &self.machine(node).join("home"), &base, node)?.proxy(&self.proxy.url()))
    }

    /// The node's client as it was before: the old CA, and its account's certificate from it.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn old_client(&self, binary: &Path, node: &str) -> Result<Restic> {
        let account = node.split('/').next().unwrap_or(node);
        let certificate = self.ca.client(&format!("{}-old", as_file(node)), account, Validity::Now)?;
        let restic = self.restic(binary, node)?.cacert(self.ca.certificate_path());
        Ok(restic.client_certificate(&certificate.both_path))
    }

    /// The node's client after its enrolment.
    ///
    /// # Errors
    /// When its home cannot be made.
    pub fn new_client(&self, binary: &Path, node: &str) -> Result<Restic> {
        let machine = self.machine(node).join("shardlift");
        let restic = self.restic(binary, node)?.cacert(&machine.join("ca.pem"));
        Ok(restic.client_certificate(&machine.join("node.pem")))
    }

    /// A one-time token: the token, and where it is used.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn token(&self, node: &str) -> Result<(String, String)> {
        let answer = self.cli.json(&["node", "token", node]).await?;
        Ok((text(&answer, "token")?, text(&answer, "server")?))
    }

    /// Token and enrolment on the node's machine.
    ///
    /// # Errors
    /// When the controller refuses.
    pub async fn enrol(&self, node: &str) -> Result<()> {
        let (token, server) = self.token(node).await?;
        let machine = self.machine(node).join("shardlift");
        std::fs::create_dir_all(self.machine(node))?;
        // On the node's machine nothing is shown: the token is a secret.
        let cli = self.cli.shown(false);
        let [token, server] = [token.as_ref(), server.as_ref()];
        cli.must(&[
            "node".as_ref(),
            "enroll".as_ref(),
            "--server".as_ref(),
            server,
            "--token".as_ref(),
            token,
            "--out".as_ref(),
            machine.as_os_str(),
        ])
        .await
    }

    /// The certificate that a node got at its enrolment.
    ///
    /// # Errors
    /// When it has none.
    pub fn new_login(&self, node: &str) -> Result<Login> {
        let path = self.machine(node).join("shardlift/node.pem");
        Ok(Login::certificate(&std::fs::read_to_string(path).context("reading the node's certificate")?))
    }

    /// For single requests with this login at a node's server name, through the router.
    ///
    /// # Errors
    /// When there is no router.
    pub fn peer(&self, node: &str, login: Login) -> Result<Peer> {
        let cluster_ca = std::fs::read_to_string(self.folder.join("cluster/ca.pem"))?;
        Ok(Peer {
            name: node.to_owned(),
            which: Which::Ours,
            address: self.address("router", "client")?,
            server_name: self.server_name(node),
            ca_pem: format!("{}{cluster_ca}", self.ca.certificate_pem()),
            account: node.split('/').next().unwrap_or(node).to_owned(),
            owner: login,
            other: None,
            certificate_demanded: false,
            mode: Mode::Normal,
            repository: None,
            protocols: vec![Protocol::Http1],
        })
    }
}
