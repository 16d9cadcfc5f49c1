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
use crate::domain::{BindingError, ComponentName, DataForm, DecompressFailure};
use crate::event_pattern::{Fields, Scalar};
use crate::gzip::{self, MAX_RECORD};
use crate::producer::hash_key;
use bytes::Bytes;
use std::borrow::Cow;

/// What becomes of a record at one side of the component.
pub(in crate::bindings) async fn try_record(
    name: &ComponentName,
    spec: &Spec,
    side: TrialSide,
    input: &TrialInput,
) -> Trial {
    match side {
        TrialSide::Output => output(spec, input).unwrap_or_else(|error| Trial::failed(&error)),
        TrialSide::Input => of_input(name, spec, input).await,
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

/// A record of the stream, as far as it is known.
struct View<'r> {
    data: &'r [u8],
    input: &'r TrialInput,
}

impl View<'_> {
    fn arrival(&self) -> Option<String> {
        self.input.arrival.map(|seconds| format!("{seconds:.3}"))
    }
}

impl Fields for View<'_> {
    fn data(&self) -> &[u8] {
        self.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        match name {
            "partitionKey" => self.input.partition_key.as_deref().map(|key| Scalar::String(Cow::Borrowed(key))),
            "sequenceNumber" => self.input.sequence_number.as_deref().map(|id| Scalar::String(Cow::Borrowed(id))),
            "approximateArrivalTimestamp" => self.arrival().map(|seconds| Scalar::Number(Cow::Owned(seconds))),
            _ => None,
        }
    }
}

async fn of_input(name: &ComponentName, spec: &Spec, input: &TrialInput) -> Trial {
    let (mut data, mut note) = (input.data.clone(), None);
    if gzip::is_wanted(spec.input.delivery.decompress, &input.data) {
        match gzip::decompressed(&input.data, MAX_RECORD).await {
            Ok(content) => data = content,
            Err(DecompressFailure::Corrupt) => note = Some("it is not gzip, or damaged, so it is not decompressed"),
            Err(DecompressFailure::TooLarge) => note = Some("it is too large to be decompressed"),
        }
    }
    let view = View { data: &data, input };
    let mut metadata = vec![("component", name.to_string()), ("stream", spec.stream.name().to_owned())];
    metadata.extend(input.partition_key.clone().map(|key| ("partitionKey", key)));
    metadata.extend(input.sequence_number.clone().map(|id| ("sequenceNumber", id)));
    metadata.extend(view.arrival().map(|seconds| ("approximateArrivalTimestamp", seconds)));
    let shaped = spec.shaping.as_ref().map_or(Shaped::Unchanged, |shaping| shaping.apply(&view, metadata));
    let mut trial = Trial::of_shaped(shaped, &data);
    trial.error = trial.error.or(note.map(str::to_owned));
    trial
}
