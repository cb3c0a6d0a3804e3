//! The heap that an index takes: filled, and after everything was removed.

use super::{Part, ops};
use crate::heap::live_bytes;
use crate::metric::Metric;
use crate::peer::Peer;
use crate::stream::{Stream, pages};
use crate::watch::Watch;

/// Ops handed over at a time: a queue in front of the index stays small.
const OPS_AT_A_TIME: usize = 256;

/// Measures what is allocated over the empty process, without the ops, which are cloned for the index and gone when
/// it returns.
pub(super) fn run<P: Peer>(watch: &Watch, stream: &Stream, workers: u16) {
    let mut publisher = P::Publisher::default();
    let fill = ops::<P>(&mut publisher, &stream.fill);
    let drain = ops::<P>(&mut publisher, &stream.drain_tail);
    drop(publisher);

    let before = live_bytes();
    let mut peer = P::new(workers);
    watch.set(Metric::BytesEmpty, (live_bytes() - before) as f64 / 1024.0);
    let mut apply = |ops: &[P::Op]| {
        watch.phase(Part::Bytes.metrics(), || {
            for ops in ops.chunks(OPS_AT_A_TIME) {
                peer.apply(ops.to_vec(), &|| ());
            }
            peer.settle();
        });
        (live_bytes() - before) as f64
    };
    let full = apply(&fill);
    let memberships = pages(&stream.drain_tail).max(1) as f64;
    watch.set(Metric::Bytes, full / memberships);
    let left = apply(&drain);
    watch.set(Metric::BytesLeft, 100.0 * left / full.max(1.0));
}
