//! What callers were told, held against what is stored in the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::callers::{Nothing, Tally};

/// How it was made hard.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kills: usize,
    pub(crate) glitches: usize,
    pub(crate) asked_again: usize,
    /// Requests that would have ended Chartbrew's process, since their client cut them off.
    pub(crate) cut_off: usize,
}

/// Prints the counts, and fails if any of them is not as promised.
pub(crate) fn report(tally: &Tally, rows: &BTreeMap<String, Vec<i32>>, trouble: &Trouble) {
    let duplicates: Vec<_> = rows.iter().filter(|(_, ids)| ids.len() > 1).collect();
    let is_accounted_for: BTreeSet<_> = (tally.created.keys())
        .chain(tally.nothing.iter().map(|nothing| &nothing.name))
        .chain(&tally.once)
        .collect();
    let lost: Vec<_> = rows
        .keys()
        .filter(|name| !is_accounted_for.contains(name))
        .collect();
    let is_the_row = |name: &String, told: &BTreeSet<i32>| {
        let stored = rows.get(name).into_iter().flatten();
        stored.eq(told)
    };
    let false_ok: Vec<_> = (tally.created.iter())
        .filter(|(name, told)| !is_the_row(name, told))
        .collect();
    let is_false = |nothing: &&Nothing| rows.contains_key(&nothing.name);
    let false_nothing: Vec<_> = tally.nothing.iter().filter(is_false).collect();
    let by_the_first_call = tally.nothing.iter().filter(|nothing| nothing.calls == 1);
    let mut believed = BTreeMap::<&str, usize>::new();
    for nothing in &tally.nothing {
        *believed.entry(&nothing.reason).or_default() += 1;
    }
    let Trouble {
        kills,
        glitches,
        asked_again,
        cut_off,
    } = trouble;
    eprintln!(
        "{} rows, {} creates told their connection, {} believed that nothing was created ({} by \
         their first call), {} asked once without a request_id, {asked_again} asked again at the end\n\
         {kills} kills, {glitches} glitches of Redis, {} retries of a library whose connection \
         broke, {} of them told the connection, {cut_off} cut off\n\
         {} duplicates, {} lost, {} false OK, {} false \"nothing was created\"\n\
         believed: {believed:?}\n\
         told: {:?}",
        rows.len(),
        tally.created.len(),
        tally.nothing.len(),
        by_the_first_call.count(),
        tally.once.len(),
        tally.retried,
        tally.retried_well,
        duplicates.len(),
        lost.len(),
        false_ok.len(),
        false_nothing.len(),
        tally.told,
    );
    assert!(duplicates.is_empty(), "duplicates: {duplicates:?}");
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(false_ok.is_empty(), "false OK: {false_ok:?}");
    assert!(
        false_nothing.is_empty(),
        "false \"nothing was created\": {false_nothing:?}"
    );
    // It must not be true only because nothing was checked.
    assert!(!tally.nothing.is_empty());
    assert!(*kills == 0 || tally.retried_well > 0);
    // A killed gateway cannot carry to its end what it has begun.
    assert!(*kills > 0 || *cut_off == 0, "{cut_off} cut off");
}
