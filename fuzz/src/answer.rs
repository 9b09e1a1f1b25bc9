//! Any answer of upstream's → a rejection, a row or a list, the contract's message, and back.

use chartbrew_gateway::{
    chartbrew::{
        Rejection,
        types::{
            self, Connection, ConnectionList, CreateBody, NewConnection, OptionalFields, PortText,
            RowMatch, SshFields, Unreadable, View,
        },
    },
    convert, proto,
};
use prost::Message;
use serde_json::{Map, Value};

use super::{pages, tested};

/// Bytes before the body: two of the status, one of the route.
pub const HEAD: usize = 3;

const TYPES: [&str; 11] = [
    "mongodb",
    "api",
    "mysql",
    "postgres",
    "realtimedb",
    "firestore",
    "googleAnalytics",
    "customerio",
    "clickhouse",
    "jira",
    "stripeOfficial",
];
const MORE_SUB_TYPES: [&str; 6] = [
    "timescaledb",
    "supabasedb",
    "rdsPostgres",
    "rdsMysql",
    "strapi",
    "stripe",
];
const SSL_MODES: [&str; 5] = ["require", "disable", "prefer", "verify-ca", "verify-full"];
/// Sources whose rows are not what was sent for them.
const REWRITTEN: [&str; 2] = ["jira", "stripeOfficial"];

/// The input that stands for an answer.
#[must_use]
pub fn input(status: u16, of_a_connection: bool, body: &[u8]) -> Vec<u8> {
    let [high, low] = status.saturating_sub(100).to_be_bytes();
    [&[high, low, of_a_connection.into()], body].concat()
}

/// Reads an answer in every way in which it may be read.
///
/// # Panics
/// If a promise is broken.
pub fn run(data: &[u8]) {
    let Some((&[high, low, route], body)) = data.split_first_chunk::<HEAD>() else {
        return;
    };
    let status = 100 + u16::from_be_bytes([high, low]) % 900;
    rejection(status, route % 2 == 1, body);
    let row = Connection::from_json(body);
    if let Ok(row) = &row {
        is_whole(body, row);
        is_kept(row);
        is_recognised(row);
    }
    list(body, &row);
    pages::run(body, usize::from(low));
    tested::run(body, row.as_ref().ok());
}

/// A refusal names fields that the API has, each once, and the status that was answered.
fn rejection(status: u16, of_a_connection: bool, body: &[u8]) {
    let rejection = Rejection::read(status, None, body, of_a_connection);
    if let Rejection::Fields(fields) = &rejection {
        assert!(!fields.is_empty());
        for (index, error) in fields.iter().enumerate() {
            assert!(types::field(error.field).is_some());
            assert!(fields[..index].iter().all(|e| e.field != error.field));
            // Every column has a name that callers know, or is one that no request can carry.
            let known = convert::proto_field(error.field);
            assert!(known.is_none_or(|name| !name.is_empty()));
        }
    }
    let told = rejection.http_status();
    assert!(told.is_none_or(|told| told == status || (told == 400 && status == 422)));
    assert!(rejection.to_string().len() < 1024);
    assert!(matches!(status, 400..=499 | 503) || !rejection.is_transient());
}

/// Every field of the answer is in the row: those that are not modelled as they were, the others
/// unless they are null.
fn is_whole(body: &[u8], row: &Connection) {
    let answered: Map<String, Value> = serde_json::from_slice(body).expect("a row is an object");
    let written = serde_json::to_value(row).expect("a row can be written");
    for (name, value) in &answered {
        let kept = written.get(name);
        if types::field(name).is_some() {
            assert!(kept.is_some() || value.is_null(), "a field is lost");
        } else {
            assert!(
                kept == Some(value),
                "a field that is not modelled is another"
            );
        }
    }
}

/// Nothing is lost between the row, its JSON and the contract's message.
fn is_kept(row: &Connection) {
    let json = serde_json::to_vec(row).expect("a row can be written");
    let again = Connection::from_json(&json).expect("a row that was written can be read");
    assert!(
        again == *row,
        "the row is another after writing and reading"
    );

    let message = convert::connection(row.clone());
    assert_eq!(message.id, row.id);
    let modelled = row.extra.keys().all(|name| kept_in(&message, name));
    assert!(modelled, "a field that is not modelled is lost");
    let bytes = message.encode_to_vec();
    // A client that cannot decode the answer to a create would take it for a failure.
    let decoded = proto::Connection::decode(&*bytes).expect("a client can decode the message");
    assert!(decoded == message);
}

fn kept_in(message: &proto::Connection, name: &str) -> bool {
    let fields = message.extra_fields.as_ref();
    fields.is_some_and(|extra| extra.fields.contains_key(name))
}

