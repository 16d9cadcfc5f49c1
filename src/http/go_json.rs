//! Decodes JSON and encodes it again as Go's `encoding/json` does with a value of any type, which is what daprd does with
//! `data`: keys sorted by bytes and unique, no white space, numbers as 64-bit floats, `<`, `>`, `&` and some more escaped.
//! Only for `--dapr-compat`; otherwise `data` is passed on as it was sent.

use super::error::MalformedRequest;
use crate::domain::Reservation;
use bytes::Bytes;
use std::ops::Range;

/// Go's limit is 10,000, and the request itself is the first level.
const MAX_DEPTH: usize = 9_999;
/// Memory for values is reserved in steps of this many.
const NODES_AT_ONCE: usize = 1_024;
const NONE: usize = usize::MAX;

/// A value. Those of one container are linked in the order of the text.
#[derive(Debug)]
struct Node {
    /// The name of a member, with its quotes.
    name: Range<usize>,
    /// A scalar; for a container only its first byte.
    text: Range<usize>,
    first: usize,
    last: usize,
    next: usize,
}

/// `data` must be one valid JSON value.
///
/// # Errors
/// When a number does not fit into a float, when the value is nested too deep, or when `memory` is full.
pub(super) fn reencode(data: &[u8], memory: &mut Reservation) -> Result<Bytes, MalformedRequest> {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let nodes = parse(text, memory)?;
    memory.grow(data.len())?;
    let encoded = write(text, &nodes)?;
    memory.grow(encoded.len().saturating_sub(data.len()))?;
    Ok(encoded.into())
}

fn parse(text: &str, memory: &mut Reservation) -> Result<Vec<Node>, MalformedRequest> {
    let bytes = text.as_bytes();
    let (mut nodes, mut open): (Vec<Node>, Vec<usize>) = (Vec::new(), Vec::new());
    let (mut name, mut at) = (0..0, 0);
    while let Some(byte) = bytes.get(at).copied() {
        let end = match byte {
            b'"' => end_of_string(bytes, at),
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'{' | b'[' => at + 1,
            b'}' | b']' => {
                open.pop();
                at + 1
            }
            _ => end_of_word(bytes, at),
        };
        let is_in_object = open.last().is_some_and(|parent| bytes[nodes[*parent].text.start] == b'{');
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'}' | b']' => {}
            b'"' if is_in_object && name.is_empty() => name = at..end,
            _ => {
                if nodes.len().is_multiple_of(NODES_AT_ONCE) {
                    memory.grow(NODES_AT_ONCE * size_of::<Node>())?;
                    nodes.reserve_exact(NODES_AT_ONCE);
                }
                let node = Node { name: std::mem::take(&mut name), text: at..end, first: NONE, last: NONE, next: NONE };
                append(&mut nodes, open.last().copied(), node);
                if matches!(byte, b'{' | b'[') {
                    open.push(nodes.len() - 1);
                    if open.len() > MAX_DEPTH {
                        let problem = format!("invalid character '{}' exceeded max depth", char::from(byte));
                        return Err(MalformedRequest::Body(problem));
                    }
                }
            }
        }
        at = end;
    }
    Ok(nodes)
}

fn append(nodes: &mut Vec<Node>, parent: Option<usize>, node: Node) {
    let index = nodes.len();
    nodes.push(node);
    let Some(parent) = parent else { return };
    let previous = std::mem::replace(&mut nodes[parent].last, index);
    match previous {
        NONE => nodes[parent].first = index,
        previous => nodes[previous].next = index,
    }
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let is_end = |byte: &u8| b" \t\r\n,:]}".contains(byte);
    bytes[start..].iter().position(is_end).map_or(bytes.len(), |length| start + length)
}

/// A container that is being written.
enum Open {
    /// The next element.
    Array(usize),
    /// The members that are left, last first.
    Object(Vec<(String, usize)>),
}

