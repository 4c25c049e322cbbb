//! Payloads made smaller before they are sent, and safely made large again.
//!
//! On the wire a compressed payload is
//! ```text
//! codec u8 (1 lz4, 2 zstd) | raw length u32 LE | data
//! ```
//! The sender decides; a receiver reads both codecs whatever its own setting. A receiver allocates the
//! announced length once and never more, after it was checked against the cap, so a small frame cannot become a
//! large heap (F48).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use thiserror::Error;
use zstd::zstd_safe;

/// Whether and how this node compresses what it sends: `off`, `lz4`, `zstd` or `zstd:9` in a configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compress {
    /// Payloads travel as they are.
    #[default]
    Off,
    /// Fast: worth it where the network is the limit, and not the processor.
    Lz4,
    /// Smaller and slower, at a level from [`Compress::LEVEL_MIN`] to [`Compress::LEVEL_MAX`].
    Zstd(i32),
}

impl Compress {
    /// The fastest level of zstd.
    pub const LEVEL_MIN: i32 = 1;
    /// The smallest level of zstd; those above it want more memory than a connection should take.
    pub const LEVEL_MAX: i32 = 19;
    /// The level that plain `zstd` stands for.
    pub const LEVEL_DEFAULT: i32 = 3;
}

impl FromStr for Compress {
    type Err = CompressError;

