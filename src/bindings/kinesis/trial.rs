//! What the component does with one record, as `bindd try` shows it.

use super::super::shaping::{ExpressionError, Shaped};
use super::super::trial::{Key, Trial, TrialInput, TrialOutcome, TrialRecord, TrialSide};
use super::keys::KeySource;
use super::output_spec::OutputSpec;
use super::request::RequestOptions;
use super::spec::Spec;
use crate::domain::{BindingError, NewRecord};
use crate::event_pattern::{Fields, Scalar};
use crate::producer::hash_key;
use bytes::Bytes;
use std::borrow::Cow;

/// What becomes of a record at one side of the component.
pub(in crate::bindings) fn try_record(spec: &Spec, side: TrialSide, input: &TrialInput) -> Trial {
    match side {
        TrialSide::Output => output(spec, input).unwrap_or_else(|error| Trial::failed(&error)),
        TrialSide::Input => shaped(spec, input, &Record { input, key: input.partition_key.as_deref() }),
    }
}

struct Record<'r> {
    input: &'r TrialInput,
    key: Option<&'r str>,
}

impl Fields for Record<'_> {
    fn data(&self) -> &[u8] {
        &self.input.data
    }

    fn field(&self, name: &str) -> Option<Scalar<'_>> {
        let text = |text: Option<&'_ str>| text.map(|text| Scalar::String(Cow::Owned(text.to_owned())));
        match name {
            "partitionKey" => text(self.key),
            "sequenceNumber" => text(self.input.sequence_number.as_deref()),
            "approximateArrivalTimestamp" => {
                self.input.arrival.map(|arrival| Scalar::Number(Cow::Owned(format!("{arrival:.3}"))))
            }
            _ => None,
        }
    }
}

/// The records after the filter and the transform, without keys.
fn shaped(spec: &Spec, input: &TrialInput, record: &Record<'_>) -> Trial {
    let metadata = input.metadata.names().map(|name| (name, input.metadata.get(name).unwrap_or_default()));
    let shaped = match &spec.shaping {
        Some(shaping) => shaping.apply(record, metadata),
        None => Shaped::Unchanged,
    };
    let failed = |error: ExpressionError| Some(error.of_field("transform").message().to_owned());
    let records = |data: Vec<Bytes>| -> Vec<TrialRecord> {
        data.into_iter().map(|data| TrialRecord { key: None, hash_key: None, data }).collect()
    };
    match shaped {
        Shaped::Unchanged => {
            Trial { outcome: TrialOutcome::Record, records: records(vec![input.data.clone()]), error: None }
        }
        Shaped::Records(outputs) => Trial { outcome: TrialOutcome::Record, records: records(outputs), error: None },
        Shaped::PassedThrough(error) => Trial {
            outcome: TrialOutcome::PassedThrough,
            records: records(vec![input.data.clone()]),
            error: failed(error),
        },
        Shaped::Filtered => Trial::without_record(TrialOutcome::Filtered, None),
        Shaped::Dropped(error) => Trial::without_record(TrialOutcome::Dropped, failed(error)),
        Shaped::DeadLetter(error) => Trial::without_record(TrialOutcome::DeadLetter, failed(error)),
        Shaped::Failed(error) => Trial::without_record(TrialOutcome::Failed, failed(error)),
    }
}

fn output(spec: &Spec, input: &TrialInput) -> Result<Trial, BindingError> {
    let requested = input.metadata.get("partitionKey");
    let key = match (requested, &spec.output.partition_key) {
        (Some(key), _) => Some(key),
        (None, KeySource::Constant(key)) => Some(key.as_str()),
        (None, _) => None,
    };
    let mut trial = shaped(spec, input, &Record { input, key });
    let read = if input.is_raw { RequestOptions::read_raw } else { RequestOptions::read };
    let options = read(&input.metadata, &spec.output)?;
    let with_keys = |record: TrialRecord| output_record(&spec.output, input, &options, record.data);
    trial.records = trial.records.into_iter().map(with_keys).collect::<Result<_, _>>()?;
    Ok(trial)
}

fn output_record(
    spec: &OutputSpec,
    input: &TrialInput,
    options: &RequestOptions,
    data: Bytes,
) -> Result<TrialRecord, BindingError> {
    let requested = input.metadata.get("partitionKey");
    let partition_key = spec.partition_key.choose(requested, &data)?;
    let explicit_hash_key = match partition_key {
        Some(_) => spec.explicit_hash_key.choose(input.metadata.get("explicitHashKey"), &data)?,
        None => None,
    };
    let record = NewRecord { data: options.form.bytes(data)?, partition_key, explicit_hash_key };
    Ok(shown(record, requested.is_none() && matches!(spec.partition_key, KeySource::Random)))
}

fn shown(record: NewRecord, is_random: bool) -> TrialRecord {
    let hash_key = if is_random && record.explicit_hash_key.is_none() { None } else { hash_key(&record) };
    let key =
        record.partition_key.map(|key| if is_random { Key::Random } else { Key::Chosen(key.as_str().to_owned()) });
    TrialRecord { key, hash_key, data: record.data }
}
