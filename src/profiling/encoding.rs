//! The messages of `profile.proto` (<https://github.com/google/pprof/blob/main/proto/profile.proto>), as far as they are
//! needed, and their encoding. Names and numbers of the fields are those of that file.

use super::symbols::{Call, Place};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::time::Duration;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Id of the program among the files in memory.
const PROGRAM: u64 = 1;

/// A call stack that was sampled.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    /// Innermost first.
    pub(super) addresses: Vec<u64>,
    pub(super) thread: String,
    /// How often it was sampled.
    pub(super) samples: i64,
}

/// When and how often stacks were sampled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Nanoseconds since the Unix epoch.
    pub(super) started_at: i64,
    pub(super) duration: Duration,
    /// Samples per second of CPU time; never zero.
    pub(super) frequency: i64,
}

impl Timing {
    /// Nanoseconds of CPU time between two samples.
    const fn period(self) -> i64 {
        NANOS_PER_SECOND / self.frequency
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "7")]
    drop_frames: i64,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

/// All texts are indices into the table.
#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

/// A file in memory. Without a range it is all of the memory, from address 0.
#[derive(Clone, Copy, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

/// The profile of these stacks, gzipped. `place` finds out what is at an address of the program whose file is `path`.
///
/// # Errors
/// Never in fact: the bytes are written to memory.
pub(super) fn cpu_profile(
    stacks: &[Stack],
    timing: Timing,
    path: &str,
    place: impl Fn(u64) -> Place,
) -> io::Result<Vec<u8>> {
    let mut tables = Tables::default();
    tables.samples(stacks, timing, place);
    gzip(&tables.profile(timing, path).encode_to_vec())
}

/// The same profile, in which tools leave out the functions that match the regular expression `frames`, and what these
/// called.
///
/// # Errors
/// When it is no profile.
pub(super) fn without_frames(profile: &[u8], frames: &str) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    GzDecoder::new(profile).read_to_end(&mut message)?;
    let texts = Profile::decode(&message[..]).map_err(io::Error::other)?.string_table.len();
    // Fields behind a message are added to it.
    let added = Profile { string_table: vec![frames.to_owned()], drop_frames: number(texts), ..Profile::default() };
    message.extend_from_slice(&added.encode_to_vec());
    gzip(&message)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// What samples refer to by number. Each text, function and place is written once.
#[derive(Debug, Default)]
struct Tables {
    texts: HashMap<String, i64>,
    functions: HashMap<[i64; 3], Function>,
    locations: HashMap<u64, u64>,
    profile: Profile,
}

impl Tables {
    fn samples(&mut self, stacks: &[Stack], timing: Timing, place: impl Fn(u64) -> Place) {
        // The format wants the empty text first.
        self.text("");
        for stack in stacks {
            let label = Label { key: self.text("thread"), str: self.text(&stack.thread) };
            let location_id = stack.addresses.iter().map(|address| self.location(*address, &place)).collect();
            let value = vec![stack.samples, stack.samples.saturating_mul(timing.period())];
            self.profile.sample.push(Sample { location_id, value, label: vec![label] });
        }
    }

