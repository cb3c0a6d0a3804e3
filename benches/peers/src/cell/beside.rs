//! A reader and a writer at once, on a thread each. The index is half filled before; the writer brings the other half.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::speed::nanos;
use super::{Part, ops, quantile};
use crate::metric::Metric;
use crate::peer::{Peer, Reader, SharedReader};
use crate::stream::{Stream, pages};
use crate::watch::Watch;

/// How often the second half is brought to a fresh index at most, and for how long, to have enough to look at.
const REPEATS_MAX: usize = 4;
const WRITING: Duration = Duration::from_millis(500);
/// How long the reader asks without a writer.
const ALONE: Duration = Duration::from_millis(300);
const SHUFFLE_SEED: u64 = 13;

/// Measures both sides, and the reader by itself on the state in the end.
pub(super) fn run<P: Peer<Reader: SharedReader>>(watch: &Watch, stream: &Stream, workers: u16) {
    let mut order: Vec<&[u64]> = stream.queries.iter().map(Vec::as_slice).collect();
    Rng::with_seed(SHUFFLE_SEED).shuffle(&mut order);
    let mut queries: Vec<<P::Reader as Reader>::Query> =
        order.iter().map(|pages| P::Reader::query(pages)).collect();
    let (first, second) = stream.fill.split_at(stream.fill.len() / 2);
    let mut depths = vec![0; usize::from(workers)];
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    let mut cpu = Duration::ZERO;
    let mut repeats = 0;
    while alone.is_empty() {
        let mut publisher = P::Publisher::default();
        let first = ops::<P>(&mut publisher, first);
        let second = ops::<P>(&mut publisher, second);
        drop(publisher);
        let mut peer = P::new(workers);
        watch.phase(Part::Beside.metrics(), || peer.apply(first, &|| ()));
        let mut reader = peer.reader();
        let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let applied = watch.phase(Part::Beside.metrics(), || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !begun.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                    let more = || !ended.load(Ordering::Acquire);
                    ask(&mut reader, &mut queries, &mut depths, more, &mut beside);
                });
                let applied = peer.apply(second, &|| begun.store(true, Ordering::Release));
                ended.store(true, Ordering::Release);
                applied
            })
        });
        cpu += applied.cpu;
        repeats += 1;
        if repeats == REPEATS_MAX || cpu > WRITING {
            let end = Instant::now() + ALONE;
            let more = || Instant::now() < end;
            ask(&mut reader, &mut queries, &mut depths, more, &mut alone);
        }
    }
    let written = (pages(second) * repeats) as f64;
    watch.set(
        Metric::BesideWriter,
        written / cpu.as_secs_f64().max(f64::MIN_POSITIVE) / 1e6,
    );
    let (beside_p99, alone_p99) = (quantile(&mut beside, 0.99), quantile(&mut alone, 0.99));
    watch.set(Metric::BesideP50, quantile(&mut beside, 0.50));
    watch.set(Metric::BesideP99, beside_p99);
    watch.set(Metric::AloneP99, alone_p99);
    watch.set(Metric::BesideByAlone, beside_p99 / alone_p99.max(1.0));
}

/// Asks in turn while there is `more`, and notes how long each question took.
fn ask<R: SharedReader>(
    reader: &mut R,
    queries: &mut [R::Query],
    depths: &mut [u32],
    more: impl Fn() -> bool,
    times: &mut Vec<u32>,
) {
    while more() {
        for query in queries.iter_mut().take_while(|_| more()) {
            let begin = Instant::now();
            reader.ask(query, depths);
            black_box(&mut *depths);
            times.push(nanos(begin.elapsed()));
        }
    }
}
