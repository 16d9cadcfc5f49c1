//! An open loop: requests are due at a fixed rate, however slow the answers are. Latency counts from when a request was due.

use crate::Failure;
use crate::closed_loop::{Connection, Target, Window};
use crate::stats::Stats;
use bindd::tasks::Supervisor;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Connections that may be open at once: below the 8,192 beyond which bindd accepts no more.
const MAX_CONNECTIONS: usize = 8_000;
/// How often due requests are sent.
const TICK: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct OpenLoopResult {
    pub(crate) stats: Stats,
    /// Requests that were due in the window and found no connection.
    pub(crate) unsent: u64,
    /// Time from the first request to the first 429.
    pub(crate) first_429: Option<Duration>,
}

type IdleConnections = Arc<Mutex<Vec<Connection>>>;

struct Answer {
    due: Instant,
    at: Instant,
    status: u16,
}

/// Sends `rate` requests a second until the window ends, then waits for the answers.
pub(crate) async fn run(
    target: Target,
    rate: u32,
    bodies: Arc<Vec<Bytes>>,
    window: Window,
) -> Result<OpenLoopResult, Failure> {
    let (idle, began) = (IdleConnections::default(), Instant::now());
    let mut result = OpenLoopResult { stats: Stats::new(), unsent: 0, first_429: None };
    let mut requests: Supervisor<Answer> = Supervisor::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let interval = Duration::from_secs(1) / rate;
    let mut due = began;
    while due < window.end {
        tokio::select! {
            biased;
            Some(ended) = requests.next() => result.record(window, began, &ended.result?),
            _ = ticks.tick() => {
                let now = Instant::now();
                while due <= now && due < window.end {
                    if requests.len() < MAX_CONNECTIONS {
                        let turn = usize::try_from(due.duration_since(began).as_micros())?;
                        let body = bodies.get(turn % bodies.len()).cloned().unwrap_or_default();
                        requests.spawn("request", send_one(target, Arc::clone(&idle), body, due));
                    } else if window.contains(due) {
                        result.unsent += 1;
                    }
                    due += interval;
                }
            }
        }
    }
    while let Some(ended) = requests.next().await {
        result.record(window, began, &ended.result?);
    }
    Ok(result)
}

impl OpenLoopResult {
    fn record(&mut self, window: Window, began: Instant, answer: &Answer) {
        if answer.status == 429 && self.first_429.is_none() {
            self.first_429 = Some(answer.at.duration_since(began));
        }
        if window.contains(answer.due) {
            self.stats.record(answer.status, answer.at.duration_since(answer.due));
        }
    }
}

async fn send_one(target: Target, idle: IdleConnections, body: Bytes, due: Instant) -> Answer {
    let reused = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match reused {
        Some(connection) => Some(connection),
        None => Connection::open(target.address).await.ok(),
    };
    let status = match &mut connection {
        Some(connection) => target.send(connection, body).await,
        None => 0,
    };
    let at = Instant::now();
    if status != 0 {
        idle.lock().unwrap_or_else(PoisonError::into_inner).extend(connection);
    }
    Answer { due, at, status }
}
