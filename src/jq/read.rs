//! JSON to values. Numbers stay as they are written and members in their order; of equal keys the last one counts.

use std::rc::Rc;

use super::budget;
use super::limits::Limit;
use super::number::Number;
use super::value::{Members, Value};

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
}

/// The one value of a text.
pub(super) fn read(json: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(json).map_err(|e| Fault { what: "invalid UTF-8", at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0, nesting: 0 };
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() { reader.fault("something after the value") } else { Ok(value) }
}

impl Reader<'_> {
    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
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
        let value = read(self)?;
        self.nesting -= 1;
        Ok(value)
    }

    fn array(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Value::array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Value::array(items));
            }
            if !self.eat(b',') {
                return self.fault("no comma or closing bracket");
            }
        }
    }

    fn object(&mut self) -> Result<Value, Fault> {
        let mut members = Members::default();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Value::object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.fault("no key");
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return self.fault("no colon after a key");
            }
            let value = self.value()?;
            members.insert(key, value);
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Value::object(members));
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
