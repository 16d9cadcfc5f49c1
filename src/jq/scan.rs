//! Finds what does not stand for itself in the strings of JSON.

const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);

/// The bytes before the first quote, backslash or control character. Eight are looked at in one step.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let plain = words.iter().take_while(|word| is_plain_word(u64::from_ne_bytes(**word))).count() * 8;
    plain + bytes.iter().skip(plain).take_while(|byte| is_plain(**byte)).count()
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// A byte below a limit takes its high bit from the subtraction, and a byte that is not ASCII has it before.
fn is_plain_word(word: u64) -> bool {
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGH_BITS == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_length_before_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[a-zé ]{0,40}[\"\\\\\n]?.{0,9}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let expected = bytes.iter().position(|byte| !is_plain(*byte)).unwrap_or(bytes.len());
                prop_assert_eq!(plain_length(bytes), expected);
            }
        }
    }
}
