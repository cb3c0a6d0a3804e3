//! The published logs, op by op, as the nodes record them. Follows files that still grow.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use oplog::Op;
use radixmesh::record::Reader;

/// One op of one life of one rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Which life.
    pub(crate) inc: u64,
    /// Its place in the log.
    pub(crate) seq: u64,
    /// What it says.
    pub(crate) op: Op,
}

/// Everything one rank published, life after life.
pub(crate) trait Feed {
    /// Returns the next op without taking it, or `None` when there is none yet.
    ///
    /// Errors: the record cannot be read or holds what is no batch.
    fn peek(&mut self) -> io::Result<Option<&Entry>>;
    /// Takes the op that was peeked at.
    fn take(&mut self) -> Option<Entry>;
    /// Begins again with the first op.
    fn rewind(&mut self);
}

/// The feed of a record file.
#[derive(Debug)]
pub(crate) struct RecordFeed {
    path: PathBuf,
    reader: Option<Reader>,
    ready: VecDeque<Entry>,
}

impl RecordFeed {
    /// Returns the feed of a file that need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        RecordFeed {
            path,
            reader: None,
            ready: VecDeque::new(),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => match Reader::open(&self.path) {
                Ok(reader) => self.reader.insert(reader),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        let Some(batch) = reader.next_batch()? else {
            return Ok(());
        };
        for (seq, op) in (batch.first.0..).zip(batch.ops()) {
            let (op, _) = op.map_err(|error| {
                let text = format!(
                    "{}: op {seq} of {}: {error}",
                    self.path.display(),
                    batch.origin
                );
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            self.ready.push_back(Entry {
                inc: batch.origin.inc.0,
                seq,
                op,
            });
        }
        Ok(())
    }
}

impl Feed for RecordFeed {
    fn peek(&mut self) -> io::Result<Option<&Entry>> {
        if self.ready.is_empty() {
            self.fill()?;
        }
        Ok(self.ready.front())
    }

    fn take(&mut self) -> Option<Entry> {
        self.ready.pop_front()
    }

    fn rewind(&mut self) {
        self.reader = None;
        self.ready.clear();
    }
}
