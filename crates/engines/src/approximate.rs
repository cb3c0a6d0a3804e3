//! A guess at what an engine without KV events holds: the prompts that were sent to it, each for a time.
//!
//! Nothing here is the engine's word. A prompt may have been evicted long ago, or be held much longer. Where a node uses
//! this, its reports say so.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use radix_core::id::{Namespace, SourceId, Tier};
use radix_core::page::Fingerprint;
use radix_core::time::Timestamp;

use crate::source::Command;

/// The prompts sent to one engine within a time.
///
/// Cost: O(pages) for each prompt, amortised for its end. Memory: some 100 bytes a page, at most `pages_max` pages and one
/// entry for each prompt within the time, at most as many.
#[derive(Clone, Debug)]
pub struct Approximate {
    source: SourceId,
    ttl: Duration,
    pages_max: usize,
    roots: BTreeMap<Namespace, usize>,
    nodes: Vec<Node>,
    free: Vec<usize>,
    pages: usize,
    /// Prompts by when they were sent: their deepest page.
    sent: VecDeque<(Timestamp, usize, u64)>,
    /// Told apart from what was in its place before.
    births: u64,
}

/// One page behind its path, or a root.
#[derive(Clone, Debug)]
struct Node {
    above: Option<(usize, Fingerprint)>,
    namespace: Namespace,
    below: BTreeMap<Fingerprint, usize>,
    /// When a prompt with it was last sent; never before those behind it.
    seen: Timestamp,
    birth: u64,
}

impl Approximate {
    /// Returns a guess of nothing.
    ///
    /// `ttl`: how long a prompt is taken for cached. `pages_max`: beyond it the oldest go early; 0 is taken as 1.
    #[must_use]
    pub fn new(source: SourceId, ttl: Duration, pages_max: usize) -> Self {
        Approximate {
            source,
            ttl,
            pages_max: pages_max.max(1),
            roots: BTreeMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            pages: 0,
            sent: VecDeque::new(),
            births: 0,
        }
    }

    /// Takes in that a prompt was sent. Pages beyond `pages_max` are not looked at.
    pub fn observe(
        &mut self,
        now: Timestamp,
        namespace: Namespace,
        pages: &[Fingerprint],
        out: &mut Vec<Command>,
    ) {
        self.tick(now, out);
        let pages = &pages[..pages.len().min(self.pages_max)];
        if pages.is_empty() {
            return;
        }
        let mut at = match self.roots.get(&namespace) {
            Some(root) => *root,
            None => {
                let root = self.node(now, namespace, None);
                self.roots.insert(namespace, root);
                root
            }
        };
        self.nodes[at].seen = now;
        let mut known = 0;
        for page in pages {
            at = match self.nodes[at].below.get(page) {
                Some(below) => {
                    known += 1;
                    *below
                }
                None => {
                    let below = self.node(now, namespace, Some((at, *page)));
                    self.nodes[at].below.insert(*page, below);
                    self.pages += 1;
                    below
                }
            };
            self.nodes[at].seen = now;
        }
        self.sent.push_back((now, at, self.nodes[at].birth));
        if (known as usize) < pages.len() {
            out.push(Command::Store {
                source: self.source,
                namespace,
                tier: Tier::Device,
                pages: pages.to_vec(),
                from: known,
            });
        }
        while (self.pages > self.pages_max || self.sent.len() > self.pages_max)
            && self.sent.len() > 1
        {
            self.forget_oldest(None, out);
        }
    }

