use super::*;
use crate::domain::{Accepted, DeliveryError, EventBatch, FailureKind, InputBinding, Message, OutputBinding};
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::mpsc;

/// What a fake input does when it is read.
#[derive(Debug, Clone, Copy)]
enum Act {
    Fail,
    Panic,
    Return,
    FailAfter(Duration),
    UntilStopped,
    Forever,
}

#[derive(Debug)]
struct Fake {
    name: ComponentName,
    acts: Mutex<VecDeque<Act>>,
    begun: mpsc::UnboundedSender<Instant>,
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
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::UntilStopped);
        self.begun.send(Instant::now()).unwrap();
        let failed = Err(BindingError::new(FailureKind::Transient, "no"));
        match act {
            Act::Fail => failed,
            Act::Panic => panic!("on purpose"),
            Act::Return => Ok(()),
            Act::FailAfter(wait) => {
                tokio::time::sleep(wait).await;
                failed
            }
            Act::UntilStopped => {
                stop.finishing().await;
                Ok(())
            }
            Act::Forever => std::future::pending().await,
        }
    }
}

#[derive(Debug)]
struct AcceptAll;

#[async_trait]
impl EventHandler for AcceptAll {
    async fn is_reachable(&self) -> bool {
        true
    }

    async fn handle_message(&self, _: &Message) -> Result<(), DeliveryError> {
        Ok(())
    }

    async fn handle(&self, _: &EventBatch) -> Result<Accepted, DeliveryError> {
        Ok(Accepted::All)
    }
}

/// Returns its answers in turn, and then never returns.
#[derive(Debug)]
struct Answers(Mutex<Vec<bool>>);

#[async_trait]
impl SubscriptionCheck for Answers {
    async fn is_subscribed(&self, _: &ComponentName) -> bool {
        let answer = self.0.lock().unwrap().pop();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn input(acts: &[Act], answers: &[bool]) -> (Input, mpsc::UnboundedReceiver<Instant>) {
    let (begun, reads) = mpsc::unbounded_channel();
    let acts = Mutex::new(acts.iter().copied().collect());
    let binding = Arc::new(Fake { name: "orders".parse().unwrap(), acts, begun });
    let subscription = Arc::new(Answers(Mutex::new(answers.to_vec())));
    (Input { binding, handler: Arc::new(AcceptAll), subscription }, reads)
}

#[tokio::test(start_paused = true)]
async fn an_input_that_fails_panics_or_returns_is_restarted() {
    // There is only one answer: a restart that checked the subscription again would hang.
    let (input, mut reads) = input(&[Act::Fail, Act::Panic, Act::Return], &[true]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..4 {
            reads.recv().await.unwrap();
        }
        stop.finish();
    };
    tokio::join!(run(vec![input], stop.clone()), watch);
}

#[tokio::test(start_paused = true)]
async fn a_stable_run_resets_the_backoff() {
    let mut acts = vec![Act::Fail; 8];
    acts.push(Act::FailAfter(STABLE_AFTER));
    let (input, mut reads) = input(&acts, &[true]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..8 {
            reads.recv().await.unwrap();
        }
        let failed_again = reads.recv().await.unwrap();
        let restarted = reads.recv().await.unwrap();
        // The first pause of the backoff, not the ninth.
        assert!(restarted - failed_again <= STABLE_AFTER + RESTART_BACKOFF.bound(0), "{:?}", restarted - failed_again);
        stop.finish();
    };
    tokio::join!(run(vec![input], stop.clone()), watch);
}

#[tokio::test(start_paused = true)]
async fn an_input_without_a_subscription_is_not_read() {
    let (input, mut reads) = input(&[], &[false]);
    run(vec![input], Stop::new()).await;
    assert!(reads.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_subscription_check() {
    let (input, mut reads) = input(&[], &[]);
    let stop = Stop::new();
    stop.finish();
    run(vec![input], stop).await;
    assert!(reads.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_aborts_an_input_that_ignores_the_stop() {
    let (input, mut reads) = input(&[Act::Forever], &[true]);
    let stop = Stop::new();
    let watch = async {
        reads.recv().await.unwrap();
        stop.now();
    };
    tokio::join!(run(vec![input], stop.clone()), watch);
}
