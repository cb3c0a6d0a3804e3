//! The frames around a batch: what is live, and what a replay answers, in both framings.

use thiserror::Error;

/// A message whose frames are not what an engine sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The number of frames fits no release.
    ///
    /// State: unchanged. Caller: count it; the next message stands for itself.
    #[error("a message of {frames} frames is neither a batch nor the end of a replay")]
    Count {
        /// As many came.
        frames: usize,
    },
    /// The sequence is not 8 bytes long.
    ///
    /// State: unchanged. Caller: count it; the next message stands for itself.
    #[error("a sequence has 8 bytes, not {bytes}")]
    Sequence {
        /// As many came.
        bytes: usize,
    },
}

/// A live message: `[topic][sequence][payload]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live<'a> {
    /// The publisher's topic.
    pub topic: &'a [u8],
    /// The batch's number; the first of a publisher's life is 0.
    pub seq: u64,
    /// The batch.
    pub payload: &'a [u8],
}

impl<'a> Live<'a> {
    /// Takes the frames of one message of the subscription socket apart.
    ///
    /// Errors: [`FrameError`].
    pub fn parse(frames: &[&'a [u8]]) -> Result<Self, FrameError> {
        let &[topic, seq, payload] = frames else {
            return Err(FrameError::Count {
                frames: frames.len(),
            });
        };
        Ok(Live {
            topic,
            seq: sequence(seq)?,
            payload,
        })
    }
}

/// A message of a replay.
///
/// With the empty delimiter stripped or not: `[seq][payload]` and `[topic][seq][payload]` are batches, the sequence
/// -1 ends the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed<'a> {
    /// One batch.
    Batch {
        /// Its number.
        seq: u64,
        /// The batch.
        payload: &'a [u8],
    },
    /// There are no more.
    End,
}

impl<'a> Replayed<'a> {
    /// Takes the frames of one message of the replay socket apart.
    ///
    /// Errors: [`FrameError`].
    pub fn parse(frames: &[&'a [u8]]) -> Result<Self, FrameError> {
        let (seq, payload) = match *frames {
            // The delimiter of a DEALER is empty, and a sequence is not.
            [seq, payload] | [_, seq, payload] | [_, _, seq, payload] => (seq, payload),
            _ => {
                return Err(FrameError::Count {
                    frames: frames.len(),
                });
            }
        };
        Ok(match sequence(seq)? {
            u64::MAX => Replayed::End,
            seq => Replayed::Batch { seq, payload },
        })
    }

    /// Returns the frames that ask for everything from `seq` on, for a DEALER socket.
    #[must_use]
    pub fn request(seq: u64) -> [Vec<u8>; 2] {
        [Vec::new(), seq.to_be_bytes().to_vec()]
    }
}

fn sequence(frame: &[u8]) -> Result<u64, FrameError> {
    let bytes = frame
        .try_into()
        .map_err(|_| FrameError::Sequence { bytes: frame.len() })?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_framings_of_a_replay_say_the_same() {
        let (seq, end) = (7u64.to_be_bytes(), [0xff; 8]);
        let batch = Ok(Replayed::Batch {
            seq: 7,
            payload: b"x",
        });
        for frames in [
            &[&seq[..], b"x"][..],
            &[b"", &seq, b"x"],
            &[b"topic", &seq, b"x"],
            &[b"", b"topic", &seq, b"x"],
        ] {
            assert_eq!(Replayed::parse(frames), batch, "{frames:?}");
        }
        for frames in [
            &[&end[..], b""][..],
            &[b"", &end, b""],
            &[b"", b"", &end, b""],
        ] {
            assert_eq!(Replayed::parse(frames), Ok(Replayed::End), "{frames:?}");
        }
    }

    #[test]
    fn odd_messages_are_refused_by_name() {
        assert_eq!(
            Live::parse(&[b"topic", b"1"]),
            Err(FrameError::Count { frames: 2 })
        );
        assert_eq!(
            Live::parse(&[b"topic", b"1", b""]),
            Err(FrameError::Sequence { bytes: 1 })
        );
        assert_eq!(Replayed::parse(&[]), Err(FrameError::Count { frames: 0 }));
    }
}
