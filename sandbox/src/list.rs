//! `GET …/connections`: all of a team's rows in one response, of which there may be tens of thousands.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use super::{
    auth::Access,
    model::{COLUMNS, HIDDEN, Row, is_falsy, to_the_second},
    state::App,
};

/// How many rows are written before other tasks of the same thread have their turn.
const ROWS_AT_A_TIME: usize = 500;

/// What a list does not show, besides the hidden columns.
const LEFT_OUT: [&str; 2] = ["password", "schema"];

/// A row as a list shows it.
struct Listed<'a> {
    row: &'a Row,
    access: &'a Access<'a>,
}

/// The rows that are listed, as JSON: newest first by the whole second, and within a second by id.
pub(super) async fn list(app: &App, access: &Access<'_>) -> Vec<u8> {
    let mut rows = app.read(|m| m.rows_of(access.team));
    rows.retain(|row| access.lists(row));
    rows.sort_by_key(|row| (-row.created.as_second(), row.id));
    write(&rows, access).await
}

async fn write(rows: &[Arc<Row>], access: &Access<'_>) -> Vec<u8> {
    let mut json = vec![b'['];
    for some in rows.chunks(ROWS_AT_A_TIME) {
        for row in some {
            if json.len() > 1 {
                json.push(b',');
            }
            let written = || written(row, access);
            if access.shows_all() {
                json.extend_from_slice(row.listed.get_or_init(|| written().into()));
            } else {
                json.extend_from_slice(&written());
            }
        }
        tokio::task::yield_now().await;
    }
    json.push(b']');
    json
}

fn written(row: &Row, access: &Access<'_>) -> Vec<u8> {
    // JSON that was read as such can be written.
    serde_json::to_vec(&Listed { row, access }).unwrap_or_default()
}

// === impl Listed ===

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { row, access } = *self;
        let mut map = serializer.serialize_map(None)?;
        let mut show = |column: &str, value: &Value| {
            let value = if access.shows(column) {
                value
            } else {
                &Value::Null
            };
            map.serialize_entry(column, value)
        };
        show("id", &row.id.into())?;
        show("team_id", &row.team.into())?;
        for (column, _) in COLUMNS.iter().skip(2) {
            let is_hidden = HIDDEN.iter().any(|(hidden, _)| hidden == column);
            if !is_hidden && !LEFT_OUT.contains(column) {
                show(column, row.values.get(*column).unwrap_or(&Value::Null))?;
            }
        }
        for (hidden, flag) in HIDDEN {
            let is_set = row.values.get(hidden).is_some_and(|v| !is_falsy(v));
            show(flag, &is_set.into())?;
        }
        show("createdAt", &to_the_second(row.created))?;
        show("updatedAt", &to_the_second(row.updated))?;
        show("OAuth", &Value::Null)?;
        map.end()
    }
}
