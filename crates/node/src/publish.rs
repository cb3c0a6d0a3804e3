//! From what an engine says to the ops that say it: finds out which pages are new, what they continue
//! and which copies a drop means. Wire cost follows the *new* pages, never the whole prefix.

use oplog::limits::{OP_PAGES_MAX, OP_RANGES_MAX};
use oplog::{Insert, Op, Pages, Parent, Replica};
use radix_core::id::{CopyRange, Holder, Namespace, Seq, SourceId, Tier};
use radix_core::mutation::{self, Mutation};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;
use radix_core::{Index, PathCopies};

use crate::input::{PATH_PAGES_MAX, Publish, PublishError, Receipt, StoredRun};

/// Appends the ops of one publish to the own log.
pub(crate) fn publish(
    replica: &mut Replica<Index>,
    now: Timestamp,
    publish: &Publish,
) -> Result<Receipt, PublishError> {
    let before = replica.state().copies(replica.me().rank);
    let mut stored = Vec::new();
    let mut already_held = 0;
    match publish {
        Publish::Store {
            source,
            namespace,
            tier,
            pages,
            from,
            renew,
        } => {
            check_path(pages, *from)?;
            let mut store = Store {
                replica,
                now,
                source: *source,
                namespace: *namespace,
                tier: *tier,
                pages,
            };
            already_held = store.run(*from, *renew, &mut stored)?;
        }
        Publish::Evict {
            source,
            namespace,
            pages,
            from,
        } => {
            check_path(pages, *from)?;
            let holder = Holder {
                rank: replica.me().rank,
                source: *source,
            };
            let mut held = Vec::new();
            replica
                .state()
                .copies_on_path(holder, *namespace, pages, &mut held);
            let copies: Vec<CopyRange> = held
                .iter()
                .filter_map(|run| from_page(run, *from))
                .skip(usize::from(mutation::is_on(Mutation::EvictForgets)))
                .collect();
            remove(replica, now, &copies)?;
        }
        Publish::Drop { copies } => remove(replica, now, copies)?,
        Publish::Reset { source } => {
            replica.publish(now, Op::ResetSource { source: *source })?;
        }
    }
    let born: u64 = stored
        .iter()
        .map(|run: &StoredRun| u64::from(run.len))
        .sum();
    let origin = replica.me();
    let (_, seq) = replica.state().position(origin.rank).unwrap_or_default();
    let removed = (before + born).saturating_sub(replica.state().copies(origin.rank));
    Ok(Receipt {
        origin,
        seq,
        stored,
        already_held,
        removed,
    })
}

/// Checks the shape of a published path without looking at the tree.
///
/// Errors: [`PublishError::EmptyPath`], [`PublishError::PathTooLong`], [`PublishError::FromBeyondPath`].
pub fn check_path(pages: &[Fingerprint], from: u32) -> Result<(), PublishError> {
    if pages.is_empty() {
        return Err(PublishError::EmptyPath);
    }
    if pages.len() > PATH_PAGES_MAX {
        return Err(PublishError::PathTooLong { pages: pages.len() });
    }
    if from as usize >= pages.len() {
        return Err(PublishError::FromBeyondPath {
            from,
            pages: pages.len(),
        });
    }
    Ok(())
}

fn remove(
    replica: &mut Replica<Index>,
    now: Timestamp,
    copies: &[CopyRange],
) -> Result<(), PublishError> {
    for ranges in copies.chunks(OP_RANGES_MAX) {
        replica.publish(
            now,
            Op::Remove {
                copies: ranges.to_vec(),
            },
        )?;
    }
    Ok(())
}

/// The part of a run at and behind page `from` of the path.
fn from_page(run: &PathCopies, from: u32) -> Option<CopyRange> {
    let skip = from.saturating_sub(run.page);
    (skip < run.len).then(|| CopyRange {
        seq: run.seq,
        idx: run.idx + index(skip),
        len: index(run.len - skip),
    })
}

fn index(pages: u32) -> u16 {
    u16::try_from(pages).expect("a run of one op holds at most OP_PAGES_MAX pages")
}

struct Store<'a> {
    replica: &'a mut Replica<Index>,
    now: Timestamp,
    source: SourceId,
    namespace: Namespace,
    tier: Tier,
    pages: &'a [Fingerprint],
}

impl Store<'_> {
    /// Publishes what is new of `pages[from..]`; returns how many of them were held already.
    fn run(
        &mut self,
        from: u32,
        renew: bool,
        stored: &mut Vec<StoredRun>,
    ) -> Result<u32, PublishError> {
        let holder = Holder {
            rank: self.replica.me().rank,
            source: self.source,
        };
        let mut held = Vec::new();
        self.replica
            .state()
            .copies_on_path(holder, self.namespace, self.pages, &mut held);
        if renew {
            let stale: Vec<CopyRange> = held
                .iter()
                .filter(|run| run.tier == self.tier)
                .filter_map(|run| from_page(run, from))
                .collect();
            if !stale.is_empty() {
                remove(self.replica, self.now, &stale)?;
                held.clear();
                self.replica
                    .state()
                    .copies_on_path(holder, self.namespace, self.pages, &mut held);
            }
        }
        let end = u32::try_from(self.pages.len()).expect("bounded by PATH_PAGES_MAX");
        let mut same_tier: Vec<PathCopies> = held
            .iter()
            .filter(|run| run.tier == self.tier)
            .copied()
            .collect();
        same_tier.sort_by_key(|run| run.page);
        let mut already_held = 0;
        let mut page = from;
        for run in &same_tier {
            let run_end = run.page + run.len;
            if run_end <= page {
                continue;
            }
            if run.page > page {
                self.gap(page, run.page, &held, stored)?;
                page = run.page;
            }
            already_held += run_end - page;
            page = run_end;
        }
        if page < end {
            self.gap(page, end, &held, stored)?;
        }
        Ok(already_held)
    }

    /// Publishes `pages[start..end]`, none of which is held at this tier.
    fn gap(
        &mut self,
        start: u32,
        end: u32,
        held: &[PathCopies],
        stored: &mut Vec<StoredRun>,
    ) -> Result<(), PublishError> {
        let mut page = start;
        while page < end {
            let len = (end - page).min(OP_PAGES_MAX as u32);
            let parent = self.parent(page, held, stored);
            let pages = Pages(self.pages[page as usize..(page + len) as usize].to_vec());
            let op = Op::Insert(Insert {
                source: self.source,
                tier: self.tier,
                parent,
                pages,
            });
            let seq = self.replica.publish(self.now, op)?;
            stored.push(StoredRun {
                page,
                len,
                seq,
                idx: 0,
            });
            page += len;
        }
        Ok(())
    }

    /// What page `page` continues: the root, a copy this source holds of the page before, or the spelled-out path.
    fn parent(&self, page: u32, held: &[PathCopies], stored: &[StoredRun]) -> Parent {
        let Some(last) = page.checked_sub(1) else {
            return Parent::Root(self.namespace);
        };
        let at = |first: u32, len: u32, seq: Seq, idx: u16| {
            (first..first + len).contains(&last).then(|| Parent::Copy {
                seq,
                idx: idx + index(last - first),
            })
        };
        let new = stored
            .iter()
            .rev()
            .find_map(|run| at(run.page, run.len, run.seq, run.idx));
        new.or_else(|| {
            held.iter()
                .find_map(|run| at(run.page, run.len, run.seq, run.idx))
        })
        .unwrap_or_else(|| Parent::Path {
            namespace: self.namespace,
            pages: Pages(self.pages[..page as usize].to_vec()),
        })
    }
}
