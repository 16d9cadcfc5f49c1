//! What the component does with one record, as `bindd try` shows it.

use super::super::shaping::{Shaped, shape_request};
use super::super::trial::{Key, Trial, TrialInput, TrialOutcome, TrialRecord, TrialSide};
use super::bulk::Item;
use super::input_shaping::{View, metadata};
use super::keys::KeySource;
use super::output::{options_of, record};
use super::output_spec::OutputSpec;
use super::request::RequestOptions;
use super::shaped_output::{check_several, known_key};
use super::spec::Spec;
use crate::domain::{BindingError, ComponentName, DecompressFailure, EventOrigin, Record};
use crate::gzip::{self, MAX_RECORD};
use crate::producer::{checked_size, hash_key};
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
        TrialSide::Output => output(spec, input).await.unwrap_or_else(|error| Trial::failed(&error)),
        TrialSide::Input => {
            let failed = |error| Trial::without_record(TrialOutcome::Failed, Some(error));
            of_input(name, spec, input).await.unwrap_or_else(failed)
        }
    }
}

async fn output(spec: &Spec, input: &TrialInput) -> Result<Trial, BindingError> {
    let form = input.form(spec.output.allow_raw_body)?;
    let key = known_key(&spec.output.partition_key, input.metadata.get("partitionKey"));
    let shaped = match &spec.shaping {
        Some(shaping) => shape_request(shaping, &input.data, key, &input.metadata),
        None => Shaped::Unchanged,
    };
    let mut trial = Trial::of_shaped(shaped, &input.data);
    if trial.records.is_empty() {
        return Ok(trial);
    }
    let options = options_of(&spec.output, form, &input.metadata)?;
    check_several(&options, trial.records.len())?;
    for shaped in &mut trial.records {
        *shaped = with_keys(&spec.output, input, &options, shaped.data.clone()).await?;
    }
    Ok(trial)
}

async fn with_keys(
    spec: &OutputSpec,
    input: &TrialInput,
    options: &RequestOptions,
    data: Bytes,
) -> Result<TrialRecord, BindingError> {
    let requested = |name| input.metadata.get(name).map(Cow::Borrowed);
    let (partition_key, explicit_hash_key) = (requested("partitionKey"), requested("explicitHashKey"));
    let is_random = partition_key.is_none() && matches!(spec.partition_key, KeySource::Random);
    let record = record(spec, Item { data, partition_key, explicit_hash_key }, &input.metadata, options)?;
    checked_size(&options.compression.apply(record.clone()).await?, spec.producer.max_record_size)?;
    // The next one would be another.
    let hash_key = if is_random { record.explicit_hash_key } else { hash_key(&record) };
    let key =
        record.partition_key.map(|key| if is_random { Key::Random } else { Key::Chosen(key.as_str().to_owned()) });
    Ok(TrialRecord { key, hash_key, data: record.data })
}

async fn of_input(name: &ComponentName, spec: &Spec, input: &TrialInput) -> Result<Trial, String> {
    let (mut data, mut note) = (input.data.clone(), None);
    if gzip::is_wanted(spec.input.delivery.decompress, &input.data) {
        match gzip::decompressed(&input.data, MAX_RECORD).await {
            Ok(content) => data = content,
            Err(DecompressFailure::Corrupt) => note = Some("it is not gzip, or damaged, so it is not decompressed"),
            Err(DecompressFailure::TooLarge) => note = Some("it is too large to be decompressed"),
        }
    }
    let origin = input.origin.event_origin()?;
    let shaped = match &spec.shaping {
        Some(shaping) => {
            let record = stream_record(&origin, &input.data);
            shaping.apply(&View { data: &data, record: &record }, metadata(name.as_str(), spec.stream.name(), &origin))
        }
        None => Shaped::Unchanged,
    };
    let mut trial = Trial::of_shaped(shaped, &data);
    trial.error = trial.error.or(note.map(str::to_owned));
    Ok(trial)
}

fn stream_record(origin: &EventOrigin, data: &Bytes) -> Record {
    Record {
        position: origin.position.clone(),
        partition_key: origin.partition_key.clone(),
        data: data.clone(),
        arrival: origin.arrival,
        is_damaged_aggregate: false,
        is_filtered: false,
        decompressed: None,
    }
}
