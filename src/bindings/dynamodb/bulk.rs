//! `bulkCreate`, `bulkDelete` and `bulkGet`: many items, few calls, an answer for each.

use super::bulk_answer::{self, Element};
use super::calls::{BulkFound, BulkPace, BulkRead, BulkWrite, Item, ItemFault, KeySchema, Value};
use super::etag::Etag;
use super::keys::{check_item, check_key, check_version};
use super::life;
use super::output::Output;
use super::projection::Projection;
use super::request::Request;
use super::shapes::{Behind, read_shape, refused};
use crate::domain::{BindingError, FailureKind, InvokeResponse};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

const CREATE_FORM: &str = r#"{"items":[{…},…]}"#;
const DELETE_FORM: &str = r#"{"keys":[{…},…]}"#;
const GET_FORM: &str = r#"{"keys":[{…},…],"projection"?:["…"],"consistentRead"?:true,"names"?:{…}}"#;
/// Request metadata of single writes that a call for many items has no room for.
const SINGLE_ONLY: [&str; 5] =
    ["conditionExpression", "etag", "concurrency", "returnValues", "returnValuesOnConditionCheckFailure"];

/// Stores the items of `items`, each in place of any that has its key. Of two with one key the later one stays.
/// Where the component keeps versions, all get the same one (header `metadata.etag`).
///
/// # Errors
/// When `data` has another form, no items or too many. What befalls single items is in the answer.
pub(super) async fn create(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let (puts, version) = puts(output, &request).await.inspect_err(|_| output.refused(1))?;
    let mut response = write(output, &request, output.keys.known(), puts).await?;
    response.metadata.extend(version.map(|version| ("etag", version.new)));
    Ok(response)
}

type Writes = Vec<Result<BulkWrite, BindingError>>;

/// The items of a request to be stored, and the version that they get.
async fn puts(output: &Output, request: &Request) -> Result<(Writes, Option<Etag>), BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'t> {
        #[serde(borrow)]
        items: Vec<&'t RawValue>,
    }
    let shape: Shape<'_> = read_shape(&request.data, CREATE_FORM)?;
    check_count(output, "items", shape.items.len())?;
    check_metadata(request)?;
    let options = &output.options;
    let version = Etag::read(&request.metadata, options.etag_attribute.as_deref())?;
    life::stated_end(&request.metadata, options.life.as_ref(), life::now())?;
    let schema = output.keys.find(&output.items, request.deadline).await;
    if let Some(version) = &version {
        check_version(schema, &version.attribute)?;
    }
    let read = |(place, text): (usize, &&RawValue)| {
        let mut item = request.spelling.item(text.get().as_bytes()).map_err(|fault| at(fault, "items", place))?;
        life::limit_life(&mut item, &request.metadata, options.life.as_ref(), life::now())?;
        if let Some(version) = &version {
            item.insert(version.attribute.clone(), Value::S(version.new.clone()));
        }
        check_item(schema, &item).map_err(|error| in_element("items", place, &error))?;
        Ok(BulkWrite::Put(item))
    };
    let puts = shape.items.iter().enumerate().map(read).collect();
    Ok((puts, version))
}

/// Deletes the items of `keys`; one that is not there is success too.
///
/// # Errors
/// As [`create`].
pub(super) async fn delete(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    let deletes = deletes(output, &request).inspect_err(|_| output.refused(1))?;
    write(output, &request, output.keys.known(), deletes).await
}

fn deletes(output: &Output, request: &Request) -> Result<Writes, BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape<'t> {
        #[serde(borrow)]
        keys: Vec<&'t RawValue>,
    }
    let shape: Shape<'_> = read_shape(&request.data, DELETE_FORM)?;
    check_count(output, "keys", shape.keys.len())?;
    check_metadata(request)?;
    let keys = read_keys(request, output.keys.known(), &shape.keys);
    Ok(keys.into_iter().map(|key| key.map(BulkWrite::Delete)).collect())
}

/// Reads the items of `keys`: in the answer the item, or null where there is none.
///
/// # Errors
/// As [`create`].
pub(super) async fn get(output: &Output, request: Request) -> Result<InvokeResponse, BindingError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Shape<'t> {
        #[serde(borrow)]
        keys: Vec<&'t RawValue>,
        #[serde(borrow)]
        projection: Option<&'t RawValue>,
        consistent_read: Option<bool>,
        #[serde(borrow)]
        names: Option<&'t RawValue>,
    }
    let shape: Shape<'_> = read_shape(&request.data, GET_FORM)?;
    check_count(output, "keys", shape.keys.len())?;
    let keys = read_keys(&request, output.keys.known(), &shape.keys);
    let hidden = output.options.hidden();
    // By its key an item is known again, and by the end of its life, whether to show it.
    let key = keys.iter().find_map(|key| key.as_ref().ok());
    let names = key.into_iter().flat_map(|key| key.keys().map(String::as_str));
    let needed: Vec<&str> = names.chain(hidden.map(|life| life.attribute.as_str())).collect();
    let mut placeholders = Behind { names: shape.names, values: None }.read(&request.spelling)?;
    let projection = Projection::read(shape.projection, &placeholders, &needed)?;
    placeholders.extend(projection.placeholders.clone());
    let read = BulkRead {
        projection: projection.text.clone(),
        placeholders,
        consistency: request.consistency(shape.consistent_read, output.options.consistency),
        most_bytes: output.options.max_response_size,
    };
    let (places, sound, mut answers) = part(keys);
    let carried = output.items.read_many(sound, read, &pace(output, &request)).await;
    for (place, found) in places.into_iter().zip(carried.entries) {
        answers[place] = Some(found.and_then(|found| match found {
            BulkFound::Item(item) => bulk_answer::shown(&request, hidden, &projection, item),
            BulkFound::Absent => Ok(Element::Absent),
            BulkFound::NoRoom => Err(no_room(output.options.max_response_size)),
        }));
    }
    bulk_answer::respond(answers, carried.capacity)
}

