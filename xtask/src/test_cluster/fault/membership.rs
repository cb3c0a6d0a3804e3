//! Who came and went at run time.

use serde::Serialize;

use super::super::stats::Distribution;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Membership {
    /// New ranks that joined.
    pub(crate) joined: usize,
    /// Ranks that another process took, at another address, after theirs was killed.
    pub(crate) replaced: usize,
    /// Members that left in good order.
    pub(crate) left: usize,
    /// Members that were killed and forgotten.
    pub(crate) forgotten: usize,
    /// From starting the process of a new rank or of a replacement until it was ready. Unit: ms.
    pub(crate) join_ms: Option<Distribution>,
}
