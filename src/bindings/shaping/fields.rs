//! Reads the fields of filters and transforms.

use super::expression::Expression;
use super::record::{OnError, Shaping, Transform};
use crate::event_pattern::Filter;
use crate::manifest::{Fault, Method, Methods, Place, Reader};
use std::sync::Arc;

/// What a filter can name beside `data`.
#[derive(Debug, Clone, Copy)]
pub(in crate::bindings) struct FilterFields {
    /// The fields that the records of every enabled side have.
    pub(in crate::bindings) known: &'static [&'static str],
    /// The fields that there would be with `direction: input`.
    pub(in crate::bindings) of_input: &'static [&'static str],
}

/// Reads `filter`, `transform`, `method` and `transformOnError`. `None` if the component shapes no records.
pub(in crate::bindings) fn read(reader: &mut Reader<'_>, fields: FilterFields) -> Option<Arc<Shaping>> {
    let filter = reader.parsed("filter", |text| compile_filter(text, fields));
    if reader.is_empty("filter") {
        reader.notice("filter", "it is empty, so no record is left out; write a pattern, or leave it out");
    }
    let (given, program) = read_transform(reader);
    let on_error = reader.one_of("transformOnError", &OnError::WORDS);
    if reader.is_given("transformOnError") && !given {
        let problem = "it has an effect only on the errors of a transform";
        reader.fault("transformOnError", problem, "add `transform` or `method`, or leave it out");
    }
    let transform = program.map(|program| Transform { program, on_error: on_error.unwrap_or_default() });
    (filter.is_some() || transform.is_some()).then(|| Arc::new(Shaping { filter, transform }))
}

/// The fields that a transform can have.
const TRANSFORM_FIELDS: [&str; 3] = ["transform", "method", "dataProcessingMethodId"];

/// The field that has the transform, if there is one, right or wrong.
pub(in crate::bindings) fn transform_field(reader: &Reader<'_>) -> Option<&'static str> {
    TRANSFORM_FIELDS.into_iter().find(|field| reader.is_given(field))
}

/// Whether there is a transform, and its program: that of `transform`, or that of the method which `method` names.
fn read_transform(reader: &mut Reader<'_>) -> (bool, Option<Expression>) {
    let own = Expression::read(reader, "transform");
    let field = reader.name_or_alias("method", "dataProcessingMethodId");
    let methods = reader.methods();
    let named = reader.parsed(field, |name| method(methods, name));
    if reader.is_given("transform") && reader.is_given(field) {
        let problem = "`transform` is given too, and a component has one transform";
        reader.fault(field, problem, "leave one of them out");
    }
    for field in TRANSFORM_FIELDS.into_iter().filter(|field| reader.is_empty(field)).collect::<Vec<_>>() {
        reader.notice(field, "it is empty, so records stay as they are; give it a value, or leave it out");
    }
    (transform_field(reader).is_some(), own.or(named))
}

fn method(methods: &Methods, name: &str) -> Result<Expression, (String, String)> {
    let Some(method) = methods.get(name) else {
        let remedy = match methods.nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add a document of kind `Method` with this name, or write the program in `transform`".to_owned(),
        };
        return Err(("there is no method of this name".to_owned(), remedy));
    };
    Expression::compile(&method.program).map_err(|(problem, _)| {
        let Place { file, document } = &method.place;
        (
            format!("the program of this method is wrong: {problem}"),
            format!("correct it in {file}, document {document}"),
        )
    })
}

/// The faults in the programs of methods, whether a component uses them or not.
pub(in crate::bindings) fn check_methods(methods: &Methods) -> Vec<Fault> {
    let check = |method: &Method| {
        let (problem, remedy) = Expression::compile(&method.program).err()?;
        let problem = format!("method `{}`: {problem}", method.name);
        Some(Fault::of_document(&method.place, problem, remedy).field("spec.jq"))
    };
    methods.iter().filter_map(check).collect()
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

#[cfg(test)]
#[path = "tests/fields.rs"]
mod tests;
