//! Reads the fields of filters and transforms.

use super::expression::Expression;
use super::record::{OnError, Shaping, Transform};
use crate::event_pattern::Filter;
use crate::manifest::Reader;
use std::sync::Arc;

/// What a filter can name beside `data`.
#[derive(Debug, Clone, Copy)]
pub(in crate::bindings) struct FilterFields {
    /// The fields that the records of every enabled side have.
    pub(in crate::bindings) known: &'static [&'static str],
    /// The fields that there would be with `direction: input`.
    pub(in crate::bindings) of_input: &'static [&'static str],
}

/// Reads `filter`, `transform` and `transformOnError`. `None` if the component shapes no records.
pub(in crate::bindings) fn read(reader: &mut Reader<'_>, fields: FilterFields) -> Option<Arc<Shaping>> {
    let filter = reader.parsed("filter", |text| compile_filter(text, fields));
    let program = Expression::read(reader, "transform");
    let on_error = reader.one_of("transformOnError", &OnError::WORDS);
    if reader.is_given("transformOnError") && !reader.is_given("transform") {
        let problem = "it has an effect only on the errors of a transform";
        reader.fault("transformOnError", problem, "add `transform`, or leave it out");
    }
    let transform = program.map(|program| Transform { program, on_error: on_error.unwrap_or_default() });
    (filter.is_some() || transform.is_some()).then(|| Arc::new(Shaping { filter, transform }))
}

fn compile_filter(text: &str, fields: FilterFields) -> Result<Filter, (String, String)> {
    Filter::compile(text, fields.known).map_err(|error| {
        if Filter::compile(text, fields.of_input).is_ok() {
            let problem = "it names fields that only records of the input have".to_owned();
            return (
                problem,
                "write `direction: input` if only the input is used, or leave these fields out".to_owned(),
            );
        }
        (error.problem(), error.remedy().to_owned())
    })
}