/// A create that asked for just this row finds it again; one of another name does not.
fn is_recognised(row: &Connection) {
    let views = [View::List, View::Single];
    for body in [minimal(), full()] {
        for view in views {
            let compared = body.compare(row, view);
            let same_name = row.name.as_deref() == Some(&body.sent().name);
            assert!(same_name || compared == RowMatch::Mismatch);
            assert!(compared != RowMatch::Match || row.team_id == Some(body.sent().team_id));
        }
    }
    let Some(asked) = asked_for(row) else {
        return;
    };
    let other = NewConnection {
        name: format!("{}x", asked.name),
        ..asked.clone()
    };
    for view in views {
        assert_eq!(body(asked.clone()).compare(row, view), RowMatch::Match);
        assert_eq!(body(other.clone()).compare(row, view), RowMatch::Mismatch);
    }
}

/// A list holds the rows that its elements are by themselves, and counts the rest.
fn list(body: &[u8], row: &Result<Connection, Unreadable>) {
    let list = ConnectionList::from_json(body);
    assert!(list.is_err() || row.is_err(), "no JSON is both");
    let Ok(list) = list else { return };
    // An element that is skipped may hold what is no UTF-8 and no number: nobody looks at it.
    let Ok(elements) = serde_json::from_slice::<Vec<Value>>(body) else {
        assert!(list.skipped > 0, "a list without rows to skip is JSON");
        return;
    };
    assert_eq!(list.rows.len() + list.skipped, elements.len());
    let alone = elements
        .iter()
        .filter_map(|element| Connection::from_json(element.to_string().as_bytes()).ok());
    assert!(alone.eq(list.rows.iter().cloned()));
    for row in &list.rows {
        is_kept(row);
        is_recognised(row);
    }
}

// === creates that a row is compared with ===

fn body(asked: NewConnection) -> CreateBody {
    CreateBody::try_new(asked).expect("a create can be written")
}

fn minimal() -> CreateBody {
    body(NewConnection {
        team_id: 1,
        name: "m".to_owned(),
        kind: "mongodb",
        ..NewConnection::default()
    })
}

fn full() -> CreateBody {
    let text = || Some("<string>".to_owned());
    let fields = OptionalFields {
        host: text(),
        port: text().map(PortText),
        db_name: text(),
        username: text(),
        password: text(),
        options: Some(Value::Object(Map::new())),
        connection_string: text(),
        authentication: Some(Map::new()),
        firebase_service_account: Some(Map::new()),
        ssl: Some(false),
        ssl_mode: Some("require".to_owned()),
        ..OptionalFields::default()
    };
    body(NewConnection {
        team_id: 1,
        name: "<string>".to_owned(),
        kind: "mongodb",
        sub_type: Some("timescaledb"),
        fields,
        ..NewConnection::default()
    })
}

/// The create that made the row, if one from here can have.
fn asked_for(row: &Connection) -> Option<NewConnection> {
    let known = |texts: &[&'static str], text: &Option<String>| match text {
        None => Some(None),
        Some(text) => texts.iter().find(|known| *known == text).map(|t| Some(*t)),
    };
    let sub_types = [&TYPES[..], &MORE_SUB_TYPES[..]].concat();
    let kind = known(&TYPES, &row.kind)??;
    let sub_type = known(&sub_types, &row.sub_type)?;
    let fields = &row.fields;
    let stored = [
        &fields.host,
        &fields.db_name,
        &fields.username,
        &fields.ssh.host,
        &fields.ssh.username,
        &fields.ssh.jump_host,
    ];
    let rewritten = REWRITTEN.contains(&sub_type.unwrap_or(kind));
    let empty = stored.iter().any(|text| text.as_deref() == Some(""))
        || fields.port.as_ref().is_some_and(|port| port.0.is_empty())
        || fields.project_ids.as_ref().is_some_and(Vec::is_empty);
    let misread = row.extra.keys().any(|name| types::field(name).is_some());
    if rewritten || empty || misread {
        return None;
    }
    let secret = |stored: Option<bool>| (stored == Some(true)).then(|| "secret".to_owned());
    known(&SSL_MODES, &fields.ssl_mode)?;
    Some(NewConnection {
        team_id: row.team_id?,
        name: row.name.clone()?,
        kind,
        sub_type,
        fields: OptionalFields {
            ssh: SshFields {
                password: secret(row.has_ssh_password),
                passphrase: secret(row.has_ssh_passphrase),
                ..fields.ssh.clone()
            },
            ..fields.clone()
        },
        extra: row.extra.clone(),
    })
}
