//! Time zones from the system's database (TZif files, RFC 9636).

use super::posix_zone::PosixZone;
use crate::manifest::Environment;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The folders in which Go looks too.
const FOLDERS: [&str; 4] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo"];
/// The largest file of the database has 4 KiB.
const MAX_FILE: u64 = 1 << 20;

/// When the local time of a place differs how much from UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    /// Before the first transition, in seconds east of UTC.
    first: i64,
    /// Moments in ascending order, each with the offset from then on.
    transitions: Vec<(i64, i64)>,
    /// After the last transition.
    rule: Option<PosixZone>,
}

impl Zone {
    pub(super) const fn utc() -> Self {
        Self { first: 0, transitions: Vec::new(), rule: None }
    }

    /// A zone of the database, such as `Europe/Berlin`. As in Go, the empty name and `UTC` are UTC, and `Local` is the zone
    /// of the process.
    ///
    /// # Errors
    /// With what is wrong with the name or the database.
    pub(super) fn named(name: &str, environment: &dyn Environment) -> Result<Self, String> {
        match name {
            "" | "UTC" => return Ok(Self::utc()),
            "Local" => return Ok(Self::local(environment)),
            _ => {}
        }
        // A name must not lead out of the database.
        let is_name = !name.starts_with(['/', '\\']) && !name.split('/').any(|part| matches!(part, "" | "." | ".."));
        let folder = environment.get("ZONEINFO").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let folders = folder.into_iter().chain(FOLDERS.iter().map(PathBuf::from));
        let found = folders.filter(|_| is_name).find_map(|folder| read(&folder.join(name)));
        found.ok_or_else(|| format!("the time zone database of this system has no `{}`", name.escape_debug()))
    }

    /// The zone of the process, as Go finds it: the variable `TZ`, else `/etc/localtime`, else UTC.
    pub(super) fn local(environment: &dyn Environment) -> Self {
        let found = match environment.get("TZ") {
            None => read(Path::new("/etc/localtime")),
            Some(name) => {
                let name = name.strip_prefix(':').unwrap_or(&name);
                if name.starts_with('/') {
                    read(Path::new(name))
                } else if name == "Local" {
                    None
                } else {
                    Self::named(name, environment).ok()
                }
            }
        };
        found.unwrap_or_else(Self::utc)
    }

    /// Only with the rule, for tests that need no database.
    #[cfg(test)]
    pub(super) fn of_rule(rule: &str) -> Self {
        Self { rule: PosixZone::parse(rule), ..Self::utc() }
    }

    /// Seconds east of UTC at a moment (seconds since 1970), and the next moment at which that changes.
    pub(super) fn at(&self, moment: i64) -> (i64, Option<i64>) {
        let next = self.transitions.partition_point(|(at, _)| *at <= moment);
        if let Some((at, _)) = self.transitions.get(next) {
            let offset = next.checked_sub(1).and_then(|index| self.transitions.get(index));
            return (offset.map_or(self.first, |(_, offset)| *offset), Some(*at));
        }
        match (&self.rule, self.transitions.last()) {
            (Some(rule), _) => rule.at(moment),
            (None, last) => (last.map_or(self.first, |(_, offset)| *offset), None),
        }
    }
}

fn read(path: &Path) -> Option<Zone> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

/// The sizes of the parts of one block.
struct Header {
    is_utc: usize,
    is_standard: usize,
    leaps: usize,
    transitions: usize,
    types: usize,
    characters: usize,
}

