use super::super::input_task::SubscriptionCheck;
use super::*;
use crate::domain::{
    Accepted, BindingError, ComponentName, DeliveryError, EventBatch, EventHandler, FailureKind, InputBinding, Message,
    OutputBinding,
};
use async_trait::async_trait;
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
    /// Drains for this long after the stop.
    Drain(Duration),
    Forever,
}

type Entry = (&'static str, &'static str, Instant);
type Log = mpsc::UnboundedSender<Entry>;

#[derive(Debug)]
struct Fake {
    name: ComponentName,
    acts: Mutex<VecDeque<Act>>,
    label: &'static str,
    log: Log,
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
        self.log.send((self.label, "begun", Instant::now())).unwrap();
        let failed = Err(BindingError::new(FailureKind::Transient, "no"));
        let result = match act {
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
            Act::Drain(wait) => {
                stop.finishing().await;
                tokio::time::sleep(wait).await;
                Ok(())
            }
            Act::Forever => std::future::pending().await,
        };
        self.log.send((self.label, "ended", Instant::now())).unwrap();
        result
    }

    fn release(&self) {
        self.log.send((self.label, "released", Instant::now())).unwrap();
    }
}

/// A fake under another name.
#[derive(Debug)]
struct Renamed {
    name: ComponentName,
    fake: Arc<dyn Binding>,
}

#[async_trait]
impl Binding for Renamed {
    fn name(&self) -> &ComponentName {
        &self.name
    }
    fn input(&self) -> Option<&dyn InputBinding> {
        self.fake.input()
    }
    fn output(&self) -> Option<&dyn OutputBinding> {
        None
    }
    async fn close(&self) {}
}

#[derive(Debug)]
struct AcceptAll;

#[async_trait]
impl EventHandler for AcceptAll {
    async fn is_reachable(&self) -> bool {
        true
    }

