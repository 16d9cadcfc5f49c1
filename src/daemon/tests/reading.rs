use super::*;
use crate::domain::{
    Accepted, Binding, BindingError, ComponentName, DeliveryError, EventBatch, EventHandler, InputBinding,
    OutputBinding,
};
use crate::runtime::SubscriptionCheck;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// What happens to the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Asked,
    Begun,
    /// Stopped, after the delivery under way.
    Drained,
}

/// An input whose delivery under way takes ten seconds.
#[derive(Debug)]
struct Fake {
    name: ComponentName,
    seen: UnboundedSender<Seen>,
}

#[async_trait]
impl Binding for Fake {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        Some(self)
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        None
    }
    async fn close(&self) {}
}

#[async_trait]
impl InputBinding for Fake {
    async fn read(&self, _: Arc<dyn EventHandler>, stop: Stop) -> Result<(), BindingError> {
        self.seen.send(Seen::Begun).unwrap();
        stop.finishing().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        self.seen.send(Seen::Drained).unwrap();
        Ok(())
    }
}

#[derive(Debug)]
struct NoHandler;

#[async_trait]
impl EventHandler for NoHandler {
    async fn handle(&self, _: &EventBatch) -> Result<Accepted, DeliveryError> {
        Ok(Accepted::All)
    }

    async fn is_reachable(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Check {
    is_accepted: bool,
    seen: UnboundedSender<Seen>,
}

#[async_trait]
impl SubscriptionCheck for Check {
    async fn is_subscribed(&self, _: &ComponentName) -> bool {
        self.seen.send(Seen::Asked).unwrap();
        self.is_accepted
    }
}

fn input(is_accepted: bool) -> (Input, UnboundedReceiver<Seen>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let binding = Arc::new(Fake { name: "orders".parse().unwrap(), seen: sender.clone() });
    (Input { binding, handler: Arc::new(NoHandler), subscription: Arc::new(Check { is_accepted, seen: sender }) }, seen)
}

#[tokio::test(start_paused = true)]
async fn inputs_are_drained_while_the_app_is_unhealthy_and_started_again() {
    let ((input, mut seen), stop) = (input(true), Stop::new());
    let (health, is_healthy) = watch::channel(false);
    let script = async {
        assert!(tokio::time::timeout(Duration::from_secs(60), seen.recv()).await.is_err(), "not healthy yet");
        for _ in 0..2 {
            health.send_replace(true);
            assert_eq!([seen.recv().await, seen.recv().await], [Some(Seen::Asked), Some(Seen::Begun)]);
            health.send_replace(false);
            assert_eq!(seen.recv().await, Some(Seen::Drained));
            assert!(tokio::time::timeout(Duration::from_secs(60), seen.recv()).await.is_err(), "unhealthy");
        }
        health.send_replace(true);
        assert_eq!([seen.recv().await, seen.recv().await], [Some(Seen::Asked), Some(Seen::Begun)]);
        stop.finish();
        assert_eq!(seen.recv().await, Some(Seen::Drained));
    };
    let (outcome, ()) = tokio::join!(read_while_healthy(vec![input], is_healthy, stop.clone()), script);
    assert_eq!(outcome, DrainOutcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_flap_during_the_drain_starts_the_inputs_again() {
    let ((input, mut seen), stop) = (input(true), Stop::new());
    let (health, is_healthy) = watch::channel(true);
    let script = async {
        assert_eq!([seen.recv().await, seen.recv().await], [Some(Seen::Asked), Some(Seen::Begun)]);
        health.send_replace(false);
        tokio::time::sleep(Duration::from_secs(1)).await;
        health.send_replace(true);
        assert_eq!(seen.recv().await, Some(Seen::Drained), "the drain is not given up");
        assert_eq!([seen.recv().await, seen.recv().await], [Some(Seen::Asked), Some(Seen::Begun)]);
        stop.finish();
    };
    tokio::join!(read_while_healthy(vec![input], is_healthy, stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_the_app_rejected_is_asked_about_again_after_a_flap() {
    let ((input, mut seen), stop) = (input(false), Stop::new());
    let (health, is_healthy) = watch::channel(true);
    let script = async {
        assert_eq!(seen.recv().await, Some(Seen::Asked));
        health.send_replace(false);
        // The change is seen before the next one.
        tokio::time::sleep(Duration::from_secs(1)).await;
        health.send_replace(true);
        assert_eq!(seen.recv().await, Some(Seen::Asked));
        stop.finish();
    };
    tokio::join!(read_while_healthy(vec![input], is_healthy, stop.clone()), script);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_a_healthy_app() {
    let ((input, _seen), stop) = (input(true), Stop::new());
    let (_health, is_healthy) = watch::channel(false);
    let script = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.finish();
    };
    let (outcome, ()) = tokio::join!(read_while_healthy(vec![input], is_healthy, stop.clone()), script);
    assert_eq!(outcome, DrainOutcome::Clean);
}
