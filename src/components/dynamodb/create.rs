use super::output::Output;
use super::request::Request;
use crate::aws::dynamodb::{OnRefusal, Put, Returned};
use crate::domain::{BindingError, InvokeResponse};
use crate::resilience::Repeat;

pub(super) async fn run(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let item = request.spelling.item(&request.data)?;
    super::keys::check_item(output.keys.known(), &item)?;
    let put = Put { item, condition: None };
    let attempt = || async { Ok(output.items.put(put.clone(), Returned::Nothing, OnRefusal::Nothing).await?) };
    output.attempts.run(request.call("PutItem", Repeat::Freely), attempt).await?;
    Ok(InvokeResponse::default())
}
