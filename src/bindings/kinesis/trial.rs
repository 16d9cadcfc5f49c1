//! What the component does with one record, as `bindd try` shows it.

use super::super::shaping::{Shaped, shape_request};
use super::super::trial::{Key, Trial, TrialInput, TrialRecord, TrialSide};
use super::bulk::Item;
use super::keys::KeySource;
use super::output::{options_of, record};
use super::output_spec::OutputSpec;
use super::request::RequestOptions;
use super::shaped_output::{check_several, known_key};
use super::spec::Spec;
use crate::domain::{BindingError, DataForm};
use crate::event_pattern::{Fields, Scalar};
use crate::producer::hash_key;
use bytes::Bytes;
use std::borrow::Cow;

/// What becomes of a record at one side of the component.
pub(in crate::bindings) fn try_record(spec: &Spec, side: TrialSide, input: &TrialInput) -> Trial {
    match side {
        TrialSide::Output => output(spec, input).unwrap_or_else(|error| Trial::failed(&error)),
        TrialSide::Input => of_input(spec, input),
    }
}

fn output(spec: &Spec, input: &TrialInput) -> Result<Trial, BindingError> {
    let key = known_key(&spec.output.partition_key, input.metadata.get("partitionKey"));
    let shaped = match &spec.shaping {
        Some(shaping) => shape_request(shaping, &input.data, key, &input.metadata),
        None => Shaped::Unchanged,
    };
    let mut trial = Trial::of_shaped(shaped, &input.data);
    if trial.records.is_empty() {
        return Ok(trial);
    }
    let form = if input.is_raw { DataForm::Raw } else { DataForm::Json };
    let options = options_of(&spec.output, form, &input.metadata)?;
    check_several(&options, trial.records.len())?;
    let with_keys = |shaped: TrialRecord| with_keys(&spec.output, input, &options, shaped.data);
    trial.records = trial.records.into_iter().map(with_keys).collect::<Result<_, _>>()?;
    Ok(trial)
}

fn with_keys(
    spec: &OutputSpec,
    input: &TrialInput,
    options: &RequestOptions,
    data: Bytes,
) -> Result<TrialRecord, BindingError> {
    let requested = |name| input.metadata.get(name).map(Cow::Borrowed);
    let (partition_key, explicit_hash_key) = (requested("partitionKey"), requested("explicitHashKey"));
    let is_random = partition_key.is_none() && matches!(spec.partition_key, KeySource::Random);
    let record = record(spec, Item { data, partition_key, explicit_hash_key }, &input.metadata, options)?;
    // The next one would be another.
    let hash_key = if is_random { record.explicit_hash_key } else { hash_key(&record) };
    let key =
        record.partition_key.map(|key| if is_random { Key::Random } else { Key::Chosen(key.as_str().to_owned()) });
    Ok(TrialRecord { key, hash_key, data: record.data })
}

struct View<'r>(&'r TrialInput);

impl Fields for View<'_> {
    fn data(&self) -> &[u8] {
        &self.0.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        let text = |text: Option<&'_ str>| text.map(|text| Scalar::String(Cow::Owned(text.to_owned())));
        match name {
            "partitionKey" => text(self.0.partition_key.as_deref()),
            "sequenceNumber" => text(self.0.sequence_number.as_deref()),
            "approximateArrivalTimestamp" => {
                self.0.arrival.map(|arrival| Scalar::Number(Cow::Owned(format!("{arrival:.3}"))))
            }
            _ => None,
        }
    }
}

fn of_input(spec: &Spec, input: &TrialInput) -> Trial {
    let metadata = input.metadata.pairs();
    let shaped = spec.shaping.as_ref().map_or(Shaped::Unchanged, |shaping| shaping.apply(&View(input), metadata));
    Trial::of_shaped(shaped, &input.data)
}
