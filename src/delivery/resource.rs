//! Every operation but the creates: they may be repeated, so that none needs a recovery.
//!
//! The work runs within its caller's future, and ends with it. What must not be cut off does not: a
//! request whose path names a connection runs in a task of its own (see
//! [`chartbrew`](crate::chartbrew)), and so do tests of stored connections and uploads.

use std::{future::Future, sync::atomic::Ordering};

use tokio::time::sleep_until;
use tower::retry::budget::Budget;

use super::{
    Caller, Delivery, EndedBy, Error, Operation,
    effect::{Effect, Failure},
    operation::Permit,
    repeat::Before,
};
use crate::{
    chartbrew::{
        Error as RequestError, Rejection,
        types::{Changes, Connection, ConnectionRef, Files, NewTest, Page, PageRequest, Tested},
    },
    telemetry::{self, InFlight},
};

impl Delivery {
    /// Reads a connection.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
    ) -> Result<Box<Connection>, Error> {
        let client = &self.shared.client;
        self.attempts(caller, Operation::Get, |_| async move {
            let row = client.get(caller.token_to_send(), connection).await?;
            Ok(Box::new(row.body))
        })
        .await
    }

    /// Reads a page of a team's connections.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, caller: &Caller, team: i32, page: PageRequest) -> Result<Page, Error> {
        let client = &self.shared.client;
        self.attempts(caller, Operation::List, |_| async move {
            Ok(client.page(caller.token_to_send(), team, page).await?)
        })
        .await
    }

    /// Changes fields of a connection and returns it as it is then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
        changes: &Changes,
    ) -> Result<Box<Connection>, Error> {
        let client = &self.shared.client;
        self.changes(caller, Operation::Update, connection, |_| async move {
            let token = caller.token_to_send();
            Ok(Box::new(client.update(token, connection, changes).await?))
        })
        .await
    }

    /// Deletes a connection.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
        remove_datasets: bool,
    ) -> Result<(), Error> {
        let client = &self.shared.client;
        self.changes(caller, Operation::Delete, connection, |before| async move {
            let token = caller.token_to_send();
            match client.delete(token, connection, remove_datasets).await {
                // An attempt of this call deleted it, and its response was lost.
                Err(RequestError::Rejected(Rejection::ConnectionNotFound))
                    if before.lost.is_some() =>
                {
                    Ok(())
                }
                result => Ok(result?),
            }
        })
        .await
    }

    /// Lets Chartbrew connect to the source of a connection. Where the result says more than yes or
    /// no, it comes with the connection, whose secrets must be cut out of it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn test(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
    ) -> Result<(Tested, Option<Box<Connection>>), Error> {
        let shared = &self.shared;
        self.attempts(caller, Operation::Test, |_| shared.test(caller, connection))
            .await
    }

    /// The same for settings that are not stored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn test_new(&self, caller: &Caller, test: &NewTest) -> Result<Tested, Error> {
        let client = &self.shared.client;
        self.attempts(caller, Operation::TestNew, |_| async move {
            Ok(client.test_new(caller.token_to_send(), test).await?)
        })
        .await
    }

    /// Uploads files to a connection and returns it as it is then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn upload(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
        files: Files,
    ) -> Result<Box<Connection>, Error> {
        let (shared, sender) = (self.shared.clone(), caller.clone());
        let permit = self.admit(caller)?;
        let work = async move {
            // Here, since the files are held for as long as this takes.
            let _permit = permit;
            let uploaded = shared.upload(&sender, connection, &files, None).await;
            shared.source_tests.outdate(connection);
            uploaded.map_err(|cause| match cause.some_are {
                true => Failure::Stop(Error::of_some_files(cause.failure)),
                false => cause.failure,
            })
        };
        self.while_waited_for(caller, Operation::UploadFiles, async {
            // All files or none, also if the caller leaves: a certificate without its new key is of
            // no use.
            let task = self.shared.operations.spawn(telemetry::propagate(work));
            let no_answer = EndedBy::LostResponse;
            let uploaded = task.await.unwrap_or_else(|_| {
                let error = Error::not_waited_for(Effect::Idempotent, no_answer);
                Err(Failure::Stop(error))
            });
            uploaded?.ok_or(Failure::Stop(Error::too_late()))
        })
        .await
    }

    /// Makes attempts for as long as the caller waits.
    async fn attempts<T, F>(
        &self,
        caller: &Caller,
        operation: Operation,
        attempt: impl FnMut(Before) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let _permit = self.admit(caller)?;
        let work = self.shared.repeat(caller, operation.effect(), attempt);
        self.while_waited_for(caller, operation, work).await
    }

    /// The same for what changes a connection: no test that began before is true of it afterwards.
    async fn changes<T, F>(
        &self,
        caller: &Caller,
        operation: Operation,
        connection: ConnectionRef,
        mut attempt: impl FnMut(Before) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let tests = &self.shared.source_tests;
        let attempts = self.attempts(caller, operation, |before| {
            tests.outdate(connection);
            attempt(before)
        });
        let changed = attempts.await;
        tests.outdate(connection);
        changed
    }

    /// Makes it one of the calls in progress.
    fn admit(&self, caller: &Caller) -> Result<Permit, Error> {
        let shared = &self.shared;
        let permit = shared.in_flight.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded)?;
        if !caller.is_retry {
            shared.budget.deposit();
        }
        Ok((permit, InFlight::begin()))
    }

    /// Does the work until it ends or the caller's time does.
    async fn while_waited_for<T>(
        &self,
        caller: &Caller,
        operation: Operation,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Error> {
        let shared = &self.shared;
        let effect = operation.effect();
        let ended_by = tokio::select! {
            biased;
            result = work => return result.map_err(|failure| Error::of_repeated(effect, failure)),
            () = sleep_until(caller.deadline.instant()) => EndedBy::Deadline,
            () = shared.grace_over.cancelled() => EndedBy::Shutdown,
        };
        let has_sent = caller.attempts.load(Ordering::Relaxed) > 0;
        // Of a read it makes no difference. It may also have waited for what another call has sent.
        Err(match has_sent || effect == Effect::Read {
            true => Error::not_waited_for(effect, ended_by),
            false => Error::too_late(),
        })
    }
}
