//! The last look: do the records, folded to where the nodes stand, hold as many copies as the nodes say?

use radixmesh::admin::api::StatusResponse;

use super::feed::Feed;
use super::replay::Replay;

/// Folds the records and compares the copies of every log with what every node reports. The nodes agree already.
///
/// Returns what differs, in words.
pub(crate) fn audit<F: Feed>(feeds: Vec<F>, statuses: &[StatusResponse]) -> Vec<String> {
    let Some(first) = statuses.first() else {
        return Vec::new();
    };
    let mut vector = vec![(0, 0); feeds.len()];
    for origin in &first.origins {
        if let Some(at) = vector.get_mut(usize::from(origin.rank)) {
            *at = (origin.incarnation, origin.seq);
        }
    }
    let mut replay = Replay::new(feeds);
    if let Err(stop) = replay.advance(&vector) {
        return vec![format!(
            "the records cannot be folded to where the nodes stand: {stop}"
        )];
    }
    let mut differences = Vec::new();
    for status in statuses {
        for (rank, log) in replay.logs() {
            let origin = status
                .origins
                .iter()
                .find(|origin| usize::from(origin.rank) == rank);
            let (said, live) = (origin.map_or(0, |origin| origin.copies), log.live());
            if said != live {
                let node = status.rank;
                differences.push(format!(
                    "rank {node} has {said} copies of rank {rank}, its record says {live}"
                ));
            }
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use radixmesh::admin::api::{IndexStatus, OriginStatus};

    use super::super::replay::tests::{Held, stored};
    use super::*;

    fn status(seq: u64, copies: u64) -> StatusResponse {
        let origin = OriginStatus {
            rank: 0,
            incarnation: 7,
            seq,
            copies,
            chain_digest: 0,
            set_digest: 0,
        };
        StatusResponse {
            cluster: String::new(),
            rank: 1,
            role: String::new(),
            incarnation: 1,
            version: String::new(),
            ready: true,
            uptime_ms: 0,
            page_size: 16,
            members: Vec::new(),
            origins: vec![origin],
            memory_bytes: 0,
            index: IndexStatus::default(),
            security: Default::default(),
            counters: Default::default(),
            ..StatusResponse::default()
        }
    }

    #[test]
    fn a_node_with_another_number_of_copies_is_found() {
        let check = |status: StatusResponse| {
            let entries = vec![stored(7, 1, &[1, 2]), stored(7, 2, &[1])];
            audit(vec![Held { entries, at: 0 }], &[status])
        };
        assert_eq!(check(status(2, 3)), [""; 0]);
        assert_eq!(
            check(status(2, 2)),
            ["rank 1 has 2 copies of rank 0, its record says 3"]
        );
        assert_eq!(check(status(3, 3)).len(), 1, "an op that no record holds");
    }
}
