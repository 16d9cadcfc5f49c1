//! JSON to values. Numbers stay as they are written and members in their order; of equal keys the last one counts.

use std::rc::Rc;

use super::budget;
use super::limits::Limit;
use super::number::Number;
use super::value::{Array, Members, OBJECT_ELEMENTS, Object, Value};

/// What is wrong with a text, and the byte where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
    /// Keys that were read last: lists of objects repeat them, and a copy of each needs memory and time.
    keys: [Option<Rc<str>>; KNOWN_KEYS],
}

const KNOWN_KEYS: usize = 16;
/// Members for which an object has place at first.
const FIRST_MEMBERS: usize = 4;

/// The one value of a text.
pub(super) fn read(json: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(json).map_err(|e| Fault { what: "invalid UTF-8", at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0, nesting: 0, keys: Default::default() };
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() { reader.fault("something after the value") } else { Ok(value) }
}

impl Reader<'_> {
    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
    }

    /// Pays for what is read while it is read: the values of a text may need far more memory than the text.
    fn charge(&self, elements: usize) -> Result<(), Fault> {
        if budget::charge_elements(elements) { Ok(()) } else { self.fault("over a limit") }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fault("no value of JSON");
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self) -> Result<Value, Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.fault("no value of JSON"),
            None => self.fault("the end of the text"),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Fault>) -> Result<Value, Fault> {
        self.at += 1;
        self.nesting += 1;
        if self.nesting > budget::max_nesting() {
            budget::exceed(Limit::Nesting);
            return self.fault("too many levels");
        }
        self.charge(OBJECT_ELEMENTS)?;
        let value = read(self)?;
        self.nesting -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Value::of_array(Array::new(items).into()));
        }
        loop {
            self.charge(1)?;
            items.push(self.value()?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Value::of_array(Array::new(items).into()));
            }
            if !self.eat(b',') {
                return self.fault("no comma or closing bracket");
            }
        }
    }

    fn object(&mut self) -> Result<Value, Fault> {
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Value::of_object(Object::new(Members::default()).into()));
        }
        let mut members = Members::with_capacity_and_hasher(FIRST_MEMBERS, foldhash::fast::RandomState::default());
        loop {
            self.charge(1)?;
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fault("no key");
            }
            let key = self.key()?;
            self.skip_space();
            if !self.eat(b':') {
                return self.fault("no colon after a key");
            }
            let value = self.value()?;
            members.insert(key, value);
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Value::of_object(Object::new(members).into()));
            }
            if !self.eat(b',') {
                return self.fault("no comma or closing brace");
            }
        }
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        self.eat(b'-');
        let first = self.peek();
        let begin = self.at;
        if !self.digits() || (first == Some(b'0') && self.at > begin + 1) {
            return self.fault("an invalid number");
        }
        if self.eat(b'.') && !self.digits() {
            return self.fault("an invalid number");
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _has_sign = self.eat(b'+') || self.eat(b'-');
            if !self.digits() {
                return self.fault("an invalid number");
            }
        }
        Ok(Value::Number(Number::read(&self.text[start..self.at])))
    }

    fn key(&mut self) -> Result<Rc<str>, Fault> {
        let begin = self.at;
        self.at += 1;
        let end = self.plain();
        if !self.eat(b'"') {
            self.at = begin;
            return self.string();
        }
        let key = &self.text[begin + 1..end];
        let bytes = key.as_bytes();
        let sum = bytes.first().copied().map_or(0, usize::from) + bytes.last().copied().map_or(0, usize::from);
        let Some(known) = self.keys.get_mut((sum + bytes.len()) % KNOWN_KEYS) else { return Ok(key.into()) };
        if known.as_deref() != Some(key) {
            *known = Some(key.into());
        }
        Ok(known.clone().unwrap_or_default())
    }

    fn string(&mut self) -> Result<Rc<str>, Fault> {
        self.at += 1;
        let start = self.at;
        let end = self.plain();
        if self.eat(b'"') {
            return Ok(self.text[start..end].into());
        }
        let mut text = self.text[start..end].to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) => return self.fault("a control character in a string"),
                None => return self.fault("a string without an end"),
            }
            let start = self.at;
            let end = self.plain();
            text.push_str(&self.text[start..end]);
        }
    }

    /// Goes over what stands for itself.
    fn plain(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        self.at += rest.iter().take_while(|byte| is_plain(byte)).count();
        self.at
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let Some(letter) = self.peek() else { return self.fault("a string without an end") };
        self.at += 1;
        Ok(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.fault("an invalid escape"),
        })
    }

    /// A half of a surrogate pair alone becomes the replacement character.
    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        if self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let Some(code) = code else { return self.fault("an invalid escape") };
        self.at += 4;
        Ok(code)
    }
}
