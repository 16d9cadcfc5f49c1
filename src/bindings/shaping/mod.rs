//! Filters and transforms: what a component does to its records before it writes or delivers them.
//!
//! [`Shaping`] holds what the fields `filter`, `transform` and `transformOnError` say, compiled when the file is checked.
//! [`Shaping::apply`] decides about one record: the filter first, then the transform. [`Expression`] is a single program of a
//! field, such as a key. `RunPlace` keeps long runs off the threads that serve other tasks.
//!
//! Invariants: decisions are pure. A component without these fields has no [`Shaping`], and its records cost nothing. No
//! error holds a part of a record.

mod expression;
mod fields;
mod record;
mod run_place;
mod shaper;

pub use expression::{Expression, ExpressionError};
pub(super) use fields::{FilterFields, check_methods, read, transform_field};
pub use record::{OnError, Shaped, Shaping};
#[cfg(test)]
pub(super) use run_place::MAX_INLINE;
pub(super) use run_place::RunPlace;
pub(super) use shaper::{LeftOut, ShapedData, Shaper, TransformFailure, counts, shape_request};
