//! Batches, the unit in which ops travel: encoded once by the origin, checked whole, relayed verbatim.

use std::ops::Range;

use bytes::Bytes;
use radix_core::id::{OriginId, Seq};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{BATCH_BYTES_MAX, BATCH_OPS_MAX, SEQ_MAX};
use crate::op::{Op, OpError};

/// Consecutive ops of one log, encoded once by the origin and relayed verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The log.
    pub origin: OriginId,
    /// Sequence of the first op.
    pub first: Seq,
    /// How many ops: at least 1.
    pub count: u32,
    /// The encoded ops, one behind the other.
    pub ops: Bytes,
}

/// Why a batch may not be applied.
///
/// State: unchanged; no op of the batch was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// No ops, or more than [`BATCH_OPS_MAX`].
    #[error("a batch of {count} ops; 1 to {BATCH_OPS_MAX} are allowed")]
    Count {
        /// As received.
        count: u32,
    },
    /// More than [`BATCH_BYTES_MAX`].
    #[error("a batch of {bytes} bytes exceeds {BATCH_BYTES_MAX}")]
    TooLarge {
        /// As received.
        bytes: usize,
    },
    /// Outside 1 ..= [`SEQ_MAX`].
    #[error("ops at {first} lie outside a log")]
    Seq {
        /// As received.
        first: Seq,
    },
    /// The bytes at this op are no op.
    #[error("op {index} does not decode")]
    Malformed {
        /// Place in the batch, from 0.
        index: u32,
    },
    /// An op breaks a limit.
    #[error("op {index}: {error}")]
    Op {
        /// Place in the batch, from 0.
        index: u32,
        /// Which.
        error: OpError,
    },
    /// Bytes are left behind the last op.
    #[error("{bytes} bytes are left behind the last op")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl Batch {
    /// Encodes ops one behind the other, as [`Batch::ops`] wants them.
    #[must_use]
    pub fn encode_ops(ops: &[Op]) -> Bytes {
        let mut out = Vec::new();
        for op in ops {
            op.encode(&mut out);
        }
        out.into()
    }

    /// Returns the place of the last op.
    ///
    /// Errors: [`BatchError`] when count or place are outside their limits.
    pub fn last(&self) -> Result<Seq, BatchError> {
        if !(1..=BATCH_OPS_MAX).contains(&self.count) {
            return Err(BatchError::Count { count: self.count });
        }
        match self.first.0.checked_add(u64::from(self.count) - 1) {
            Some(last) if self.first.0 >= 1 && last <= SEQ_MAX => Ok(Seq(last)),
            _ => Err(BatchError::Seq { first: self.first }),
        }
    }

    /// Decodes op by op; each comes with where its bytes lie in [`Batch::ops`](field@Batch::ops).
    ///
    /// Ends after the first error. `count` ops without an error mean that the batch is whole.
    #[must_use]
    pub fn ops(&self) -> Ops<'_> {
        Ops {
            bytes: &self.ops,
            at: 0,
            index: 0,
            count: self.count,
        }
    }

    /// Decodes and checks all ops into `out`, which is cleared first.
    ///
    /// Errors: [`BatchError`]; `out` is then of no use.
    // spec: OPLOG-2
    pub(crate) fn decode_into(&self, out: &mut Vec<(Op, Range<usize>)>) -> Result<(), BatchError> {
        out.clear();
        self.last()?;
        if self.ops.len() > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes: self.ops.len(),
            });
        }
        for op in self.ops() {
            out.push(op?);
        }
        Ok(())
    }
}

/// Iterator over the ops of a batch.
#[derive(Clone, Debug)]
pub struct Ops<'a> {
    bytes: &'a [u8],
    at: usize,
    index: u32,
    count: u32,
}

impl Iterator for Ops<'_> {
    type Item = Result<(Op, Range<usize>), BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        if index == self.count {
            let bytes = self.bytes.len() - self.at;
            self.at = self.bytes.len();
            return (bytes > 0).then_some(Err(BatchError::Trailing { bytes }));
        }
        let rest = self.bytes.get(self.at..)?;
        let Ok((op, rest)) = postcard::take_from_bytes::<Op>(rest) else {
            self.end();
            return Some(Err(BatchError::Malformed { index }));
        };
        if let Err(error) = op.check() {
            self.end();
            return Some(Err(BatchError::Op { index, error }));
        }
        let range = self.at..self.bytes.len() - rest.len();
        self.at = range.end;
        self.index += 1;
        Some(Ok((op, range)))
    }
}

impl Ops<'_> {
    fn end(&mut self) {
        self.index = self.count;
        self.at = self.bytes.len();
    }
}
