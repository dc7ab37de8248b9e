//! Tokens for the status API.

use crate::cli::{Global, Span, StatusToken};
use crate::connection::Connection;
use crate::exit::Failure;
use crate::output::{fields, print, rfc3339, talk};
use serde::Serialize;
use shardlift_api::v1;
use shardlift_model::UnixMillis;

#[derive(Serialize)]
struct Token {
    customer: String,
    token: String,
    expires_at: String,
    expires_at_unix_ms: u64,
}

pub(crate) async fn status(global: &Global, arguments: StatusToken) -> Result<(), Failure> {
    let connection = Connection::open(global)?;
    let customer = arguments.customer.to_string();
    let valid_days = arguments.valid.map_or(0, Span::days);
    let request = v1::CreateStatusTokenRequest { customer: customer.clone(), valid_days };
    let made = connection.answer(connection.client.clone().create_status_token(request)).await?;
    let expires_at = rfc3339(UnixMillis(made.expires_at_unix_ms));
    let token = Token { customer, token: made.token, expires_at, expires_at_unix_ms: made.expires_at_unix_ms };
    print(global.output, &token, |token| {
        talk("shown once; a bearer token for GET /v1/nodes of the status API");
        let shown = [token.customer.clone(), token.token.clone(), token.expires_at.clone()];
        let [customer, token, expires] = shown;
        fields(&[("customer", customer), ("token", token), ("expires", expires)])
    })
}
