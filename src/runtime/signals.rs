//! Handling of SIGINT, SIGTERM and SIGHUP.

use crate::domain::Stop;
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The number of SIGHUP on every Unix.
const HANGUP: u32 = 1;

/// How long the work may take after a second signal: two seconds for the leases, and the rest of the shutdown.
const FORCED_STOP_LIMIT: Duration = Duration::from_millis(2_500);

/// Listens for SIGINT, SIGTERM and SIGHUP. From now on none of them kills the process.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started with SIGHUP ignored, for example by `nohup`. A handler would undo that for the
    /// programs that this process starts.
    hangup: Option<Signal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// Result of [`Signals::run_until_signal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome<T> {
    /// The work returned, with or without a stop request.
    Completed(T),
    /// A second signal came before the work returned, which had up to 2.5 s more. The process should exit with
    /// [`StopSignal::exit_code`].
    Interrupted(StopSignal),
}

impl StopSignal {
    /// The exit code that shells use for this signal: 128 plus its number.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
        })
    }
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> io::Result<Self> {
        let hangup = listen_for_hangup()?;
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// The next SIGINT or SIGTERM. SIGHUP ends nothing; see [`Hangups`]. Cancel-safe.
    pub async fn next(&mut self) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return StopSignal::Interrupt,
                _ = self.terminate.recv() => return StopSignal::Terminate,
                () = received(&mut self.hangup) => {}
            }
        }
    }

    /// Runs `work`. The first signal requests a graceful stop and waits for `work`. The second requests a forced stop,
    /// waits for `work` for 2.5 s at most, and returns; a third returns at once. This function does not end the process;
    /// `main` does, with the value returned.
    pub async fn run_until_signal<T>(mut self, stop: &Stop, work: impl Future<Output = T>) -> RunOutcome<T> {
        let mut work = std::pin::pin!(work);
        // Biased: work that has returned is completed, even if a signal came at the same moment.
        tokio::select! {
            biased;
            value = &mut work => return RunOutcome::Completed(value),
            signal = self.next() => tracing::info!("Received signal '{signal}'; beginning shutdown"),
        }
        stop.finish();
        tokio::select! {
            biased;
            value = &mut work => RunOutcome::Completed(value),
            signal = self.next() => {
                tracing::error!("Received signal '{signal}' during shutdown; exiting immediately");
                stop.now();
                // The inputs release their leases. A third signal ends that too.
                tokio::select! {
                    _ = &mut work => {}
                    _ = self.next() => {}
                    () = tokio::time::sleep(FORCED_STOP_LIMIT) => {}
                }
                RunOutcome::Interrupted(signal)
            }
        }
    }
}

/// Listens for SIGHUP, which asks for a comparison of the component files.
#[derive(Debug)]
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// Starts listening, unless the process ignores the signal.
    #[must_use]
    pub fn listen() -> Self {
        Self(listen_for_hangup().unwrap_or_else(|error| {
            tracing::warn!(%error, "signal 'hangup' cannot be listened for");
            None
        }))
    }

    /// The next SIGHUP; never if the process ignores it. Cancel-safe.
    pub async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

/// From now on SIGHUP does not kill the process, which takes some milliseconds until it calls [`Signals::listen`]. A
/// handler stays when the runtime is dropped that it needs at first.
pub fn survive_hangups() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    // Whatever fails here fails again later, where it is reported.
    if let Ok(runtime) = runtime {
        let _entered = runtime.enter();
        drop(listen_for_hangup());
    }
}

fn listen_for_hangup() -> io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if is_ignored(&status, HANGUP) { Ok(None) } else { signal(SignalKind::hangup()).map(Some) }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the process ignores a signal, from Linux's `/proc/self/status` (proc(5): `SigIgn` is a hexadecimal mask, with the
/// first signal as its lowest bit). On other systems the text is empty, and the result is false.
fn is_ignored(status: &str, signal: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signal reaches every test of this process that listens.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[tokio::test]
    async fn work_that_returns_without_a_signal_is_completed() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let stop = Stop::new();
        assert_eq!(Signals::listen().unwrap().run_until_signal(&stop, async { 7 }).await, RunOutcome::Completed(7));
        assert!(!stop.is_finishing());
    }

    fn send(signal: &str) {
        let command = format!("kill -{signal} {}", std::process::id());
        assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_requests_a_stop_and_the_second_forces_it() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let (stop, signals) = (Stop::new(), Signals::listen().unwrap());
        let sending = async {
            send("TERM");
            stop.finishing().await;
            assert!(!stop.is_forced());
            send("INT");
        };
        let (outcome, ()) = tokio::join!(signals.run_until_signal(&stop, std::future::pending::<()>()), sending);
        assert_eq!(outcome, RunOutcome::Interrupted(StopSignal::Interrupt));
        assert!(stop.is_forced());
    }

    #[test]
    fn an_ignored_signal_is_recognised_in_proc_self_status() {
        let status = |mask: &str| format!("Name:\tbindd\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t01\n");
        assert!(is_ignored(&status("0000000000000001"), HANGUP));
        assert!(is_ignored(&status("0000000000001001"), 13));
        assert!(!is_ignored(&status("0000000000001000"), HANGUP));
        assert!(!is_ignored("", HANGUP) && !is_ignored(&status("x"), HANGUP));
    }

    #[test]
    fn exit_codes_are_those_that_shells_use() {
        assert_eq!((StopSignal::Interrupt.exit_code(), StopSignal::Terminate.exit_code()), (130, 143));
    }
}
