//! What a class of trees puts into a node: the units of its runs, what it knows of them, and how much of that
//! readers are shown.

use crate::page::Fingerprint;

/// What runs are made of. A page is one unit or a fixed number of them.
pub trait Unit: Copy + Eq + Default + Send + Sync + 'static {
    /// Whether pages with equal keys are equal.
    const KEY_IS_PAGE: bool;

    /// Returns the key under which a child that begins with this page is found.
    fn key(page: &[Self]) -> u64;

    /// Returns whether two slices of one length differ. Without an early exit, so that it becomes a few vector
    /// instructions.
    #[inline]
    fn differ(a: &[Self], b: &[Self]) -> bool {
        let differ = |sum, (a, b): (&Self, &Self)| sum | (a != b);
        a.iter().zip(b).fold(false, differ)
    }
}

impl Unit for Fingerprint {
    const KEY_IS_PAGE: bool = true;

    #[inline]
    fn key(page: &[Self]) -> u64 {
        page[0].0
    }

    #[inline]
    fn differ(a: &[Self], b: &[Self]) -> bool {
        let differ = |sum, (a, b): (&Self, &Self)| sum | (a.0 ^ b.0);
        a.iter().zip(b).fold(0, differ) != 0
    }
}

/// What the writer knows of a run. Offsets are units from the head of the run.
pub(crate) trait Value: Default + 'static {
    type Unit: Unit;
    type View: View;

    /// Returns what readers are shown when the run has `len` units.
    fn view(&self, len: u32) -> Self::View;
    /// Returns true when it is plain, without deriving it, that a view of `shown` units is right for `len` too.
    fn is_shown(&self, view: &Self::View, shown: u32, len: u32) -> bool;
    /// Keeps the part of the first `at` units here and returns the rest.
    fn split_off(&mut self, at: u32) -> Self;
    /// Takes in the value of a run that follows this one of `at` units.
    fn join(&mut self, behind: Self, at: u32);
    /// Returns whether joining as in [`Value::join`] is allowed and would not make a crowded value.
    fn is_joinable(&self, behind: &Self, at: u32) -> bool;
    /// Returns the units up to and with the last one in use; the rest of a childless run is given back.
    fn covered(&self) -> u32;
    /// Returns where to cut a run whose value has become too large to change cheaply.
    fn crowded(&self) -> Option<u32>;
    /// Returns the bytes held on the heap.
    fn heap_bytes(&self) -> usize;
}

/// What readers see of a value.
pub(crate) trait View: Send + Sync + 'static {
    /// Makes this view show what `next` shows, if that is the same or (when `may_write`) can be done in place.
    fn adopt(&self, next: &Self, may_write: bool) -> Adopted;
    /// Returns the same view again.
    fn again(&self) -> Self;
    /// Asks for what readers need of it.
    fn prefetch(&self);
    /// Returns the bytes held on the heap.
    fn heap_bytes(&self) -> usize;
}

/// What came of [`View::adopt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// It showed the same already.
    Same,
    /// It was changed in place.
    Written,
    /// Another view must take its place.
    No,
}
