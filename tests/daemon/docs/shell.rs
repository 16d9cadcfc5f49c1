//! The subset of shell syntax that the pages use, and `curl` lines as requests. Anything else panics.

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// One command of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) words: Vec<String>,
    /// The comment after it, else the one on the line above.
    pub(super) comment: String,
}

/// Variables that commands set, such as `B=http://127.0.0.1:3500`.
pub(super) type Variables = HashMap<String, String>;

/// The commands of a block. Knows quotes, `\` at the end of a line, `$NAME` outside of single quotes, `< FILE` and comments.
pub(super) fn commands(text: &str, variables: &mut Variables) -> Vec<Command> {
    let mut found = Vec::new();
    let mut current = Command::default();
    let mut above = String::new();
    let mut chars = text.chars().peekable();
    while let Some(&next) = chars.peek() {
        match next {
            '\n' => {
                chars.next();
                finish(&mut current, &mut above, variables, &mut found);
            }
            ' ' => drop(chars.next()),
            '\\' => {
                chars.next();
                assert_eq!(chars.next(), Some('\n'), "a backslash may only end a line");
            }
            // Where the standard input comes from is not for the arguments.
            '<' => {
                chars.next();
                chars.next_if_eq(&' ');
                word(&mut chars, variables);
            }
            '#' => {
                let comment: String = std::iter::from_fn(|| chars.next_if(|c| *c != '\n')).skip(1).collect();
                if current.words.is_empty() {
                    above = comment.trim().to_owned();
                    // The end of a comment's line ends no command.
                    chars.next();
                } else {
                    current.comment = comment.trim().to_owned();
                }
            }
            _ => current.words.push(word(&mut chars, variables)),
        }
    }
    finish(&mut current, &mut above, variables, &mut found);
    found
}

fn finish(current: &mut Command, above: &mut String, variables: &mut Variables, found: &mut Vec<Command>) {
    let mut command = std::mem::take(current);
    let above = std::mem::take(above);
    if let [word] = command.words.as_slice()
        && let Some((name, value)) = word.split_once('=')
    {
        variables.insert(name.to_owned(), value.to_owned());
    } else if !command.words.is_empty() {
        if command.comment.is_empty() {
            command.comment = above;
        }
        found.push(command);
    }
}

fn word(chars: &mut Peekable<Chars<'_>>, variables: &Variables) -> String {
    let mut word = String::new();
    while let Some(&next) = chars.peek() {
        match next {
            ' ' | '\n' => break,
            '\'' => {
                chars.next();
                word.extend(std::iter::from_fn(|| chars.next_if(|c| *c != '\'')));
                assert!(chars.next().is_some(), "an open quote behind {word}");
            }
            '$' => {
                chars.next();
                let name: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_alphanumeric)).collect();
                word.push_str(variables.get(&name).unwrap_or_else(|| panic!("${name} is not set")));
            }
            '"' | '`' | '*' | '&' | ';' | '(' | '>' | '<' | '|' => panic!("`{next}` behind {word} is not known here"),
            _ => word.extend(chars.next()),
        }
    }
    word
}

/// A `curl` line as a request: authority of its URL, head and body.
pub(super) fn request(words: &[String]) -> (String, Builder, Bytes) {
    let (mut method, mut url, mut body) = (None, None, None);
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut words = words.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-i" | "-s" => {}
            "-o" => drop(words.next()),
            "-X" => method = Some(words.next().unwrap()),
            "-d" | "--data-binary" => body = Some(words.next().unwrap()),
            "-H" => {
                let (name, value) = words.next().unwrap().split_once(':').unwrap();
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            _ if word.starts_with('-') => panic!("option {word} of curl is not known here"),
            _ => assert!(url.replace(word).is_none(), "one curl line, one URL"),
        }
    }
    if body.is_some() && headers.iter().all(|(name, _)| name != "content-type") {
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    }
    let rest = url.and_then(|url| url.strip_prefix("http://")).unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let method = method.unwrap_or(if body.is_some() { "POST" } else { "GET" });
    let builder = Request::builder().method(method).uri(if path.is_empty() { "/" } else { path });
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    (authority.to_owned(), builder, Bytes::copy_from_slice(body.unwrap_or_default().as_bytes()))
}

#[test]
fn words_quotes_variables_and_comments_are_distinguished() {
    let text =
        "B=http://127.0.0.1:3500\n# 204\ncurl -i $B/x -d '{\"a\": \"$B\n # b\"}' \\\n  -H 'a: b'\ncurl $B # 200: ok\n";
    let found = commands(text, &mut Variables::new());
    let words = ["curl", "-i", "http://127.0.0.1:3500/x", "-d", "{\"a\": \"$B\n # b\"}", "-H", "a: b"];
    assert_eq!(found[0].words, words);
    assert_eq!(found[0].comment, "204");
    assert_eq!((found[1].words.len(), found[1].comment.as_str()), (2, "200: ok"));
    let (authority, builder, body) = request(&found[0].words);
    let request = builder.body(()).unwrap();
    assert_eq!((authority.as_str(), request.uri().path(), request.method().as_str()), ("127.0.0.1:3500", "/x", "POST"));
    assert_eq!((request.headers()["a"].as_bytes(), &body[..5]), (b"b".as_slice(), b"{\"a\":".as_slice()));
}

#[test]
#[should_panic(expected = "option -k of curl is not known here")]
fn an_unknown_option_is_an_error() {
    request(&["curl", "-k", "http://127.0.0.1/"].map(str::to_owned));
}