fn write(text: &str, nodes: &[Node]) -> Result<Vec<u8>, MalformedRequest> {
    let mut out = Vec::with_capacity(text.len());
    if nodes.is_empty() {
        return Ok(out);
    }
    let mut open = Vec::new();
    begin(text, nodes, 0, &mut open, &mut out)?;
    while let Some(container) = open.last_mut() {
        let (next, end) = match container {
            Open::Array(next) => {
                let element = *next;
                if element != NONE {
                    *next = nodes[element].next;
                }
                ((element != NONE).then_some((None, element)), b']')
            }
            Open::Object(members) => (members.pop().map(|(name, value)| (Some(name), value)), b'}'),
        };
        let Some((name, value)) = next else {
            out.push(end);
            open.pop();
            continue;
        };
        // A value that was written never ends with such a byte.
        if !matches!(out.last(), Some(b'[' | b'{')) {
            out.push(b',');
        }
        if let Some(name) = name {
            write_string(&name, &mut out);
            out.push(b':');
        }
        begin(text, nodes, value, &mut open, &mut out)?;
    }
    Ok(out)
}

/// Writes a scalar, or begins a container.
fn begin(
    text: &str,
    nodes: &[Node],
    index: usize,
    open: &mut Vec<Open>,
    out: &mut Vec<u8>,
) -> Result<(), MalformedRequest> {
    let node = &nodes[index];
    let token = &text[node.text.clone()];
    match token.as_bytes().first() {
        Some(b'[') => open.push(Open::Array(node.first)),
        Some(b'{') => open.push(Open::Object(members(text, nodes, node.first))),
        Some(b'"') => {
            write_string(&decode(token), out);
            return Ok(());
        }
        Some(b'-' | b'0'..=b'9') => {
            out.extend_from_slice(number(token)?.as_bytes());
            return Ok(());
        }
        Some(_) | None => {}
    }
    out.extend_from_slice(token.as_bytes());
    Ok(())
}

/// Sorted by name, last first; of duplicate names only the last in the text.
fn members(text: &str, nodes: &[Node], first: usize) -> Vec<(String, usize)> {
    let mut members = Vec::new();
    let mut next = first;
    while let Some(node) = nodes.get(next) {
        members.push((decode(&text[node.name.clone()]), next));
        next = node.next;
    }
    members.sort_unstable_by(|left, right| right.cmp(left));
    members.dedup_by(|later, first| later.0 == first.0);
    members
}

/// The text of a string literal. An unpaired surrogate becomes U+FFFD.
fn decode(literal: &str) -> String {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    let mut decoded = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            'b' => decoded.push('\u{8}'),
            'f' => decoded.push('\u{c}'),
            'n' => decoded.push('\n'),
            'r' => decoded.push('\r'),
            't' => decoded.push('\t'),
            'u' => {
                let (character, length) = unicode(rest);
                decoded.push(character);
                rest = rest.get(length..).unwrap_or_default();
            }
            other => decoded.push(other),
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The character of an escape whose four digits begin `text`, and the length of the escape, which may be a pair.
fn unicode(text: &str) -> (char, usize) {
    let unit = |digits: Option<&str>| digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(text.get(..4)) else { return (char::REPLACEMENT_CHARACTER, 4) };
    if let Some(character) = char::from_u32(first) {
        return (character, 4);
    }
    let second = text.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(|rest| unit(rest.get(..4)));
    match (first, second) {
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 10)
        }
        _ => (char::REPLACEMENT_CHARACTER, 4),
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            '\u{8}' => out.extend_from_slice(br"\b"),
            '\u{c}' => out.extend_from_slice(br"\f"),
            '\n' => out.extend_from_slice(br"\n"),
            '\r' => out.extend_from_slice(br"\r"),
            '\t' => out.extend_from_slice(br"\t"),
            '\0'..' ' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// A number as a 64-bit float in its shortest form, with an exponent below 1e-6 and from 1e21.
fn number(token: &str) -> Result<String, MalformedRequest> {
    let value: f64 = token.parse().unwrap_or(f64::INFINITY);
    if !value.is_finite() {
        let field = "Go struct field OutputBindingRequest.data of type float64";
        return Err(MalformedRequest::Body(format!("json: cannot unmarshal number {token} into {field}")));
    }
    let size = value.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return Ok(value.to_string());
    }
    let text = format!("{value:e}");
    Ok(if size >= 1.0 { text.replace('e', "e+") } else { text })
}

#[cfg(test)]
#[path = "tests/go_json.rs"]
mod tests;
