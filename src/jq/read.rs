//! JSON to values. Numbers stay as they are written and members in their order; of equal keys the last one counts.

use std::rc::Rc;

use super::budget;
use super::limits::Limit;
use super::number::Number;
use super::scan;
use super::used::Used;
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
    /// The members of the outermost object that become values.
    used: &'a Used,
    /// Keys that were read last: lists of objects repeat them, and a copy of each needs memory and time.
    keys: [Option<Rc<str>>; KNOWN_KEYS],
}

const KNOWN_KEYS: usize = 16;
/// Members for which an object has place at first.
const FIRST_MEMBERS: usize = 4;

/// A key as it stands in the text, or without escapes.
enum Key<'a> {
    Plain(&'a str),
    Escaped(Rc<str>),
}

/// The one value of a text.
pub(super) fn read(json: &[u8]) -> Result<Value, Fault> {
    members(json, &Used::All)
}

/// The same. If the value is an object, it has only the members that are used; the others are checked, but take no memory.
pub(super) fn members(json: &[u8], used: &Used) -> Result<Value, Fault> {
    let text = std::str::from_utf8(json).map_err(|e| Fault { what: "invalid UTF-8", at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0, nesting: 0, used, keys: Default::default() };
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() { reader.fault("something after the value") } else { Ok(value) }
}

impl<'a> Reader<'a> {
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

    fn word<T>(&mut self, word: &str, value: T) -> Result<T, Fault> {
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
            Some(b'-' | b'0'..=b'9') => Ok(Value::Number(Number::read(self.number()?))),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.fault("no value of JSON"),
            None => self.fault("the end of the text"),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Fault>) -> Result<Value, Fault> {
        self.enter()?;
        self.charge(OBJECT_ELEMENTS)?;
        let value = read(self)?;
        self.nesting -= 1;
        Ok(value)
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.at += 1;
        self.nesting += 1;
        if self.nesting > budget::max_nesting() {
            budget::exceed(Limit::Nesting);
            return self.fault("too many levels");
        }
        Ok(())
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
        let is_outermost = self.nesting == 1;
        let mut members = Members::with_capacity(FIRST_MEMBERS);
        loop {
            let key = self.key()?;
            if is_outermost && !self.used.has(key.as_str()) {
                self.skip()?;
            } else {
                self.charge(1)?;
                let key = self.shared(key);
                let value = self.value()?;
                members.insert(key, value);
            }
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Value::of_object(Object::new(members).into()));
            }
            if !self.eat(b',') {
                return self.fault("no comma or closing brace");
            }
        }
    }

    /// Goes over a value.
    fn skip(&mut self) -> Result<(), Fault> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.skip_string(),
            Some(open @ (b'{' | b'[')) => {
                self.enter()?;
                self.skip_elements(open)?;
                self.nesting -= 1;
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word("true", ()),
            Some(b'f') => self.word("false", ()),
            Some(b'n') => self.word("null", ()),
            Some(_) => self.fault("no value of JSON"),
            None => self.fault("the end of the text"),
        }
    }

    fn skip_elements(&mut self, open: u8) -> Result<(), Fault> {
        let close = if open == b'{' { b'}' } else { b']' };
        self.skip_space();
        if self.eat(close) {
            return Ok(());
        }
        loop {
            if open == b'{' {
                self.key()?;
            }
            self.skip()?;
            self.skip_space();
            if self.eat(close) {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.fault("no comma or closing bracket");
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape().map(drop)?,
                Some(_) => return self.fault("a control character in a string"),
                None => return self.fault("a string without an end"),
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

    fn number(&mut self) -> Result<&'a str, Fault> {
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
        Ok(&self.text[start..self.at])
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Key<'a>, Fault> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.fault("no key");
        }
        let begin = self.at;
        self.at += 1;
        let end = self.plain();
        let key = if self.eat(b'"') {
            Key::Plain(&self.text[begin + 1..end])
        } else {
            self.at = begin;
            Key::Escaped(self.string()?)
        };
        self.skip_space();
        if self.eat(b':') { Ok(key) } else { self.fault("no colon after a key") }
    }

    fn shared(&mut self, key: Key<'_>) -> Rc<str> {
        let key = match key {
            Key::Plain(key) => key,
            Key::Escaped(key) => return key,
        };
        let bytes = key.as_bytes();
        let sum = bytes.first().copied().map_or(0, usize::from) + bytes.last().copied().map_or(0, usize::from);
        let Some(known) = self.keys.get_mut((sum + bytes.len()) % KNOWN_KEYS) else { return key.into() };
        if known.as_deref() != Some(key) {
            *known = Some(key.into());
        }
        known.clone().unwrap_or_default()
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
        self.at += scan::plain_length(&self.text.as_bytes()[self.at..]);
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

impl Key<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Plain(key) => key,
            Self::Escaped(key) => key,
        }
    }
}
