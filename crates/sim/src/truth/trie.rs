//! Every path that was ever stored, as plain as it can be: one node per page, nothing ever removed.

use radix_core::id::Namespace;
use radix_core::page::Fingerprint;
use rustc_hash::FxHashMap;

/// A page at its place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PlaceId(u32);

/// A copy that lies at a place, by its log and its number in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    pub(crate) rank: u16,
    pub(crate) life: u32,
    pub(crate) copy: u32,
}

#[derive(Debug)]
struct Place {
    namespace: Namespace,
    parent: Option<PlaceId>,
    fingerprint: Fingerprint,
    /// From the root, counted from 0.
    depth: u32,
    residents: Vec<Resident>,
}

#[derive(Debug, Default)]
pub(crate) struct Trie {
    places: Vec<Place>,
    children: FxHashMap<(Namespace, Option<PlaceId>, Fingerprint), PlaceId>,
}

impl Trie {
    /// Finds or makes the place of a page behind `parent`.
    pub(crate) fn enter(
        &mut self,
        namespace: Namespace,
        parent: Option<PlaceId>,
        fingerprint: Fingerprint,
    ) -> PlaceId {
        if let Some(place) = self.find(namespace, parent, fingerprint) {
            return place;
        }
        let id = PlaceId(u32::try_from(self.places.len()).expect("a run stores far fewer pages"));
        let depth = parent.map_or(0, |parent| self.place(parent).depth + 1);
        self.places.push(Place {
            namespace,
            parent,
            fingerprint,
            depth,
            residents: Vec::new(),
        });
        self.children.insert((namespace, parent, fingerprint), id);
        id
    }

    pub(crate) fn find(
        &self,
        namespace: Namespace,
        parent: Option<PlaceId>,
        fingerprint: Fingerprint,
    ) -> Option<PlaceId> {
        self.children
            .get(&(namespace, parent, fingerprint))
            .copied()
    }

    pub(crate) fn settle(&mut self, place: PlaceId, resident: Resident) {
        self.places[place.0 as usize].residents.push(resident);
    }

    pub(crate) fn residents(&self, place: PlaceId) -> &[Resident] {
        &self.place(place).residents
    }

    pub(crate) fn namespace(&self, place: PlaceId) -> Namespace {
        self.place(place).namespace
    }

    pub(crate) fn fingerprint(&self, place: PlaceId) -> Fingerprint {
        self.place(place).fingerprint
    }

    pub(crate) fn depth(&self, place: PlaceId) -> u32 {
        self.place(place).depth
    }

    /// Returns how many places there are; their ids are 0 .. that.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the pages from the root to the `index`-th place.
    pub(crate) fn path(&self, index: usize) -> (Namespace, Vec<Fingerprint>) {
        let mut place = &self.places[index];
        let mut pages = vec![place.fingerprint];
        while let Some(parent) = place.parent {
            place = self.place(parent);
            pages.push(place.fingerprint);
        }
        pages.reverse();
        (place.namespace, pages)
    }

    fn place(&self, id: PlaceId) -> &Place {
        &self.places[id.0 as usize]
    }
}
