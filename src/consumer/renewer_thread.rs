//! The thread on which leases are kept.

use std::io;
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// A thread with a runtime of its own, so that nothing on other threads delays a renewal. Dropping it stops the runtime:
/// leases that are still held then expire.
#[derive(Debug)]
pub struct RenewerThread {
    runtime: Handle,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl RenewerThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system allows no further thread or file descriptor.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        let run = move || {
            runtime.block_on(stopped.cancelled());
            // A name lookup that hangs must not delay the exit.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("leases".to_owned()).spawn(run)?;
        Ok(Self { runtime: handle, stop, thread: Some(thread) })
    }

    /// Where to spawn the tasks.
    #[must_use]
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for RenewerThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("thread of the lease renewers panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tasks_run_while_the_callers_thread_is_busy_and_end_with_the_thread() {
        let thread = RenewerThread::start().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let task = thread.runtime().spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("leases"));
        drop(thread);
        assert!(receiver.recv().is_err(), "the task is dropped");
        assert!(task.is_finished());
    }
}
