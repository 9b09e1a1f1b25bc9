//! Tests of the sources of stored connections: one at a time for each connection.
//!
//! A test can take minutes, and cut off it would end Chartbrew. So it runs in a task of its own, and
//! when it outlasts its caller, the next call that would make the same test waits for its result.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use super::{Caller, Error, Shared, effect::Failure};
use crate::{
    chartbrew::{
        self, Token, Unknown,
        types::{Connection, ConnectionRef, Tested},
    },
    telemetry,
};

/// The result of a test whose own words may repeat secrets that are no longer in the row.
const OUTDATED: &str = "the connection was changed while it was tested: test it again";
/// Tests at the same time. Each may last as long as its source likes.
const MAX: usize = 128;

/// The tests that are running.
#[derive(Debug, Default)]
pub(super) struct SourceTests(Mutex<HashMap<ConnectionRef, Arc<Running>>>);

#[derive(Debug)]
struct Running {
    /// Whose rights it runs with.
    token: Token,
    /// The connection has been changed since the test began.
    is_outdated: AtomicBool,
    result: watch::Receiver<TestResult>,
}

/// What a test gave, with the connection whose secrets must be cut out of it.
pub(super) type TestedRow = (Tested, Option<Box<Connection>>);

/// `None` while the test runs.
type TestResult = Option<Result<TestedRow, chartbrew::Error>>;

/// Takes a test off the list when it ends, however it ends.
struct Ends(Arc<Shared>, ConnectionRef);

/// What a call does that wants a connection to be tested.
enum Next {
    /// It waits for the result of a running test.
    Join(watch::Receiver<TestResult>),
    /// It waits for the end of a test whose result is not for it.
    Wait(watch::Receiver<TestResult>),
    /// It starts a test.
    Start(watch::Sender<TestResult>, Arc<Running>),
}

impl Shared {
    /// The result of a test of the connection: of a running one, or of one that begins now.
    pub(super) async fn test(
        self: &Arc<Self>,
        caller: &Caller,
        connection: ConnectionRef,
    ) -> Result<TestedRow, Failure> {
        loop {
            let mut result = match self.source_tests.next(caller, connection)? {
                Next::Join(result) => result,
                Next::Wait(mut result) => {
                    // An error is its end too.
                    let _ended = result.wait_for(Option::is_some).await;
                    continue;
                }
                Next::Start(sender, running) => {
                    let result = running.result.clone();
                    self.start_test(caller, connection, sender, running);
                    result
                }
            };
            let ended = result.wait_for(Option::is_some).await;
            let tested = ended.ok().and_then(|result| result.clone());
            let no_answer = Err(chartbrew::Error::Unknown(Unknown::NoResponse));
            return Ok(tested.unwrap_or(no_answer)?);
        }
    }

    fn start_test(
        self: &Arc<Self>,
        caller: &Caller,
        connection: ConnectionRef,
        sender: watch::Sender<TestResult>,
        running: Arc<Running>,
    ) {
        let token = caller.token_to_send().clone();
        let ends = Ends(self.clone(), connection);
        self.operations.spawn(telemetry::propagate(async move {
            let tested = ends.0.tested(&token, connection, &running).await;
            // Off the list first: who has the result can begin another test.
            drop(ends);
            sender.send_replace(Some(tested));
        }));
    }

    async fn tested(
        &self,
        token: &Token,
        connection: ConnectionRef,
        running: &Running,
    ) -> Result<TestedRow, chartbrew::Error> {
        let tested = self.client.test(token, connection).await?;
        if tested.words.is_empty() && tested.details.is_none() {
            return Ok((tested, None));
        }
        // If Chartbrew's own database had failed, and not the source, this fails too.
        let row = self.client.get(token, connection).await?;
        if running.is_outdated.load(Ordering::Relaxed) {
            let outdated = Tested {
                words: OUTDATED.to_owned(),
                details: None,
                ..tested
            };
            return Ok((outdated, None));
        }
        Ok((tested, Some(Box::new(row.body))))
    }
}

// === impl SourceTests ===

impl SourceTests {
    /// The connection has been changed: what a test that began before will say is not true of it.
    pub(super) fn outdate(&self, connection: ConnectionRef) {
        if let Some(running) = self.lock().get(&connection) {
            running.is_outdated.store(true, Ordering::Relaxed);
        }
    }

    fn next(&self, caller: &Caller, connection: ConnectionRef) -> Result<Next, Failure> {
        let mut tests = self.lock();
        if let Some(running) = tests.get(&connection) {
            let result = running.result.clone();
            let is_the_same =
                running.token.is(&caller.token) && !running.is_outdated.load(Ordering::Relaxed);
            return Ok(match is_the_same {
                true => Next::Join(result),
                false => Next::Wait(result),
            });
        }
        if tests.len() >= MAX {
            return Err(Failure::Stop(Error::Overloaded));
        }
        let (sender, result) = watch::channel(None);
        let running = Arc::new(Running {
            token: caller.token.clone(),
            is_outdated: AtomicBool::new(false),
            result,
        });
        tests.insert(connection, running.clone());
        Ok(Next::Start(sender, running))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionRef, Arc<Running>>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let Self(shared, connection) = self;
        shared.source_tests.lock().remove(connection);
    }
}
