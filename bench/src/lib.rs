//! What the programs here share: the messages that are measured, and the pure parts of the gateway
//! as functions of bytes.

pub mod certificates;
pub mod http1;
pub mod pure;

use serde_json::Value;

/// A request to the method of that name, as protobuf's JSON of the contract in `proto/`.
///
/// One line a method: `bench/harness/operations.py` has the other one.
pub const REQUESTS: [(&str, &str); 3] = [
    ("Create", include_str!("../messages/create.json")),
    ("Get", include_str!("../messages/get.json")),
    ("List", include_str!("../messages/list.json")),
];

/// A row as Chartbrew returns it when it was created, its id 0.
const CREATED: &str = include_str!("../messages/created.json");

/// A row as Chartbrew returns it when it is read, its id 0.
const READ: &str = include_str!("../messages/read.json");

/// Columns that a list does not show.
const NOT_LISTED: [&str; 2] = ["password", "schema"];

/// Rows in a list.
const ROWS: u32 = 20;

/// Chartbrew's responses, without white space as Express writes them.
#[derive(Clone, Debug)]
pub struct Responses {
    created: Row,
    read: Row,
    list: String,
}

/// A row, in two parts: its id is between them.
#[derive(Clone, Debug)]
struct Row(String, String);

impl Responses {
    /// Reads the rows.
    ///
    /// # Errors
    /// If one is no JSON, or has no id.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let read: Value = serde_json::from_str(READ)?;
        // Newest first.
        let list: Vec<Value> = (1..=ROWS).rev().map(|id| listed(&read, id)).collect();
        Ok(Self {
            created: Row::new(&serde_json::from_str(CREATED)?)?,
            read: Row::new(&read)?,
            list: serde_json::to_string(&list)?,
        })
    }

    /// The row with that id, as the response to its creation.
    #[must_use]
    pub fn created(&self, id: u64) -> String {
        self.created.with_id(id)
    }

    /// The row with that id, as it is read.
    #[must_use]
    pub fn read(&self, id: u64) -> String {
        self.read.with_id(id)
    }

    /// A list of rows.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }
}

impl Row {
    fn new(row: &Value) -> Result<Self, &'static str> {
        let row = row.to_string();
        let (before, after) = row.split_once(r#""id":0"#).ok_or("a row has no id")?;
        Ok(Self(format!(r#"{before}"id":"#), after.to_owned()))
    }

    fn with_id(&self, id: u64) -> String {
        format!("{}{id}{}", self.0, self.1)
    }
}

/// A row as a list shows it. Each was created a second after the one before.
fn listed(row: &Value, id: u32) -> Value {
    let mut row = row.clone();
    if let Some(columns) = row.as_object_mut() {
        columns.retain(|column, _| !NOT_LISTED.contains(&&**column));
        columns.insert("id".to_owned(), id.into());
        let created = format!("2026-11-24T00:24:{id:02}.000Z");
        columns.insert("createdAt".to_owned(), created.into());
    }
    row
}
