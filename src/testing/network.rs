//! The part of a simulation that no worker controls: requests that are on their way, and servers that process them.

use crate::tasks::Supervisor;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Runs what was sent to its end, even if the sender is dropped, crashed or frozen meanwhile. Clones share the network.
#[derive(Debug, Clone)]
pub struct Network {
    sender: UnboundedSender<BoxFuture<'static, ()>>,
}

impl Network {
    /// The network, and its task: dropping it loses all that is on its way.
    #[must_use]
    pub fn new() -> (Self, Supervisor<()>) {
        let (sender, receiver) = unbounded_channel();
        let mut task = Supervisor::new();
        task.spawn("network", run(receiver));
        (Self { sender }, task)
    }

    /// Runs a future to its end.
    pub fn send(&self, future: impl Future<Output = ()> + Send + 'static) {
        // After the end of the network nothing arrives any more.
        drop(self.sender.send(Box::pin(future)));
    }

    /// Runs a future to its end and returns its result, if that comes within `limit`.
    ///
    /// # Errors
    /// [`NoReply`] after `limit`. The future goes on.
    pub async fn request<T: Send + 'static>(
        &self,
        limit: Duration,
        future: impl Future<Output = Option<T>> + Send + 'static,
    ) -> Result<T, NoReply> {
        let (sender, receiver) = oneshot::channel();
        self.send(async move {
            if let Some(reply) = future.await {
                // The caller may have given up.
                drop(sender.send(reply));
            } else {
                tokio::time::sleep(limit).await;
            }
        });
        match tokio::time::timeout(limit, receiver).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) | Err(_) => Err(NoReply),
        }
    }
}

/// A request without a reply: it was lost, its reply was lost, or it is still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

async fn run(mut receiver: UnboundedReceiver<BoxFuture<'static, ()>>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            sent = receiver.recv() => match sent {
                Some(future) => running.push(future),
                None => break,
            },
            Some(()) = running.next() => {}
        }
    }
    while running.next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_request_arrives_although_the_caller_gave_up() {
        let (network, _task) = Network::new();
        let arrived = Arc::new(AtomicBool::new(false));
        let server = Arc::clone(&arrived);
        let slow = async move {
            sleep(Duration::from_secs(5)).await;
            server.store(true, Ordering::Relaxed);
            Some(())
        };
        assert_eq!(network.request(Duration::from_secs(1), slow).await, Err(NoReply));
        assert!(!arrived.load(Ordering::Relaxed));
        sleep(Duration::from_secs(5)).await;
        assert!(arrived.load(Ordering::Relaxed));
        assert_eq!(network.request(Duration::from_secs(1), async { Some(7) }).await, Ok(7));
    }
}
