//! The connection's table: its columns, how values are set on a row before it is stored, and what
//! becomes of them in the database.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The values of a row, by column.
pub(super) type Values = Map<String, Value>;

/// What storing makes of a value, and what it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// A number of 32 bits.
    Integer,
    /// A tinyint that the ORM reads as a boolean.
    Boolean,
    /// At most so many characters.
    Varchar(usize),
    /// Text in clear that is encrypted on its way in; nothing is set for an empty one.
    Secret(Size),
    /// The same, but an empty one is set.
    SecretOrEmpty(Size),
    /// Any JSON, stored as encrypted text.
    SecretJson(Size),
    /// Any JSON, stored as text.
    Json(Size),
}

/// How much a text column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// `TEXT`: 65,535 bytes.
    Text,
    /// `LONGTEXT`: more than a request can carry.
    Long,
}

use Column::{Boolean, Integer, Json, Secret, SecretJson, SecretOrEmpty, Varchar};
use Size::{Long, Text};

/// Every column but the two timestamps, in the table's order.
pub(super) const COLUMNS: [(&str, Column); 34] = [
    ("id", Integer),
    ("team_id", Integer),
    ("project_ids", Json(Text)),
    ("oauth_id", Varchar(36)),
    ("name", Varchar(255)),
    ("type", Varchar(255)),
    ("subType", Varchar(255)),
    ("active", Boolean),
    ("allowPrivateHost", Boolean),
    ("host", Secret(Long)),
    ("dbName", Secret(Text)),
    ("port", Secret(Text)),
    ("username", Secret(Text)),
    ("password", Secret(Text)),
    ("srv", Boolean),
    ("options", SecretJson(Text)),
    ("connectionString", SecretOrEmpty(Text)),
    ("authentication", SecretJson(Text)),
    ("firebaseServiceAccount", SecretJson(Long)),
    ("ssl", Boolean),
    ("sslMode", Varchar(255)),
    ("sslCa", Varchar(255)),
    ("sslCert", Varchar(255)),
    ("sslKey", Varchar(255)),
    ("schema", Json(Long)),
    ("useSsh", Boolean),
    ("sshHost", Secret(Text)),
    ("sshPort", Integer),
    ("sshUsername", Secret(Text)),
    ("sshPassword", Secret(Text)),
    ("sshPrivateKey", Secret(Text)),
    ("sshPassphrase", Secret(Text)),
    ("sshJumpHost", Secret(Text)),
    ("sshJumpPort", Integer),
];

/// Columns that hold the path of an uploaded file; only an upload sets them.
pub(super) const FILE_FIELDS: [&str; 4] = ["sslCa", "sslCert", "sslKey", "sshPrivateKey"];

/// Columns that no response shows; a flag says whether they are set.
pub(super) const HIDDEN: [(&str, &str); 3] = [
    ("sshPassword", "hasSshPassword"),
    ("sshPrivateKey", "hasSshPrivateKey"),
    ("sshPassphrase", "hasSshPassphrase"),
];

/// A value of a type that the encryption does not take.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidArgType;

/// A stored row.
#[derive(Clone)]
pub(super) struct Row {
    /// Its id.
    pub(super) id: i32,
    /// The team that it belongs to.
    pub(super) team: i32,
    /// When it was stored; read back in whole seconds.
    pub(super) created: Timestamp,
    /// When it was last changed.
    pub(super) updated: Timestamp,
    /// The columns as read back, without those that are null, the ids and the timestamps.
    pub(super) values: Values,
    /// The row as a list shows it to an owner of its team, once it has been written.
    pub(super) listed: OnceLock<Box<[u8]>>,
}

// === setting ===

/// What a new row has before anything is set.
pub(super) fn defaults() -> Values {
    let defaults = json!({
        "active": true, "allowPrivateHost": null, "srv": false, "ssl": false,
        "sslMode": "require", "useSsh": false,
    });
    match defaults {
        Value::Object(values) => values,
        _ => Values::new(),
    }
}

