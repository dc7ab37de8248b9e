//! Issues a receipt: facts in, a signed file out.

use crate::{FORMAT, Facts, Issued, PAYLOAD_TYPE, Receipt};
use shardlift_model::{Role, UnixMillis};
use shardlift_pki::envelope::{SignError, StatementSigner};

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Only a controller's certificate is believed.
    #[error("only a controller issues receipts")]
    NotAController,
    /// The facts cannot be written.
    #[error("the facts cannot be written")]
    Json(#[source] serde_json::Error),
    /// Nothing was signed.
    #[error("the receipt cannot be signed")]
    Sign(#[from] SignError),
}

/// Signs facts with the controller's own key: the text is the receipt's file.
///
/// # Errors
/// [`IssueError`] when this is no controller, or its key does not sign.
pub fn issue(facts: Facts, signer: &StatementSigner, now: UnixMillis) -> Result<String, IssueError> {
    if signer.identity().role() != Role::Controller {
        return Err(IssueError::NotAController);
    }
    let issued = Issued {
        at_unix_ms: now.0,
        by: signer.identity().to_uri(),
        serial: signer.serial()?,
        chain_sha256: signer.chain_sha256(),
    };
    let receipt = Receipt { format: FORMAT, issued, facts };
    let payload = serde_json::to_vec_pretty(&receipt).map_err(IssueError::Json)?;
    Ok(signer.sign(PAYLOAD_TYPE, &payload)?)
}
