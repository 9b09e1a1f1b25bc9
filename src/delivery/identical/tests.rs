//! Which row is whose, and what is kept of creates that have ended.

use std::time::Duration;

use super::{recent::RECENT, *};

fn table() -> Arc<IdenticalCreates> {
    Arc::default()
}

fn enter(table: &Arc<IdenticalCreates>, body: &[u8]) -> Entry {
    table.enter(1, body, &Key::unique(), false)
}

fn clock() -> ServerClock {
    ServerClock::new(None)
}

fn rows(ids: &[i32]) -> Vec<(i32, Option<Timestamp>)> {
    let now = Some(Timestamp::now());
    ids.iter().map(|id| (*id, now)).collect()
}

#[tokio::test]
async fn a_row_is_taken_only_if_no_other_response_may_name_it() {
    use Choice::{Ambiguous, Take, Wait};
    // (others awaited, others lost, rows, choice)
    let cases = [
        (0, 0, 0, Wait),
        (0, 0, 1, Take(1)),
        (0, 0, 2, Ambiguous { surplus: 1 }),
        (1, 0, 1, Wait),
        (1, 0, 2, Take(1)),
        (1, 0, 3, Ambiguous { surplus: 1 }),
        (0, 3, 1, Take(1)),
        (0, 3, 4, Take(1)),
        (0, 3, 5, Ambiguous { surplus: 1 }),
        (1, 1, 2, Wait),
        (1, 1, 3, Take(1)),
    ];
    for (awaited, lost, count, choice) in cases {
        let table = table();
        let ours = enter(&table, b"x");
        ours.response_lost(Began::now());
        let others: Vec<_> = (0..awaited + lost)
            .map(|other| {
                let entry = enter(&table, b"x");
                match other < awaited {
                    true => entry.await_response(Began::now()),
                    false => entry.response_lost(Began::now()),
                }
                entry
            })
            .collect();
        let different = enter(&table, b"y");
        different.await_response(Began::now());
        let ids: Vec<_> = (1..=count).collect();
        let chosen = ours.choose(&rows(&ids), clock());
        assert_eq!(
            chosen, choice,
            "{awaited} awaited, {lost} lost, {count} rows"
        );
        drop((others, different));
        assert_eq!(table.state().bodies.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_older_than_the_request_is_not_its_own() {
    let table = table();
    let ours = enter(&table, b"x");
    ours.response_lost(Began::now());
    let made = Timestamp::now();
    tokio::time::advance(Duration::from_secs(60)).await;
    let other = enter(&table, b"x");
    other.await_response(Began::now());
    let later = made + jiff::SignedDuration::from_secs(60);
    let clock = ServerClock::new(Some(later));
    assert_eq!(ours.choose(&[(1, Some(made))], clock), Choice::Take(1));
    assert_eq!(ours.choose(&[(1, Some(later))], clock), Choice::Wait);
}

#[tokio::test(start_paused = true)]
async fn an_assigned_row_is_remembered_for_as_long_as_it_could_be_taken() {
    let table = table();
    let id = Key::unique();
    let unresolved = table.enter(1, b"x", &id, true);
    unresolved.response_lost(Began::now());
    drop(unresolved);
    for body in [&b"x"[..], b"y"] {
        let entry = enter(&table, body);
        entry.await_response(Began::now());
        assert!(entry.assign(if body == b"x" { 1 } else { 2 }));
    }
    let again = table.enter(1, b"x", &id, true);
    assert!(!again.is_free(1) && !again.is_free(2));
    assert!(!again.assign(1));
    tokio::time::advance(RECENT * 2).await;
    again.response_lost(Began::now());
    // Only the identical create's row matters any longer.
    assert!(!again.is_free(1) && again.is_free(2));
    assert!(again.assign(3));
    drop(again);
    let state = table.state();
    assert!(state.bodies.is_empty());
    assert_eq!(state.recent.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_what_is_over() {
    let table = table();
    for n in 0..10_000 {
        let entry = table.enter(1, b"x", &Key::unique(), true);
        entry.await_response(Began::now());
        assert!(entry.assign(n));
        drop(entry);
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let kept = table.enter(1, b"x", &Key::unique(), true);
    kept.response_lost(Began::now());
    drop(kept);
    {
        let state = table.state();
        let recent = state.recent.len();
        assert!(recent <= 1_402, "{recent}");
        assert_eq!((state.bodies.len(), state.kept.len()), (1, 1));
    }
    tokio::time::advance(RETENTION).await;
    let other = enter(&table, b"z");
    other.await_response(Began::now());
    other.close();
    let state = table.state();
    assert!(state.bodies.is_empty() && state.kept.is_empty());
    assert_eq!(state.recent.len(), 0);
}

#[tokio::test]
async fn creates_without_ids_leave_nothing_however_they_end() {
    let table = table();
    for n in 0..1_000 {
        let [created, lost, refused, _unsent] = [(); 4].map(|()| enter(&table, b"x"));
        for sent in [&created, &lost, &refused] {
            sent.await_response(Began::now());
        }
        lost.response_lost(Began::now());
        refused.close();
        assert!(created.assign(n));
    }
    let state = table.state();
    assert!(state.bodies.is_empty() && state.kept.is_empty());
}
