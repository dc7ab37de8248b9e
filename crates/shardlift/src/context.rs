//! Which controller a command talks to, and as whom: a TOML file that `shardlift init` or `operator prepare` writes.
//!
//! ```toml
//! cluster = "prod"
//! controller = "ctl.example:7400"
//! enrolment = "ctl.example:7401"
//! [tls]
//! certificate = "operator.pem"
//! key = "operator.key"
//! ca = "ca.pem"
//! ```

use crate::cli::Global;
use crate::exit::{Exit, Failure};
use serde::Deserialize;
use shardlift_model::{ClusterId, Role};
use shardlift_pki::tls::{CredentialPaths, Credentials};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More than any context.
const FILE_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    cluster: ClusterId,
    controller: String,
    enrolment: String,
    tls: RawTls,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

/// A checked context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) file: PathBuf,
    pub(crate) cluster: ClusterId,
    pub(crate) controller: String,
    pub(crate) enrolment: String,
    tls: CredentialPaths,
}

impl Context {
    /// The one that was asked for, else the first that is there.
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        let mut context = match &global.context {
            Some(file) => Self::load(file)?,
            None => {
                let places = places();
                let Some(file) = places.iter().find(|place| place.is_file()) else {
                    let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
                    let what = format!("no context: neither {} is there", looked.join(" nor "));
                    let advice = "name one with --context or SHARDLIFT_CONTEXT; `shardlift init` makes one";
                    return Err(Failure::new(Exit::Usage, what).advise(advice));
                };
                Self::load(file)?
            }
        };
        if let Some(address) = &global.controller {
            context.controller.clone_from(address);
        }
        Ok(context)
    }

    fn load(file: &Path) -> Result<Self, Failure> {
        let bad = |what: String| {
            let what = format!("the context {} cannot be used: {what}", file.display());
            Failure::new(Exit::Usage, what).advise("`shardlift init` and `shardlift operator prepare` write contexts")
        };
        let text = std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
        if text.len() > FILE_BYTES_MAX {
            return Err(bad("larger than 64 KiB".to_owned()));
        }
        Self::parse(&text, file).map_err(|error| bad(error.to_string()))
    }

    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, toml::de::Error> {
        let Raw { cluster, controller, enrolment, tls } = toml::from_str(text)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let tls = CredentialPaths {
            certificate: folder.join(tls.certificate),
            key: folder.join(tls.key),
            ca: folder.join(tls.ca),
            legacy_ca: Vec::new(),
        };
        Ok(Self { file: file.to_owned(), cluster, controller, enrolment, tls })
    }

    /// The operator's certificate and whom it trusts.
    pub(crate) fn credentials(&self) -> Result<Arc<Credentials>, Failure> {
        let credentials = Credentials::load(self.tls.clone()).map_err(|error| {
            let advice = format!("the files are named in {}", self.file.display());
            Failure::caused("the operator's certificate cannot be used", &error).advise(advice)
        })?;
        let identity = credentials.identity();
        if identity.role() != Role::Operator || identity.cluster != self.cluster {
            let what = format!("{} is the certificate of {identity}", self.tls.certificate.display());
            let advice = format!("an operator of cluster {} is needed", self.cluster);
            return Err(Failure::new(Exit::Usage, what).advise(advice));
        }
        Ok(credentials)
    }
}

fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("shardlift/operator.toml")];
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or(home);
    places.extend(config.map(|config| config.join("shardlift/operator.toml")));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    const GOOD: &str = "cluster = 'c1'\ncontroller = 'ctl:7400'\nenrolment = 'ctl:7401'\n\
                        [tls]\ncertificate = 'o.pem'\nkey = 'o.key'\nca = 'ca.pem'\n";

    #[test]
    fn paths_are_relative_to_the_file_and_the_address_may_be_overridden() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("operator.toml");
        std::fs::write(&file, GOOD).unwrap();
        let mut global = Global { context: Some(file), controller: None, output: Format::Table };
        let context = Context::find(&global).unwrap();
        assert_eq!((context.controller.as_str(), context.tls.key.as_path()), ("ctl:7400", &*root.path().join("o.key")));
        global.controller = Some("other:1".to_owned());
        assert_eq!(Context::find(&global).unwrap().controller, "other:1");
    }

    #[test]
    fn what_is_wrong_is_a_usage_error_that_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("operator.toml");
        let global = Global { context: Some(file.clone()), controller: None, output: Format::Table };
        for text in [None, Some("cluster = 'c1'"), Some("nonsense"), Some("cluster = 'NOT OK'")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let failure = Context::find(&global).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.what.contains("operator.toml"), "{failure}");
        }
    }
}
