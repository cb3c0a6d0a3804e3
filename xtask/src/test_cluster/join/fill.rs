//! Makes pages: chats of one page behind one of some prompts, so that the tree has the shape of a fleet's, and so many
//! ops that no log reaches back to its first: who joins needs snapshots.

use anyhow::ensure;
use radixmeshd::client::Client;
use radixmeshd::cluster::Cluster;
use tokio::task::JoinSet;

use super::super::options::Options;
use super::super::requests::push_list;

/// Pages of a prompt that many chats begin with.
const PROMPT_PAGES: u32 = 16;
/// Pages that a chat adds to its prompt: as few as can be, so that there are many ops.
const CHAT_PAGES: u32 = 1;
/// Chats behind one prompt.
const CHATS: u64 = 500;
/// Chats of one request.
const CHATS_PER_REQUEST: u64 = 512;
/// Token ids are below this.
const VOCABULARY: u32 = 128_000;

/// Lets the engine nodes publish that many pages in all.
///
/// Errors: the first publish that was refused or not answered.
pub(super) async fn fill(cluster: &Cluster, options: &Options, pages: u64) -> anyhow::Result<()> {
    let engines = u64::from(options.engines());
    let chats = pages.div_ceil(u64::from(CHAT_PAGES) * engines);
    eprintln!("{engines} nodes publish {chats} chats each");
    let mut streams = JoinSet::new();
    for rank in 0..options.engines() {
        let client = cluster.client(rank).clone();
        let random = fastrand::Rng::with_seed(options.seed << 16 ^ u64::from(rank));
        let page = u32::from(options.page_size());
        streams.spawn(stream(client, random, page, chats));
    }
    while let Some(done) = streams.join_next().await {
        done.expect("a publisher does not panic and is not cancelled")?;
    }
    Ok(())
}

async fn stream(
    client: Client,
    mut random: fastrand::Rng,
    page: u32,
    chats: u64,
) -> anyhow::Result<()> {
    let mut prompt = Vec::new();
    let mut done = 0;
    while done < chats {
        let count = CHATS_PER_REQUEST.min(chats - done);
        let mut body = String::from("{\"items\":[");
        for number in done..done + count {
            if number % CHATS == 0 {
                prompt = tokens(&mut random, PROMPT_PAGES * page);
            }
            if number > done {
                body.push(',');
            }
            let mut all = prompt.clone();
            all.extend(tokens(&mut random, CHAT_PAGES * page));
            body.push_str("{\"tokens\":");
            push_list(&mut body, &all);
            body.push('}');
        }
        body.push_str("]}");
        let (status, text) = client.raw("/publish", "application/json", body).await?;
        ensure!(status == 200, "a publish was refused ({status}): {text}");
        done += count;
    }
    Ok(())
}

fn tokens(random: &mut fastrand::Rng, count: u32) -> Vec<u32> {
    (0..count).map(|_| random.u32(..VOCABULARY)).collect()
}
