//! The time between a signal and the shutdown (`--dapr-block-shutdown-duration`).

use crate::domain::Stop;
use std::time::Duration;
use tokio::sync::watch;

/// Returns after this time, or at once when the app is unhealthy or the shutdown is requested again. Logs the lines of daprd.
pub(super) async fn block_shutdown(time: Duration, mut is_healthy: watch::Receiver<bool>, stops: [&Stop; 2]) {
    let [signal, api] = stops;
    tracing::info!("Blocking graceful shutdown for {} or until app reports unhealthy...", go_duration(time));
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

/// As Go prints a duration: `3m0s`, `1.5s`, `250ms`.
fn go_duration(time: Duration) -> String {
    let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
    match (seconds, nanos) {
        (0, 0) => return "0s".to_owned(),
        (0, 1..1_000) => return format!("{nanos}ns"),
        (0, 1_000..1_000_000) => return decimal(u64::from(nanos / 1_000), u64::from(nanos % 1_000), 3) + "µs",
        (0, _) => return decimal(u64::from(nanos / 1_000_000), u64::from(nanos % 1_000_000), 6) + "ms",
        _ => {}
    }
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, decimal(seconds % 60, u64::from(nanos), 9));
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// A number without trailing zeros after the point.
fn decimal(whole: u64, fraction: u64, digits: usize) -> String {
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{fraction:0digits$}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_look_as_in_go() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(7), "7ns"),
            (Duration::from_nanos(1_100), "1.1µs"),
            (Duration::from_millis(250), "250ms"),
            (Duration::from_micros(2_200), "2.2ms"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_secs(59), "59s"),
            (Duration::from_secs(180), "3m0s"),
            (Duration::from_secs(3_600), "1h0m0s"),
            (Duration::from_millis(3_661_001), "1h1m1.001s"),
        ];
        for (time, text) in cases {
            assert_eq!(go_duration(time), text);
        }
    }

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
