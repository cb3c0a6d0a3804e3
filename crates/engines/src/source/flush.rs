//! From the blocks that changed in a batch to the pages that changed.

use crate::source::block::Mark;
use crate::source::forest::Forest;
use crate::source::names::Slot;
use crate::source::pages::Change;

impl Forest {
    /// Tells what changed since the last flush, and forgets what is dead.
    pub(crate) fn flush(&mut self, tell: impl FnMut(Change)) {
        let touched = std::mem::take(&mut self.touched);
        for slot in self.changed(&touched) {
            self.get_mut(slot).unmark(Mark::QUEUED);
            self.hold(slot);
        }
        self.pages.tell(tell);
        for &slot in &touched {
            self.reclaim(slot);
        }
    }

    /// The blocks whose pages may be held otherwise than before. Each block is looked at once.
    fn changed(&mut self, touched: &[Slot]) -> Vec<Slot> {
        let mut changed = Vec::with_capacity(touched.len());
        let (mut below, mut seen) = (Vec::new(), Vec::new());
        for &slot in touched {
            // A slot that was freed since stands here, too, and one that was used again twice.
            if !self.get(slot).is(Mark::TOUCHED) || self.get(slot).is(Mark::ORPHAN) {
                continue;
            }
            self.queue(slot, &mut changed);
            if self.get(slot).end().is_multiple_of(self.page_size()) {
                continue;
            }
            // A page that is open at the end of this block ends in those that continue it.
            self.list_children(slot, &mut below);
            while let Some(slot) = below.pop() {
                let block = self.get_mut(slot);
                if block.is(Mark::TOUCHED) || block.is(Mark::SEEN) {
                    continue;
                }
                block.mark(Mark::SEEN);
                seen.push(slot);
                if !self.queue(slot, &mut changed) {
                    self.list_children(slot, &mut below);
                }
            }
        }
        for &slot in touched {
            self.get_mut(slot).unmark(Mark::TOUCHED);
        }
        for slot in seen {
            self.get_mut(slot).unmark(Mark::SEEN);
        }
        changed
    }

    /// Queues a block in which pages end; whether it is one.
    fn queue(&mut self, slot: Slot, changed: &mut Vec<Slot>) -> bool {
        let block = self.get_mut(slot);
        if block.pages == 0 {
            return false;
        }
        if !block.is(Mark::QUEUED) {
            block.mark(Mark::QUEUED);
            changed.push(slot);
        }
        true
    }
}
