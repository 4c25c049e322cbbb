//! Which trace a request belongs to, as it travels: the [W3C trace context](https://www.w3.org/TR/trace-context/) in 25 bytes.

use std::fmt;
use std::str::FromStr;

/// How many bytes a context has on the wire: trace 16, span 8, flags 1.
pub const TRACE_BYTES: usize = 25;

/// A trace and the span in it that a request was sent from: what `traceparent` says in HTTP.
///
/// The vendor's list `tracestate` does not travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// The trace is recorded by whoever sent the request.
const SAMPLED: u8 = 1;

impl TraceContext {
    /// A context of these ids; none if one of them is all zeros, which means that there is no such thing.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<Self> {
        let flags = if sampled { SAMPLED } else { 0 };
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id, flags })
    }

    /// What stands on the wire; none if an id is all zeros.
    pub fn from_bytes(bytes: &[u8; TRACE_BYTES]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (span_id, rest) = rest.split_first_chunk()?;
        let flags = rest.first()?;
        Self::new(*trace_id, *span_id, flags & SAMPLED != 0)
    }

    /// What stands on the wire.
    pub fn to_bytes(&self) -> [u8; TRACE_BYTES] {
        let mut bytes = [0; TRACE_BYTES];
        let parts = self.trace_id.iter().chain(&self.span_id).chain([&self.flags]);
        bytes.iter_mut().zip(parts).for_each(|(place, byte)| *place = *byte);
        bytes
    }

    /// The whole trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span in it that the request was sent from.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// Whether whoever sent it records the trace, and so should everybody behind him.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

/// As `traceparent`: `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace_id = u128::from_be_bytes(self.trace_id);
        let span_id = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no traceparent like 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct NotATraceparent;

/// Reads a `traceparent`; of a later version what this one has, as the recommendation asks.
impl FromStr for TraceContext {
    type Err = NotATraceparent;

    fn from_str(text: &str) -> Result<Self, NotATraceparent> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(NotATraceparent)?;
            let hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if hex {
                u128::from_str_radix(part, 16).map_err(|_| NotATraceparent)
            } else {
                Err(NotATraceparent)
            }
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return Err(NotATraceparent);
        }
        let [.., a, b, c, d, e, f, g, h] = span_id.to_be_bytes();
        Self::new(trace_id.to_be_bytes(), [a, b, c, d, e, f, g, h], flags & u128::from(SAMPLED) != 0)
            .ok_or(NotATraceparent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_as_the_recommendation_has_it() {
        let context: TraceContext = TEXT.parse().unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.span_id(), [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!(context.to_string(), TEXT);
        // A later version may have more behind it, and other flags.
        let later = format!("01{}-what-comes-next", &TEXT[2..]).replace("-01-", "-03-");
        assert_eq!(later.parse(), Ok(context));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00",
            &TEXT[..54],
            &format!("{TEXT}0"),
            &format!("{TEXT}-more"),
            &format!("ff{}", &TEXT[2..]),
            &TEXT.to_uppercase(),
            &TEXT.replace("b7ad6b7169203331", "0000000000000000"),
            &TEXT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &TEXT.replace("0af7", "+af7"),
        ] {
            assert_eq!(text.parse::<TraceContext>(), Err(NotATraceparent), "{text}");
        }
        assert_eq!(TraceContext::from_bytes(&[0; TRACE_BYTES]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
            let Some(context) = TraceContext::new(trace_id, span_id, sampled) else { return Ok(()) };
            prop_assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
            prop_assert_eq!(context.to_string().parse(), Ok(context));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<TraceContext>();
        }
    }
}
