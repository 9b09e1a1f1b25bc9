//! Uploads files to a connection that exists, one after the other.
//!
//! An upload that is cut off ends Chartbrew. So none is begun that cannot end in time, and one that
//! has begun is carried to its end, also when the caller leaves.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout_at;

use super::{
    Caller, Error, Shared,
    claim::Claim,
    effect::{Effect, Failure},
};
use crate::{
    chartbrew::{
        self, Client, Unknown,
        types::{Connection, ConnectionRef, File, Files},
    },
    telemetry,
};

/// Why not all files are uploaded.
#[derive(Debug)]
pub(super) struct NotUploaded {
    /// Why one of them is not.
    pub(super) failure: Failure,
    /// Those before it are.
    pub(super) some_are: bool,
}

/// What an upload needs beside the time that sending it takes, and an eighth of that: Chartbrew
/// stores the file and responds.
const MARGIN: Duration = Duration::from_millis(100);

impl Shared {
    /// Uploads the files and returns the row as it is after the last one; `None` if there is none.
    /// The claim is held until then.
    pub(super) async fn upload(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
        files: &Files,
        claim: Option<Arc<Claim>>,
    ) -> Result<Option<Box<Connection>>, NotUploaded> {
        let not_uploaded = |some_are| move |failure| NotUploaded { failure, some_are };
        let all_take = files.iter().map(|file| takes(&file)).sum();
        check_time(caller, all_take).map_err(not_uploaded(false))?;
        // Another call's files must not come between these: a certificate and its key, say.
        let turn = timeout_at(caller.deadline.instant(), self.uploads.take(connection)).await;
        let too_late = |_| Failure::Stop(Error::too_late());
        let _turn = turn.map_err(too_late).map_err(not_uploaded(false))?;
        // It may have come late.
        check_time(caller, all_take).map_err(not_uploaded(false))?;
        let mut row = None;
        let mut files = files.iter().peekable();
        while let Some(file) = files.next() {
            let claim = claim.as_ref().filter(|_| files.peek().is_none());
            let uploaded = self.upload_one(caller, connection, &file, claim).await;
            row = Some(Box::new(uploaded.map_err(not_uploaded(row.is_some()))?));
        }
        Ok(row)
    }

    /// Uploads a file. The claim, if there is one, has its outcome then.
    async fn upload_one(
        &self,
        caller: &Caller,
        connection: ConnectionRef,
        file: &File,
        claim: Option<&Arc<Claim>>,
    ) -> Result<Connection, Failure> {
        self.repeat(caller, Effect::Idempotent, |_| async move {
            check_time(caller, takes(file))?;
            let (client, token) = (self.client.clone(), caller.token_to_send().clone());
            // After it is counted: a caller that is told that nothing was sent must be right.
            if self.grace_over.is_cancelled() {
                return Err(Failure::Stop(Error::too_late()));
            }
            let (file, claim) = (file.clone(), claim.cloned());
            let upload = self.operations.spawn(telemetry::propagate(async move {
                let uploaded = client.upload(&token, connection, file).await;
                // Stored here, since the caller that waited for the upload may have left.
                if let Some(claim) = claim.filter(|_| uploaded.is_ok()) {
                    claim.created(connection.id, true).await;
                }
                uploaded
            }));
            let no_answer = Err(chartbrew::Error::Unknown(Unknown::NoResponse));
            Ok(upload.await.unwrap_or(no_answer)?.body)
        })
        .await
    }
}

fn check_time(caller: &Caller, takes: Duration) -> Result<(), Failure> {
    match caller.deadline.allows(takes) {
        true => Ok(()),
        false => Err(Failure::Stop(Error::TooLittleTime { takes })),
    }
}

/// How long an upload takes, with a margin.
fn takes(file: &File) -> Duration {
    let sending = Client::sending_takes(file);
    sending + sending / 8 + MARGIN
}
