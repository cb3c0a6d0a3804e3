//! The built-in workload: chats that share system prompts and grow turn by turn. Made from a seed alone.
//!
//! Holds no arrival times: requests come in one order, conversations interleaved, and the caller paces them.

use std::ops::RangeInclusive;

use fastrand::Rng;

use crate::trace::{mix, token};

/// What the chats look like. The default gives prompts of about 500 to 4,000 tokens.
///
/// An empty or reversed range counts as its start alone; a count of 0 as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatsConfig {
    /// Two streams of equal configuration are equal.
    pub seed: u64,
    /// How many requests the stream has.
    pub requests: usize,
    /// Conversations that are open at one time; one that ends is replaced by a new one. Default 48.
    pub conversations: usize,
    /// System prompts to choose from; the k-th is chosen with weight 1/k (Zipf). Default 12.
    pub system_prompts: usize,
    /// Length of a system prompt. Unit: tokens. Default 400 to 1,200.
    pub system_tokens: RangeInclusive<u32>,
    /// Turns of a conversation. Default 1 to 6.
    pub turns: RangeInclusive<u32>,
    /// Length of what the user says in one turn. Unit: tokens. Default 50 to 300.
    pub user_tokens: RangeInclusive<u32>,
    /// Length of an answer. Unit: tokens. Default 50 to 250.
    pub answer_tokens: RangeInclusive<u32>,
}

impl Default for ChatsConfig {
    fn default() -> Self {
        ChatsConfig {
            seed: 0,
            requests: 500,
            conversations: 48,
            system_prompts: 12,
            system_tokens: 400..=1200,
            turns: 1..=6,
            user_tokens: 50..=300,
            answer_tokens: 50..=250,
        }
    }
}

/// One request of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatRequest {
    /// Which conversation, counted from 0 in the order of their first requests' creation.
    pub conversation: u32,
    /// Which turn of it, counted from 0.
    pub turn: u32,
    /// The whole prompt: system prompt, earlier turns with their answers, and the new user turn.
    pub tokens: Vec<u32>,
    /// What the model answers. The next turn's prompt begins with `tokens` and `answer`.
    pub answer: Vec<u32>,
}

/// An endless supply of chats, cut after [`ChatsConfig::requests`]. Memory: the open conversations.
///
/// Cost: O(prompt tokens) a request.
#[derive(Clone, Debug)]
pub struct Chats {
    config: ChatsConfig,
    rng: Rng,
    systems: Vec<Vec<u32>>,
    /// `weights[k]`: sum of the weights of the system prompts up to the k-th.
    weights: Vec<u64>,
    open: Vec<Conversation>,
    started: u32,
    left: usize,
}

#[derive(Clone, Debug)]
struct Conversation {
    id: u32,
    turn: u32,
    turns: u32,
    /// Everything said so far.
    tokens: Vec<u32>,
}

/// Weight of the most popular system prompt; the k-th has this divided by k.
const ZIPF_UNIT: u64 = 1 << 20;

/// Returns `requests` requests of default chats.
#[must_use]
pub fn chats(seed: u64, requests: usize) -> Chats {
    Chats::new(ChatsConfig {
        seed,
        requests,
        ..ChatsConfig::default()
    })
}

impl Chats {
    /// Returns the stream that a configuration describes.
    #[must_use]
    pub fn new(config: ChatsConfig) -> Self {
        let mut rng = Rng::with_seed(config.seed);
        let mut systems = Vec::new();
        let mut weights = Vec::new();
        let mut sum = 0;
        for k in 1..=config.system_prompts.max(1) {
            let len = pick(&mut rng, &config.system_tokens);
            systems.push(say(&mut rng, len).collect());
            sum += (ZIPF_UNIT / k as u64).max(1);
            weights.push(sum);
        }
        let left = config.requests;
        let mut chats = Chats {
            config,
            rng,
            systems,
            weights,
            open: Vec::new(),
            started: 0,
            left,
        };
        for _ in 0..chats.config.conversations.max(1) {
            let conversation = chats.start();
            chats.open.push(conversation);
        }
        chats
    }

