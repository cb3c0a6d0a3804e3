//! The record of a node's own log: every batch, appended to a file before it is sent. An audit trail
//! that another process can follow while it grows.
//!
//! ```text
//! [length u32 LE of what follows][rank u16][incarnation u64][first seq u64][count u32][ops]   all LE
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use bytes::Bytes;
use oplog::Batch;
use radix_core::id::{Incarnation, OriginId, Rank, Seq};

const HEAD_BYTES: usize = 22;
/// Longest record that a reader accepts; a batch is bounded far below.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// Appends batches to a file.
#[derive(Debug)]
pub struct Writer {
    file: File,
    buffer: Vec<u8>,
}

impl Writer {
    /// Opens the file for appending and creates it when absent.
    ///
    /// Errors: those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Writer {
            file: OpenOptions::new().create(true).append(true).open(path)?,
            buffer: Vec::new(),
        })
    }

    /// Appends one batch with one write.
    ///
    /// Errors: those of the file system; the record may be torn then, and readers skip it.
    pub fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.buffer.clear();
        let length = u32::try_from(HEAD_BYTES + batch.ops.len()).map_err(io::Error::other)?;
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer
            .extend_from_slice(&batch.origin.rank.0.to_le_bytes());
        self.buffer
            .extend_from_slice(&batch.origin.inc.0.to_le_bytes());
        self.buffer.extend_from_slice(&batch.first.0.to_le_bytes());
        self.buffer.extend_from_slice(&batch.count.to_le_bytes());
        self.buffer.extend_from_slice(&batch.ops);
        self.file.write_all(&self.buffer)
    }
}

/// Follows a record. An end of file is no end: more may come.
#[derive(Debug)]
pub struct Reader {
    file: File,
    buffer: Vec<u8>,
    start: usize,
}

impl Reader {
    /// Opens a record that exists.
    ///
    /// Errors: those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Reader {
            file: File::open(path)?,
            buffer: Vec::new(),
            start: 0,
        })
    }

    /// Returns the next whole batch, or `None` when the file holds no more for now.
    ///
    /// Errors: those of the file system, and `InvalidData` for a length out of bounds.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.parse()? {
                return Ok(Some(batch));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let len = self.buffer.len();
            self.buffer.resize(len + READ_BYTES, 0);
            let read = self.file.read(&mut self.buffer[len..])?;
            self.buffer.truncate(len + read);
            if read == 0 {
                return Ok(None);
            }
        }
    }

    fn parse(&mut self) -> io::Result<Option<Batch>> {
        let rest = &self.buffer[self.start..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD_BYTES..=RECORD_BYTES_MAX).contains(&length) {
            let text =
                format!("a record of {length} bytes is outside {HEAD_BYTES}..={RECORD_BYTES_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let Some(record) = rest.get(..length) else {
            return Ok(None);
        };
        self.start += 4 + length;
        let (rank, record) = take::<2>(record);
        let (inc, record) = take::<8>(record);
        let (first, record) = take::<8>(record);
        let (count, ops) = take::<4>(record);
        let origin = OriginId {
            rank: Rank(u16::from_le_bytes(rank)),
            inc: Incarnation(u64::from_le_bytes(inc)),
        };
        let first = Seq(u64::from_le_bytes(first));
        Ok(Some(Batch {
            origin,
            first,
            count: u32::from_le_bytes(count),
            ops: Bytes::copy_from_slice(ops),
        }))
    }
}

/// How much is read at a time.
const READ_BYTES: usize = 256 << 10;

fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (head, rest) = bytes
        .split_first_chunk::<N>()
        .expect("the length of the head was checked");
    (*head, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_follows_a_growing_record_and_waits_at_a_torn_end() {
        let path = std::env::temp_dir().join(format!("radixmesh-record-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut writer = Writer::open(&path).unwrap();
        let origin = OriginId {
            rank: Rank(3),
            inc: Incarnation(7),
        };
        let batch = |first| Batch {
            origin,
            first: Seq(first),
            count: 2,
            ops: Bytes::from_static(b"ops"),
        };
        writer.append(&batch(1)).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        assert_eq!(reader.next_batch().unwrap(), Some(batch(1)));
        assert_eq!(reader.next_batch().unwrap(), None);

        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        let mut whole = Vec::new();
        std::mem::swap(&mut writer.buffer, &mut whole);
        torn.write_all(&whole[..10]).unwrap();
        assert_eq!(reader.next_batch().unwrap(), None);
        torn.write_all(&whole[10..]).unwrap();
        assert_eq!(reader.next_batch().unwrap(), Some(batch(1)));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_length_out_of_bounds_is_an_error_and_not_an_allocation() {
        let path =
            std::env::temp_dir().join(format!("radixmesh-record-bad-{}", std::process::id()));
        std::fs::write(&path, [0xff; 64]).unwrap();
        let error = Reader::open(&path).unwrap().next_batch().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        std::fs::remove_file(&path).unwrap();
    }
}
