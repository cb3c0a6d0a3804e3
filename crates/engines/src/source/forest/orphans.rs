//! Blocks whose parents are not known: adopted when the parents come, forgotten when there are too many.

use super::{At, Forest};
use crate::limits::{ORPHAN_TOKENS_MAX, ORPHANS_MAX};
use crate::source::block::{Mark, NONE};
use crate::source::counters::Counters;
use crate::source::names::Slot;

impl Forest {
    /// The orphans that wait for a block get their places.
    pub(super) fn adopt_waiting(&mut self, parent: Slot, counters: &mut Counters) {
        let name = self.get(parent).name;
        while let Some(orphan) = self.waiting.get(name) {
            self.unlink(orphan);
            self.adopt(orphan, At::Under(parent), counters);
            if self.get(parent).is(Mark::FREE) {
                return;
            }
        }
    }

    /// Whether a block is an orphan's own, or continues it.
    fn is_below(&self, slot: Slot, orphan: Slot) -> bool {
        let mut slot = slot;
        while slot != NONE && slot != orphan {
            slot = self.get(slot).parent;
        }
        slot == orphan
    }

    /// Gives an unlinked orphan its place, and all that continue it theirs. `false`: a limit is reached, it is gone.
    pub(super) fn adopt(&mut self, orphan: Slot, at: At, counters: &mut Counters) -> bool {
        if let At::Under(parent) = at
            && self.get(parent).is(Mark::ORPHAN)
        {
            if self.is_below(parent, orphan) {
                // An engine that lets a block continue itself knows no path: none is kept.
                let before = self.orphans;
                self.forget_tree(orphan);
                counters.forgotten_orphans += (before - self.orphans) as u64;
                return false;
            }
            let (tail, extra) = (self.get(orphan).tail().into(), self.get(orphan).extra());
            self.get_mut(orphan).set_rare(tail, extra, None);
            self.link(orphan, at);
            return true;
        }
        let mut found = vec![(orphan, at)];
        while let Some((slot, at)) = found.pop() {
            let children = self.children(slot);
            if slot != orphan {
                self.unlink(slot);
            }
            let tokens: Box<[u32]> = self.get(slot).tail().into();
            let extra = self.get(slot).extra();
            if !self.place(slot, at, &tokens, extra) {
                counters.refused_blocks += 1;
                self.forget_tree(slot);
                if slot == orphan {
                    return false;
                }
                continue;
            }
            self.get_mut(slot).unmark(Mark::ORPHAN);
            self.orphans -= 1;
            self.orphan_tokens -= tokens.len();
            counters.adopted_blocks += 1;
            self.touch(slot);
            found.extend(children.into_iter().map(|child| (child, At::Under(slot))));
        }
        true
    }

    /// Keeps the orphans within their limits. `newest` goes only with the tree that it is in.
    pub(super) fn forget_oldest_orphans(&mut self, newest: Slot, counters: &mut Counters) {
        while self.orphans > ORPHANS_MAX || self.orphan_tokens > ORPHAN_TOKENS_MAX {
            let Some((slot, name)) = self.waiting_since.pop_front() else {
                return;
            };
            let block = self.get(slot);
            if block.is(Mark::FREE) || block.missing() != Some(name) {
                continue;
            }
            let before = self.orphans;
            self.unlink(slot);
            self.forget_tree(slot);
            counters.forgotten_orphans += (before - self.orphans) as u64;
            if self.get(newest).is(Mark::FREE) {
                return;
            }
        }
        // Entries of orphans that are gone do not pile up.
        if self.waiting_since.len() > 2 * ORPHANS_MAX {
            let mut since = std::mem::take(&mut self.waiting_since);
            since.retain(|&(slot, name)| {
                !self.get(slot).is(Mark::FREE) && self.get(slot).missing() == Some(name)
            });
            self.waiting_since = since;
        }
    }

    /// Frees an unlinked tree that nobody was told of.
    pub(super) fn forget_tree(&mut self, root: Slot) {
        let mut found = vec![root];
        while let Some(slot) = found.pop() {
            found.extend(self.children(slot));
            let (name, len) = (self.get(slot).name, self.get(slot).len as usize);
            if self.get(slot).is(Mark::ORPHAN) {
                self.orphans -= 1;
                self.orphan_tokens -= len;
            }
            self.names.remove(name, slot);
            self.release(slot);
        }
    }
}
