use domain::history::Aggregate;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use uuid::Uuid;

use super::*;

fn stream(n: u128) -> StreamId {
    let (tenant, study) = ("acme".parse().expect("valid"), "cardio".parse().expect("valid"));
    StreamId::in_study(&tenant, &study, Aggregate::Participant, Uuid::from_u128(n))
}

#[tokio::test]
async fn one_at_a_time_first_come_first_served_and_nobody_at_another_stream_waits() {
    let (turns, one, other) = (Turns::default(), stream(1), stream(2));
    let order = Mutex::new(Vec::new());
    let first = turns.wait(&one).await.expect("a turn");
    let (order_of, turns_of, one_of) = (&order, &turns, &one);
    let others = (0..5).map(|n| async move {
        let _turn = turns_of.wait(one_of).await.expect("a turn");
        order_of.lock().expect("not poisoned").push(n);
        tokio::task::yield_now().await;
        order_of.lock().expect("not poisoned").push(n);
    });
    let mut others = Box::pin(join_all(others));
    assert!(others.as_mut().now_or_never().is_none());
    assert!(order.lock().expect("not poisoned").is_empty(), "the first one is not done");
    assert!(turns.wait(&other).now_or_never().is_some());
    drop(first);
    others.await;
    assert_eq!(*order.lock().expect("not poisoned"), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(turns.busy(), 0, "nothing is kept of streams at which nobody is");
}

#[tokio::test]
async fn who_goes_away_keeps_nobody_waiting_and_leaves_nothing() {
    let (turns, one) = (Turns::default(), stream(1));
    let first = turns.wait(&one).await.expect("a turn");
    let mut gone = Box::pin(turns.wait(&one));
    assert!(gone.as_mut().now_or_never().is_none());
    let mut next = Box::pin(turns.wait(&one));
    assert!(next.as_mut().now_or_never().is_none());
    drop(gone);
    drop(first);
    assert!(next.as_mut().now_or_never().is_some());
    drop(next);
    assert_eq!(turns.busy(), 0);
}

#[tokio::test]
async fn more_than_may_wait_are_told_at_once() {
    let (turns, one) = (Turns::default(), stream(1));
    let first = turns.wait(&one).await.expect("a turn");
    let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(turns.wait(&one))).collect();
    let told = waiting.iter_mut().filter_map(|wait| wait.as_mut().now_or_never()).collect::<Vec<_>>();
    assert!(told.is_empty(), "{} were told", told.len());
    let late = turns.wait(&one).now_or_never();
    assert!(matches!(late, Some(Err(TooMany))));
    drop((first, waiting));
    assert_eq!(turns.busy(), 0);
}
