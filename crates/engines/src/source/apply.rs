//! What the events of a batch do.

use radix_core::id::Tier;

use crate::event::{Attention, Batch, Event, EventError, Group, Moved, Place, Removed, Stored};
use crate::limits::GROUPS_MAX;
use crate::source::Source;
use crate::source::forest::Counting;
use crate::source::output::{Cause, Command, Output};
use crate::source::pages::Change;
use crate::source::scope::namespace;

impl Source {
    /// Takes in one batch, event by event, and tells what it changed.
    pub(crate) fn batch(&mut self, payload: &[u8], out: &mut Vec<Output>) {
        self.counters.batches += 1;
        self.counters.bytes += payload.len() as u64;
        let Ok(mut batch) = Batch::open(payload) else {
            // What it took away is not known, so nothing that was claimed can be believed.
            self.counters.malformed_batches += 1;
            self.lose(Cause::Unreadable, out);
            return;
        };
        for event in batch.by_ref() {
            match event {
                Ok(event) => self.event(&event, out),
                Err(error) => self.unread(error),
            }
        }
        let skipped = batch.skipped();
        self.counters.unknown_fields += skipped.unknown_fields;
        self.counters.odd_fields += skipped.odd_fields;
        self.flush(out);
    }

    pub(crate) fn unread(&mut self, error: EventError) {
        match error {
            EventError::UnknownKind => self.counters.unknown_events += 1,
            EventError::BadStored => self.counters.malformed_events += 1,
            EventError::NoKind | EventError::BadRemoved | EventError::Truncated => {
                // spec: EVENTS-5
                self.counters.malformed_events += 1;
                self.degraded = true;
                self.cause = Cause::Unreadable;
            }
        }
    }

    pub(crate) fn event(&mut self, event: &Event, out: &mut Vec<Output>) {
        self.counters.events += 1;
        match event {
            Event::Stored(stored) => self.stored(stored, out),
            Event::Removed(removed) => self.removed(removed, out),
            Event::Moved(moved) => self.moved(moved, out),
            Event::Created(group) => {
                self.widest(*group, out);
            }
            Event::Cleared => {
                // spec: EVENTS-7
                self.counters.clears += 1;
                self.forget(out);
                self.cause = Cause::Cleared;
            }
        }
    }

    fn stored(&mut self, stored: &Stored, out: &mut Vec<Output>) {
        let full = match stored.group.attention {
            Attention::Full => true,
            Attention::Partial => false,
            Attention::Unsaid => stored.group.index == 0,
        };
        let group = full.then(|| self.group(stored.group, out)).flatten();
        let Some(group) = group else {
            self.counters.partial_attention += 1;
            return;
        };
        let tier = match stored.place {
            Place::In(tier) => tier,
            Place::Anywhere => Tier::Device,
            Place::Elsewhere => {
                self.counters.elsewhere += 1;
                return;
            }
        };
        let root = match (&stored.lora, &stored.salt) {
            (None, None) => self.plain,
            (lora, salt) => namespace(
                self.config.key,
                &self.config.namespace,
                lora.as_ref(),
                salt.as_deref(),
            ),
        };
        let counting = Counting {
            group,
            tier,
            loose: self.degraded,
        };
        let refused = self.counters.refused_blocks;
        (self.forest).store(stored, root, counting, &mut self.counters);
        if self.counters.refused_blocks > refused {
            self.degraded = true;
            self.cause = Cause::Full;
        }
    }

    fn removed(&mut self, removed: &Removed, out: &mut Vec<Output>) {
        let tier = match removed.place {
            Place::In(tier) => Some(tier),
            Place::Anywhere => None,
            Place::Elsewhere => {
                self.counters.elsewhere += 1;
                return;
            }
        };
        // Which layers a group has is told when it stores only; a group that stored nothing has nothing to lose.
        let Some(group) = self.group(removed.group, out) else {
            self.counters.partial_attention += 1;
            return;
        };
        for &name in &removed.hashes {
            (self.forest).remove(name, group, tier, &mut self.counters);
        }
    }

    fn moved(&mut self, moved: &Moved, out: &mut Vec<Output>) {
        let Some(group) = self.group(moved.group, out) else {
            self.counters.partial_attention += 1;
            return;
        };
        let tier = |place| match place {
            Place::In(tier) => Some(tier),
            Place::Anywhere | Place::Elsewhere => None,
        };
        let (from, to) = (tier(moved.from), tier(moved.to));
        (self.forest).shift(moved.hash, group, from, to, &mut self.counters);
    }

    /// The number of a group whose blocks count here.
    fn group(&mut self, group: Group, out: &mut Vec<Output>) -> Option<u8> {
        if !self.widest(group, out) || group.index >= GROUPS_MAX {
            return None;
        }
        u8::try_from(group.index).ok()
    }

    /// Whether a group has the widest attention window seen. Blocks of narrower ones that were taken in before a wider one
    /// showed itself are dropped.
    fn widest(&mut self, group: Group, out: &mut Vec<Output>) -> bool {
        let Some(window) = group.window else {
            return true;
        };
        if window > self.window_max {
            if self.window_max > 0 && self.forest.len() > 0 {
                self.drop_blocks(out);
            }
            self.window_max = window;
        }
        window == self.window_max
    }

    /// Tells what changed since it was last told.
    pub(crate) fn flush(&mut self, out: &mut Vec<Output>) {
        let source = self.config.source;
        let claimed = &mut self.claimed;
        self.forest.flush(|change| {
            out.push(Output::Publish(match change {
                Change::Evict(path) => Command::Evict {
                    source,
                    namespace: path.namespace,
                    pages: path.pages,
                    from: path.from,
                },
                Change::Store(tier, path) => {
                    *claimed = true;
                    Command::Store {
                        source,
                        namespace: path.namespace,
                        tier,
                        pages: path.pages,
                        from: path.from,
                    }
                }
            }));
        });
    }

    /// What is remembered is of the publisher's present life: from now on it is told.
    pub(crate) fn prove(&mut self, out: &mut Vec<Output>) {
        if !self.proved {
            self.proved = true;
            self.flush(out);
        }
    }

    fn reset(&mut self, out: &mut Vec<Output>) {
        if std::mem::take(&mut self.claimed) {
            out.push(Output::Publish(Command::Reset {
                source: self.config.source,
            }));
        }
    }

    fn drop_blocks(&mut self, out: &mut Vec<Output>) {
        self.forest.forget();
        self.reset(out);
    }

    /// The engine holds nothing, and nothing is missing any more.
    pub(crate) fn forget(&mut self, out: &mut Vec<Output>) {
        self.drop_blocks(out);
        self.degraded = false;
        self.proved = true;
    }

    /// What the engine holds is not known any more: nothing is claimed, and names are kept.
    pub(crate) fn lose(&mut self, cause: Cause, out: &mut Vec<Output>) {
        self.forest.unclaim();
        self.reset(out);
        self.degraded = true;
        self.proved = true;
        self.cause = cause;
    }
}
