//! What the ORM and the database refuse, in the form in which it reaches the caller: with the SQL,
//! the bound parameters and the row, secrets included. A client must not pass these on.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{COLUMNS, Column, Size, Values, to_the_millisecond};

/// How many bytes a `TEXT` column holds.
const TEXT_BYTES: usize = 65_535;

/// The statement that a refusal quotes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement {
    /// `INSERT` of a new row.
    Insert,
    /// `UPDATE` of the row with this id.
    Update(i32),
}

/// What the database says of a value that it does not take.
struct Refusal {
    code: &'static str,
    errno: u16,
    sql_state: &'static str,
    message: String,
}

/// Looks for a reason not to store these values; the ORM's own come before the database's.
///
/// # Errors
/// The error object, as the caller gets it.
pub(super) fn check(values: &Values, now: Timestamp, statement: Statement) -> Result<(), Value> {
    let violations: Vec<Value> = COLUMNS
        .into_iter()
        .filter_map(|(name, column)| violation(name, column, values, now))
        .collect();
    if !violations.is_empty() {
        return Err(json!({ "name": "SequelizeValidationError", "errors": violations }));
    }
    for (name, column) in COLUMNS {
        if let Some(refusal) = values.get(name).and_then(|v| refusal(name, column, v)) {
            let sql = statement.sql(values);
            let parameters = statement.parameters(values, now);
            let parent = parent(&refusal, &sql, &parameters);
            return Err(json!({
                "name": "SequelizeDatabaseError",
                "parent": parent, "original": parent,
                "sql": sql, "parameters": parameters,
            }));
        }
    }
    Ok(())
}

/// The error of a statement that sets an id that exists.
pub(super) fn duplicate_id(
    values: &Values,
    id: i32,
    now: Timestamp,
    statement: Statement,
) -> Value {
    let id = id.to_string();
    let refusal = Refusal {
        code: "ER_DUP_ENTRY",
        errno: 1062,
        sql_state: "23000",
        message: format!("Duplicate entry '{id}' for key 'PRIMARY'"),
    };
    let sql = statement.sql(values);
    let parameters = statement.parameters(values, now);
    let parent = parent(&refusal, &sql, &parameters);
    json!({
        "name": "SequelizeUniqueConstraintError",
        "errors": [{
            "message": "PRIMARY must be unique", "type": "unique violation", "path": "PRIMARY",
            "value": id, "origin": "DB", "instance": instance(values, now),
            "validatorKey": "not_unique", "validatorName": null, "validatorArgs": [],
        }],
        "parent": parent, "original": parent,
        "fields": { "PRIMARY": id },
        "sql": sql,
    })
}

fn violation(name: &str, column: Column, values: &Values, now: Timestamp) -> Option<Value> {
    let value = values.get(name)?;
    let (message, kind, key) = match (column, value) {
        (Column::Varchar(_), Value::Array(_) | Value::Object(_)) if name != "oauth_id" => (
            format!("{name} cannot be an array or an object"),
            "string violation",
            "not_a_string",
        ),
        (_, Value::Null) if name == "type" => (
            "Connection.type cannot be null".to_owned(),
            "notNull Violation",
            "is_null",
        ),
        _ => return None,
    };
    let mut instance = instance(values, now);
    if let Some(instance) = instance.as_object_mut() {
        instance.entry("id").or_insert(Value::Null);
    }
    Some(json!({
        "message": message, "type": kind, "path": name, "value": value, "origin": "CORE",
        "instance": instance,
        "validatorKey": key, "validatorName": null, "validatorArgs": [],
    }))
}

fn refusal(name: &str, column: Column, value: &Value) -> Option<Refusal> {
    let too_long = match (column, value) {
        (_, Value::Null) => false,
        (Column::Varchar(most), value) => plain(value).chars().count() > most,
        (Column::Secret(Size::Text) | Column::SecretOrEmpty(Size::Text), value) => {
            encrypted_len(plain(value).len()) > TEXT_BYTES
        }
        (Column::SecretJson(Size::Text), value) => {
            encrypted_len(value.to_string().len()) > TEXT_BYTES
        }
        (Column::Json(Size::Text), value) => value.to_string().len() > TEXT_BYTES,
        _ => false,
    };
    if too_long {
        return Some(Refusal {
            code: "ER_DATA_TOO_LONG",
            errno: 1406,
            sql_state: "22001",
            message: format!("Data too long for column '{name}' at row 1"),
        });
    }
    let number = matches!(column, Column::Integer | Column::Boolean);
    let reads = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(s) => s.trim().parse::<i32>().is_ok(),
        Value::Array(_) | Value::Object(_) => false,
    };
    (number && !reads).then(|| Refusal {
        code: "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
        errno: 1366,
        sql_state: "22007",
        message: format!(
            "Incorrect integer value: '{}' for column `chartbrew`.`Connection`.`{name}` at row 1",
            plain(value)
        ),
    })
}

fn parent(refusal: &Refusal, sql: &str, parameters: &[Value]) -> Value {
    json!({
        "code": refusal.code, "errno": refusal.errno, "sqlState": refusal.sql_state,
        "sqlMessage": refusal.message, "sql": sql, "parameters": parameters,
    })
}

/// The row as the ORM held it, in clear.
fn instance(values: &Values, now: Timestamp) -> Value {
    let mut instance = values.clone();
    for column in ["createdAt", "updatedAt"] {
        instance.insert(column.to_owned(), to_the_millisecond(now));
    }
    Value::Object(instance)
}

