//! Dynamo's `ConcurrentRadixTreeCompressed`. It is written by a worker thread of its own that reads tasks from a
//! queue; readers ask from anywhere.
//!
//! To measure that thread's processor time without the queue's waiting, the whole input is queued before the thread
//! may begin. Both ends are flush tasks: waking their receiver runs on the worker thread, and reads its clock there.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::task::{Context, Wake, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use dynamo_kv_router::ConcurrentRadixTreeCompressed;
use dynamo_kv_router::indexer::{SyncIndexer, WorkerTask};
use dynamo_kv_router::protocols::{LocalBlockHash, RouterEvent};
use tokio::sync::oneshot;

use super::{Applied, Peer, Reader, SharedReader, dynamo};
use crate::clock::thread_cpu;
use crate::stream::Event;

const LIVES: &str = "the worker thread lives until the index is dropped";

/// The tree and the thread that writes it.
pub(crate) struct Concurrent {
    tree: Arc<ConcurrentRadixTreeCompressed>,
    tasks: flume::Sender<WorkerTask>,
    writer: Option<JoinHandle<()>>,
}

impl Concurrent {
    /// Queues a flush at which the writer waits for `gate`, if there is one, and then tells its processor time.
    fn stamp(&self, gate: Option<Arc<Barrier>>) -> Stamped {
        let (told, cpu) = channel();
        let (flushed, mut flush) = oneshot::channel();
        let waker = Waker::from(Arc::new(Stamp { gate, told }));
        let pending = pin!(&mut flush).poll(&mut Context::from_waker(&waker));
        assert!(pending.is_pending(), "nothing is flushed yet");
        self.send(WorkerTask::Flush(flushed));
        Stamped { cpu, _flush: flush }
    }

    fn send(&self, task: WorkerTask) {
        assert!(self.tasks.send(task).is_ok(), "{LIVES}");
    }
}

impl Peer for Concurrent {
    type Op = RouterEvent;
    type Publisher = u64;
    type Reader = ConcurrentReader;

    fn new(_workers: u16) -> Self {
        let tree = Arc::new(ConcurrentRadixTreeCompressed::new());
        let (tasks, queue) = flume::unbounded();
        let shared = Arc::clone(&tree);
        let writer = std::thread::spawn(move || {
            shared
                .worker(queue, None)
                .expect("the worker has no store of its own to lose");
        });
        Concurrent {
            tree,
            tasks,
            writer: Some(writer),
        }
    }

    fn op(last_id: &mut u64, event: &Event) -> RouterEvent {
        dynamo::event(last_id, event)
    }

    /// The queue does not say what was refused.
    fn apply(&mut self, ops: Vec<RouterEvent>, begin: &dyn Fn()) -> Applied {
        let gate = Arc::new(Barrier::new(2));
        let first = self.stamp(Some(Arc::clone(&gate)));
        for event in ops {
            self.send(WorkerTask::Event(event));
        }
        let last = self.stamp(None);
        begin();
        gate.wait();
        let begun = first.cpu();
        Applied {
            cpu: last.cpu() - begun,
            refused: 0,
        }
    }

    fn settle(&mut self) {
        self.send(WorkerTask::CleanupStaleChildren);
        self.stamp(None).cpu();
    }

    fn reader(&mut self) -> ConcurrentReader {
        ConcurrentReader(Arc::clone(&self.tree))
    }
}

impl Drop for Concurrent {
    fn drop(&mut self) {
        self.send(WorkerTask::Terminate);
        if let Some(writer) = self.writer.take() {
            assert!(writer.join().is_ok(), "{LIVES}");
        }
    }
}

/// A flush that was queued.
struct Stamped {
    cpu: Receiver<Duration>,
    /// Kept, so that there is somebody to wake.
    _flush: oneshot::Receiver<()>,
}

impl Stamped {
    /// Waits until the writer has come to the flush, and returns its processor time then.
    fn cpu(&self) -> Duration {
        self.cpu.recv().expect(LIVES)
    }
}

struct Stamp {
    gate: Option<Arc<Barrier>>,
    told: Sender<Duration>,
}

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        if let Some(gate) = &self.gate {
            gate.wait();
        }
        // Nobody listens any more when the index goes away before the flush: nothing is lost.
        let _ = self.told.send(thread_cpu());
    }
}

/// A reader.
pub(crate) struct ConcurrentReader(Arc<ConcurrentRadixTreeCompressed>);

impl Reader for ConcurrentReader {
    type Query = Vec<LocalBlockHash>;

    fn query(pages: &[u64]) -> Self::Query {
        dynamo::query(pages)
    }

    fn ask(&mut self, query: &mut Self::Query, _: &mut [u32]) {
        black_box(self.0.find_matches(query, false));
    }

    fn depths(&mut self, query: &mut Self::Query, depths: &mut [u32]) {
        dynamo::write(&self.0.find_matches(query, false), depths);
    }
}

impl SharedReader for ConcurrentReader {}