fn header(bytes: &mut &[u8]) -> Option<(u8, Header)> {
    let head = take(bytes, 44)?;
    let version = *head.get(4).filter(|_| head.starts_with(b"TZif"))?;
    let count = |index: usize| {
        let four = head.get(20 + 4 * index..24 + 4 * index)?;
        usize::try_from(u32::from_be_bytes(four.try_into().ok()?)).ok()
    };
    let header = Header {
        is_utc: count(0)?,
        is_standard: count(1)?,
        leaps: count(2)?,
        transitions: count(3)?,
        types: count(4)?,
        characters: count(5)?,
    };
    Some((version, header))
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

impl Header {
    fn size(&self, time: usize) -> Option<usize> {
        let transitions = self.transitions.checked_mul(time + 1)?;
        let leaps = self.leaps.checked_mul(time + 4)?;
        let types = self.types.checked_mul(6)?;
        [leaps, types, self.characters, self.is_utc, self.is_standard]
            .into_iter()
            .try_fold(transitions, usize::checked_add)
    }
}

/// `None` for bytes that are no TZif file.
fn parse(bytes: &[u8]) -> Option<Zone> {
    let mut rest = bytes;
    let (version, first) = header(&mut rest)?;
    if version == 0 {
        return zone(&mut rest, &first, 4);
    }
    // Later versions repeat the table with times of 64 bits.
    take(&mut rest, first.size(4)?)?;
    let (_, second) = header(&mut rest)?;
    let mut zone = zone(&mut rest, &second, 8)?;
    let footer = rest.strip_prefix(b"\n")?;
    let end = footer.iter().position(|byte| *byte == b'\n')?;
    zone.rule = PosixZone::parse(std::str::from_utf8(footer.get(..end)?).ok()?);
    Some(zone)
}

fn zone(rest: &mut &[u8], header: &Header, time: usize) -> Option<Zone> {
    let mut block = take(rest, header.size(time)?)?;
    let times = take(&mut block, header.transitions * time)?;
    let indexes = take(&mut block, header.transitions)?;
    let types = take(&mut block, header.types * 6)?;
    let offset = |index: usize| {
        let four = types.get(6 * index..6 * index + 4)?;
        Some(i64::from(i32::from_be_bytes(four.try_into().ok()?)))
    };
    let moment = |bytes: &[u8]| match time {
        4 => bytes.try_into().ok().map(i32::from_be_bytes).map(i64::from),
        _ => bytes.try_into().ok().map(i64::from_be_bytes),
    };
    let mut transitions = Vec::with_capacity(header.transitions);
    for (bytes, index) in times.chunks_exact(time).zip(indexes) {
        transitions.push((moment(bytes)?, offset(usize::from(*index))?));
    }
    if !transitions.is_sorted_by(|(one, _), (other, _)| one < other) {
        return None;
    }
    Some(Zone { first: offset(0)?, transitions, rule: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// A file of version 2 with one transition: an hour east from 1,000 on, then the rule.
    fn file(rule: &str) -> Vec<u8> {
        let head = |transitions: u32, types: u32| {
            let mut head = b"TZif2".to_vec();
            head.extend([0; 15]);
            for count in [0, 0, 0, transitions, types, 4] {
                head.extend(count.to_be_bytes());
            }
            head
        };
        let mut bytes = head(0, 1);
        bytes.extend([0; 6]);
        bytes.extend(b"UTC\0");
        bytes.extend(head(1, 2));
        bytes.extend(1_000_i64.to_be_bytes());
        bytes.push(1);
        for offset in [0_i32, 3_600] {
            bytes.extend(offset.to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes.extend(b"UTC\0");
        bytes.extend(format!("\n{rule}\n").bytes());
        bytes
    }

    #[test]
    fn a_file_is_read_with_its_rule() {
        let zone = parse(&file("XXX-1")).unwrap();
        assert_eq!([zone.at(999), zone.at(1_000)], [(0, Some(1_000)), (3_600, None)]);
        let zone = parse(&file("")).unwrap();
        assert_eq!((zone.rule.clone(), zone.at(5_000)), (None, (3_600, None)));
    }

    #[test]
    fn names_do_not_lead_out_of_the_database() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("zones")).unwrap();
        std::fs::write(folder.path().join("zones/Here"), file("XXX-1")).unwrap();
        std::fs::write(folder.path().join("outside"), file("XXX-1")).unwrap();
        let zones = folder.path().join("zones");
        let environment = HashMap::from([("ZONEINFO", zones.to_str().unwrap()), ("TZ", "Here")]);
        assert_eq!(Zone::named("Here", &environment).unwrap().at(2_000).0, 3_600);
        assert_eq!(Zone::named("Local", &environment).unwrap().at(2_000).0, 3_600);
        assert_eq!(Zone::named("UTC", &environment).unwrap(), Zone::utc());
        for name in ["../outside", "a/../../outside", "/etc/localtime", "No/Where", "Here/"] {
            assert!(Zone::named(name, &environment).unwrap_err().contains("database"), "{name}");
        }
        assert_eq!(Zone::local(&HashMap::from([("TZ", "")])), Zone::utc());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), place in 0..400_usize) {
            parse(&bytes);
            let valid = file("CET-1CEST,M3.5.0,M10.5.0/3");
            bytes.truncate(3);
            let broken = [&valid[..place.min(valid.len())], &bytes, &valid[place.min(valid.len())..]].concat();
            parse(&broken);
        }
    }
}