impl Statement {
    fn sql(self, values: &Values) -> String {
        let set = self.set(values).into_iter().map(|(name, _)| name);
        match self {
            Self::Insert => {
                let columns: Vec<String> = ["id"]
                    .into_iter()
                    .chain(set.filter(|name| *name != "id"))
                    .chain(["createdAt", "updatedAt"])
                    .map(|name| format!("`{name}`"))
                    .collect();
                let id = if values.contains_key("id") {
                    "?"
                } else {
                    "DEFAULT"
                };
                format!(
                    "INSERT INTO `Connection` ({}) VALUES ({id}{});",
                    columns.join(","),
                    ",?".repeat(columns.len() - 1)
                )
            }
            Self::Update(_) => {
                let columns: Vec<String> = set
                    .chain(["updatedAt"])
                    .map(|name| format!("`{name}`=?"))
                    .collect();
                format!(
                    "UPDATE `Connection` SET {} WHERE `id` = ?",
                    columns.join(",")
                )
            }
        }
    }

    /// The columns that are set, in their order: an update sets the team last.
    fn set(self, values: &Values) -> Vec<(&'static str, Column)> {
        let is_set = |(name, _): &(&str, Column)| values.contains_key(*name);
        let mut set: Vec<_> = COLUMNS.into_iter().filter(is_set).collect();
        if let Self::Update(_) = self {
            set.sort_by_key(|(name, _)| *name == "team_id");
        }
        set
    }

    /// What is bound. An update takes the team and the id from its path, as text.
    fn parameters(self, values: &Values, now: Timestamp) -> Vec<Value> {
        let text = matches!(self, Self::Update(_));
        let mut parameters: Vec<Value> = self
            .set(values)
            .into_iter()
            .filter_map(|(name, column)| match values.get(name)? {
                team if text && name == "team_id" => Some(plain(team).into()),
                value => Some(bound(column, value)),
            })
            .collect();
        let moment = Value::from(now.strftime("%Y-%m-%d %H:%M:%S").to_string());
        match self {
            Self::Insert => parameters.extend([moment.clone(), moment]),
            Self::Update(id) => parameters.extend([moment, id.to_string().into()]),
        }
        parameters
    }
}

/// The value as it is bound: encrypted where the column is.
fn bound(column: Column, value: &Value) -> Value {
    match (column, value) {
        (Column::Secret(_) | Column::SecretOrEmpty(_), Value::String(s)) if !s.is_empty() => {
            cipher(s.len())
        }
        (Column::SecretJson(_), value) => cipher(value.to_string().len()),
        (Column::Json(_), value) => value.to_string().into(),
        (_, value) => value.clone(),
    }
}

/// How long text becomes: an initialisation vector, a colon, and blocks of 16 bytes, in hex.
fn encrypted_len(clear: usize) -> usize {
    32 + 1 + (clear / 16 + 1) * 32
}

/// Something of the length and look of encrypted text. It cannot be decrypted.
fn cipher(clear: usize) -> Value {
    let block = || Uuid::new_v4().simple().to_string();
    let blocks: String = (0..=clear / 16).map(|_| block()).collect();
    format!("{}:{blocks}", block()).into()
}

/// A value as the database reads it in a text.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_column_and_the_code() {
        let table = [
            (json!({"name": "n".repeat(255)}), None),
            (json!({"name": "日".repeat(255)}), None),
            (
                json!({"name": "n".repeat(256)}),
                Some(("name", "ER_DATA_TOO_LONG")),
            ),
            (json!({"password": "p".repeat(32_719)}), None),
            (
                json!({"password": "p".repeat(32_736)}),
                Some(("password", "ER_DATA_TOO_LONG")),
            ),
            (json!({"host": "h".repeat(90_000)}), None),
            (
                json!({"options": {"a": "y".repeat(33_000)}}),
                Some(("options", "ER_DATA_TOO_LONG")),
            ),
            (
                json!({"oauth_id": "o".repeat(37)}),
                Some(("oauth_id", "ER_DATA_TOO_LONG")),
            ),
            (json!({"sshPort": "22"}), None),
            (
                json!({"sshPort": "x"}),
                Some(("sshPort", "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD")),
            ),
        ];
        for (values, expected) in table {
            let values = values.as_object().unwrap();
            let got = check(values, Timestamp::UNIX_EPOCH, Statement::Insert);
            let Some((column, code)) = expected else {
                assert_eq!(got, Ok(()));
                continue;
            };
            let parent = got.unwrap_err()["parent"].take();
            assert_eq!(parent["code"], code);
            assert!(parent["sqlMessage"].as_str().unwrap().contains(column));
        }
    }

    #[test]
    fn an_update_is_quoted_as_one() {
        let values = json!({"name": "n".repeat(256), "ssl": true});
        let values = values.as_object().unwrap();
        let error = check(values, Timestamp::UNIX_EPOCH, Statement::Update(7)).unwrap_err();
        assert_eq!(
            error["sql"],
            "UPDATE `Connection` SET `name`=?,`ssl`=?,`updatedAt`=? WHERE `id` = ?"
        );
        let last = error["parameters"].as_array().unwrap().last().unwrap();
        assert_eq!(last, "7");
    }

    #[test]
    fn encrypted_text_has_the_length_it_is_measured_by() {
        for clear in [0, 1, 15, 16, 17, 1000] {
            assert_eq!(cipher(clear).as_str().unwrap().len(), encrypted_len(clear));
        }
    }
}
