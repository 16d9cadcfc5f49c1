//! Reads the events of a pluggable component, delivers each to the app and answers it.

use super::failure;
use super::session::{Link, Session};
use crate::consumer::SharedLimits;
use crate::domain::{
    BindingError, ComponentName, DrainLimits, EventHandler, FailureKind, InputBinding, Message, Stop, cause_line,
};
use crate::protocol::components::{AckResponseError, ReadRequest, ReadResponse};
use crate::telemetry::InputMetrics;
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, FuturesUnordered};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::{Response, Status};

/// Events that are delivered or answered at the same time; further ones stay in the component.
const MAX_IN_FLIGHT: usize = 64;
/// Answers that wait until the component reads them.
const MAX_ANSWERS: usize = 16;
/// At a stop, how long the component may take to end the stream after the last answer. As in daprd, answers may need so long.
const LAST_ANSWERS: Duration = Duration::from_millis(400);
/// The input refuses after it failed for so long.
const REFUSES_AFTER: Duration = Duration::from_secs(60);
/// A stream that was open for so long works.
const WORKS_AFTER: Duration = Duration::from_secs(10);
/// While the app fails, one line is logged for this many events.
const FAILURES_PER_LOG: u64 = 100;
/// The words of daprd, which components know.
const CLOSED: &str = "input binding is closed";

#[derive(Debug)]
pub(super) struct Input {
    pub(super) component: ComponentName,
    pub(super) link: Link,
    /// Shared with the other inputs of the process.
    pub(super) limits: SharedLimits,
    pub(super) metrics: InputMetrics,
    /// At a stop, how long deliveries may take to end.
    pub(super) drain_limits: DrainLimits,
    pub(super) failing: Mutex<Option<Failing>>,
    /// Events in a row that the app did not accept.
    pub(super) refused: Mutex<u64>,
}

/// The component cannot be read.
#[derive(Debug)]
pub(super) struct Failing {
    since: Instant,
    error: String,
    /// When it was read again, as far as that is known: a stream shows nothing before its first event.
    resumed: Option<Instant>,
}

impl Failing {
    fn is_over(&self) -> bool {
        self.resumed.is_some_and(|resumed| resumed.elapsed() >= WORKS_AFTER)
    }
}

/// Answers on their way to the component.
type Answers = mpsc::Sender<ReadRequest>;

/// An open stream.
struct Reading {
    events: BoxStream<'static, Result<ReadResponse, Status>>,
    answers: Answers,
}

/// Why no more events are read.
enum End {
    Stopped,
    Failed(BindingError),
}

#[async_trait]
impl InputBinding for Input {
    async fn read(&self, handler: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError> {
        let session = tokio::select! {
            // Biased: nothing is opened after a stop request.
            biased;
            () = stop.finishing() => return Ok(()),
            session = self.link.session() => session,
        };
        let session = session.inspect_err(|error| self.failed(error))?;
        self.resumed();
        let result = self.read_over(&session, handler.as_ref(), &stop).await;
        if let Err(error) = &result {
            self.link.discard(&session).await;
            self.failed(error);
        }
        result
    }

    async fn close(&self) {
        self.link.close().await;
    }

    fn refusal(&self) -> Option<String> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = failing.as_ref().filter(|failing| !failing.is_over())?;
        (failing.since.elapsed() >= REFUSES_AFTER).then(|| failing.error.clone())
    }
}

impl Input {
    async fn read_over(&self, session: &Session, handler: &dyn EventHandler, stop: &Stop) -> Result<(), BindingError> {
        let mut reading = self.open(session);
        let mut deliveries = FuturesUnordered::new();
        // An event whose memory is not reserved yet; no other is read meanwhile.
        let mut waiting: Option<ReadResponse> = None;
        let end = loop {
            let size = waiting.as_ref().map_or(0, size);
            tokio::select! {
                // Biased: after a stop request no event is delivered.
                biased;
                () = stop.finishing() => break End::Stopped,
                Some(()) = deliveries.next(), if !deliveries.is_empty() => {}
                memory = self.limits.memory(size), if waiting.is_some() => {
                    if let Some(event) = waiting.take() {
                        deliveries.push(self.deliver(event, handler, reading.answers.clone(), memory));
                    }
                }
                event = reading.events.next(), if waiting.is_none() && deliveries.len() < MAX_IN_FLIGHT => match event {
                    Some(Ok(event)) => {
                        self.works();
                        waiting = Some(event);
                    }
                    Some(Err(status)) => break End::Failed(failure::error("Read", &status)),
                    None => break End::Failed(ended()),
                },
            }
        };
        let draining = async {
            match end {
                End::Stopped => {
                    close(&mut reading, waiting, &mut deliveries).await;
                    Ok(())
                }
                // What the app answers cannot be sent. The component delivers these events again, or not.
                End::Failed(error) => {
                    drop(reading);
                    while deliveries.next().await.is_some() {}
                    Err(error)
                }
            }
        };
        let limited = async {
            tokio::select! {
                result = draining => result,
                () = stop.overdue(self.drain_limits) => {
                    tracing::warn!(component = %self.component, "events were not answered before the end of the stop");
                    Ok(())
                }
            }
        };
        tokio::select! {
            result = limited => result,
            () = stop.forced() => Ok(()),
        }
    }

