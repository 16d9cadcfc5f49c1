use super::*;

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_connections_that_are_idle_longest_make_room() {
    let mut open = OpenConnections::new();
    let silent = open.begin();
    let [busy, first, second, parallel] = std::array::from_fn(|_| open.begin());
    let working = busy.begun(http::Version::HTTP_11);
    drop(first.begun(http::Version::HTTP_11));
    let (one, other) = (parallel.begun(http::Version::HTTP_2), parallel.begun(http::Version::HTTP_2));
    pass(2).await;
    drop(second.begun(http::Version::HTTP_11));
    drop(one);
    let is_closing = |clock: &HeadClock| clock.shared.is_closing.load(Relaxed);
    assert_eq!(open.close_idle(1), 1);
    assert!(is_closing(&silent) ^ is_closing(&first), "one of the two that wait longest");
    assert_eq!(open.close_idle(9), 0, "the one that was asked has not ended yet");
    drop((silent, first));
    assert_eq!(open.close_idle(9), 0, "the rest is busy, or idle for a moment only");
    pass(2).await;
    assert_eq!(open.close_idle(9), 1);
    assert!(is_closing(&second) && !is_closing(&busy) && !is_closing(&parallel));
    drop((second, other, working));
    pass(2).await;
    assert_eq!(open.close_idle(9), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closing_connection_that_answers_holds_up_no_other() {
    let mut open = OpenConnections::new();
    let [closing, idle] = std::array::from_fn(|_| open.begin());
    pass(2).await;
    drop(idle.begun(http::Version::HTTP_11));
    assert_eq!(open.close_idle(9), 1);
    let late = closing.begun(http::Version::HTTP_11);
    pass(2).await;
    assert_eq!(open.close_idle(9), 1, "its request came just before it was asked to close");
    assert!(idle.shared.is_closing.load(Relaxed));
    drop(late);
    assert!(!closing.is_idle_for(KEPT_IDLE));
    assert_eq!(open.close_idle(9), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_its_answer_slowly_is_not_idle() {
    let mut open = OpenConnections::new();
    let clock = open.begin();
    let (near, mut far) = tokio::io::duplex(1);
    let mut io = Timed::new(hyper_util::rt::TokioIo::new(near), clock.clone(), Duration::from_secs(10));
    let mut write = || {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Pin::new(&mut io).poll_write(&mut cx, b"xx").is_ready()
    };
    assert!(write() && !write());
    pass(2).await;
    assert_eq!(tokio::io::AsyncReadExt::read_u8(&mut far).await.unwrap(), b'x');
    assert!(write());
    assert_eq!(open.close_idle(9), 0);
    assert!(!write());
    pass(2).await;
    assert_eq!(open.close_idle(9), 1, "it takes nothing any more");
}

#[tokio::test(start_paused = true)]
async fn part_of_a_head_is_no_idleness() {
    let mut open = OpenConnections::new();
    let clock = open.begin();
    drop(clock.begun(http::Version::HTTP_11));
    assert!(clock.move_on(Phase::Idle, Phase::Head));
    pass(5).await;
    assert_eq!(open.close_idle(9), 0);
}

#[tokio::test]
async fn clocks_of_ended_connections_are_dropped() {
    let mut open = OpenConnections::new();
    let kept: Vec<_> = (0..100).map(|_| open.begin()).collect();
    for _ in 0..10_000 {
        drop(open.begin());
    }
    assert!(open.clocks.len() <= 2 * kept.len() + 64, "{}", open.clocks.len());
}
