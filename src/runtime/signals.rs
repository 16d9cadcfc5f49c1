//! The signals that end the process.

use crate::domain::Stop;
use std::fmt;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGINT and SIGTERM; from now on neither kills the process by itself.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
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
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The next signal. Cancel-safe.
    pub async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::Interrupt,
            _ = self.terminate.recv() => Caught::Terminate,
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
    fn exit_codes_are_those_a_shell_expects() {
        assert_eq!((Caught::Interrupt.exit_code(), Caught::Terminate.exit_code()), (130, 143));
    }
}
