//! postcard's integers: seven bits a byte, the lowest first; with a sign, zigzag makes small ones short.

/// Appends a number. The bytes are the same whatever the size of its type.
pub(super) fn write(mut number: u128, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7F);
        }
        out.push(low | 0x80);
    }
}

/// Reads a number that fits into so many bits; gives what follows it too.
pub(super) fn read(mut bytes: &[u8], bits: u32) -> Result<(u128, &[u8]), &'static str> {
    let max = u128::MAX >> (128 - bits.clamp(1, 128));
    let (mut number, mut shift) = (0, 0);
    while let [first, rest @ ..] = bytes {
        let part = u128::from(first & 0x7F);
        if shift >= bits || part > max >> shift {
            return Err("an integer that is too long for its type");
        }
        number |= part << shift;
        if first & 0x80 == 0 {
            return Ok((number, rest));
        }
        (bytes, shift) = (rest, shift + 7);
    }
    Err(ENDS)
}

/// What is said of bytes that are not there.
pub(super) const ENDS: &str = "an end before the value is complete";

/// 0, -1, 1, -2, .. to 0, 1, 2, 3, ..
pub(super) fn zigzag(number: i128) -> u128 {
    ((number << 1) ^ (number >> 127)).cast_unsigned()
}

/// The way back.
pub(super) fn unzigzag(number: u128) -> i128 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: u128) -> Vec<u8> {
        let mut out = Vec::new();
        write(number, &mut out);
        out
    }

    proptest! {
        #[test]
        fn integers_are_written_as_postcard_writes_them(a: u16, b: u32, c: u64, d: u128, e: i16, f: i64, g: i128) {
            prop_assert_eq!(written(a.into()), postcard::to_stdvec(&a).unwrap());
            prop_assert_eq!(written(b.into()), postcard::to_stdvec(&b).unwrap());
            prop_assert_eq!(written(c.into()), postcard::to_stdvec(&c).unwrap());
            prop_assert_eq!(written(d), postcard::to_stdvec(&d).unwrap());
            prop_assert_eq!(written(zigzag(e.into())), postcard::to_stdvec(&e).unwrap());
            prop_assert_eq!(written(zigzag(f.into())), postcard::to_stdvec(&f).unwrap());
            prop_assert_eq!(written(zigzag(g)), postcard::to_stdvec(&g).unwrap());
            let bytes = written(d);
            prop_assert_eq!(read(&bytes, 128), Ok((d, &[][..])));
            prop_assert_eq!(unzigzag(zigzag(g)), g);
        }

        #[test]
        fn any_bytes_are_read_or_refused_as_postcard_does(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let ours = read(&bytes, 16).ok().map(|(number, rest)| (number, rest.len()));
            let theirs = postcard::take_from_bytes::<u16>(&bytes).ok();
            prop_assert_eq!(ours, theirs.map(|(number, rest)| (number.into(), rest.len())));
            let ours = read(&bytes, 64).ok().map(|(number, rest)| (number, rest.len()));
            let theirs = postcard::take_from_bytes::<u64>(&bytes).ok();
            prop_assert_eq!(ours, theirs.map(|(number, rest)| (number.into(), rest.len())));
            let ours = read(&bytes, 128).ok().map(|(number, rest)| (number, rest.len()));
            let theirs = postcard::take_from_bytes::<u128>(&bytes).ok();
            prop_assert_eq!(ours, theirs.map(|(number, rest)| (number, rest.len())));
        }
    }

    #[test]
    fn the_largest_numbers_survive() {
        for bits in [16, 32, 64, 128] {
            let max = u128::MAX >> (128 - bits);
            assert_eq!(read(&written(max), bits), Ok((max, &[][..])));
            assert!(bits == 128 || read(&written(max + 1), bits).is_err());
        }
        assert_eq!(unzigzag(zigzag(i128::MIN)), i128::MIN);
        assert_eq!(unzigzag(zigzag(i128::MAX)), i128::MAX);
    }
}
