//! Who may ask what: one row per path, default deny.
//!
//! A path without a row is refused at run time, and a test over the routes fails.

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone: the answer is the same for all and says nothing about any customer.
    Public,
    /// The bearer of a customer's token.
    Customer,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The path, as the router writes it.
    pub(crate) path: &'static str,
    /// The methods that are answered.
    pub(crate) methods: &'static [&'static str],
    /// Who may ask.
    pub(crate) access: Access,
}

/// Nothing can be changed here.
const READ: &[&str] = &["GET", "HEAD"];

/// The table.
pub(crate) const ROWS: &[Row] = &[
    Row { path: "/v1/nodes", methods: READ, access: Access::Customer },
    Row { path: "/v1/nodes/{id}", methods: READ, access: Access::Customer },
    Row { path: "/v1/nodes/{account}/{name}", methods: READ, access: Access::Customer },
    Row { path: "/v1/batches", methods: READ, access: Access::Customer },
    Row { path: "/v1/worklog", methods: READ, access: Access::Customer },
    Row { path: "/openapi.json", methods: READ, access: Access::Public },
    Row { path: "/pki/crl", methods: READ, access: Access::Public },
    Row { path: "/pki/crl/{issuer}", methods: READ, access: Access::Public },
    Row { path: "/healthz", methods: READ, access: Access::Public },
];

/// The row of a path.
pub(crate) fn row(path: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Endpoint, ROUTES};
    use std::collections::BTreeSet;

    /// Routes without a row, and rows without a route.
    fn unmatched(routes: &[(&'static str, Endpoint)]) -> Vec<&'static str> {
        let routes: BTreeSet<&str> = routes.iter().map(|(path, _)| *path).collect();
        let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.path).collect();
        routes.symmetric_difference(&rows).copied().collect()
    }

    #[test]
    fn every_route_has_exactly_one_row() {
        assert_eq!(unmatched(ROUTES), Vec::<&str>::new());
        let paths: BTreeSet<&str> = ROWS.iter().map(|row| row.path).collect();
        assert_eq!(paths.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| !row.methods.is_empty()));
    }

    #[test]
    fn a_route_without_a_row_is_found() {
        let mut routes = ROUTES.to_vec();
        routes.push(("/v1/secrets", Endpoint::Nodes));
        assert_eq!(unmatched(&routes), ["/v1/secrets"]);
    }

    #[test]
    fn what_tells_of_nodes_is_for_customers_only() {
        for row in ROWS {
            assert_eq!(row.access == Access::Customer, row.path.starts_with("/v1/"), "{}", row.path);
        }
    }
}
