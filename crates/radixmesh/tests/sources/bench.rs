//! A long run, for its figures: `cargo test --release -p radixmesh --test sources -- --ignored --nocapture`.

use std::time::Instant;

use crate::loss::play;
use crate::publisher::Framing;
use radixmesh::engines::event::encode::Dialect;

#[tokio::test]
#[ignore = "minutes long; prints figures"]
async fn ten_thousand_batches_of_every_era() {
    for (dialect, framing) in [
        (Dialect::VLLM_0_9, Framing::Old),
        (Dialect::VLLM_0_22, Framing::New),
        (Dialect::VLLM_0_32, Framing::Old),
        (Dialect::SGLANG_0_5_23, Framing::New),
    ] {
        let began = Instant::now();
        let report = play(dialect, framing, 10_000).await;
        println!(
            "{dialect:?}, {framing:?}: {:.1} s, {:?}",
            began.elapsed().as_secs_f64(),
            report.counters
        );
    }
}
