//! Checks receipts offline: files and a root certificate in, a verdict on each out.

use super::read;
use crate::cli::{Expected, Fact, Format, VerifyReceipts};
use crate::exit::{Exit, Failure};
use crate::output::{print, receipt_text};
use serde::Serialize;
use shardlift_api::fault::chain;
use shardlift_pki::certificates_in;
use shardlift_receipt::{Doubt, Facts, Receipt, Verified};
use std::path::{Path, PathBuf};

/// Root certificates.
pub(crate) type Roots = Vec<rustls_pki_types::CertificateDer<'static>>;

/// What came of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is good.
    Good,
    /// It does not verify.
    Refused,
    /// It cannot be judged.
    Unreadable,
}

/// One file, judged.
#[derive(Debug, Serialize)]
pub(crate) struct Judged {
    pub(crate) file: PathBuf,
    pub(crate) outcome: Outcome,
    /// Why it is not good, in one line.
    pub(crate) reason: Option<String>,
    /// Whose certificate signed it.
    pub(crate) signed_by: Option<String>,
    /// What it says; only of a good one.
    pub(crate) receipt: Option<Receipt>,
}

pub(crate) fn verify(format: Format, arguments: &VerifyReceipts) -> Result<(), Failure> {
    let roots = roots(&arguments.ca)?;
    let judge = |file: &PathBuf| judge(file, &roots, &arguments.against);
    let judged: Vec<Judged> = arguments.files.iter().map(judge).collect();
    print(format, &judged, |judged| judged.iter().map(receipt_text).collect::<Vec<_>>().join("\n"))?;
    let count = |outcome| judged.iter().filter(|one| one.outcome == outcome).count();
    let of = |count: usize, what: &str| match judged.len() {
        1 => format!("the receipt {what}"),
        all => format!("{count} of {all} receipts: {what}"),
    };
    match (count(Outcome::Refused), count(Outcome::Unreadable)) {
        (0, 0) => Ok(()),
        (0, unreadable) => Err(Failure::new(Exit::Unreadable, of(unreadable, "cannot be read"))),
        (refused, _) => Err(Failure::new(Exit::Problems, of(refused, "does not verify"))),
    }
}

/// The roots that a reader brings along.
pub(crate) fn roots(path: &Path) -> Result<Roots, Failure> {
    let unusable = |why: String| {
        let failure = Failure::new(Exit::Usage, format!("{} cannot be used as --ca: {why}", path.display()));
        failure.advise("the cluster's root certificate is `ca.pem` beside every context and configuration")
    };
    let text = read(path).map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| unusable("it is not PEM".to_owned()))?;
    certificates_in(&text).map_err(|error| unusable(error.to_string()))
}

fn judge(file: &Path, roots: &Roots, against: &[Expected]) -> Judged {
    let file_name = file.to_owned();
    let not_good = |outcome, reason: String| Judged {
        file: file_name.clone(),
        outcome,
        reason: Some(reason),
        signed_by: None,
        receipt: None,
    };
    let bytes = match read(file) {
        Ok(bytes) => bytes,
        Err(error) => return not_good(Outcome::Unreadable, error.to_string()),
    };
    let Verified { receipt, signer } = match shardlift_receipt::verify(&bytes, roots) {
        Ok(verified) => verified,
        Err(doubt @ Doubt::Unreadable(_)) => return not_good(Outcome::Unreadable, chain(&doubt)),
        Err(doubt) => return not_good(Outcome::Refused, chain(&doubt)),
    };
    if let Some(reason) = against.iter().find_map(|expected| differs(&receipt.facts, expected)) {
        return not_good(Outcome::Refused, reason);
    }
    let signed_by = format!("{}, certificate {} of {}", signer.identity, signer.serial, signer.issuer);
    Judged {
        file: file.to_owned(),
        outcome: Outcome::Good,
        reason: None,
        signed_by: Some(signed_by),
        receipt: Some(receipt),
    }
}

/// In which way a good receipt is about something else.
fn differs(facts: &Facts, Expected { fact, value }: &Expected) -> Option<String> {
    let place = &facts.place;
    let said = match fact {
        Fact::Node => facts.node.to_string(),
        Fact::Customer => facts.customer.to_string(),
        Fact::Cluster => facts.cluster.to_string(),
        Fact::Source => place.source.to_string(),
        Fact::Target => place.target.to_string(),
        Fact::Batch => place.batch.to_string(),
        Fact::Plan => place.plan_revision.map_or_else(|| "not recorded".to_owned(), |revision| revision.to_string()),
        Fact::Generation => place.generation.to_string(),
        Fact::Digest => facts.source.digest.clone(),
    };
    let word = fact.as_str();
    (said != *value).then(|| format!("it is good, but its {word} is {said}, not {value}"))
}

#[cfg(test)]
mod tests;
