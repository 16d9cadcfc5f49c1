//! The fields of a component file whose type a pluggable component serves.

use super::super::fields::{read_direction, read_route};
use super::plug::Plug;
use crate::domain::Direction;
use crate::manifest::{Document, Faults, Notice, Reader};
use secrecy::SecretString;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Spec {
    pub(crate) plug: Arc<Plug>,
    /// All fields, which the component gets by `Init`; also those below.
    pub(super) properties: Vec<(String, SecretString)>,
    /// `direction`: a side that the component lacks is a fault.
    pub direction: Direction,
    /// `route`: the app's path for events.
    pub route: Option<String>,
}

impl Spec {
    /// Checks a document and reports all faults. A spec with faults must not be connected.
    #[must_use]
    pub fn check(document: &Document, plug: &Arc<Plug>) -> (Self, Faults, Vec<Notice>) {
        let mut reader = Reader::new(document);
        let spec = Self::read(&mut reader, plug);
        let (faults, notices) = reader.finish();
        (spec, faults, notices)
    }

    /// Reads every field; faults are recorded in the reader.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>, plug: &Arc<Plug>) -> Self {
        let direction = read_direction(reader);
        let lacks = match direction {
            Direction::Input | Direction::Both if !plug.has_input => Some("input"),
            Direction::Output | Direction::Both if !plug.has_output => Some("output"),
            Direction::Input | Direction::Output | Direction::Both | Direction::Unstated => None,
        };
        if let Some(side) = lacks {
            let problem = format!("the pluggable component of `{}` has no {side}", plug.type_name);
            reader.fault("direction", problem, "leave it out, or look at what the component serves");
        }
        if !reader.component().as_str().chars().all(|c| c.is_ascii_graphic()) {
            let problem = "the name is not in ASCII, so it cannot be sent to a pluggable component";
            reader.fault("metadata.name", problem, "use letters, digits, `-`, `_` and `.`");
        }
        Self { plug: Arc::clone(plug), properties: reader.properties(), direction, route: read_route(reader) }
    }
}
