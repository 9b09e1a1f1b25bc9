//! A row → the contract's `Connection`. Nothing is lost.
//!
//! What has no place in the message is in `extra_fields`, under its REST name:
//!
//! | in the row | in the message |
//! |---|---|
//! | an enum text that this version does not know | UNSPECIFIED, and the text in `extra_fields` |
//! | keys of `authentication` that are not modelled, or not texts | an object of them in `extra_fields`, under `authentication` |
//! | any SSH field that is not null | `ssh` is set |
//! | a project id, number or text | its digits |

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{enums, json};
use crate::{
    chartbrew::types::{self, PortText, names},
    proto,
};

/// Maps a row. `team_id` is 0 if the row does not show it (see `types::Connection::team_id`).
#[must_use]
pub fn connection(row: types::Connection) -> proto::Connection {
    let types::Connection {
        id,
        team_id,
        project_ids,
        oauth_id,
        name,
        kind,
        sub_type,
        active,
        host,
        db_name,
        port,
        username,
        password,
        srv,
        options,
        connection_string,
        authentication,
        firebase_service_account,
        ssl,
        ssl_mode,
        ssl_ca,
        ssl_cert,
        ssl_key,
        schema,
        use_ssh,
        ssh_host,
        ssh_port,
        ssh_username,
        ssh_password,
        ssh_passphrase,
        ssh_jump_host,
        ssh_jump_port,
        has_ssh_password,
        has_ssh_private_key,
        has_ssh_passphrase,
        created_at,
        updated_at,
        mut extra,
    } = row;
    let ssh = proto::SshTunnel {
        enabled: use_ssh,
        host: ssh_host,
        port: ssh_port,
        username: ssh_username,
        password: ssh_password,
        passphrase: ssh_passphrase,
        jump_host: ssh_jump_host,
        jump_port: ssh_jump_port,
        has_password: has_ssh_password,
        has_private_key: has_ssh_private_key,
        has_passphrase: has_ssh_passphrase,
    };
    proto::Connection {
        id,
        team_id: team_id.unwrap_or_default(),
        project_ids: project_ids
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect(),
        oauth_id,
        name,
        r#type: number(enums::TYPE, names::TYPE, kind, &mut extra),
        sub_type: number(enums::SUB_TYPE, names::SUB_TYPE, sub_type, &mut extra),
        active,
        host,
        db_name,
        port: port.map(|PortText(port)| port),
        username,
        password,
        srv,
        options: options.map(json::to_value),
        connection_string,
        authentication: authentication.map(|object| auth(object, &mut extra)),
        firebase_service_account: firebase_service_account.map(json::to_struct),
        ssl,
        ssl_mode: number(enums::SSL_MODE, names::SSL_MODE, ssl_mode, &mut extra),
        ssl_ca,
        ssl_cert,
        ssl_key,
        schema: schema.map(json::to_struct),
        ssh: (ssh != proto::SshTunnel::default()).then_some(ssh),
        create_time: created_at.map(timestamp),
        update_time: updated_at.map(timestamp),
        extra_fields: (!extra.is_empty()).then(|| json::to_fields(extra)),
    }
}

/// The enum's number, or 0 and the text left in `rest`.
fn number<E: Copy + Into<i32>>(
    table: enums::Table<E>,
    name: &str,
    text: Option<String>,
    rest: &mut Map<String, Value>,
) -> i32 {
    let Some(text) = text else { return 0 };
    table.number(&text).unwrap_or_else(|| {
        rest.insert(name.to_owned(), text.into());
        0
    })
}

/// The message, with what it cannot hold left in `extra`.
fn auth(mut object: Map<String, Value>, extra: &mut Map<String, Value>) -> proto::Authentication {
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
        extra.insert(names::AUTHENTICATION.to_owned(), object.into());
    }
    message
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

/// Protobuf counts nanoseconds forwards from the second, also before 1970.
fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    let back = i32::from(nanos < 0);
    prost_types::Timestamp {
        seconds: seconds - i64::from(back),
        nanos: nanos + back * 1_000_000_000,
    }
}
