//! Uploads the files that came with a create, once the connection exists.
//!
//! An upload is safe to repeat: a file takes the place of the one before it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{Error, Job};
use crate::{
    chartbrew::{self, Unknown, types::Connection},
    telemetry,
};

/// One upload takes no longer than this: Chartbrew either answers at once or never.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(15);

impl Job {
    /// Uploads the files, if there are any, and returns the row as it is then.
    pub(super) async fn upload(
        self: &Arc<Self>,
        created: Box<Connection>,
        patience: Instant,
    ) -> Result<Box<Connection>, Error> {
        if self.create.files.is_empty() {
            return Ok(created);
        }
        let row = self.upload_to(created.id, patience).await?;
        Ok(Box::new(row))
    }

    async fn upload_to(&self, id: i32, patience: Instant) -> Result<Connection, Error> {
        let settings = &self.shared.settings;
        let (token, team) = (&self.caller.token, self.create.team);
        let mut attempt = 1;
        loop {
            let until = patience.min(Instant::now() + UPLOAD_TIMEOUT);
            let upload = self
                .shared
                .client
                .upload(token, team, id, &self.create.files);
            let upload = telemetry::resent(attempt - 1, upload);
            let error = match timeout_at(until, upload).await {
                Ok(Ok(answer)) => return Ok(answer.body),
                Ok(Err(error)) => error,
                Err(_) => chartbrew::Error::Unknown(Unknown::NoAnswer),
            };
            let again = attempt < settings.attempts && error.may_pass();
            let wait = settings.backoff.wait(attempt, fastrand::f64());
            let in_time = Instant::now() + wait < patience;
            if !(again && in_time && self.may_retry(attempt, &error, wait)) {
                return Err(Error::FilesNotUploaded {
                    connection_id: id,
                    cause: Box::new(error),
                });
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}
