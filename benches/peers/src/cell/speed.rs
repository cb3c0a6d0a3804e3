//! Filling, asking and emptying, one thing after the other in one thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Part, median, ops, quantile, rate};
use crate::clock::timed;
use crate::metric::Metric;
use crate::model::{Model, Wrong};
use crate::peer::{Peer, Reader};
use crate::stream::Stream;
use crate::watch::Watch;

/// Passes over all queries that count, and how long to add more when they are short.
const PASSES_MIN: usize = 3;
const PASSES_MAX: usize = 15;
const PASSES_TIME: Duration = Duration::from_millis(300);
const SHUFFLE_SEED: u64 = 11;

/// Measures filling, asking and removing tail first; checks the answers of the filled and of the emptied index.
pub(super) fn run<P: Peer>(watch: &Watch, stream: &Stream, workers: u16) {
    let mut publisher = P::Publisher::default();
    let fill = ops::<P>(&mut publisher, &stream.fill);
    let drain = ops::<P>(&mut publisher, &stream.drain_tail);
    drop(publisher);
    let mut peer = P::new(workers);

    let filled = watch.phase(Part::Speed.metrics(), || peer.apply(fill, &|| ()));
    watch.set(Metric::Apply, rate(&stream.fill, filled));
    let mut reader = peer.reader();
    let asked = [Metric::MatchMean, Metric::MatchP50, Metric::MatchP99];
    watch.phase(&asked, || ask(watch, &mut reader, stream, workers));

    let mut model = Model::default();
    model.apply(&stream.fill);
    let mut wrong = Wrong::default();
    let mut check = |reader: &mut P::Reader, model: &Model| {
        watch.phase(&[Metric::Wrong, Metric::Over], || {
            check(reader, model, stream, workers, &mut wrong);
        });
        watch.set(Metric::Wrong, wrong.wrong as f64);
        watch.set(Metric::Over, wrong.over as f64);
    };
    check(&mut reader, &model);

    let drained = watch.phase(&[Metric::DrainTail], || peer.apply(drain, &|| ()));
    watch.set(Metric::DrainTail, rate(&stream.drain_tail, drained));
    watch.refused(filled.refused + drained.refused);
    check(&mut reader, &Model::default());
}

/// Measures removing by hash.
pub(super) fn by_hash<P: Peer>(watch: &Watch, stream: &Stream, workers: u16) {
    let mut publisher = P::Publisher::default();
    let fill = ops::<P>(&mut publisher, &stream.fill);
    let drain = ops::<P>(&mut publisher, &stream.drain_hash);
    drop(publisher);
    let mut peer = P::new(workers);
    let filled = watch.phase(Part::Hash.metrics(), || peer.apply(fill, &|| ()));
    let drained = watch.phase(Part::Hash.metrics(), || peer.apply(drain, &|| ()));
    watch.set(Metric::DrainHash, rate(&stream.drain_hash, drained));
    watch.refused(filled.refused + drained.refused);
}

/// Asks for all prompts in shuffled order, over and over: whole passes by processor time, and as often one by one by
/// the wall clock. Queries are made anew before each pass, as some indices use them up.
fn ask<R: Reader>(watch: &Watch, reader: &mut R, stream: &Stream, workers: u16) {
    let mut order: Vec<&[u64]> = stream.queries.iter().map(Vec::as_slice).collect();
    Rng::with_seed(SHUFFLE_SEED).shuffle(&mut order);
    let fresh = || -> Vec<R::Query> { order.iter().map(|pages| R::query(pages)).collect() };
    let mut depths = vec![0; usize::from(workers)];
    let mut pass = || {
        let mut queries = fresh();
        let ((), cpu) = timed(|| {
            for query in &mut queries {
                reader.ask(query, &mut depths);
                black_box(&mut depths);
            }
        });
        let mut queries = fresh();
        let mut times = Vec::with_capacity(queries.len());
        for query in &mut queries {
            let begin = Instant::now();
            reader.ask(query, &mut depths);
            black_box(&mut depths);
            times.push(nanos(begin.elapsed()));
        }
        (cpu, times)
    };
    pass();
    let (mut means, mut p50s, mut p99s) = (Vec::new(), Vec::new(), Vec::new());
    let mut spent = Duration::ZERO;
    while means.len() < PASSES_MIN || (means.len() < PASSES_MAX && spent < PASSES_TIME) {
        let (cpu, mut times) = pass();
        spent += cpu;
        means.push(cpu.as_nanos() as f64 / order.len().max(1) as f64);
        p50s.push(quantile(&mut times, 0.50));
        p99s.push(quantile(&mut times, 0.99));
    }
    watch.set(Metric::MatchMean, median(means));
    watch.set(Metric::MatchP50, median(p50s));
    watch.set(Metric::MatchP99, median(p99s));
}

/// Compares every answer with the model's.
fn check<R: Reader>(
    reader: &mut R,
    model: &Model,
    stream: &Stream,
    workers: u16,
    wrong: &mut Wrong,
) {
    let mut answer = vec![0; usize::from(workers)];
    let mut truth = answer.clone();
    for pages in &stream.queries {
        model.depths(pages, &mut truth);
        reader.depths(&mut R::query(pages), &mut answer);
        wrong.add(&answer, &truth);
    }
}

/// Returns nanoseconds; what is longer than 4 s counts as that.
pub(super) fn nanos(time: Duration) -> u32 {
    u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::peer::{Name, with_peer};
    use crate::request::chats;
    use crate::stream::Fleet;

    const FLEET: Fleet = Fleet {
        workers: 6,
        replicas: 2,
        capacity_pages: 700,
    };

    fn wrong_answers<P: Peer>(stream: &Stream) -> u64 {
        let mut publisher = P::Publisher::default();
        let mut peer = P::new(FLEET.workers);
        let mut reader = peer.reader();
        let (mut model, mut wrong) = (Model::default(), Wrong::default());
        let all = [&stream.fill[..], &stream.drain_tail[..]].concat();
        for events in all.chunks(all.len() / 7) {
            let refused = peer.apply(ops::<P>(&mut publisher, events), &|| ()).refused;
            assert_eq!(refused, 0);
            model.apply(events);
            check(&mut reader, &model, stream, FLEET.workers, &mut wrong);
        }
        assert!(wrong.asked > 0);
        wrong.wrong
    }

    #[test]
    fn every_index_answers_as_the_model_where_paths_have_no_holes() {
        let stream = Stream::new(chats(64, 150), FLEET);
        for name in Name::value_variants() {
            let wrong = with_peer!(*name, P => wrong_answers::<P>(&stream));
            assert_eq!(wrong, 0, "{name}");
        }
    }
}