    async fn handle_message(&self, _: &Message) -> Result<bytes::Bytes, DeliveryError> {
        Ok(bytes::Bytes::new())
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

const LIMITS: DrainLimits = DrainLimits { urgent: Duration::from_secs(10), retire: Duration::from_secs(60) };

fn fake(label: &'static str, acts: &[Act], answers: &[bool], log: &Log) -> Input {
    let acts = Mutex::new(acts.iter().copied().collect());
    let binding = Arc::new(Fake { name: "orders".parse().unwrap(), acts, label, log: log.clone() });
    let subscription = Arc::new(Answers(Mutex::new(answers.to_vec())));
    Input { binding, handler: Arc::new(AcceptAll), subscription }
}

fn input(acts: &[Act], answers: &[bool]) -> (Input, mpsc::UnboundedReceiver<Entry>) {
    let (log, entries) = mpsc::unbounded_channel();
    (fake("one", acts, answers, &log), entries)
}

/// The time of the next read.
async fn begun(log: &mut mpsc::UnboundedReceiver<Entry>) -> Instant {
    loop {
        let (_, what, at) = log.recv().await.unwrap();
        if what == "begun" {
            return at;
        }
    }
}

async fn run(input: Input, stop: Stop) -> DrainOutcome {
    let (_reading, is_reading) = watch::channel(true);
    Inputs::new(vec![input], is_reading, LIMITS).0.run(stop).await
}

#[tokio::test(start_paused = true)]
async fn an_input_that_fails_panics_or_returns_is_restarted() {
    // There is only one answer: a restart that checked the subscription again would hang.
    let (input, mut log) = input(&[Act::Fail, Act::Panic, Act::Return], &[true]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..4 {
            begun(&mut log).await;
        }
        stop.finish();
    };
    assert_eq!(tokio::join!(run(input, stop.clone()), watch).0, DrainOutcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn a_stable_run_resets_the_backoff() {
    let mut acts = vec![Act::Fail; 8];
    acts.push(Act::FailAfter(STABLE_AFTER));
    let (input, mut log) = input(&acts, &[true]);
    let stop = Stop::new();
    let watch = async {
        for _ in 0..8 {
            begun(&mut log).await;
        }
        let failed_again = begun(&mut log).await;
        let restarted = begun(&mut log).await;
        // The first pause of the backoff, not the ninth.
        assert!(restarted - failed_again <= STABLE_AFTER + RESTART_BACKOFF.bound(0), "{:?}", restarted - failed_again);
        stop.finish();
    };
    tokio::join!(run(input, stop.clone()), watch);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_subscription_check() {
    let (input, mut log) = input(&[], &[]);
    let stop = Stop::new();
    stop.finish();
    assert_eq!(run(input, stop).await, DrainOutcome::Clean);
    assert!(log.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_forced_stop_aborts_an_input_that_ignores_the_stop() {
    let (input, mut log) = input(&[Act::Forever], &[true]);
    let stop = Stop::new();
    let watch = async {
        begun(&mut log).await;
        stop.now();
    };
    assert_eq!(tokio::join!(run(input, stop.clone()), watch).0, DrainOutcome::Aborted);
}

/// Inputs that run while the test changes them.
struct Fixture {
    inputs: InputsHandle,
    reading: watch::Sender<bool>,
    stop: Stop,
    log: mpsc::UnboundedReceiver<Entry>,
    write: Log,
    tasks: Supervisor<DrainOutcome>,
}

impl Fixture {
    fn start(is_reading: bool) -> Self {
        let (reading, is_reading) = watch::channel(is_reading);
        let (owner, inputs) = Inputs::new(Vec::new(), is_reading, LIMITS);
        let (stop, mut tasks) = (Stop::new(), Supervisor::new());
        tasks.spawn("inputs", owner.run(stop.clone()));
        let (write, log) = mpsc::unbounded_channel();
        Self { inputs, reading, stop, log, write, tasks }
    }

    async fn expect(&mut self, expected: &[(&str, &str)]) {
        for expected in expected {
            let (label, what, _) = self.log.recv().await.unwrap();
            assert_eq!((label, what), *expected);
        }
    }

    async fn end(mut self) -> DrainOutcome {
        self.stop.finish();
        self.tasks.next().await.unwrap().result.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_input_is_drained_and_released_before_the_next_begins() {
    let mut fixture = Fixture::start(true);
    let (name, drain) = ("orders".parse().unwrap(), Act::Drain(Duration::from_secs(3)));
    let first = fake("first", &[drain], &[true], &fixture.write);
    assert_eq!(fixture.inputs.start(first).await.outcome().await, Some(DrainOutcome::Clean));
    fixture.expect(&[("first", "begun")]).await;
    let second = fake("second", &[drain], &[true], &fixture.write);
    assert_eq!(fixture.inputs.start(second).await.outcome().await, Some(DrainOutcome::Clean));
    let released = [("first", "released"), ("first", "ended"), ("first", "released"), ("second", "begun")];
    fixture.expect(&released).await;
    assert_eq!(fixture.inputs.stop(&name).await.outcome().await, Some(DrainOutcome::Clean));
    fixture.expect(&[("second", "released"), ("second", "ended"), ("second", "released")]).await;
    assert_eq!(fixture.inputs.stop(&name).await.outcome().await, Some(DrainOutcome::Clean), "there is no such input");
    let inputs = fixture.inputs.clone();
    assert_eq!(fixture.end().await, DrainOutcome::Clean);
    assert_eq!(inputs.stop(&name).await.outcome().await, None, "the owner has ended");
}

/// As an input of another name; it may need what the old ones held.
fn named(name: &str, input: Input) -> Input {
    Input { binding: Arc::new(Renamed { name: name.parse().unwrap(), fake: input.binding }), ..input }
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_no_drain_and_a_new_input_begins_after_those_that_had_to_leave() {
    let mut fixture = Fixture::start(true);
    let drain = |label, seconds| fake(label, &[Act::Drain(Duration::from_secs(seconds))], &[true], &fixture.write);
    let (slow, fast) = (named("slow", drain("slow", 30)), named("fast", drain("fast", 3)));
    let (new, later) = (named("new", drain("new", 1)), named("later", drain("later", 1)));
    for input in [slow, fast] {
        fixture.inputs.start(input).await;
    }
    fixture.expect(&[("slow", "begun"), ("fast", "begun")]).await;
    let begun = Instant::now();
    let slow_drain = fixture.inputs.stop(&"slow".parse().unwrap()).await;
    fixture.inputs.start(new).await;
    let fast_drain = fixture.inputs.stop(&"fast".parse().unwrap()).await;
    fixture.inputs.start(later).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "the requests wait for no drain");
    fixture.expect(&[("slow", "released"), ("fast", "released"), ("fast", "ended"), ("fast", "released")]).await;
    assert_eq!(fast_drain.outcome().await, Some(DrainOutcome::Clean));
    fixture.expect(&[("slow", "ended"), ("slow", "released")]).await;
    assert_eq!(slow_drain.outcome().await, Some(DrainOutcome::Clean));
    let mut begun = [fixture.log.recv().await.unwrap().0, fixture.log.recv().await.unwrap().0];
    begun.sort_unstable();
    assert_eq!(begun, ["later", "new"], "nothing began before the last one had left");
    assert_eq!(fixture.end().await, DrainOutcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_does_not_drain_is_aborted_and_the_next_begins() {
    let mut fixture = Fixture::start(true);
    let first = fake("first", &[Act::Forever], &[true], &fixture.write);
    fixture.inputs.start(first).await;
    fixture.expect(&[("first", "begun")]).await;
    let begun = Instant::now();
    let second = fake("second", &[], &[true], &fixture.write);
    assert_eq!(fixture.inputs.start(second).await.outcome().await, Some(DrainOutcome::Aborted));
    let (limit, margin) = (LIMITS.retire, LIMITS.urgent);
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + margin, "{:?}", begun.elapsed());
    fixture.expect(&[("first", "released"), ("first", "released"), ("second", "begun")]).await;
    assert_eq!(fixture.end().await, DrainOutcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_being_replaced_has_the_limit_of_a_shutdown_once_reading_is_off() {
    let mut fixture = Fixture::start(true);
    fixture.inputs.start(fake("first", &[Act::Forever], &[true], &fixture.write)).await;
    fixture.expect(&[("first", "begun")]).await;
    let (begun, inputs, second) = (Instant::now(), fixture.inputs.clone(), fake("second", &[], &[], &fixture.write));
    let mut replacing = Supervisor::new();
    replacing.spawn("replacing", async move { inputs.start(second).await.outcome().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.reading.send_replace(false);
    assert_eq!(replacing.next().await.unwrap().result.unwrap(), Some(DrainOutcome::Aborted));
    assert!(begun.elapsed() < 2 * LIMITS.urgent, "{:?}", begun.elapsed());
    assert_eq!(fixture.end().await, DrainOutcome::Clean);
}

#[tokio::test(start_paused = true)]
async fn inputs_are_drained_while_reading_is_off_and_asked_again_when_it_is_on() {
    let mut fixture = Fixture::start(false);
    // Answers are taken from the end.
    let input =
        fake("one", &[Act::UntilStopped, Act::Drain(Duration::from_secs(5))], &[true, false, true], &fixture.write);
    fixture.inputs.start(input).await;
    fixture.reading.send_replace(true);
    fixture.expect(&[("one", "begun")]).await;
    fixture.reading.send_replace(false);
    fixture.expect(&[("one", "ended")]).await;
    // The second answer is no.
    fixture.reading.send_replace(true);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(fixture.log.is_empty(), "the app did not want it");
    fixture.reading.send_replace(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.reading.send_replace(true);
    fixture.expect(&[("one", "begun")]).await;
    // On again before it has ended: it ends, and begins again.
    fixture.reading.send_replace(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    fixture.reading.send_replace(true);
    fixture.expect(&[("one", "ended")]).await;
    assert_eq!(fixture.end().await, DrainOutcome::Clean);
}
