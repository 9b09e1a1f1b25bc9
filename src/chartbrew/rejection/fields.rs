//! Which fields Chartbrew or its database refused, and why, as far as they say.

use serde_json::Value;

use super::{FieldError, Problem, body::text};
use crate::chartbrew::types;

/// Codes of MySQL and MariaDB for a value that does not fit its column.
const MYSQL_CODES: [(&str, Problem); 9] = [
    ("ER_DATA_TOO_LONG", Problem::TooLong),
    ("ER_TRUNCATED_WRONG_VALUE_FOR_FIELD", Problem::WrongType),
    ("ER_TRUNCATED_WRONG_VALUE", Problem::WrongType),
    ("WARN_DATA_TRUNCATED", Problem::WrongType),
    ("ER_WARN_DATA_OUT_OF_RANGE", Problem::OutOfRange),
    ("ER_BAD_NULL_ERROR", Problem::Missing),
    ("ER_NO_DEFAULT_FOR_FIELD", Problem::Missing),
    ("ER_DUP_ENTRY", Problem::NotUnique),
    ("ER_NO_REFERENCED_ROW_2", Problem::NoSuchReference),
];

/// The fields that the ORM or the database names, each once.
pub(super) fn refused(body: &Value) -> Vec<FieldError> {
    let mut fields = Vec::new();
    let errors = body["errors"].as_array();
    let named = errors.into_iter().flatten().filter_map(named_field);
    for error in named.chain(column_of_the_database(&body["parent"])) {
        let seen = |known: &FieldError| known.field == error.field;
        // A row has at most as many fields as the API: a body with more is not Chartbrew's.
        if !fields.iter().any(seen) && fields.len() < types::fields().count() {
            fields.push(error);
        }
    }
    fields
}

fn named_field(error: &Value) -> Option<FieldError> {
    let problem = match text(&error["validatorKey"]) {
        "not_a_string" => Problem::NotText,
        "is_null" => Problem::Missing,
        "not_unique" => Problem::NotUnique,
        "len" => Problem::TooLong,
        _ => Problem::Invalid,
    };
    field(text(&error["path"]), problem)
}

/// `Data too long for column 'name' at row 1`; `… for column `db`.`Connection`.`ssl` at …`; a
/// foreign key's `… FOREIGN KEY (`oauth_id`) REFERENCES …`.
fn column_of_the_database(parent: &Value) -> Option<FieldError> {
    let code = text(&parent["code"]);
    let (_, problem) = MYSQL_CODES.iter().find(|(known, _)| *known == code)?;
    let message = text(&parent["sqlMessage"]);
    let from = ["column ", "Column ", "Field ", "FOREIGN KEY ("]
        .iter()
        .find_map(|mark| message.split_once(mark))?
        .1;
    let quoted = from.split([' ', ')']).next()?;
    let column = quoted.rsplit('.').next()?;
    field(column.trim_matches(['\'', '`', '"']), *problem)
}

fn field(name: &str, problem: Problem) -> Option<FieldError> {
    let field = types::field(name)?.rest;
    Some(FieldError { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Vec<(&'static str, Problem)> {
        let body = serde_json::from_str(body).unwrap();
        let fields = refused(&body).into_iter();
        fields.map(|error| (error.field, error.problem)).collect()
    }

    #[test]
    fn columns_are_found_in_every_wording_of_the_database() {
        let cases = [
            (
                "ER_DATA_TOO_LONG",
                "Data too long for column 'name' at row 1",
                "name",
                Problem::TooLong,
            ),
            (
                "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
                "Incorrect integer value: 'no' for column `chartbrew`.`Connection`.`ssl` at row 1",
                "ssl",
                Problem::WrongType,
            ),
            (
                "ER_BAD_NULL_ERROR",
                "Column 'type' cannot be null",
                "type",
                Problem::Missing,
            ),
            (
                "ER_NO_REFERENCED_ROW_2",
                "… CONSTRAINT `c` FOREIGN KEY (`oauth_id`) REFERENCES `OAuth` (`id`)",
                "oauth_id",
                Problem::NoSuchReference,
            ),
            (
                "ER_WARN_DATA_OUT_OF_RANGE",
                "Out of range value for column 'sshPort' at row 1",
                "sshPort",
                Problem::OutOfRange,
            ),
        ];
        for (code, message, field, problem) in cases {
            let parent = serde_json::json!({"code": code, "sqlMessage": message});
            let body = serde_json::json!({"name": "SequelizeDatabaseError", "parent": parent});
            assert_eq!(fields(&body.to_string()), [(field, problem)], "{message}");
        }
    }

    #[test]
    fn a_field_is_named_once() {
        let body = r#"{"errors":[{"path":"name","validatorKey":"not_a_string"},{"path":"name"}],
                       "parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"for column 'name' at"}}"#;
        assert_eq!(fields(body), [("name", Problem::NotText)]);
    }
}
