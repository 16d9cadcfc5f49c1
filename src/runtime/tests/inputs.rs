use super::*;
use crate::domain::{BindingEvent, DeliveryError, FailureKind, InputBinding, OutputBinding};
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
                stop.asked().await;
                Ok(())
            }
            Act::Forever => std::future::pending().await,
        }
    }
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl EventHandler for Nobody {
    async fn handle(&self, _: &BindingEvent) -> Result<(), DeliveryError> {
        Ok(())
    }
}

/// A gate that gives its answers in turn and then waits for ever.
#[derive(Debug)]
struct Answers(Mutex<Vec<Admission>>);

#[async_trait]
impl InputGate for Answers {
    async fn admitted(&self, _: &ComponentName) -> Admission {
        let answer = self.0.lock().unwrap().pop();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn slot(acts: &[Act], answers: &[Admission]) -> (InputSlot, mpsc::UnboundedReceiver<Instant>) {
    let (begun, reads) = mpsc::unbounded_channel();
    let acts = Mutex::new(acts.iter().copied().collect());
    let binding = Arc::new(Fake { name: "orders".parse().unwrap(), acts, begun });
    let gate = Arc::new(Answers(Mutex::new(answers.to_vec())));
    (InputSlot { binding, handler: Arc::new(Nobody), gate }, reads)
}

#[tokio::test(start_paused = true)]
async fn an_input_that_fails_panics_or_returns_is_started_again() {
    // One answer only: a restart that asked the gate again would hang.
    let (slot, mut reads) = slot(&[Act::Fail, Act::Panic, Act::Return], &[Admission::Read]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..4 {
            reads.recv().await.unwrap();
        }
        stop.finish();
    };
    tokio::join!(run(vec![slot], stop.clone()), watch);
}

#[tokio::test(start_paused = true)]
async fn a_steady_run_forgets_earlier_failures() {
    let mut acts = vec![Act::Fail; 8];
    acts.push(Act::FailAfter(STEADY));
    let (slot, mut reads) = slot(&acts, &[Admission::Read]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..8 {
            reads.recv().await.unwrap();
        }
        let steady = reads.recv().await.unwrap();
        let restarted = reads.recv().await.unwrap();
        // The first wait of the policy, not the ninth.
        assert!(restarted - steady <= STEADY + RESTARTS.bound(0), "{:?}", restarted - steady);
        stop.finish();
    };
    tokio::join!(run(vec![slot], stop.clone()), watch);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_the_app_does_not_want_is_not_read() {
    let (slot, mut reads) = slot(&[], &[Admission::NotWanted]);
    run(vec![slot], Stop::new()).await;
    assert!(reads.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_the_app() {
    let (slot, mut reads) = slot(&[], &[]);
    let stop = Stop::new();
    stop.finish();
    run(vec![slot], stop).await;
    assert!(reads.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_cuts_an_input_that_does_not_listen() {
    let (slot, mut reads) = slot(&[Act::Forever], &[Admission::Read]);
    let stop = Stop::new();
    let watch = async {
        reads.recv().await.unwrap();
        stop.now();
    };
    tokio::join!(run(vec![slot], stop.clone()), watch);
}
