//! The name in a node's certificate: `radixmesh://cluster/role/rank`.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::identity::NodeId;

const SCHEME: &str = "radixmesh://";
/// What is written as `%XX`: all but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Who a certificate says that its owner is. Compared as written: one cluster has one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    cluster: String,
    role: String,
    rank: String,
}

impl Name {
    /// Makes the name of a node.
    #[must_use]
    pub fn new(cluster: &str, role: &str, node: NodeId) -> Name {
        let encode = |text| utf8_percent_encode(text, RESERVED).to_string();
        Name {
            cluster: encode(cluster),
            role: encode(role),
            rank: node.to_string(),
        }
    }

    /// Reads a name; `None` when the URI is not of our form.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Name> {
        let mut parts = uri.strip_prefix(SCHEME)?.split('/');
        let mut next = || {
            let part = parts.next()?;
            (!part.is_empty()).then(|| part.to_owned())
        };
        let name = Name {
            cluster: next()?,
            role: next()?,
            rank: next()?,
        };
        parts.next().is_none().then_some(name)
    }

    /// Returns whether both name the same cluster.
    pub(crate) fn same_cluster(&self, other: &Name) -> bool {
        self.cluster == other.cluster
    }

    /// Returns whether it is the name of that node.
    pub(crate) fn is_node(&self, node: NodeId) -> bool {
        self.rank == node.to_string()
    }

    /// Returns whether it is the name of a node with that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.role == utf8_percent_encode(role, RESERVED).to_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.role, self.rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_writing_and_reading() {
        for cluster in ["prod", "eu west/1", "日本", "a%2Fb"] {
            let name = Name::new(cluster, "prefill", NodeId(7));
            assert_eq!(Name::parse(&name.to_string()), Some(name.clone()));
            assert!(name.is_node(NodeId(7)) && !name.is_node(NodeId(70)));
            assert!(name.has_role("prefill") && !name.has_role("decode"));
        }
        let name = Name::new("eu west/1", "router", NodeId(0));
        assert_eq!(name.to_string(), "radixmesh://eu%20west%2F1/router/0");
    }

    #[test]
    fn clusters_that_only_look_alike_have_different_names() {
        let name = |cluster| Name::new(cluster, "r", NodeId(0));
        assert!(!name("a/b").same_cluster(&name("a")));
        assert!(!name("a%2Fb").same_cluster(&name("a/b")));
    }

    #[test]
    fn other_uris_are_no_names() {
        for uri in [
            "",
            "radixmesh://",
            "radixmesh://a/b",
            "radixmesh://a/b/",
            "radixmesh://a//1",
            "radixmesh://a/b/1/",
            "spiffe://a/b/1",
        ] {
            assert_eq!(Name::parse(uri), None, "{uri}");
        }
    }
}
