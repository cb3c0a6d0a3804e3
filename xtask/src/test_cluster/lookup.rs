//! One answer of a router, and whether it is what the logs say. When to ask that is the [`checker`](super::checker)'s
//! business.

use std::sync::Arc;

use radix_core::id::Tier;
use radixmesh::admin::api::{HolderMatch, Position, RouteResponse};

use super::chain::Key;
use super::feed::Feed;
use super::replay::{Replay, Vector};

/// An answered request.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// Who answered.
    pub(crate) router: u16,
    /// Of the request.
    pub(crate) number: u64,
    /// The prompt: the prefix that ends with each of its pages.
    pub(crate) path: Arc<[Key]>,
    /// What was answered.
    pub(crate) answer: Answer,
}

/// What a lookup claims.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Whole pages of the prompt.
    pub(crate) pages: u32,
    /// Who holds how much.
    pub(crate) holders: Vec<HolderMatch>,
    /// When.
    pub(crate) version: Vec<Position>,
    /// The chosen nodes and how much each is said to hold.
    pub(crate) chosen: Vec<(u16, u32)>,
}

impl From<&RouteResponse> for Answer {
    fn from(route: &RouteResponse) -> Self {
        let choices = [&route.prefill, &route.decode];
        Answer {
            pages: route.pages,
            holders: route.holders.clone(),
            version: route.version.clone(),
            chosen: choices
                .into_iter()
                .flatten()
                .map(|choice| (choice.rank, choice.matched_pages))
                .collect(),
        }
    }
}

/// Brings a version vector into the order of ranks.
///
/// Errors: it names a rank twice, or one that is none.
pub(crate) fn vector(version: &[Position], ranks: usize) -> Result<Vector, String> {
    let mut vector = vec![(0, 0); ranks];
    for at in version {
        match vector.get_mut(usize::from(at.rank)) {
            Some(entry) if *entry == (0, 0) => *entry = (at.incarnation, at.seq),
            Some(_) => return Err(format!("the vector names rank {} twice", at.rank)),
            None => {
                return Err(format!(
                    "the vector names rank {}, there are {ranks}",
                    at.rank
                ));
            }
        }
    }
    Ok(vector)
}

/// Compares one answer with the model at its vector.
///
/// Errors: the first difference, in words.
pub(crate) fn compare<F: Feed>(replay: &Replay<F>, lookup: &Lookup) -> Result<(), String> {
    let answer = &lookup.answer;
    if answer.pages as usize != lookup.path.len() {
        return Err(format!(
            "the prompt has {} pages, not {}",
            lookup.path.len(),
            answer.pages
        ));
    }
    let is_lost = |rank: u16| replay.lost.get(usize::from(rank)).copied().unwrap_or(false);
    let said = answer.holders.iter().filter(|holder| !is_lost(holder.rank));
    let mut said: Vec<_> = said
        .map(|holder| {
            (
                (holder.rank, holder.source),
                [holder.device_pages, holder.host_pages, holder.pages],
            )
        })
        .collect();
    said.sort_unstable();
    let mut expected = Vec::new();
    for (rank, log) in replay.logs() {
        let rank = u16::try_from(rank).expect("ranks are 16 bits wide");
        if is_lost(rank) {
            continue;
        }
        for source in log.sources() {
            let depths = log.depths(source, &lookup.path);
            if depths[Tier::Disk as usize] > 0 {
                expected.push(((rank, source), depths));
            }
        }
    }
    if said != expected {
        return Err(format!(
            "holders (rank, source) [device, host, any]: the answer says {said:?}, the logs say {expected:?}"
        ));
    }
    for &(rank, matched) in &answer.chosen {
        let held = answer
            .holders
            .iter()
            .filter(|holder| holder.rank == rank)
            .map(|holder| holder.pages)
            .max();
        if matched != held.unwrap_or(0) {
            return Err(format!(
                "chose rank {rank} for {matched} pages, which holds {}",
                held.unwrap_or(0)
            ));
        }
    }
    Ok(())
}
