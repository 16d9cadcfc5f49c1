//! What of a span travels in `traceparent`: <https://www.w3.org/TR/trace-context/>.

use std::fmt;

/// The identity of a span. `Display` is the value of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// Never 0.
    pub trace: u128,
    /// Never 0.
    pub span: u64,
    /// Whether the span is recorded somewhere.
    pub is_sampled: bool,
}

impl SpanContext {
    /// From `version-traceid-parentid-flags`; `None` if it is invalid. Later versions may add fields.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let mut field = |length: usize| {
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            fields.next().filter(|field| field.len() == length && field.bytes().all(is_hex))
        };
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        if version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        Some(Self { trace, span, is_sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1 })
    }
}

/// The fields of the binary form: each has a number and a fixed length.
const BINARY_LENGTH: usize = 29;

/// The value of `grpc-trace-bin`: <https://github.com/census-instrumentation/opencensus-specs/blob/master/encodings/BinaryEncoding.md>.
impl SpanContext {
    /// `None` if it is invalid.
    #[must_use]
    pub fn from_binary(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; BINARY_LENGTH] = bytes.try_into().ok()?;
        let numbers = [bytes[0], bytes[1], bytes[18], bytes[27]];
        let trace = u128::from_be_bytes(bytes[2..18].try_into().ok()?);
        let span = u64::from_be_bytes(bytes[19..27].try_into().ok()?);
        (numbers == [0, 0, 1, 2] && trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            is_sampled: bytes[28] & 1 == 1,
        })
    }

    #[must_use]
    pub fn to_binary(self) -> [u8; BINARY_LENGTH] {
        let mut bytes = [0; BINARY_LENGTH];
        bytes[2..18].copy_from_slice(&self.trace.to_be_bytes());
        bytes[18] = 1;
        bytes[19..27].copy_from_slice(&self.span.to_be_bytes());
        bytes[27] = 2;
        bytes[28] = u8::from(self.is_sampled);
        bytes
    }
}

impl fmt::Display for SpanContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_form_is_read_and_written() {
        for is_sampled in [true, false] {
            let context = SpanContext { trace: 5 << 100 | 7, span: 9 << 40, is_sampled };
            let bytes = context.to_binary();
            assert_eq!(SpanContext::from_binary(&bytes), Some(context));
            for (at, byte) in [(0, 1), (1, 1), (18, 0), (27, 3)] {
                let mut wrong = bytes;
                wrong[at] = byte;
                assert_eq!(SpanContext::from_binary(&wrong), None, "{at}");
            }
            assert_eq!(SpanContext::from_binary(&bytes[..28]), None);
        }
        let zero = SpanContext { trace: 0, span: 1, is_sampled: true };
        assert_eq!(SpanContext::from_binary(&zero.to_binary()), None);
    }

    #[test]
    fn valid_values_are_read_and_written() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = SpanContext::parse(text).unwrap();
        assert!(context.is_sampled && context.to_string() == text);
        assert!(!SpanContext::parse(&text.replace("-01", "-02")).unwrap().is_sampled);
        assert!(SpanContext::parse(&format!("{}-more", text.replacen("00", "01", 1))).is_some());
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(SpanContext::parse(wrong), None, "{wrong}");
        }
    }
}
