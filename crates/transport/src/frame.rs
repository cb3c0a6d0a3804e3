//! The frame: twelve bytes of header and a payload. Bytes in, bytes out; no stream, no state.
//!
//! ```text
//! [length u32][version u8][kind u8][flags u16][crc32c u32][payload]      all big-endian
//!  \_ what follows it      \_ lane, or a handshake kind     \_ of the eight bytes before it, and the payload
//! ```
//!
//! Spec: `docs/protocols/framing.md` FRAME-1 to FRAME-6.

use crate::error::ProtocolError;
use crate::lane::Lane;

/// Header of a frame, in bytes, the length field included.
pub(crate) const HEADER_BYTES: usize = 12;
/// The part of the header that the length field counts, in bytes.
const COUNTED_HEADER_BYTES: usize = 8;
/// The framing version.
pub(crate) const VERSION: u8 = 1;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lane(Lane),
    Hello,
    Welcome,
    Reject,
    Close,
    Introduce,
    Introduced,
    Seen,
}

impl Kind {
    pub(crate) fn code(self) -> u8 {
        match self {
            Kind::Lane(lane) => lane as u8,
            Kind::Hello => 16,
            Kind::Welcome => 17,
            Kind::Reject => 18,
            Kind::Close => 19,
            Kind::Introduce => 20,
            Kind::Introduced => 21,
            Kind::Seen => 22,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Kind, ProtocolError> {
        Ok(match code {
            0 => Kind::Lane(Lane::Control),
            1 => Kind::Lane(Lane::Data),
            2 => Kind::Lane(Lane::Bulk),
            16 => Kind::Hello,
            17 => Kind::Welcome,
            18 => Kind::Reject,
            19 => Kind::Close,
            20 => Kind::Introduce,
            21 => Kind::Introduced,
            22 => Kind::Seen,
            got => return Err(ProtocolError::Kind { got }),
        })
    }
}

/// Writes the header of `frame`, whose payload is already in place behind [`HEADER_BYTES`].
pub(crate) fn seal(frame: &mut [u8], kind: Kind) {
    let length = u32::try_from(frame.len() - 4).expect("frames are limited to 64 MiB");
    frame[0..4].copy_from_slice(&length.to_be_bytes());
    frame[4] = VERSION;
    frame[5] = kind.code();
    frame[6..8].copy_from_slice(&0u16.to_be_bytes());
    let crc = checksum(frame);
    frame[8..12].copy_from_slice(&crc.to_be_bytes());
}

/// Returns the whole length in bytes of the sealed frame that begins at `frame`. The frame is one of ours.
pub(crate) fn sealed_length(frame: &[u8]) -> usize {
    4 + u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize
}

/// What stands at the beginning of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// Too little; this many bytes from the frame's beginning are needed to get further.
    Need(usize),
    /// A frame that passed every check.
    Frame {
        kind: Kind,
        payload: &'a [u8],
        total: usize,
    },
}

/// Reads the frame at the beginning of `bytes`, each field as soon as it is there.
///
/// Units: `payload_max` in bytes.   Cost: O(payload) for the checksum, no allocation.
/// Errors: see [`ProtocolError`]; the length is checked first, when only four bytes are there.
pub(crate) fn parse(bytes: &[u8], payload_max: usize) -> Result<Parsed<'_>, ProtocolError> {
    if bytes.len() < 4 {
        return Ok(Parsed::Need(HEADER_BYTES));
    }
    // spec: FRAME-2
    let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    if length < COUNTED_HEADER_BYTES {
        return Err(ProtocolError::TooShort { length });
    }
    let max = COUNTED_HEADER_BYTES + payload_max;
    if length > max {
        return Err(ProtocolError::TooLong { length, max });
    }
    if bytes.len() < HEADER_BYTES {
        return Ok(Parsed::Need(HEADER_BYTES));
    }
    // spec: FRAME-3
    if bytes[4] != VERSION {
        return Err(ProtocolError::Version { got: bytes[4] });
    }
    let kind = Kind::from_code(bytes[5])?;
    let flags = u16::from_be_bytes([bytes[6], bytes[7]]);
    if flags != 0 {
        return Err(ProtocolError::Flags { got: flags });
    }
    let total = 4 + length;
    if bytes.len() < total {
        return Ok(Parsed::Need(total));
    }
    // spec: FRAME-4
    let sent = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    let computed = checksum(&bytes[..total]);
    if sent != computed {
        return Err(ProtocolError::Checksum { sent, computed });
    }
    Ok(Parsed::Frame {
        kind,
        payload: &bytes[HEADER_BYTES..total],
        total,
    })
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..8]), &frame[HEADER_BYTES..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; HEADER_BYTES];
        frame.extend_from_slice(payload);
        seal(&mut frame, kind);
        frame
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_a_frame() {
        assert_eq!(
            hex(&sealed(Kind::Lane(Lane::Data), b"radix")),
            "0000000d010100009013c6dd7261646978"
        );
    }

    #[test]
    fn a_frame_is_read_back_and_every_prefix_asks_for_more() {
        for payload in [&b""[..], b"x", &[7; 300]] {
            let frame = sealed(Kind::Lane(Lane::Bulk), payload);
            assert_eq!(sealed_length(&frame), frame.len());
            for cut in 0..frame.len() {
                let Ok(Parsed::Need(need)) = parse(&frame[..cut], 300) else {
                    panic!("a prefix of {cut} bytes parsed")
                };
                assert!(need > cut && need <= frame.len());
            }
            let parsed = parse(&frame, 300).unwrap();
            assert_eq!(
                parsed,
                Parsed::Frame {
                    kind: Kind::Lane(Lane::Bulk),
                    payload,
                    total: frame.len()
                }
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let frame = sealed(Kind::Lane(Lane::Control), b"heartbeat");
        for bit in 0..frame.len() * 8 {
            let mut bent = frame.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            // A flipped length may ask for more, and then meets the checksum with whatever follows.
            bent.extend_from_slice(&[0; 64]);
            assert!(parse(&bent, 64).is_err(), "bit {bit} went unnoticed");
        }
    }

    #[test]
    fn the_length_is_refused_as_soon_as_it_is_there() {
        let error = parse(&[0, 0, 1, 0], 100).unwrap_err();
        assert_eq!(
            error,
            ProtocolError::TooLong {
                length: 256,
                max: 108
            }
        );
        assert_eq!(
            parse(&[0, 0, 0, 7], 100).unwrap_err(),
            ProtocolError::TooShort { length: 7 }
        );
        assert_eq!(
            parse(&[0, 0, 0, 108], 100).unwrap(),
            Parsed::Need(HEADER_BYTES)
        );
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = parse(&bytes, 100);
        }
    }
}
