//! What the programs here share: the messages that are measured, and the pure parts of the gateway
//! as functions of bytes.

pub mod http1;
pub mod pure;

use serde_json::Value;

/// A request to the method of that name, as protobuf's JSON of the contract in `proto/`.
///
/// One line a method: `bench/harness/operations.py` has the other one.
pub const REQUESTS: [(&str, &str); 1] = [("Create", include_str!("../messages/create.json"))];

/// A row as Chartbrew returns it, its id 0.
const ROW: &str = include_str!("../messages/row.json");

/// Rows in a list.
const ROWS: usize = 20;

/// Chartbrew's responses, without white space as Express writes them.
#[derive(Clone, Debug)]
pub struct Responses {
    row: (String, String),
    list: String,
}

impl Responses {
    /// Reads the row.
    ///
    /// # Errors
    /// If it is no JSON, or has no id.
    pub fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let row: Value = serde_json::from_str(ROW)?;
        let rows = vec![row.clone(); ROWS];
        let row = row.to_string();
        let (before, after) = row.split_once(r#""id":0"#).ok_or("the row has no id")?;
        Ok(Self {
            row: (format!(r#"{before}"id":"#), after.to_owned()),
            list: serde_json::to_string(&rows)?,
        })
    }

    /// The row with that id.
    #[must_use]
    pub fn row(&self, id: u64) -> String {
        format!("{}{id}{}", self.row.0, self.row.1)
    }

    /// A list of rows.
    #[must_use]
    pub fn list(&self) -> &str {
        &self.list
    }
}