    fn start(&mut self) -> Conversation {
        let sum = *self
            .weights
            .last()
            .expect("there is at least one system prompt");
        let at = self.rng.u64(..sum);
        let system = self.weights.partition_point(|&upto| upto <= at);
        let id = self.started;
        self.started += 1;
        let turns = pick(&mut self.rng, &self.config.turns).max(1);
        Conversation {
            id,
            turn: 0,
            turns,
            tokens: self.systems[system].clone(),
        }
    }
}

impl Iterator for Chats {
    type Item = ChatRequest;

    fn next(&mut self) -> Option<ChatRequest> {
        self.left = self.left.checked_sub(1)?;
        let place = self.rng.usize(..self.open.len());
        let (user_len, answer_len) = (
            pick(&mut self.rng, &self.config.user_tokens),
            pick(&mut self.rng, &self.config.answer_tokens),
        );
        let conversation = &mut self.open[place];
        conversation.tokens.extend(say(&mut self.rng, user_len));
        let tokens = conversation.tokens.clone();
        let answer: Vec<u32> = say(&mut self.rng, answer_len).collect();
        let request = ChatRequest {
            conversation: conversation.id,
            turn: conversation.turn,
            tokens,
            answer,
        };
        conversation.turn += 1;
        if conversation.turn == conversation.turns {
            let next = self.start();
            self.open[place] = next;
        } else {
            self.open[place].tokens.extend_from_slice(&request.answer);
        }
        Some(request)
    }
}

fn pick(rng: &mut Rng, range: &RangeInclusive<u32>) -> u32 {
    let (low, high) = (*range.start(), *range.end());
    if low < high { rng.u32(low..=high) } else { low }
}

/// `len` tokens that nobody said before.
fn say(rng: &mut Rng, len: u32) -> impl Iterator<Item = u32> + use<> {
    let key = mix(rng.u64(..));
    (0..len).map(move |place| token(key.wrapping_add(u64::from(place))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn one_seed_is_one_stream_and_another_seed_another() {
        let all = |seed| chats(seed, 50).collect::<Vec<_>>();
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
        assert_eq!(all(1).len(), 50);
    }

    #[test]
    fn a_prompt_begins_with_the_turn_before_and_its_answer() {
        let mut said: BTreeMap<u32, (u32, Vec<u32>)> = BTreeMap::new();
        let mut later_turns = 0;
        for request in chats(3, 400) {
            match said.get(&request.conversation) {
                None => assert_eq!(request.turn, 0),
                Some((turn, before)) => {
                    later_turns += 1;
                    assert_eq!(request.turn, turn + 1);
                    assert!(request.tokens.starts_with(before));
                }
            }
            let whole = [request.tokens.as_slice(), request.answer.as_slice()].concat();
            said.insert(request.conversation, (request.turn, whole));
        }
        assert!(later_turns > 100, "{later_turns}");
    }

    #[test]
    fn default_prompts_are_some_hundred_to_some_thousand_tokens_and_system_prompts_are_shared() {
        let requests: Vec<_> = chats(4, 1000).collect();
        let lens: Vec<usize> = requests
            .iter()
            .map(|request| request.tokens.len())
            .collect();
        assert!(lens.iter().all(|len| (450..=4250).contains(len)));
        let mut starts: BTreeMap<&[u32], usize> = BTreeMap::new();
        for request in requests.iter().filter(|request| request.turn == 0) {
            *starts.entry(&request.tokens[..400]).or_default() += 1;
        }
        let (total, most) = (
            starts.values().sum::<usize>(),
            *starts.values().max().expect("conversations start"),
        );
        assert!(starts.len() <= 12);
        assert!(most * 5 > total, "the most popular of {total} has {most}");
    }

    #[test]
    fn odd_configurations_still_give_requests() {
        let config = ChatsConfig {
            conversations: 0,
            system_prompts: 0,
            turns: 0..=0,
            #[expect(clippy::reversed_empty_ranges, reason = "that is the case under test")]
            user_tokens: 5..=1,
            requests: 3,
            ..ChatsConfig::default()
        };
        let requests: Vec<_> = Chats::new(config).collect();
        assert_eq!(
            requests
                .iter()
                .map(|request| request.conversation)
                .collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