    fn profile(mut self, timing: Timing, path: &str) -> Profile {
        let mapping =
            Mapping { id: PROGRAM, filename: self.text(path), has_functions: !self.profile.function.is_empty() };
        let cpu = ValueType { r#type: self.text("cpu"), unit: self.text("nanoseconds") };
        let samples = ValueType { r#type: self.text("samples"), unit: self.text("count") };
        Profile {
            mapping: vec![mapping],
            sample_type: vec![samples, cpu],
            time_nanos: timing.started_at,
            duration_nanos: i64::try_from(timing.duration.as_nanos()).unwrap_or(i64::MAX),
            period_type: Some(cpu),
            period: timing.period(),
            ..self.profile
        }
    }

    fn text(&mut self, text: &str) -> i64 {
        if let Some(index) = self.texts.get(text) {
            return *index;
        }
        let index = number(self.profile.string_table.len());
        self.profile.string_table.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn location(&mut self, at: u64, place: impl Fn(u64) -> Place) -> u64 {
        if let Some(id) = self.locations.get(&at) {
            return *id;
        }
        let Place { in_program, calls } = place(at);
        let line = calls.iter().map(|call| Line { function_id: self.function(call), line: call.line }).collect();
        // Ids begin with 1.
        let id = self.profile.location.len() as u64 + 1;
        let mapping_id = in_program.map_or(0, |_| PROGRAM);
        self.profile.location.push(Location { id, mapping_id, address: in_program.unwrap_or(at), line });
        self.locations.insert(at, id);
        id
    }

    fn function(&mut self, call: &Call) -> u64 {
        let key = [self.text(&call.function), self.text(&call.symbol), self.text(&call.file)];
        let [name, system_name, filename] = key;
        let id = self.functions.len() as u64 + 1;
        let function = *self.functions.entry(key).or_insert(Function { id, name, system_name, filename });
        if function.id == id {
            self.profile.function.push(function);
        }
        function.id
    }
}

fn number(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, line: i64) -> Call {
        Call { function: function.to_owned(), symbol: format!("_{function}"), file: "shop.rs".to_owned(), line }
    }

    /// Two places in one function, one in another that has a function merged into it, and one of a library.
    fn place(address: u64) -> Place {
        let calls = match address {
            1 | 2 => vec![call("main", i64::try_from(address).unwrap())],
            3 => vec![call("parse", 3), call("read", 9)],
            _ => Vec::new(),
        };
        Place { in_program: (address < 100).then_some(address + 0x1000), calls }
    }

    fn encoded(stacks: &[(&[u64], i64)]) -> Vec<u8> {
        let timing = Timing { started_at: 17, duration: Duration::from_millis(1_500), frequency: 100 };
        let stack = |(addresses, samples): &(&[u64], i64)| Stack {
            addresses: addresses.to_vec(),
            thread: format!("tokio-{samples}"),
            samples: *samples,
        };
        cpu_profile(&stacks.iter().map(stack).collect::<Vec<_>>(), timing, "/bindd", place).unwrap()
    }

    fn decode(profile: &[u8]) -> Profile {
        let mut bytes = Vec::new();
        GzDecoder::new(profile).read_to_end(&mut bytes).unwrap();
        Profile::decode(&bytes[..]).unwrap()
    }

    fn text(profile: &Profile, index: i64) -> &str {
        &profile.string_table[usize::try_from(index).unwrap()]
    }

    /// The names in a sample, innermost first; those of one place are joined.
    fn names(profile: &Profile, sample: usize) -> Vec<String> {
        let name = |line: &Line| {
            let function = profile.function.iter().find(|function| function.id == line.function_id).unwrap();
            text(profile, function.name)
        };
        let place = |id: &u64| profile.location.iter().find(|location| location.id == *id).unwrap();
        let ids = profile.sample[sample].location_id.iter();
        ids.map(|id| place(id).line.iter().map(name).collect::<Vec<_>>().join("<")).collect()
    }

    #[test]
    fn stacks_keep_their_order_their_time_and_their_thread() {
        let profile = decode(&encoded(&[(&[3, 1], 3), (&[1], 1)]));
        assert_eq!(
            (names(&profile, 0), names(&profile, 1)),
            (vec!["parse<read".into(), "main".into()], vec!["main".into()])
        );
        assert_eq!(profile.sample[0].value, [3, 30_000_000]);
        assert_eq!((profile.location.len(), profile.function.len()), (2, 3), "each is written once");
        let label = profile.sample[1].label[0];
        assert_eq!([text(&profile, label.key), text(&profile, label.str)], ["thread", "tokio-1"]);
        let types = profile.sample_type.iter().map(|kind| (text(&profile, kind.r#type), text(&profile, kind.unit)));
        assert_eq!(types.collect::<Vec<_>>(), [("samples", "count"), ("cpu", "nanoseconds")]);
        assert_eq!((profile.time_nanos, profile.duration_nanos, profile.period), (17, 1_500_000_000, 10_000_000));
        assert_eq!(profile.string_table[0], "");
    }

    #[test]
    fn a_function_in_two_places_is_written_once() {
        let profile = decode(&encoded(&[(&[1], 1), (&[2], 1), (&[1], 1)]));
        assert_eq!((profile.location.len(), profile.function.len(), profile.sample.len()), (2, 1, 3));
    }

    #[test]
    fn a_program_without_symbols_has_addresses_in_its_file() {
        let profile = decode(&encoded(&[(&[7, 200], 1)]));
        let at: Vec<_> = profile.location.iter().map(|location| (location.address, location.mapping_id)).collect();
        assert_eq!(at, [(0x1007, 1), (200, 0)], "the second is in a library");
        assert_eq!(profile.mapping.len(), 1);
        assert_eq!((text(&profile, profile.mapping[0].filename), profile.mapping[0].has_functions), ("/bindd", false));
    }

    #[test]
    fn a_process_that_was_idle_has_an_empty_profile() {
        let profile = decode(&encoded(&[]));
        assert!(profile.sample.is_empty() && profile.period_type.is_some());
    }

    #[test]
    fn frames_are_left_out_of_a_profile_that_stays_the_same() {
        let encoded = encoded(&[(&[1], 1)]);
        let mut profile = decode(&without_frames(&encoded, "alloc::.*").unwrap());
        assert_eq!(text(&profile, profile.drop_frames), "alloc::.*");
        profile.string_table.pop();
        assert_eq!(Profile { drop_frames: 0, ..profile }, decode(&encoded));
        without_frames(b"no profile", "").unwrap_err();
    }
}
