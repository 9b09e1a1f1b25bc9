//! The pure parts of the gateway: protobuf → REST body, and REST response → protobuf.

use chartbrew_gateway::{
    chartbrew::types,
    convert::{self, Limits},
    proto::{ConnectionType, CreateRequest, CreateResponse, NewConnection, SslMode},
};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};

/// A request, and the response to it.
#[derive(Debug)]
pub struct Case {
    /// How large it is, in a word.
    pub name: &'static str,
    /// The request message.
    pub request: Vec<u8>,
    /// The body of the response.
    pub response: Vec<u8>,
}

/// What went wrong; a case is wrong then.
#[derive(Debug)]
pub struct Wrong;

/// Decodes a request, checks it, and makes the body of the REST request. Returns its length.
///
/// # Errors
/// If the gateway would refuse it.
pub fn request_to_body(request: &[u8]) -> Result<usize, Wrong> {
    let request = CreateRequest::decode(request).map_err(|_| Wrong)?;
    let create = convert::create(request, &Limits::default()).map_err(|_| Wrong)?;
    Ok(create.body.json().len())
}

/// Reads the body of a REST response and encodes the message made of it. Returns its length.
///
/// # Errors
/// If the gateway could not read it.
pub fn response_to_message(response: &[u8]) -> Result<usize, Wrong> {
    let row = types::Connection::from_json(response).map_err(|_| Wrong)?;
    let connection = Some(Box::new(convert::connection(row)));
    Ok(CreateResponse { connection }.encode_to_vec().len())
}

/// The cases: minimal, typical, and one whose body has 100 kB.
///
/// # Errors
/// If the gateway would refuse one.
pub fn cases() -> Result<Vec<Case>, Wrong> {
    let minimal = NewConnection {
        name: "m".to_owned(),
        r#type: ConnectionType::Mongodb.into(),
        ..NewConnection::default()
    };
    let text = |text: &str| Some(text.to_owned());
    let typical = NewConnection {
        name: "Orders, production".to_owned(),
        r#type: ConnectionType::Postgres.into(),
        host: text("orders.db.example.com"),
        port: text("5432"),
        db_name: text("orders"),
        username: text("chartbrew"),
        password: text("correct horse battery staple"),
        ssl: Some(true),
        ssl_mode: SslMode::Require.into(),
        ..NewConnection::default()
    };
    let large = NewConnection {
        schema: Some(schema()),
        ..typical.clone()
    };
    [
        ("minimal", minimal),
        ("typical", typical),
        ("100 kB", large),
    ]
    .into_iter()
    .map(|(name, connection)| case(name, connection))
    .collect()
}

fn case(name: &'static str, connection: NewConnection) -> Result<Case, Wrong> {
    let request = CreateRequest {
        team_id: 1,
        connection: Some(Box::new(connection)),
        ..CreateRequest::default()
    };
    let request_bytes = request.encode_to_vec();
    let create = convert::create(request, &Limits::default()).map_err(|_| Wrong)?;
    // Chartbrew returns what it was sent, and what it has added.
    let mut row: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(create.body.json()).map_err(|_| Wrong)?;
    let added = serde_json::json!({
        "active": true, "allowPrivateHost": null, "srv": false, "useSsh": false, "id": 12,
        "updatedAt": "2026-11-24T00:24:12.424Z", "createdAt": "2026-11-24T00:24:12.424Z",
        "hasSshPassword": false, "hasSshPrivateKey": false, "hasSshPassphrase": false,
    });
    row.extend(added.as_object().cloned().unwrap_or_default());
    let response = serde_json::to_vec(&row).map_err(|_| Wrong)?;
    Ok(Case {
        name,
        request: request_bytes,
        response,
    })
}

/// 240 tables of 16 columns: near the largest body that Chartbrew takes.
fn schema() -> Struct {
    let column = |number| (format!("column_{number}"), text("varchar(64)"));
    let columns = Struct {
        fields: (0..16).map(column).collect(),
    };
    let table = |number| {
        let columns = Kind::StructValue(columns.clone());
        (
            format!("table_{number}"),
            Value {
                kind: Some(columns),
            },
        )
    };
    Struct {
        fields: (0..240).map(table).collect(),
    }
}

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
}
