//! The signals that end the process, and the one that does not.

use crate::domain::Stop;
use std::fmt;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Number of SIGHUP on every Unix.
const HANGUP: u32 = 1;

/// Listens for SIGINT, SIGTERM and SIGHUP; from now on none of them kills the process.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where the process was started with SIGHUP ignored, as by `nohup`: a handler would undo that for programs
    /// started from here.
    hangup: Option<Signal>,
}

/// A signal that asks for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// How work under signals came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Governed<T> {
    /// The work returned, with or without having been asked to.
    Finished(T),
    /// A second signal came before it did; the process should exit at once with [`Caught::exit_code`].
    CutShort(Caught),
}

impl Caught {
    /// What a shell expects of a process that died of this signal: 128 and the signal's number.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
        })
    }
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses to set a handler.
    pub fn listen() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = if is_ignored(&status, HANGUP) { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// The next signal that asks for the end; others are logged and have no effect. Cancel-safe.
    pub async fn next(&mut self) -> Caught {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Caught::Interrupt,
                _ = self.terminate.recv() => return Caught::Terminate,
                () = received(&mut self.hangup) => tracing::warn!(
                    "signal 'hangup' was ignored; component files are read only at start"
                ),
            }
        }
    }

    /// Runs `work`. The first signal asks `stop` to finish and lets `work` go on; the second asks it to drop
    /// everything and gives up waiting. Nothing here ends the process: `main` does, with the value returned.
    pub async fn govern<T>(mut self, stop: &Stop, work: impl Future<Output = T>) -> Governed<T> {
        let mut work = std::pin::pin!(work);
        // Biased: work that has returned is finished, whatever arrived in the same moment.
        tokio::select! {
            biased;
            value = &mut work => return Governed::Finished(value),
            caught = self.next() => tracing::info!("received signal '{caught}'; beginning shutdown"),
        }
        stop.finish();
        tokio::select! {
            biased;
            value = &mut work => Governed::Finished(value),
            caught = self.next() => {
                tracing::warn!("received signal '{caught}' again; exiting at once");
                stop.now();
                Governed::CutShort(caught)
            }
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the process ignores a signal, by Linux's `/proc/self/status` (proc(5): `SigIgn` is a mask in hexadecimal digits,
/// with the first signal as its lowest bit). Elsewhere there is no such text, and the signal is taken as not ignored.
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
    async fn work_that_ends_by_itself_is_finished() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let stop = Stop::new();
        assert_eq!(Signals::listen().unwrap().govern(&stop, async { 7 }).await, Governed::Finished(7));
        assert!(!stop.is_asked());
    }

    fn send(signal: &str) {
        let command = format!("kill -{signal} {}", std::process::id());
        assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_cuts() {
        let _turn = ONE_AT_A_TIME.lock().await;
        let (stop, signals) = (Stop::new(), Signals::listen().unwrap());
        let sending = async {
            send("TERM");
            stop.asked().await;
            assert!(!stop.is_forced());
            send("INT");
        };
        let (governed, ()) = tokio::join!(signals.govern(&stop, std::future::pending::<()>()), sending);
        assert_eq!(governed, Governed::CutShort(Caught::Interrupt));
        assert!(stop.is_forced());
    }

    #[test]
    fn signals_that_are_ignored_already_are_found() {
        let status = |mask: &str| format!("Name:\tbindd\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t01\n");
        assert!(is_ignored(&status("0000000000000001"), HANGUP));
        assert!(is_ignored(&status("0000000000001001"), 13));
        assert!(!is_ignored(&status("0000000000001000"), HANGUP));
        assert!(!is_ignored("", HANGUP) && !is_ignored(&status("x"), HANGUP));
    }

    #[test]
    fn exit_codes_are_those_a_shell_expects() {
        assert_eq!((Caught::Interrupt.exit_code(), Caught::Terminate.exit_code()), (130, 143));
    }
}
