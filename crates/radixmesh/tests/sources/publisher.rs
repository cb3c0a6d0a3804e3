//! The sockets of an engine: PUB for batches, ROUTER for replays, with a way that loses and repeats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::task::JoinHandle;
use zeromq::{PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

/// How replays are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// vLLM up to 0.25.
    Old,
    /// vLLM since 0.26, SGLang since 0.5.22.
    New,
}

type Buffer = Arc<Mutex<VecDeque<(u64, Bytes)>>>;

/// One life of a publisher.
pub(crate) struct Publisher {
    events: PubSocket,
    pub(crate) endpoint: String,
    pub(crate) replay: String,
    buffer: Buffer,
    answers: JoinHandle<()>,
    seq: u64,
}

/// Binds a socket where it was, or anywhere.
async fn bind<S: Socket>(socket: &mut S, at: Option<&str>) -> String {
    let wanted = at.unwrap_or("tcp://127.0.0.1:0");
    for _ in 0..200 {
        match socket.bind(wanted).await {
            Ok(endpoint) => return endpoint.to_string(),
            // The life before has not let go of its port yet.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    panic!("cannot bind {wanted}");
}

impl Publisher {
    /// Begins a life at fresh ports, or at those of the life before.
    pub(crate) async fn start(framing: Framing, at: Option<(&str, &str)>) -> Publisher {
        let (mut events, mut router) = (PubSocket::new(), RouterSocket::new());
        let endpoint = bind(&mut events, at.map(|at| at.0)).await;
        let replay = bind(&mut router, at.map(|at| at.1)).await;
        let buffer = Buffer::default();
        let answers = tokio::spawn(answer(router, Arc::clone(&buffer), framing));
        Publisher {
            events,
            endpoint,
            replay,
            buffer,
            answers,
            seq: 0,
        }
    }

    /// Publishes a batch, keeps it for replays, and sends it so many times: 0 is lost.
    pub(crate) async fn publish(&mut self, payload: &[u8], times: usize) {
        let (seq, payload) = (self.seq, Bytes::copy_from_slice(payload));
        self.seq += 1;
        self.buffer
            .lock()
            .unwrap()
            .push_back((seq, payload.clone()));
        for _ in 0..times {
            let frames = vec![Bytes::from_static(b"kv"), number(seq), payload.clone()];
            self.events.send(message(frames)).await.unwrap();
        }
    }

    /// Forgets all but the newest batches, as a full buffer does.
    pub(crate) fn keep(&mut self, batches: usize) {
        let mut buffer = self.buffer.lock().unwrap();
        let surplus = buffer.len().saturating_sub(batches);
        buffer.drain(..surplus);
    }

    /// Ends the life; the ports are free soon.
    pub(crate) async fn kill(self) -> (String, String) {
        self.answers.abort();
        let _ = self.answers.await;
        self.events.close().await;
        (self.endpoint, self.replay)
    }
}

async fn answer(mut router: RouterSocket, buffer: Buffer, framing: Framing) {
    while let Ok(question) = router.recv().await {
        let frames = question.into_vec();
        let [peer, _, from] = &frames[..] else {
            continue;
        };
        let from = u64::from_be_bytes(from[..].try_into().unwrap());
        let kept: Vec<(u64, Bytes)> = buffer.lock().unwrap().iter().cloned().collect();
        let answers = kept.into_iter().filter(|(seq, _)| *seq >= from);
        let end = (u64::MAX, Bytes::new());
        for (seq, payload) in answers.chain([end]) {
            let mut frames = vec![peer.clone(), Bytes::new()];
            if framing == Framing::New {
                let topic: &'static [u8] = if seq == u64::MAX { b"" } else { b"kv" };
                frames.push(Bytes::from_static(topic));
            }
            frames.extend([number(seq), payload]);
            if router.send(message(frames)).await.is_err() {
                break;
            }
        }
    }
}

fn number(seq: u64) -> Bytes {
    Bytes::copy_from_slice(&seq.to_be_bytes())
}

fn message(frames: Vec<Bytes>) -> ZmqMessage {
    ZmqMessage::try_from(frames).unwrap()
}
