//! What the component does with an item, as `bindd try` shows it.

use super::super::shaping::{Shaped, shape_request};
use super::super::trial::{Trial, TrialInput};
use super::operations::create::new_item;
use super::request::Request;
use super::spec::Spec;
use crate::domain::{BindingError, InvokeRequest};

/// What becomes of the item of `create`, as `bindd try` shows it.
pub(in crate::bindings) fn try_item(spec: &Spec, input: &TrialInput) -> Trial {
    tried(spec, input).unwrap_or_else(|error| Trial::failed(&error))
}

fn tried(spec: &Spec, input: &TrialInput) -> Result<Trial, BindingError> {
    let form = input.form(false)?;
    let shaped = match &spec.shaping {
        Some(shaping) => shaping.one_item(shape_request(shaping, &input.data, None, &input.metadata)),
        None => Shaped::Unchanged,
    };
    let trial = Trial::of_shaped(shaped, &input.data);
    for record in &trial.records {
        let (data, metadata) = (record.data.clone(), input.metadata.clone());
        let request = InvokeRequest { operation: "create".to_owned(), data, form, metadata };
        let request = Request::read(request, &spec.options)?;
        new_item(&request, &spec.options, spec.options.key.as_ref())?;
    }
    Ok(trial)
}
