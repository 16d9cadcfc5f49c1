use super::*;

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_connections_that_are_idle_longest_are_closed() {
    let mut open = OpenConnections::new();
    let silent = open.add();
    let [busy, first, second, parallel] = std::array::from_fn(|_| open.add());
    let working = busy.request_started(http::Version::HTTP_11);
    drop(first.request_started(http::Version::HTTP_11));
    let (one, other) =
        (parallel.request_started(http::Version::HTTP_2), parallel.request_started(http::Version::HTTP_2));
    pass(2).await;
    drop(second.request_started(http::Version::HTTP_11));
    drop(one);
    let is_closing = |connection: &ConnectionState| connection.shared.is_close_requested.load(Relaxed);
    assert_eq!(open.close_idle(1), 1);
    assert!(is_closing(&silent) ^ is_closing(&first), "one of the two that wait longest");
    assert_eq!(open.close_idle(9), 0, "the closing one has not ended yet");
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
async fn a_closing_connection_with_a_request_does_not_delay_others() {
    let mut open = OpenConnections::new();
    let [closing, idle] = std::array::from_fn(|_| open.add());
    pass(2).await;
    drop(idle.request_started(http::Version::HTTP_11));
    assert_eq!(open.close_idle(9), 1);
    let late = closing.request_started(http::Version::HTTP_11);
    pass(2).await;
    assert_eq!(open.close_idle(9), 1, "its request came just before it was closed");
    assert!(idle.shared.is_close_requested.load(Relaxed));
    drop(late);
    assert!(!closing.is_idle_for(MIN_IDLE));
    assert_eq!(open.close_idle(9), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_its_response_slowly_is_not_idle() {
    let mut open = OpenConnections::new();
    let connection = open.add();
    let (near, mut far) = tokio::io::duplex(1);
    let mut io =
        HeadTimeout::new(hyper_util::rt::TokioIo::new(near), connection.clone(), Duration::from_secs(10), true);
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
    assert_eq!(open.close_idle(9), 1, "it reads nothing any more");
}

#[tokio::test(start_paused = true)]
async fn connections_with_part_of_a_head_make_room_first_and_all_at_once() {
    let mut open = OpenConnections::new();
    let half_open: Vec<_> = (0..5).map(|_| open.add()).collect();
    let (head, idle) = (open.add(), open.add());
    drop((head.request_started(http::Version::HTTP_11), idle.request_started(http::Version::HTTP_11)));
    assert!(head.change_phase(Phase::Idle, Phase::Head));
    assert_eq!(open.close_idle(1), 0, "the rest of a head may be on its way");
    tokio::time::advance(MIN_HALF_OPEN).await;
    assert_eq!(open.close_idle(1), 6);
    let is_closing = |connection: &ConnectionState| connection.shared.is_close_requested.load(Relaxed);
    assert!(half_open.iter().all(is_closing) && is_closing(&head) && !is_closing(&idle));
}

#[tokio::test]
async fn ended_connections_are_removed() {
    let mut open = OpenConnections::new();
    let kept: Vec<_> = (0..100).map(|_| open.add()).collect();
    for _ in 0..10_000 {
        drop(open.add());
    }
    assert!(open.connections.len() <= 2 * kept.len() + 64, "{}", open.connections.len());
}
