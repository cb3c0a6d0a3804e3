//! Numbers at the ends of their ranges.

use crate::*;

#[test]
fn numbers_at_the_edge_are_refused_without_harm() {
    let mut node = receiver();
    let wild = [0, 1, 1 << 62, (1 << 62) + 1, u64::MAX];
    for inc in wild {
        for seq in wild {
            for rank in [1, 9] {
                let log = origin(rank, inc);
                for message in [
                    Message::Batch(batch(log, seq, &ops(2))),
                    offer(rank, inc, seq, 0),
                    Message::Pull {
                        origin: log,
                        from: Seq(seq),
                    },
                    Message::PullEnd {
                        origin: log,
                        last: Seq(seq),
                        have: Seq(seq),
                    },
                    Message::SnapshotMore {
                        session: inc,
                        next: seq as u32,
                    },
                ] {
                    node.handle(0, 3, message);
                }
            }
        }
    }
    for at in 0..200 {
        node.tick(at * 1_000);
    }
}
