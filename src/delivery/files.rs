//! Uploads the files that came with a create, once the connection exists: one after the other.
//!
//! An upload is safe to repeat: a file takes the place of the one before it. One that was not
//! answered, or with 500, is not repeated all the same: Chartbrew would not take the next one either
//! (a file of exactly 1,048,576 bytes is over its limit, and it answers that with 500).

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::{Error, Job};
use crate::{
    chartbrew::{
        self, Unknown,
        types::{Connection, File},
    },
    telemetry,
};

impl Job {
    /// Uploads the files, if there are any, and returns the row as it is then.
    pub(super) async fn upload(
        self: &Arc<Self>,
        created: Box<Connection>,
        patience: Instant,
    ) -> Result<Box<Connection>, Error> {
        self.created
            .get_or_init(|| (created.id, !self.create.files.is_empty()));
        let mut row = created;
        for file in self.create.files.iter() {
            row = Box::new(self.upload_one(row.id, &file, patience).await?);
        }
        Ok(row)
    }

    async fn upload_one(
        &self,
        id: i32,
        file: &File,
        patience: Instant,
    ) -> Result<Connection, Error> {
        let settings = &self.shared.settings;
        let (token, team) = (&self.caller.token, self.create.team);
        let mut attempt = 1;
        loop {
            let upload = self.shared.client.upload(token, team, id, file);
            let upload = telemetry::resent(attempt - 1, upload);
            let error = match timeout_at(patience, upload).await {
                Ok(Ok(answer)) => return Ok(answer.body),
                Ok(Err(error)) => error,
                Err(_) => chartbrew::Error::Unknown(Unknown::NoAnswer),
            };
            let wait = settings.backoff.wait(attempt, fastrand::f64());
            let again = attempt < settings.attempts && is_worth_repeating(&error);
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

fn is_worth_repeating(error: &chartbrew::Error) -> bool {
    error.may_pass()
        && !matches!(
            error,
            chartbrew::Error::Unknown(Unknown::NoAnswer | Unknown::ServerError(_))
        )
}
