//! The time between a signal and the shutdown (`--dapr-block-shutdown-duration`).

use crate::domain::{GoDuration, Stop};
use std::time::Duration;
use tokio::sync::watch;

/// Returns after this time, or at once when the app is unhealthy or the shutdown is requested again. Logs the lines of daprd.
pub(super) async fn block_shutdown(time: Duration, mut is_healthy: watch::Receiver<bool>, stops: [&Stop; 2]) {
    let [signal, api] = stops;
    tracing::info!("Blocking graceful shutdown for {} or until app reports unhealthy...", GoDuration(time));
    tokio::select! {
        biased;
        () = signal.forced() => {}
        () = api.finishing() => {}
        // An error means that no one knows the app any more.
        _ = async { is_healthy.wait_for(|is_healthy| !is_healthy).await.is_ok() } => {
            tracing::info!("App reported unhealthy, entering shutdown...");
        }
        () = tokio::time::sleep(time) => tracing::info!("Block shutdown period expired, entering shutdown..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn blocked(healthy: bool, prepare: impl FnOnce(&watch::Sender<bool>, &Stop, &Stop)) -> Duration {
        let (sender, signal, api) = (watch::Sender::new(healthy), Stop::new(), Stop::new());
        prepare(&sender, &signal, &api);
        let begun = tokio::time::Instant::now();
        block_shutdown(Duration::from_secs(180), sender.subscribe(), [&signal, &api]).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_block_lasts_until_its_end_or_an_unhealthy_app_or_another_stop() {
        assert_eq!(blocked(true, |_, signal, _| signal.finish()).await, Duration::from_secs(180));
        assert_eq!(blocked(false, |_, _, _| ()).await, Duration::ZERO);
        assert_eq!(blocked(true, |_, signal, _| signal.now()).await, Duration::ZERO);
        assert_eq!(blocked(true, |_, _, api| api.finish()).await, Duration::ZERO);
        let (sender, signal, api) = (watch::Sender::new(true), Stop::new(), Stop::new());
        let begun = tokio::time::Instant::now();
        let change = async {
            tokio::time::sleep(Duration::from_secs(7)).await;
            sender.send_replace(false);
        };
        tokio::join!(block_shutdown(Duration::from_secs(180), sender.subscribe(), [&signal, &api]), change);
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
    }
}