fn no_room(limit: usize) -> BindingError {
    let text = format!(
        "the items before this one fill the answer, which may have {limit} bytes (`maxResponseSize`): ask for fewer at \
         once"
    );
    BindingError::new(FailureKind::TooLarge, text).with_detail("limit", limit.to_string())
}

async fn write(
    output: &Output,
    request: &Request,
    schema: Option<&KeySchema>,
    writes: Writes,
) -> Result<InvokeResponse, BindingError> {
    let (places, sound, mut answers) = part(writes);
    output.refused(answers.len() - sound.len());
    let carried = output.items.write_many(sound, schema.map(names), &pace(output, request)).await;
    for (place, result) in places.into_iter().zip(carried.entries) {
        answers[place] = Some(result.map(|()| Element::Done));
    }
    bulk_answer::respond(answers, carried.capacity)
}

type Answers = Vec<Option<Result<Element, BindingError>>>;

/// What can be sent, with its places in the request; what cannot be has its answer at once.
fn part<T>(given: Vec<Result<T, BindingError>>) -> (Vec<usize>, Vec<T>, Answers) {
    let (mut places, mut sound, mut answers) = (Vec::new(), Vec::new(), Vec::with_capacity(given.len()));
    for (place, one) in given.into_iter().enumerate() {
        match one {
            Ok(value) => {
                places.push(place);
                sound.push(value);
                answers.push(None);
            }
            Err(error) => answers.push(Some(Err(error))),
        }
    }
    (places, sound, answers)
}

fn read_keys(request: &Request, schema: Option<&KeySchema>, keys: &[&RawValue]) -> Vec<Result<Item, BindingError>> {
    let read = |(place, text): (usize, &&RawValue)| {
        let key = request.spelling.item(text.get().as_bytes()).map_err(|fault| at(fault, "keys", place))?;
        check_key(schema, &key).map_err(|error| in_element("keys", place, &error))?;
        match key.len() {
            1 | 2 => Ok(key),
            many => Err(refused(format!("`keys[{place}]` has {many} attributes: a key has one or two"))),
        }
    };
    keys.iter().enumerate().map(read).collect()
}

fn check_count(output: &Output, member: &str, count: usize) -> Result<(), BindingError> {
    let most = output.options.max_bulk_items;
    if count == 0 {
        return Err(refused(format!("`{member}` is empty: there is nothing to do")));
    }
    if count > most {
        let text = format!("`{member}` has {count} elements, the most is {most} (`maxBulkItems`): send several bulks");
        let error = BindingError::new(FailureKind::TooLarge, text);
        return Err(error.with_detail("size", count.to_string()).with_detail("limit", most.to_string()));
    }
    Ok(())
}

/// What would be promised and not kept is refused.
fn check_metadata(request: &Request) -> Result<(), BindingError> {
    match SINGLE_ONLY.into_iter().find(|key| request.metadata.get(key).is_some()) {
        Some(key) => Err(refused(format!(
            "the request metadata `{key}` has no effect on many items at once: send the items one by one, or as a \
             transaction"
        ))),
        None => Ok(()),
    }
}

/// Puts an element's place before the place within it.
pub(super) fn at(mut fault: ItemFault, member: &str, place: usize) -> BindingError {
    let within = fault.path.strip_prefix('$').unwrap_or(&fault.path);
    fault.path = format!("$.{member}[{place}]{within}");
    fault.into()
}

/// Says in which element a failure is.
pub(super) fn in_element(member: &str, place: usize, error: &BindingError) -> BindingError {
    let told = BindingError::new(error.kind(), format!("in `{member}[{place}]`: {}", error.message()));
    error.details().iter().fold(told, |told, (key, value)| told.with_detail(key, value))
}

/// The names of the key's attributes.
pub(super) fn names(schema: &KeySchema) -> Vec<String> {
    std::iter::once(&schema.partition).chain(&schema.sort).map(|key| key.name.clone()).collect()
}

fn pace(output: &Output, request: &Request) -> BulkPace {
    let options = &output.options;
    let no_repeat_after = options.trying.policy.max_elapsed.map(|most| Instant::now() + most);
    BulkPace {
        max_in_flight: options.max_in_flight,
        deadline: request.deadline,
        no_repeat_after: no_repeat_after.map_or(request.deadline, |end| end.min(request.deadline)),
        most_retries: options.trying.policy.max_retries,
        backoff: options.trying.policy.backoff,
        seed: fastrand::u64(..),
        metrics: output.attempts.metrics.clone(),
    }
}
