//! The route table of the client protocol: what a method means on a kind of path, and what it needs. Default deny.

use crate::admission::Access;
use crate::rest::path::Target;
use http::Method;
use shardlift_model::ObjectKind;

/// A kind of path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// The repository as a whole.
    Repository,
    /// A listing.
    Listing,
    /// The config object.
    Config,
    /// Any other object.
    Object,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the repository's folders.
    Create,
    /// List a kind.
    List,
    /// Say how large an object is.
    Measure,
    /// Send an object.
    Read,
    /// Store an object.
    Store,
    /// Delete an object.
    Delete,
}

/// One row: an action that exists. A pair of path kind and method without a row is answered 405.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// On which kind of path.
    pub(crate) path: PathKind,
    /// By which method.
    pub(crate) method: Method,
    /// What it does.
    pub(crate) action: Action,
    /// Whether it changes the node: such requests are parked behind a fence.
    pub(crate) mutates: bool,
}

const fn row(path: PathKind, method: Method, action: Action, mutates: bool) -> Row {
    Row { path, method, action, mutates }
}

/// The table. Who may use a row is the same for all: the owner of the node, and nobody else (private repositories).
pub(crate) static ROWS: [Row; 10] = [
    row(PathKind::Repository, Method::POST, Action::Create, true),
    row(PathKind::Listing, Method::GET, Action::List, false),
    row(PathKind::Config, Method::HEAD, Action::Measure, false),
    row(PathKind::Config, Method::GET, Action::Read, false),
    row(PathKind::Config, Method::POST, Action::Store, true),
    row(PathKind::Config, Method::DELETE, Action::Delete, true),
    row(PathKind::Object, Method::HEAD, Action::Measure, false),
    row(PathKind::Object, Method::GET, Action::Read, false),
    row(PathKind::Object, Method::POST, Action::Store, true),
    row(PathKind::Object, Method::DELETE, Action::Delete, true),
];

impl Row {
    /// What it wants of the node's gate.
    pub(crate) const fn access(&self) -> Access {
        if self.mutates { Access::Mutate } else { Access::Read }
    }
}

impl PathKind {
    /// The kind of path a target was named by.
    pub(crate) fn of(target: &Target) -> Self {
        match target {
            Target::Repository(_) => Self::Repository,
            Target::Listing(..) => Self::Listing,
            Target::Object(_, key) if key.kind() == ObjectKind::Config => Self::Config,
            Target::Object(..) => Self::Object,
        }
    }

    /// The methods that exist, for the `Allow` header.
    pub(crate) fn allowed(self) -> String {
        let methods: Vec<_> = ROWS.iter().filter(|row| row.path == self).map(|row| row.method.as_str()).collect();
        methods.join(", ")
    }
}

/// The row of a request.
pub(crate) fn find(path: PathKind, method: &Method) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.path == path && row.method == *method)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [PathKind; 4] = [PathKind::Repository, PathKind::Listing, PathKind::Config, PathKind::Object];

    #[test]
    fn only_the_methods_of_the_protocol_exist() {
        for kind in KINDS {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"] {
                let method: Method = method.parse().unwrap();
                let listed = kind.allowed().split(", ").any(|allowed| allowed == method.as_str());
                assert_eq!(find(kind, &method).is_some(), listed, "{kind:?} {method}");
            }
        }
        assert_eq!(PathKind::Repository.allowed(), "POST");
        assert_eq!(PathKind::Listing.allowed(), "GET");
    }

    #[test]
    fn every_row_that_is_no_safe_method_mutates() {
        for row in &ROWS {
            assert_eq!(row.mutates, !row.method.is_safe(), "{row:?}");
        }
    }
}
