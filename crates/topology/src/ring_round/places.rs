//! A set of places in a list of members, one bit each.

use serde::{Deserialize, Deserializer, Serialize};

use crate::bounded;
use crate::limits::MEMBERS_MAX;

/// Which places of a list are taken. Beyond the list no bit is ever set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Places(#[serde(deserialize_with = "bytes")] Vec<u8>);

impl Places {
    /// Returns the empty set over a list of `len` places.
    pub(super) fn none(len: usize) -> Places {
        Places(vec![0; len.div_ceil(8)])
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.0
            .get(place / 8)
            .is_some_and(|byte| byte & bit(place) != 0)
    }

    /// Takes a place; returns whether it was free. A place beyond the list is not.
    pub(super) fn take(&mut self, place: usize) -> bool {
        let Some(byte) = self.0.get_mut(place / 8) else {
            return false;
        };
        let was_free = *byte & bit(place) == 0;
        *byte |= bit(place);
        was_free
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Returns whether every place of `other` is taken here, too.
    pub(super) fn covers(&self, other: &Places) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(mine, theirs)| theirs & !mine == 0)
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Returns whether this is a set over exactly `len` places. What a peer sends may not be.
    pub(super) fn is_over(&self, len: usize) -> bool {
        let spare = self.0.len() * 8;
        self.0.len() == len.div_ceil(8) && (len..spare).all(|place| !self.has(place))
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    bounded::list(from, MEMBERS_MAX.div_ceil(8))
}

fn bit(place: usize) -> u8 {
    1 << (place % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once_and_none_lies_beyond_the_list() {
        let mut places = Places::none(9);
        assert!(places.take(8) && !places.take(8));
        assert!(!places.take(16));
        assert_eq!(
            (places.has(8), places.has(7), places.count()),
            (true, false, 1)
        );
        assert!(places.is_over(9) && !places.is_over(8) && !places.is_over(17));
        let mut wide = Places::none(16);
        wide.take(12);
        assert!(!wide.is_over(9), "a bit beyond the list is set");
    }

    #[test]
    fn a_set_covers_its_parts_only() {
        let (mut all, mut part) = (Places::none(3), Places::none(3));
        all.take(0);
        all.take(2);
        part.take(2);
        assert!(all.covers(&part) && !part.covers(&all));
        all.clear();
        assert_eq!(all, Places::none(3));
    }
}
