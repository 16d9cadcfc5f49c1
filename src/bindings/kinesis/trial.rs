//! What the component does with one record, for `bindd try`.

use super::super::trial::{Key, Trial, TrialInput, TrialOutcome, TrialRecord, TrialSide};
use super::keys::KeySource;
use super::output_spec::OutputSpec;
use super::request::RequestOptions;
use super::spec::Spec;
use crate::domain::{BindingError, NewRecord};
use crate::producer::hash_key;

/// What becomes of a record at one side of the component.
pub(in crate::bindings) fn try_record(spec: &Spec, side: TrialSide, input: TrialInput) -> Trial {
    match side {
        TrialSide::Output => output(&spec.output, input).unwrap_or_else(|error| Trial::failed(&error)),
        TrialSide::Input => Trial::without_record(TrialOutcome::Filtered, None),
    }
}

fn output(spec: &OutputSpec, input: TrialInput) -> Result<Trial, BindingError> {
    let options = if input.is_raw {
        RequestOptions::read_raw(&input.metadata, spec)
    } else {
        RequestOptions::read(&input.metadata, spec)
    };
    let options = options?;
    let requested = input.metadata.get("partitionKey");
    let is_random = requested.is_none() && matches!(spec.partition_key, KeySource::Random);
    let partition_key = spec.partition_key.choose(requested, &input.data)?;
    let explicit_hash_key = match partition_key {
        Some(_) => spec.explicit_hash_key.choose(input.metadata.get("explicitHashKey"), &input.data)?,
        None => None,
    };
    let record = NewRecord { data: options.form.bytes(input.data)?, partition_key, explicit_hash_key };
    Ok(Trial { outcome: TrialOutcome::Record, records: vec![shown(record, is_random)], error: None })
}

fn shown(record: NewRecord, is_random: bool) -> TrialRecord {
    let hash_key = if is_random && record.explicit_hash_key.is_none() { None } else { hash_key(&record) };
    let key =
        record.partition_key.map(|key| if is_random { Key::Random } else { Key::Chosen(key.as_str().to_owned()) });
    TrialRecord { key, hash_key, data: record.data }
}
