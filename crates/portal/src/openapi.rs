//! The description of the API, served as it was written; tests hold it against the routes and the answers.

/// An OpenAPI 3.1 document.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");
