//! Reads the inputs while the app is healthy.

use crate::domain::Stop;
use crate::runtime::{self, DrainOutcome, Input};
use std::pin::pin;
use tokio::sync::watch;

/// Runs the inputs while `is_healthy`, until `stop`. When the app becomes unhealthy, they are drained: deliveries under way
/// are finished and checkpointed, and nothing new begins. When it is healthy again, they are started again, and the app is
/// asked again which of them it accepts. Returns how the last of them ended.
///
/// Not cancel-safe, as [`runtime::run_inputs`].
pub(super) async fn read_while_healthy(
    inputs: Vec<Input>,
    mut is_healthy: watch::Receiver<bool>,
    stop: Stop,
) -> DrainOutcome {
    let mut outcome = DrainOutcome::Clean;
    while until(&mut is_healthy, true, &stop).await {
        let round = stop.child();
        let mut reading = pin!(runtime::run_inputs(inputs.clone(), round.clone()));
        outcome = tokio::select! {
            // Biased: inputs that have ended need no stop.
            biased;
            outcome = &mut reading => {
                // Inputs without a subscription end early. The daemon must not take that for a failure.
                until(&mut is_healthy, false, &stop).await;
                outcome
            }
            is_unhealthy = until(&mut is_healthy, false, &stop) => {
                if is_unhealthy {
                    tracing::info!("inputs are being stopped because the app is unhealthy");
                }
                round.finish();
                reading.await
            }
        };
    }
    outcome
}

/// Waits for this state; false when stopped before.
async fn until(is_healthy: &mut watch::Receiver<bool>, state: bool, stop: &Stop) -> bool {
    tokio::select! {
        // Biased: a stop outranks a change at the same time.
        biased;
        () = stop.finishing() => false,
        is_found = async { is_healthy.wait_for(|is_healthy| *is_healthy == state).await.is_ok() } => {
            if is_found {
                return true;
            }
            // The task that follows the app ends only at a stop.
            stop.finishing().await;
            false
        }
    }
}

#[cfg(test)]
#[path = "tests/reading.rs"]
mod tests;
