//! What is read from the data of a record beside its transform: its keys, and whether it ends its batch.

use super::super::shaping::{Expression, ExpressionError, RunPlace};
use super::bulk::Item;
use super::keys::{HashKeySource, KeyInput, KeySource};
use super::output_spec::OutputSpec;
use super::payload::PayloadForm;
use crate::domain::{BindingError, Metadata, PartitionKey};
use std::sync::Arc;

/// The keys of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) partition: Option<PartitionKey>,
    pub(super) explicit_hash: Option<u128>,
}

/// What was read.
pub(super) type Read = (Keys, Option<Result<bool, ExpressionError>>);

/// Runs the programs of one output, on the thread that is right for the record: a program may take as long as its limits
/// allow, and a record may be large.
#[derive(Debug)]
pub(super) struct RecordPrograms {
    sources: Arc<Sources>,
    place: RunPlace,
}

#[derive(Debug)]
struct Sources {
    partition_key: KeySource,
    explicit_hash_key: HashKeySource,
    flush: Option<Expression>,
}

/// The keys of an item: its own, or those that the component chooses.
pub(super) fn keys(
    sources: (&KeySource, &HashKeySource),
    requested: (Option<&str>, Option<&str>),
    input: &KeyInput<'_>,
) -> Result<Keys, BindingError> {
    let partition = sources.0.choose(requested.0, input)?;
    let explicit_hash = match partition {
        Some(_) => sources.1.choose(requested.1, input)?,
        None => None,
    };
    Ok(Keys { partition, explicit_hash })
}

impl Sources {
    fn read(&self, requested: (Option<&str>, Option<&str>), input: &KeyInput<'_>) -> Result<Read, BindingError> {
        let keys = keys((&self.partition_key, &self.explicit_hash_key), requested, input)?;
        let ends_batch = self.flush.as_ref().map(|flush| flush.is_true(input.data, input.metadata.pairs()));
        Ok((keys, ends_batch))
    }

    /// Whether the data of an item are looked at.
    fn read_data(&self, item: &Item<'_>) -> bool {
        self.flush.is_some()
            || (item.partition_key.is_none() && self.partition_key.reads_data())
            || (item.explicit_hash_key.is_none() && self.explicit_hash_key.reads_data())
    }
}

impl RecordPrograms {
    pub(super) fn new(spec: &OutputSpec) -> Self {
        let sources = Sources {
            partition_key: spec.partition_key.clone(),
            explicit_hash_key: spec.explicit_hash_key.clone(),
            flush: spec.flush.clone(),
        };
        Self { sources: Arc::new(sources), place: RunPlace::default() }
    }

    /// The keys of an item, and what `batchingFlushExpression` says of it.
    ///
    /// # Errors
    /// As those of [`KeySource::choose`].
    pub(super) async fn read(
        &self,
        item: &Item<'_>,
        metadata: &Metadata,
        form: PayloadForm,
    ) -> Result<Read, BindingError> {
        let requested = (item.partition_key.as_deref(), item.explicit_hash_key.as_deref());
        let read = || self.sources.read(requested, &KeyInput { data: &item.data, metadata, form });
        if !self.sources.read_data(item) {
            return read();
        }
        if self.place.is_here(item.data.len()) {
            return self.place.here(read);
        }
        // Boxed, so that the future of a small record stays small.
        Box::pin(self.read_elsewhere(item, metadata, form)).await
    }

    async fn read_elsewhere(
        &self,
        item: &Item<'_>,
        metadata: &Metadata,
        form: PayloadForm,
    ) -> Result<Read, BindingError> {
        let owned = |key: Option<&str>| key.map(str::to_owned);
        let (key, hash) = (owned(item.partition_key.as_deref()), owned(item.explicit_hash_key.as_deref()));
        let (sources, data, metadata) = (Arc::clone(&self.sources), item.data.clone(), metadata.clone());
        let read = move || {
            let input = KeyInput { data: &data, metadata: &metadata, form };
            sources.read((key.as_deref(), hash.as_deref()), &input)
        };
        self.place.elsewhere(read).await
    }
}

#[cfg(test)]
#[path = "tests/record_programs.rs"]
mod tests;
