//! The handle by which a test controls a running sandbox: its address, its rows, its requests, its
//! faults.

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Fault, Seen, State,
    model::{self, Row, Values},
    state::{App, Memory},
};

/// Looks into a sandbox and scripts it. Clones are of the same sandbox.
#[derive(Clone, Debug)]
pub struct Handle {
    app: Arc<App>,
}

impl Handle {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.app.addr
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.app.addr)
    }

    /// A team's rows as stored, secrets included, by ascending id.
    #[must_use]
    pub fn rows(&self, team: i32) -> Vec<Value> {
        let rows = self.app.read(|m| m.rows_of(team));
        rows.iter().map(|row| Value::Object(row.whole())).collect()
    }

    /// Stores a row as if it had been created, unchecked, and returns its id.
    ///
    /// Columns that are left out have the server's defaults; what is no column is passed over.
    /// `createdAt` (RFC 3339) may be given, for rows of the past.
    pub fn insert(&self, team: i32, row: Value) -> i32 {
        let row = new_row(team, row);
        match self.app.change(|m| m.insert(None, row)) {
            Ok(id) | Err(id) => id,
        }
    }

    /// Stores many rows at once, each as [`insert`](Self::insert) does, and returns their ids.
    pub fn insert_many(&self, team: i32, rows: impl IntoIterator<Item = Value>) -> Vec<i32> {
        let rows: Vec<Row> = rows.into_iter().map(|row| new_row(team, row)).collect();
        let insert = |m: &mut Memory| {
            let ids = rows.into_iter().map(|row| m.insert(None, row));
            ids.map(|id| match id {
                Ok(id) | Err(id) => id,
            })
            .collect()
        };
        self.app.change(insert)
    }

    /// Changes columns of a row, unchecked; whether there is such a row. Null clears any column.
    #[expect(clippy::needless_pass_by_value, reason = "reads better with json!")]
    pub fn update(&self, team: i32, id: i32, columns: Value) -> bool {
        let columns = columns.as_object().cloned().unwrap_or_default();
        self.app.change(|m| m.update(team, id, &columns)).is_some()
    }

    /// Deletes a row; whether there was one.
    pub fn delete(&self, team: i32, id: i32) -> bool {
        self.app.change(|m| m.delete(team, id))
    }

    /// The requests received so far, in order; those to `/_sandbox` are not among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.app.read(|m| m.seen.clone())
    }

    /// Forgets the requests received so far.
    pub fn clear_requests(&self) {
        self.app.change(Memory::clear_seen);
    }

    /// Appends faults to the queue.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.app.change(|m| m.faults.extend(faults));
    }

    /// Empties the queue. What is being held stays held.
    pub fn clear_faults(&self) {
        self.app.change(|m| m.faults.clear());
    }

    /// Forgets rows, ids, faults and requests.
    pub fn reset(&self) {
        self.app.reset();
    }

    /// How often a client has cut off a request whose path names a connection. Each has ended the
    /// sandbox as it ends the real Chartbrew's process: all connections and all requests under way
    /// are lost, the rows stay, and it serves again at once.
    #[must_use]
    pub fn cut_off(&self) -> usize {
        self.app.read(|m| m.cut_off)
    }

    /// Resolves as soon as the condition holds.
    pub async fn wait_for(&self, holds: impl Fn(&State) -> bool) {
        self.app.wait_for(holds).await;
    }

    /// Resolves when so many requests have been received.
    pub async fn seen(&self, requests: usize) {
        self.wait_for(|s| s.seen >= requests).await;
    }

    /// Resolves when so many requests have been answered, whether or not their callers were there.
    pub async fn answered(&self, requests: usize) {
        self.wait_for(|s| s.answered >= requests).await;
    }

    /// Resolves when there are so many rows.
    pub async fn stored(&self, rows: usize) {
        self.wait_for(|s| s.stored >= rows).await;
    }
}

fn new_row(team: i32, row: Value) -> Row {
    let mut values = model::defaults();
    values.insert("type".to_owned(), "mongodb".into());
    if let Value::Object(columns) = row {
        values.extend(columns);
    }
    let created = moment(&values, "createdAt").unwrap_or_else(Timestamp::now);
    Row::new(team, &values, created)
}

fn moment(values: &Values, column: &str) -> Option<Timestamp> {
    values.get(column)?.as_str()?.parse().ok()
}