    fn open(&self, session: &Session) -> Reading {
        let (answers, mut outgoing) = mpsc::channel(MAX_ANSWERS);
        let outgoing = stream::poll_fn(move |context| outgoing.poll_recv(context));
        let request = self.link.request(outgoing);
        let mut client = session.input();
        // Many servers send nothing, not even headers, before the first event.
        let opening = async move { client.read(request).await.map(Response::into_inner) };
        Reading { events: stream::once(opening).try_flatten().boxed(), answers }
    }

    async fn deliver(
        &self,
        event: ReadResponse,
        handler: &dyn EventHandler,
        answers: Answers,
        _memory: Option<OwnedSemaphorePermit>,
    ) {
        let ReadResponse { data, metadata, message_id, .. } = event;
        let mut metadata: Vec<_> = metadata.into_iter().collect();
        metadata.sort();
        self.metrics.fetched(1, data.len() as u64);
        let max_reply = Some(self.link.max_message_size());
        let message = Message { binding: self.component.clone(), data, metadata, max_reply };
        let answer = match handler.handle_message(&message).await {
            Ok(response_data) => {
                self.metrics.delivered();
                self.accepted();
                ReadRequest { response_data, message_id, response_error: None }
            }
            Err(error) => {
                let error = cause_line(&error);
                self.refused(&error);
                refusal(message_id, error)
            }
        };
        // It cannot be sent once the stream has ended; the component knows that, too.
        answers.send(answer).await.ok();
    }

    fn accepted(&self) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if *refused > 0 {
            tracing::info!(component = %self.component, refused = *refused, "app accepts events again");
        }
        *refused = 0;
    }

    fn refused(&self, error: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_multiple_of(FAILURES_PER_LOG) {
            tracing::warn!(
                component = %self.component, error, refused = *refused + 1,
                "event was not accepted; its component decides whether to repeat it"
            );
        }
        *refused += 1;
    }

    fn failed(&self, error: &BindingError) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since =
            failing.take().filter(|failing| !failing.is_over()).map_or_else(Instant::now, |failing| failing.since);
        *failing = Some(Failing { since, error: cause_line(error), resumed: None });
    }

    fn resumed(&self) {
        if let Some(failing) = &mut *self.failing.lock().unwrap_or_else(PoisonError::into_inner) {
            failing.resumed = Some(Instant::now());
        }
    }

    fn works(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Answers the events that arrive while deliveries in flight end, then ends the stream.
async fn close<F: Future<Output = ()>>(
    reading: &mut Reading,
    waiting: Option<ReadResponse>,
    deliveries: &mut FuturesUnordered<F>,
) {
    let answers = reading.answers.clone();
    let refuse = |event: ReadResponse| {
        let answers = answers.clone();
        // It cannot be sent once the stream has ended; the component knows that, too.
        async move { drop(answers.send(refusal(event.message_id, CLOSED.to_owned())).await) }
    };
    let mut refusals: FuturesUnordered<_> = waiting.into_iter().map(refuse).collect();
    let mut is_open = true;
    while !deliveries.is_empty() {
        tokio::select! {
            Some(()) = deliveries.next() => {}
            Some(()) = refusals.next(), if !refusals.is_empty() => {}
            event = reading.events.next(), if is_open && refusals.len() < MAX_IN_FLIGHT => match event {
                Some(Ok(event)) => refusals.push(refuse(event)),
                Some(Err(_)) | None => is_open = false,
            },
        }
    }
    while refusals.next().await.is_some() {}
    drop(refusals);
    // Dropping all senders ends the stream after the last answer; the component then ends its side.
    drop(answers);
    reading.answers = mpsc::channel(1).0;
    let ending = async { while let Some(Ok(_)) = reading.events.next().await {} };
    // A component that goes on is left.
    timeout(LAST_ANSWERS, ending).await.unwrap_or_default();
}

fn ended() -> BindingError {
    BindingError::new(FailureKind::Transient, "the pluggable component has ended the stream of events; look at its log")
}

fn refusal(message_id: String, message: String) -> ReadRequest {
    let response_error = Some(AckResponseError { message });
    ReadRequest { response_error, message_id, ..ReadRequest::default() }
}

/// Of an event in memory, in bytes.
fn size(event: &ReadResponse) -> usize {
    event.data.len() + event.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}