/// Sets what a body sends on a row's values; what is no column is passed over.
///
/// # Errors
/// If an encrypted text is not text.
pub(super) fn set_all(values: &mut Values, body: &Values) -> Result<(), InvalidArgType> {
    for (name, column) in COLUMNS {
        let Some(sent) = body.get(name) else { continue };
        if let Some(value) = column.set(sent)? {
            values.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

impl Column {
    /// The value that setting this one leaves on the row; `None` if it leaves the row alone.
    fn set(self, sent: &Value) -> Result<Option<Value>, InvalidArgType> {
        match self {
            Secret(_) if is_falsy(sent) => Ok(None),
            SecretOrEmpty(_) if is_falsy(sent) => Ok(Some(sent.clone())),
            Secret(_) | SecretOrEmpty(_) if !sent.is_string() => Err(InvalidArgType),
            Boolean => Ok(Some(match sent {
                Value::String(s) if s == "true" => Value::Bool(true),
                Value::String(s) if s == "false" => Value::Bool(false),
                Value::Number(n) if n.as_i64() == Some(1) => Value::Bool(true),
                Value::Number(n) if n.as_i64() == Some(0) => Value::Bool(false),
                other => other.clone(),
            })),
            Integer | Varchar(_) | Secret(_) | SecretOrEmpty(_) | SecretJson(_) | Json(_) => {
                Ok(Some(sent.clone()))
            }
        }
    }

    /// The value as it is read back.
    pub(super) fn stored(self, value: &Value) -> Value {
        match (self, value) {
            (Varchar(_) | Secret(_) | SecretOrEmpty(_), Value::Number(n)) => n.to_string().into(),
            (Varchar(_), Value::Bool(b)) => u8::from(*b).to_string().into(),
            (Integer, Value::Bool(b)) => u8::from(*b).into(),
            (Integer, Value::String(s)) => s.trim().parse::<i64>().map_or(Value::Null, Value::from),
            (Boolean, Value::String(s)) => (s.trim().parse() != Ok(0.0)).into(),
            (_, value) => value.clone(),
        }
    }
}

/// What JavaScript holds for false.
pub(super) fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

// === showing ===

/// Takes the hidden columns out, and puts flags in.
pub(super) fn redact(mut values: Values) -> Values {
    for (hidden, flag) in HIDDEN {
        let set = values.remove(hidden).is_some_and(|v| !is_falsy(&v));
        values.insert(flag.to_owned(), set.into());
    }
    values
}

/// A moment as the response to a create has it.
pub(super) fn to_the_millisecond(moment: Timestamp) -> Value {
    let millis = Timestamp::from_millisecond(moment.as_millisecond()).unwrap_or(moment);
    format!("{millis:.3}").into()
}

/// A moment as it is read back.
pub(super) fn to_the_second(moment: Timestamp) -> Value {
    let second = Timestamp::from_second(moment.as_second()).unwrap_or(moment);
    format!("{second:.3}").into()
}

impl Row {
    /// What a column holds.
    pub(super) fn get(&self, column: &str) -> Value {
        match column {
            "id" => self.id.into(),
            "team_id" => self.team.into(),
            column => self.values.get(column).cloned().unwrap_or_default(),
        }
    }

    /// Every column, secrets included, but not the timestamps.
    pub(super) fn columns(&self) -> Values {
        COLUMNS
            .into_iter()
            .map(|(name, _)| (name.to_owned(), self.get(name)))
            .collect()
    }

    /// Everything that is stored, secrets included.
    pub(super) fn whole(&self) -> Values {
        let mut values = self.columns();
        values.insert("createdAt".to_owned(), to_the_second(self.created));
        values.insert("updatedAt".to_owned(), to_the_second(self.updated));
        values
    }

    /// What reading the row shows.
    pub(super) fn shown(&self) -> Values {
        let mut values = redact(self.whole());
        values.insert("OAuth".to_owned(), Value::Null);
        values
    }

    /// Puts these values in as the database reads them back.
    pub(super) fn store(&mut self, values: &Values) {
        self.listed = OnceLock::new();
        for (name, column) in COLUMNS {
            if name == "id" || name == "team_id" {
                continue;
            }
            match values.get(name).map(|value| column.stored(value)) {
                None => {}
                Some(Value::Null) => drop(self.values.remove(name)),
                Some(value) => drop(self.values.insert(name.to_owned(), value)),
            }
        }
    }

    /// A row with these values, which has no id until it is stored.
    pub(super) fn new(team: i32, values: &Values, now: Timestamp) -> Self {
        let mut row = Self {
            id: 0,
            team,
            created: now,
            updated: now,
            values: Values::new(),
            listed: OnceLock::new(),
        };
        row.store(values);
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_follows_the_column() {
        let table = [
            (Secret(Text), json!(""), Ok(None)),
            (Secret(Text), json!(null), Ok(None)),
            (Secret(Text), json!("p"), Ok(Some(json!("p")))),
            (Secret(Text), json!(27017), Err(InvalidArgType)),
            (Secret(Long), json!({"a": 1}), Err(InvalidArgType)),
            (SecretOrEmpty(Text), json!(""), Ok(Some(json!("")))),
            (SecretOrEmpty(Text), json!(5), Err(InvalidArgType)),
            (SecretJson(Text), json!(null), Ok(Some(json!(null)))),
            (Boolean, json!("true"), Ok(Some(json!(true)))),
            (Boolean, json!(0), Ok(Some(json!(false)))),
            (Boolean, json!("notabool"), Ok(Some(json!("notabool")))),
            (Varchar(255), json!(5), Ok(Some(json!(5)))),
        ];
        for (column, sent, set) in table {
            assert_eq!(column.set(&sent), set, "{column:?} {sent}");
        }
    }

    #[test]
    fn reading_back_follows_the_column() {
        let table = [
            (Varchar(255), json!(5), json!("5")),
            (Integer, json!("22"), json!(22)),
            (Integer, json!(22), json!(22)),
            (Json(Text), json!(["1"]), json!(["1"])),
            (SecretJson(Text), json!(""), json!("")),
        ];
        for (column, set, stored) in table {
            assert_eq!(column.stored(&set), stored, "{column:?} {set}");
        }
    }

    #[test]
    fn moments_are_cut_not_rounded() {
        let moment: Timestamp = "2026-11-24T00:24:12.9996Z".parse().unwrap();
        assert_eq!(to_the_millisecond(moment), "2026-11-24T00:24:12.999Z");
        assert_eq!(to_the_second(moment), "2026-11-24T00:24:12.000Z");
    }
}
