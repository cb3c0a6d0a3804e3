//! A fingerprint of a set of copies that does not depend on the order they came in or on the tree's shape:
//! the wrapping sum of one mixed hash per copy.

use crate::id::{Namespace, Seq, SourceId, Tier};
use crate::page::Fingerprint;

/// What consecutive copies of one op have in common.
#[derive(Clone, Copy)]
pub(crate) struct CopyRun {
    pub(crate) seq: Seq,
    pub(crate) source: SourceId,
    pub(crate) tier: Tier,
    pub(crate) namespace: Namespace,
    /// The page inside the op, and the page's depth, of the first copy.
    pub(crate) idx: u32,
    pub(crate) depth: u32,
}

/// Returns the sum over the copies of `pages`. Cost: two multiplications per page.
pub(crate) fn sum(run: CopyRun, pages: &[Fingerprint]) -> u64 {
    let place = u64::from(run.source.0) << 8 | run.tier as u64;
    let name = fold(run.seq.0 ^ KEYS[0], place ^ KEYS[1]);
    let name = fold(name ^ KEYS[2], run.namespace.0 ^ KEYS[3]);
    let mut sum = 0u64;
    let mut at = u64::from(run.idx) << 32 | u64::from(run.depth);
    for page in pages {
        let mixed = fold(page.0 ^ name, at ^ KEYS[4]);
        sum = sum.wrapping_add(fold(mixed ^ KEYS[5], name ^ at));
        at += 1 << 32 | 1;
    }
    sum
}

/// Multiplies to 128 bits and folds the halves (as wyhash does).
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Digits of pi, as in Blowfish.
const KEYS: [u64; 6] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7344,
    0xa409_3822_299f_31d0,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6c,
];
