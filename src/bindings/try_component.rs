//! Tries a component: what it does with one record, without writing or delivering it.
//!
//! Nothing is decided here: the kinds call the functions that their outputs and inputs call too.

use super::checked::{Checked, Spec};
use super::trial::{Trial, TrialInput, TrialOutcome, TrialSide};
use super::{dynamodb, kinesis};

/// The side that `bindd try` tries: the output, if there is one and the input is not wanted.
///
/// # Errors
/// When the component shapes no records, or does not have that side.
pub fn trial_side(checked: &Checked, as_input: bool) -> Result<TrialSide, String> {
    if !matches!(checked.spec, Spec::Kinesis(_) | Spec::DynamoDb(_)) {
        return Err(format!("`{}` ({}) filters and transforms no records", checked.name, checked.type_name));
    }
    let direction = checked.direction();
    match (direction.has_output(), direction.has_input()) {
        (true, _) if !as_input => Ok(TrialSide::Output),
        (_, true) => Ok(TrialSide::Input),
        _ => Err(format!("`{}` has no input; leave --input out", checked.name)),
    }
}

/// What the component does with a record.
pub async fn try_component(checked: &Checked, side: TrialSide, input: &TrialInput) -> Trial {
    match &checked.spec {
        Spec::Kinesis(spec) => kinesis::try_record(&checked.name, spec, side, input).await,
        Spec::DynamoDb(spec) => dynamodb::try_item(spec, input),
        Spec::Cron(_) | Spec::Http(_) | Spec::LocalStorage(_) | Spec::Pluggable(_) => {
            Trial::without_record(TrialOutcome::Failed, Some("the component shapes no records".to_owned()))
        }
    }
}
