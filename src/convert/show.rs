//! How a row's fields are shown. The table of fields names these functions; each takes the field's
//! REST name, its value, and the row's `extra`, where it leaves what the contract has no place for.

use prost_types::Struct;
use serde_json::{Map, Value};

use super::{enums, json};
use crate::{
    chartbrew::types::{PortText, ProjectId, names},
    proto,
};

type Extra = Map<String, Value>;

// === named by the table ===

pub(super) fn as_is<T>(_: &str, value: Option<T>, _: &mut Extra) -> Option<T> {
    value
}

pub(super) fn port_text(_: &str, port: Option<PortText>, _: &mut Extra) -> Option<String> {
    port.map(|PortText(port)| port)
}

pub(super) fn object(_: &str, object: Option<Map<String, Value>>, _: &mut Extra) -> Option<Struct> {
    object.map(json::to_struct)
}

pub(super) fn value(_: &str, value: Option<Value>, _: &mut Extra) -> Option<prost_types::Value> {
    value.map(json::to_value)
}

pub(super) fn project_ids(_: &str, ids: Option<Vec<ProjectId>>, _: &mut Extra) -> Vec<String> {
    let ids = ids.unwrap_or_default();
    ids.iter().map(ToString::to_string).collect()
}

pub(super) fn ssl_mode(rest: &str, mode: Option<String>, extra: &mut Extra) -> i32 {
    number(enums::SSL_MODE, rest, mode, extra)
}

/// The message; keys that it has no place for stay in an object in `extra`.
pub(super) fn authentication(
    rest: &str,
    object: Option<Map<String, Value>>,
    extra: &mut Extra,
) -> Option<proto::Authentication> {
    let mut object = object?;
    let kind = take_text(&mut object, names::AUTHENTICATION_TYPE);
    let message = proto::Authentication {
        token: take_text(&mut object, names::AUTHENTICATION_TOKEN),
        user: take_text(&mut object, names::AUTHENTICATION_USER),
        pass: take_text(&mut object, names::AUTHENTICATION_PASS),
        r#type: number(
            enums::AUTHENTICATION,
            names::AUTHENTICATION_TYPE,
            kind,
            &mut object,
        ),
    };
    if !object.is_empty() {
        extra.insert(rest.to_owned(), object.into());
    }
    Some(message)
}

/// Takes a text out of the object; null is taken as unset. Anything else stays.
fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.remove(name)? {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => {
            object.insert(name.to_owned(), other);
            None
        }
    }
}

// === for every enum ===

/// The enum's number, or 0 and the text left in `extra`.
pub(super) fn number<E: Copy + Into<i32>>(
    table: enums::Table<E>,
    rest: &str,
    text: Option<String>,
    extra: &mut Extra,
) -> i32 {
    let Some(text) = text else { return 0 };
    table.number(&text).unwrap_or_else(|| {
        extra.insert(rest.to_owned(), text.into());
        0
    })
}