    /// Forgets the prompts whose time is over.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Command>) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            self.forget_oldest(Some(now), out);
        }
    }

    /// Returns when the next [`tick`](Approximate::tick) is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.sent.front().map(|(sent, ..)| sent.after(self.ttl))
    }

    /// Returns how many pages are taken for cached.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Forgets everything.
    pub fn clear(&mut self, out: &mut Vec<Command>) {
        if self.pages > 0 {
            let source = self.source;
            out.push(Command::Reset { source });
        }
        *self = Approximate::new(self.source, self.ttl, self.pages_max);
    }

    /// Forgets what only the oldest prompt had: at `now` what was not sent since, without it what nothing continues.
    fn forget_oldest(&mut self, now: Option<Timestamp>, out: &mut Vec<Command>) {
        let Some((sent, deepest, birth)) = self.sent.pop_front() else {
            return;
        };
        let is_over = |node: &Node| match now {
            Some(now) => node.seen.after(self.ttl) <= now,
            None => node.seen <= sent,
        };
        if self.nodes[deepest].birth != birth {
            return;
        }
        let (mut at, mut path, mut goes) = (deepest, Vec::new(), 0);
        while let Some((above, page)) = self.nodes[at].above {
            let node = &self.nodes[at];
            // Nothing continues it but what goes as well.
            let is_last = goes == path.len() && node.below.len() == usize::from(goes > 0);
            if is_last && is_over(node) {
                goes += 1;
            }
            path.push(page);
            at = above;
        }
        if goes == 0 {
            return;
        }
        let namespace = self.nodes[at].namespace;
        at = deepest;
        for page in &path[..goes] {
            let Some((above, _)) = self.nodes[at].above else {
                break;
            };
            self.nodes[above].below.remove(page);
            self.nodes[at].birth = 0;
            self.free.push(at);
            self.pages -= 1;
            at = above;
        }
        if self.nodes[at].above.is_none() && self.nodes[at].below.is_empty() {
            self.roots.remove(&namespace);
            self.nodes[at].birth = 0;
            self.free.push(at);
        }
        path.reverse();
        let from = path.len() - goes;
        out.push(Command::Evict {
            source: self.source,
            namespace,
            from: u32::try_from(from).unwrap_or(u32::MAX),
            pages: path,
        });
    }

    fn node(
        &mut self,
        seen: Timestamp,
        namespace: Namespace,
        above: Option<(usize, Fingerprint)>,
    ) -> usize {
        self.births += 1;
        let node = Node {
            above,
            namespace,
            below: BTreeMap::new(),
            seen,
            birth: self.births,
        };
        match self.free.pop() {
            Some(at) => {
                self.nodes[at] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    const TTL: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_millis(ms))
    }

    fn path(pages: &[u64]) -> Vec<Fingerprint> {
        pages.iter().copied().map(Fingerprint).collect()
    }

    type Held = BTreeSet<(Namespace, Vec<Fingerprint>)>;

    fn apply(held: &mut Held, commands: &[Command]) {
        for command in commands {
            match command {
                Command::Store {
                    namespace,
                    pages,
                    from,
                    ..
                } => {
                    for end in *from as usize + 1..=pages.len() {
                        assert!(held.insert((*namespace, pages[..end].to_vec())), "twice");
                    }
                }
                Command::Evict {
                    namespace,
                    pages,
                    from,
                    ..
                } => {
                    for end in *from as usize + 1..=pages.len() {
                        assert!(
                            held.remove(&(*namespace, pages[..end].to_vec())),
                            "not held"
                        );
                    }
                }
                Command::Reset { .. } => held.clear(),
            }
        }
    }

    #[test]
    fn what_two_prompts_share_lasts_as_long_as_the_later() {
        let mut guess = Approximate::new(SourceId(1), TTL, 100);
        let (mut held, mut out) = (Held::new(), Vec::new());
        guess.observe(at(0), Namespace::DEFAULT, &path(&[1, 2, 3]), &mut out);
        guess.observe(at(50), Namespace::DEFAULT, &path(&[1, 2, 4]), &mut out);
        apply(&mut held, &out);
        assert_eq!((held.len(), guess.pages()), (4, 4));
        out.clear();
        guess.tick(at(100), &mut out);
        apply(&mut held, &out);
        assert_eq!(guess.pages(), 3);
        assert!(!held.contains(&(Namespace::DEFAULT, path(&[1, 2, 3]))));
        guess.tick(at(150), &mut out);
        assert_eq!((guess.pages(), guess.next_deadline()), (0, None));
    }

    proptest! {
        #[test]
        fn it_is_what_was_sent_within_the_time(
            prompts in proptest::collection::vec(
                (0u64..60, 0u64..2, proptest::collection::vec(0u64..3, 1..6)), 1..40,
            ),
        ) {
            let mut guess = Approximate::new(SourceId(1), TTL, 1_000);
            let (mut held, mut now) = (Held::new(), 0);
            let mut sent: Vec<(u64, Namespace, Vec<Fingerprint>)> = Vec::new();
            for (wait, namespace, pages) in prompts {
                now += wait;
                let (namespace, pages) = (Namespace(namespace), path(&pages));
                let mut out = Vec::new();
                guess.observe(at(now), namespace, &pages, &mut out);
                apply(&mut held, &out);
                sent.push((now, namespace, pages));
                let recent = sent.iter().filter(|(at, ..)| at + 100 > now);
                let truth: Held = recent
                    .flat_map(|(_, namespace, pages)| {
                        (1..=pages.len()).map(|end| (*namespace, pages[..end].to_vec()))
                    })
                    .collect();
                prop_assert_eq!(&held, &truth);
                prop_assert_eq!(guess.pages(), truth.len());
            }
        }

        #[test]
        fn it_never_holds_more_than_it_may(
            prompts in proptest::collection::vec(
                (0u64..3, proptest::collection::vec(0u64..9, 1..12)), 1..60,
            ),
        ) {
            let mut guess = Approximate::new(SourceId(1), TTL, 8);
            let mut held = Held::new();
            for (at_ms, (wait, pages)) in prompts.into_iter().enumerate() {
                let mut out = Vec::new();
                let now = at(at_ms as u64 * 2 + wait);
                guess.observe(now, Namespace::DEFAULT, &path(&pages), &mut out);
                apply(&mut held, &out);
                prop_assert!(guess.pages() <= 8);
                prop_assert_eq!(guess.pages(), held.len());
            }
        }
    }
}
