//! An open loop: requests are due at a rate, whatever the answers do. Latency counts from when a request was due.

use crate::Failure;
use crate::closed::{Connection, Target, Window};
use crate::tally::Tally;
use bindd::tasks::Supervisor;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// Connections that may be open at once: below the 8,192 that bindd holds, beyond which it accepts no more.
const MOST_CONNECTIONS: usize = 8_000;
/// How often due requests are sent.
const TICK: Duration = Duration::from_millis(1);

/// What an open loop saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    /// Requests that were due in the window and found no connection.
    pub(crate) unsent: u64,
    /// From the first request to the first 429.
    pub(crate) first_refusal: Option<Duration>,
}

type Idle = Arc<Mutex<Vec<Connection>>>;
type Answer = (Instant, u16, Duration, Instant);

/// Sends `rate` requests a second until the window ends, then waits for the answers.
pub(crate) async fn run(target: Target, rate: u32, bodies: Arc<Vec<Bytes>>, window: Window) -> Result<Seen, Failure> {
    let (idle, began) = (Idle::default(), Instant::now());
    let mut seen = Seen { tally: Tally::new(), unsent: 0, first_refusal: None };
    let mut requests: Supervisor<Answer> = Supervisor::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let interval = Duration::from_secs(1) / rate;
    let mut due = began;
    while due < window.end {
        tokio::select! {
            biased;
            Some(ended) = requests.next() => seen.count(window, began, ended.result?),
            _ = ticks.tick() => {
                let now = Instant::now();
                while due <= now && due < window.end {
                    if requests.len() < MOST_CONNECTIONS {
                        let turn = usize::try_from(due.duration_since(began).as_micros())?;
                        let body = bodies.get(turn % bodies.len()).cloned().unwrap_or_default();
                        requests.spawn("request", one(target, Arc::clone(&idle), body, due));
                    } else if window.holds(due) {
                        seen.unsent += 1;
                    }
                    due += interval;
                }
            }
        }
    }
    while let Some(ended) = requests.next().await {
        seen.count(window, began, ended.result?);
    }
    Ok(seen)
}

impl Seen {
    fn count(&mut self, window: Window, began: Instant, (due, status, took, at): Answer) {
        if status == 429 && self.first_refusal.is_none() {
            self.first_refusal = Some(at.duration_since(began));
        }
        if window.holds(due) {
            self.tally.add(status, took);
        }
    }
}

async fn one(target: Target, idle: Idle, body: Bytes, due: Instant) -> Answer {
    let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match kept {
        Some(connection) => Some(connection),
        None => Connection::open(target.address).await.ok(),
    };
    let status = match &mut connection {
        Some(connection) => target.ask(connection, body).await,
        None => 0,
    };
    let now = Instant::now();
    if status != 0 {
        idle.lock().unwrap_or_else(PoisonError::into_inner).extend(connection);
    }
    (due, status, now.duration_since(due), now)
}