    fn from_str(text: &str) -> Result<Self, CompressError> {
        let refused = || CompressError { given: text.chars().take(32).collect() };
        match text.split_once(':') {
            None if text == "off" => Ok(Self::Off),
            None if text == "lz4" => Ok(Self::Lz4),
            None if text == "zstd" => Ok(Self::Zstd(Self::LEVEL_DEFAULT)),
            Some(("zstd", level)) => match level.parse() {
                Ok(level) if (Self::LEVEL_MIN..=Self::LEVEL_MAX).contains(&level) => Ok(Self::Zstd(level)),
                _ => Err(refused()),
            },
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl<'de> Deserialize<'de> for Compress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that names no way to compress.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} names no compression: allowed are off, lz4, zstd and zstd:1 to zstd:19")]
pub struct CompressError {
    /// The beginning of what was given.
    pub given: String,
}

/// The codec of one payload, as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    Lz4 = 1,
    Zstd = 2,
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// What this node inflates, as a set of bits: lz4 and zstd, whatever it sends itself.
pub(crate) const INFLATES: u8 = (1 << Codec::Lz4 as u8) | (1 << Codec::Zstd as u8);

/// The payload compressed, if that is configured, long enough, worth it, and the peer inflates it.
pub(crate) fn pack(codec: Compress, threshold_bytes: usize, inflates: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let id = match codec {
        Compress::Off => return None,
        Compress::Lz4 => Codec::Lz4,
        Compress::Zstd(_) => Codec::Zstd,
    };
    if payload.len() < threshold_bytes || inflates & (1 << id as u8) == 0 {
        return None;
    }
    let mut packed = Vec::new();
    deflate(codec, payload, &mut packed).then_some(packed)
}

/// The payload as it was before [`pack`], of at most `cap` bytes.
pub(crate) fn unpack(wire: &[u8], cap: usize) -> Result<Vec<u8>, InflateError> {
    let (codec, raw_len, data) = split(wire)?;
    inflate(codec, raw_len, data, cap)
}

/// Codec and raw length.
const HEAD_BYTES: usize = 5;

/// lz4 cannot make more than this of one byte, so a higher claim is refused before memory is taken for it.
const LZ4_RATIO_MAX: usize = 255;

/// Appends the compressed payload with its head to `out`, or leaves `out` as it was and returns `false`.
///
/// `false` means: send it as it is. That is so when compression is off, when the result with its head would not
/// be smaller, and when the payload is longer than the head can say.
pub(crate) fn deflate(codec: Compress, payload: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(raw_len) = u32::try_from(payload.len()) else { return false };
    // The data must leave at least one byte to be gained, head included.
    let Some(room) = payload.len().checked_sub(HEAD_BYTES + 1) else { return false };
    let start = out.len();
    let id = match codec {
        Compress::Off => return false,
        Compress::Lz4 => Codec::Lz4,
        Compress::Zstd(_) => Codec::Zstd,
    };
    out.push(id as u8);
    out.extend_from_slice(&raw_len.to_le_bytes());
    let data = start + HEAD_BYTES;
    // lz4 wants room for its worst case; zstd stops by itself where there is nothing to gain.
    let scratch = match id {
        Codec::Lz4 => lz4_flex::block::get_maximum_output_size(payload.len()),
        Codec::Zstd => room,
    };
    out.resize(data + scratch, 0);
    let target = out.get_mut(data..).unwrap_or_default();
    let written = match codec {
        Compress::Off => None,
        Compress::Lz4 => lz4_flex::block::compress_into(payload, target).ok(),
        Compress::Zstd(level) => zstd::bulk::compress_to_buffer(payload, target, level).ok(),
    };
    match written {
        Some(written) if written <= room => {
            out.truncate(data + written);
            true
        }
        _ => {
            out.truncate(start);
            false
        }
    }
}

/// Takes the head off a compressed payload: its codec, its announced raw length, and the data to [`inflate`].
pub(crate) fn split(wire: &[u8]) -> Result<(Codec, u32, &[u8]), InflateError> {
    let (head, data) = wire.split_first_chunk::<HEAD_BYTES>().ok_or(InflateError::NoHead)?;
    let [codec, a, b, c, d] = *head;
    let codec = match codec {
        1 => Codec::Lz4,
        2 => Codec::Zstd,
        other => return Err(InflateError::UnknownCodec { codec: other }),
    };
    Ok((codec, u32::from_le_bytes([a, b, c, d]), data))
}

/// The payload as it was, `raw_len` bytes exactly, or nothing.
///
/// Allocates `raw_len` bytes once, and only if that is at most `cap` and the data can possibly hold it.
pub(crate) fn inflate(codec: Codec, raw_len: u32, data: &[u8], cap: usize) -> Result<Vec<u8>, InflateError> {
    let announced = usize::try_from(raw_len).unwrap_or(usize::MAX);
    if announced > cap {
        return Err(InflateError::TooLarge { announced, cap });
    }
    if !can_hold(codec, announced, data) {
        return Err(InflateError::Corrupt { codec });
    }
    let mut raw = vec![0; announced];
    let inflated = match codec {
        Codec::Lz4 => lz4_flex::block::decompress_into(data, &mut raw).ok(),
        Codec::Zstd => zstd::bulk::decompress_to_buffer(data, raw.as_mut_slice()).ok(),
    };
    match inflated {
        None => Err(InflateError::Corrupt { codec }),
        Some(inflated) if inflated != announced => Err(InflateError::Length { announced, inflated }),
        Some(_) => Ok(raw),
    }
}

/// Whether the data can possibly become `announced` bytes: what is asked before memory is taken for them.
fn can_hold(codec: Codec, announced: usize, data: &[u8]) -> bool {
    match codec {
        Codec::Lz4 => announced <= data.len().saturating_mul(LZ4_RATIO_MAX),
        // A frame made in one piece states its length, as ours do. One that does not is held by its target alone.
        Codec::Zstd => match zstd_safe::get_frame_content_size(data) {
            Ok(stated) => {
                stated.is_none_or(|stated| u64::try_from(announced).is_ok_and(|most| stated <= most))
            }
            Err(_) => false,
        },
    }
}

/// Why a compressed payload is not readable. Nothing of it was used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum InflateError {
    /// It is shorter than its head.
    #[error("compressed payload without a head")]
    NoHead,
    /// Nobody here reads this codec.
    #[error("unknown codec {codec}")]
    UnknownCodec { codec: u8 },
    /// It announces more than it may have.
    #[error("compressed payload announces {announced} bytes: the limit is {cap}")]
    TooLarge { announced: usize, cap: usize },
    /// The data is not of this codec, or it would grow beyond the announced length.
    #[error("compressed payload is no {codec} data of the announced length")]
    Corrupt { codec: Codec },
    /// It is shorter than announced.
    #[error("compressed payload has {inflated} bytes: {announced} were announced")]
    Length { announced: usize, inflated: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compress; 3] = [Compress::Lz4, Compress::Zstd(1), Compress::Zstd(19)];
    const CAP: usize = 1 << 20;

    fn deflated(codec: Compress, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(deflate(codec, payload, &mut out), "{codec} should gain something");
        out
    }

    fn inflated(wire: &[u8], cap: usize) -> Result<Vec<u8>, InflateError> {
        let (codec, raw_len, data) = split(wire)?;
        inflate(codec, raw_len, data, cap)
    }

    /// Bytes no codec can shorten (a 64-bit LCG's upper bytes).
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_was_deflated_comes_back_unchanged_behind_what_stood_there_before() {
        let mut payload = b"the same words again and again; ".repeat(200);
        payload.extend(noise(500));
        for codec in BOTH {
            let mut out = b"head".to_vec();
            assert!(deflate(codec, &payload, &mut out));
            assert!(out.starts_with(b"head") && out.len() < payload.len());
            assert_eq!(inflated(&out[4..], payload.len()).unwrap(), payload, "{codec}");
        }
    }

    #[test]
    fn the_wire_form_is_codec_then_raw_length_then_data() {
        let wire = deflated(Compress::Lz4, &[7; 1000]);
        assert_eq!(wire[..5], [1, 0xe8, 3, 0, 0]);
        assert_eq!(lz4_flex::block::decompress(&wire[5..], 1000).unwrap(), [7; 1000]);
        let wire = deflated(Compress::Zstd(3), &[7; 1000]);
        assert_eq!(wire[..5], [2, 0xe8, 3, 0, 0]);
        assert_eq!(wire[5..9], [0x28, 0xb5, 0x2f, 0xfd]); // zstd's magic number
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone() {
        for codec in BOTH {
            for payload in [noise(5000), noise(1), Vec::new(), b"abcdef".to_vec()] {
                let mut out = b"before".to_vec();
                assert!(!deflate(codec, &payload, &mut out));
                assert_eq!(out, b"before");
            }
        }
        assert!(!deflate(Compress::Off, &[0; 5000], &mut Vec::new()));
    }

    #[test]
    fn f48_a_bomb_that_announces_more_than_the_cap_is_refused_unread() {
        for codec in BOTH {
            let wire = deflated(codec, &vec![0; CAP + 1]);
            let error = inflated(&wire, CAP).unwrap_err();
            assert_eq!(error, InflateError::TooLarge { announced: CAP + 1, cap: CAP });
        }
    }

    #[test]
    fn f48_a_bomb_that_announces_little_does_not_grow_beyond_it() {
        for codec in BOTH {
            let mut wire = deflated(codec, &vec![0; CAP]);
            wire[1..5].copy_from_slice(&1000_u32.to_le_bytes());
            assert!(matches!(inflated(&wire, CAP), Err(InflateError::Corrupt { .. })), "{codec}");
        }
    }

    #[test]
    fn f48_a_zstd_frame_without_a_stated_length_is_bounded_by_the_announced_one() {
        // Streaming frames do not state their length, so only the size of the target holds them.
        let data = zstd::stream::encode_all(&vec![0; CAP][..], 3).unwrap();
        assert!(matches!(zstd_safe::get_frame_content_size(&data), Ok(None)));
        assert_eq!(inflate(Codec::Zstd, 1000, &data, CAP), Err(InflateError::Corrupt { codec: Codec::Zstd }));
        assert_eq!(inflate(Codec::Zstd, 1 << 20, &data, CAP).unwrap().len(), CAP);
    }

    #[test]
    fn f48_two_frames_in_one_payload_do_not_pass_the_announced_length() {
        let one = zstd::bulk::compress(&[0; 1000], 3).unwrap();
        let two = [one.clone(), one].concat();
        assert_eq!(inflate(Codec::Zstd, 1000, &two, CAP), Err(InflateError::Corrupt { codec: Codec::Zstd }));
    }

    #[test]
    fn f48_data_that_cannot_hold_what_it_announces_is_refused_before_memory_is_taken() {
        assert!(can_hold(Codec::Lz4, 2550, &[0; 10]));
        assert!(!can_hold(Codec::Lz4, 2551, &[0; 10]));
        let stated = zstd::bulk::compress(&[0; 1000], 3).unwrap();
        assert!(can_hold(Codec::Zstd, 1000, &stated));
        assert!(!can_hold(Codec::Zstd, 999, &stated));
        assert!(!can_hold(Codec::Zstd, 1000, b"no frame"));
        // The ratio that is refused is one no encoder reaches, even on zeros.
        let wire = deflated(Compress::Lz4, &vec![0; CAP]);
        assert!(can_hold(Codec::Lz4, CAP, &wire[HEAD_BYTES..]));
    }

    #[test]
    fn a_payload_shorter_than_announced_is_refused() {
        for codec in BOTH {
            let mut wire = deflated(codec, &[0; 1000]);
            wire[1..5].copy_from_slice(&1001_u32.to_le_bytes());
            let error = inflated(&wire, CAP).unwrap_err();
            assert_eq!(error, InflateError::Length { announced: 1001, inflated: 1000 }, "{codec}");
        }
    }

    #[test]
    fn damaged_payloads_are_errors_and_never_panics() {
        assert_eq!(inflated(&[], CAP), Err(InflateError::NoHead));
        assert_eq!(inflated(&[1, 0, 0, 0], CAP), Err(InflateError::NoHead));
        assert_eq!(inflated(&[9, 0, 0, 0, 0], CAP), Err(InflateError::UnknownCodec { codec: 9 }));
        assert!(inflated(&[2, 0, 0, 0, 0], CAP).is_err());
        for codec in BOTH {
            let payload = [b"words and words, ".repeat(40), noise(200)].concat();
            let wire = deflated(codec, &payload);
            for cut in 0..wire.len() {
                assert!(inflated(&wire[..cut], CAP).is_err(), "{codec} cut at {cut}");
            }
            for at in HEAD_BYTES..wire.len() {
                let mut flipped = wire.clone();
                flipped[at] ^= 0x55;
                // A flipped literal is no error of the codec; the length is right all the same.
                if let Ok(raw) = inflated(&flipped, CAP) {
                    assert_eq!(raw.len(), payload.len());
                }
            }
        }
    }

    #[test]
    fn a_setting_reads_back_as_it_is_written() {
        for text in ["off", "lz4", "zstd:1", "zstd:19"] {
            assert_eq!(text.parse::<Compress>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compress::Zstd(3)));
        for bad in ["", "gzip", "lz4:1", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "Off"] {
            assert!(bad.parse::<Compress>().is_err(), "{bad:?}");
        }
    }
}
