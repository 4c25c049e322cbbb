//! Integers of variable length, seven bits to a byte, the lowest first; the last byte has its highest bit clear.
//!
//! A whole integer is packed and unpacked in a register instead of byte by byte: half of what a small message costs
//! to encode and decode is this.

use super::DecodeError;

/// The highest bit of every byte: more of the integer follows.
const MORE: u64 = 0x8080_8080_8080_8080;

/// Appends an integer.
#[inline]
pub(super) fn write(value: u64, out: &mut Vec<u8>) {
    if value < 0x80 {
        out.push(low_byte(value));
    } else {
        write_long(value, out);
    }
}

#[inline]
fn write_long(value: u64, out: &mut Vec<u8>) {
    // Groups of 28, 14 and 7 bits move apart.
    let mut spread = value & 0x00FF_FFFF_FFFF_FFFF;
    spread = (spread & 0x0000_0000_0FFF_FFFF) | ((spread & 0x00FF_FFFF_F000_0000) << 4);
    spread = (spread & 0x0000_3FFF_0000_3FFF) | ((spread & 0x0FFF_C000_0FFF_C000) << 2);
    spread = (spread & 0x007F_007F_007F_007F) | ((spread & 0x3F80_3F80_3F80_3F80) << 1);
    let (above, bits) = (value >> 56, u64::BITS - value.leading_zeros());
    let last = if above == 0 { bits.div_ceil(7) - 1 } else { 8 };
    let more = if last < 8 { MORE & ((1 << (8 * last)) - 1) } else { MORE };
    let (tail, len) = if above >= 0x80 { (above | 0x180, 10) } else { (above, last as usize + 1) };
    // All that may come are written at once, which is cheaper than to ask how many they are; then the end is cut
    // off. From registers: bytes put together in memory would have to arrive there before they can be copied.
    let bytes = (u128::from(tail) << 64 | u128::from(spread | more)).to_le_bytes();
    let before = out.len();
    out.extend_from_slice(&bytes);
    out.truncate(before + len);
}

#[inline]
fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

/// Appends a wider integer.
pub(super) fn write_wide(mut value: u128, out: &mut Vec<u8>) {
    while let Err(_) | Ok(0x80..) = u8::try_from(value) {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes an integer of at most `BYTES` bytes, of which the last is at most `LAST`, off the front of `bytes`.
#[inline]
pub(super) fn read<const BYTES: usize, const LAST: u8>(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    match bytes.split_first() {
        Some((&byte @ ..0x80, rest)) => {
            *bytes = rest;
            Ok(u64::from(byte))
        }
        _ => read_long::<BYTES, LAST>(bytes),
    }
}

#[inline]
fn read_long<const BYTES: usize, const LAST: u8>(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let Some((chunk, rest)) = bytes.split_first_chunk::<10>() else { return read_slow::<BYTES, LAST>(bytes) };
    let [low @ .., ninth, tenth] = *chunk;
    let low = u64::from_le_bytes(low);
    let ends = !low & MORE;
    if ends == 0 {
        // Nine or ten bytes, or more than there can be.
        if BYTES < 10 || (ninth >= 0x80 && tenth > LAST) {
            return Err(TOO_LONG);
        }
        let value = squeeze(low) | (u64::from(ninth & 0x7F) << 56);
        if ninth < 0x80 {
            *bytes = bytes.get(9..).unwrap_or_default();
            return Ok(value);
        }
        *bytes = rest;
        return Ok(value | (u64::from(tenth) << 63));
    }
    // Bits up to the end of the last byte, and how many bytes that are.
    let len = ends.trailing_zeros() as usize / 8 + 1;
    let own = low & (ends ^ (ends - 1));
    if len > BYTES || (len == BYTES && chunk.get(len - 1).is_some_and(|last| *last > LAST)) {
        return Err(TOO_LONG);
    }
    *bytes = bytes.get(len..).unwrap_or_default();
    Ok(squeeze(own))
}

/// Eight groups of seven bits move together.
#[inline]
fn squeeze(low: u64) -> u64 {
    let mut value = low & !MORE;
    value = (value & 0x007F_007F_007F_007F) | ((value & 0x7F00_7F00_7F00_7F00) >> 1);
    value = (value & 0x0000_3FFF_0000_3FFF) | ((value & 0x3FFF_0000_3FFF_0000) >> 2);
    (value & 0x0000_0000_0FFF_FFFF) | ((value & 0x0FFF_FFFF_0000_0000) >> 4)
}

/// The same near the end of the payload.
fn read_slow<const BYTES: usize, const LAST: u8>(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0;
    for index in 0..BYTES {
        let (byte, rest) = bytes.split_first().ok_or(DecodeError::Short)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            return if index + 1 < BYTES || *byte <= LAST { Ok(value) } else { Err(TOO_LONG) };
        }
    }
    Err(TOO_LONG)
}

/// Takes a wider integer.
pub(super) fn read_wide(bytes: &mut &[u8], bytes_max: usize, last: u8) -> Result<u128, DecodeError> {
    let mut value = 0;
    for index in 0..bytes_max {
        let (byte, rest) = bytes.split_first().ok_or(DecodeError::Short)?;
        *bytes = rest;
        value |= u128::from(byte & 0x7F) << (7 * index);
        if *byte < 0x80 {
            let fits = index + 1 < bytes_max || *byte <= last;
            return if fits { Ok(value) } else { Err(TOO_LONG) };
        }
    }
    Err(TOO_LONG)
}

const TOO_LONG: DecodeError = DecodeError::Malformed("an integer that is too long for its type");

/// Signed integers near zero are short, too: 0, -1, 1, -2, ...
#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The opposite.
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// As [`zigzag`], wider.
pub(super) fn zigzag_wide(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

/// As [`unzigzag`], wider.
pub(super) fn unzigzag_wide(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
