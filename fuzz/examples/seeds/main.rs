//! Writes the first inputs, made from the recorded answers of a real Chartbrew, into
//! `<directory>/answer` and `<directory>/request`:
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds -- fuzz/corpus`.

mod resource;

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use chartbrew_gateway::{
    chartbrew::types,
    convert,
    proto::{self, Authentication, ConnectionFiles, CreateRequest, NewConnection, SshTunnel},
};
use chartbrew_gateway_fuzz::answer;
use prost::Message;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};

const RECORDED: &str = include_str!("../../../sandbox/tests/it/recorded.json");
const RESOURCE: &str = include_str!("../../../sandbox/tests/it/recorded-resource.json");

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let recorded: Vec<Value> = serde_json::from_str(RECORDED)?;
    let resource: Vec<Value> = serde_json::from_str(RESOURCE)?;
    write(&directory, "answer", answers(&recorded))?;
    write(&directory, "answer", of_the_resource(&resource))?;
    write(&directory, "request", requests(&recorded))?;
    write(&directory, "request", resource::requests())
}

fn write(
    directory: &str,
    target: &str,
    seeds: BTreeMap<String, Vec<u8>>,
) -> Result<(), Box<dyn Error>> {
    let directory = Path::new(directory).join(target);
    fs::create_dir_all(&directory)?;
    for (name, bytes) in seeds {
        fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}

fn name(exchange: &Value) -> String {
    exchange["name"].as_str().unwrap_or("unnamed").to_owned()
}

fn answers(recorded: &[Value]) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for exchange in recorded {
        let response = &exchange["response"];
        let Some(status) = response["status"].as_u64() else {
            continue;
        };
        let body = match &response["json"] {
            Value::Null => response["text"].as_str().unwrap_or_default().to_owned(),
            json => json.to_string(),
        };
        let path = exchange["request"]["path"].as_str().unwrap_or_default();
        let of_a_connection = path.matches('/').count() > 3;
        let status = u16::try_from(status).unwrap_or(500);
        let input = answer::input(status, of_a_connection, body.as_bytes());
        seeds.insert(name(exchange), input);
    }
    for (name, status, body) in [
        (
            "foreign_key",
            400,
            r#"{"parent":{"code":"ER_NO_REFERENCED_ROW_2","sqlMessage":"a FOREIGN KEY (`oauth_id`) REFERENCES `OAuth` (`id`)"}}"#,
        ),
        (
            "no_database",
            400,
            r#"{"name":"SequelizeHostNotFoundError","parent":{}}"#,
        ),
        (
            "validation",
            422,
            r#"{"errors":[{"path":"name","validatorKey":"len"},{"path":"sshPort"}]}"#,
        ),
        (
            "nested",
            200,
            &format!(r#"{{"id":1,"x":{}1{}}}"#, "[".repeat(120), "]".repeat(120)),
        ),
    ] {
        seeds.insert(
            name.to_owned(),
            answer::input(status, false, body.as_bytes()),
        );
    }
    seeds
}

/// The same of the rest of the resource, and of a list and a test with secrets in it.
fn of_the_resource(recorded: &[Value]) -> BTreeMap<String, Vec<u8>> {
    let mut seeds: BTreeMap<_, _> = answers(recorded)
        .into_iter()
        .map(|(name, input)| (format!("resource_{name}"), input))
        .collect();
    let list = r#"[{"id":3,"createdAt":"2026-11-24T00:00:03Z","name":"a"} , {"id":2,"x":"]},\\\""},
                  {"id":9,"createdAt":"2026-11-24T00:00:03Z"},null,{"id":1,"createdAt":null}]"#;
    let row = r#"{"id":1,"password":"pass word 1","username":"u","host":"https://u:secret-1@h/",
                 "connectionString":"mongodb://u:s3cr%40t-1@h/","options":[{"K":"option value"}],
                 "authentication":{"type":"basic_auth","user":"u","pass":"a \\"pass\\" 1"},
                 "message":"got pass word 1, s3cr@t-1 and option value","new":"unknown secret"}"#;
    for (name, body) in [("list_in_pieces", list), ("row_with_secrets", row)] {
        seeds.insert(name.to_owned(), answer::input(200, true, body.as_bytes()));
    }
    seeds
}

fn requests(recorded: &[Value]) -> BTreeMap<String, Vec<u8>> {
    let mut seeds = BTreeMap::new();
    for exchange in recorded {
        let Value::Object(mut body) = exchange["request"]["body"].clone() else {
            continue;
        };
        body.insert("id".to_owned(), json!(1));
        let row = types::Connection::from_json(Value::from(body).to_string().as_bytes());
        if let Ok(row) = row {
            let request = as_request(convert::connection(row));
            seeds.insert(name(exchange), request.encode_to_vec());
        }
    }
    seeds.insert("full".to_owned(), full().encode_to_vec());
    seeds.insert("wrong".to_owned(), wrong().encode_to_vec());
    seeds.insert("nothing".to_owned(), Vec::new());
    seeds
}

/// The request that asks for what the message shows.
fn as_request(row: proto::Connection) -> CreateRequest {
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: row.name.unwrap_or_default(),
            r#type: row.r#type,
            sub_type: row.sub_type,
            host: row.host,
            port: row.port,
            db_name: row.db_name,
            username: row.username,
            password: row.password,
            options: row.options,
            connection_string: row.connection_string,
            srv: row.srv,
            authentication: row.authentication,
            firebase_service_account: row.firebase_service_account,
            ssl: row.ssl,
            ssl_mode: row.ssl_mode,
            schema: row.schema,
            project_ids: row.project_ids,
            active: row.active,
            oauth_id: row.oauth_id,
            ssh: row.ssh,
            extra_fields: row.extra_fields,
        })),
        request_id: None,
        files: None,
    }
}

fn value(kind: Kind) -> ProtoValue {
    ProtoValue { kind: Some(kind) }
}

fn object<const N: usize>(fields: [(&str, ProtoValue); N]) -> Struct {
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Struct {
        fields: fields.collect(),
    }
}

/// Every field, and right.
pub(crate) fn full() -> CreateRequest {
    let text = |text: &str| Some(text.to_owned());
    let numbers = [0.0, 1.5, -0.0, 9_007_199_254_740_992.0, 1e300];
    let numbers = numbers.map(|number| value(Kind::NumberValue(number)));
    let list = value(Kind::ListValue(prost_types::ListValue {
        values: numbers.into(),
    }));
    let fields = || {
        Some(object([
            ("k", list.clone()),
            ("n", value(Kind::NullValue(0))),
        ]))
    };
    let file = || Some("f".into());
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "n".to_owned(),
            r#type: 2,
            sub_type: 16,
            host: text("h"),
            port: text("1"),
            db_name: text("d"),
            username: text("u"),
            password: text("p"),
            options: Some(list.clone()),
            connection_string: text("c"),
            srv: Some(true),
            authentication: Some(Authentication {
                r#type: 2,
                token: text("t"),
                user: text("u"),
                pass: text("p"),
            }),
            firebase_service_account: fields(),
            ssl: Some(false),
            ssl_mode: 4,
            schema: fields(),
            project_ids: vec!["1".to_owned(), "x".to_owned(), "007".to_owned()],
            active: Some(true),
            oauth_id: text("123E4567-e89b-42d3-a456-426614174000"),
            ssh: Some(SshTunnel {
                enabled: Some(true),
                host: text("h"),
                port: Some(22),
                username: text("u"),
                password: text("p"),
                passphrase: text("q"),
                jump_host: text("j"),
                jump_port: Some(65_535),
                ..SshTunnel::default()
            }),
            extra_fields: fields(),
        })),
        request_id: text("123e4567-e89b-42d3-a456-426614174001"),
        files: Some(ConnectionFiles {
            ssl_ca: file(),
            ssl_cert: file(),
            ssl_key: file(),
            ssh_private_key: file(),
        }),
    }
}

/// Wrong in many ways.
fn wrong() -> CreateRequest {
    let nothing = ProtoValue { kind: None };
    let mut request = full();
    request.team_id = -1;
    request.request_id = Some("no UUID".to_owned());
    request.files = Some(ConnectionFiles {
        ssl_ca: Some(Vec::new().into()),
        ..ConnectionFiles::default()
    });
    if let Some(connection) = &mut request.connection {
        connection.name.clear();
        connection.r#type = 99;
        connection.project_ids.push(String::new());
        connection.oauth_id = Some("no UUID".to_owned());
        connection.options = Some(value(Kind::BoolValue(true)));
        connection.schema = Some(object([("nan", value(Kind::NumberValue(f64::NAN)))]));
        connection.extra_fields = Some(object([
            ("__proto__", nothing.clone()),
            ("id", nothing.clone()),
            ("subType", nothing.clone()),
            ("x", nothing),
        ]));
        if let Some(ssh) = &mut connection.ssh {
            ssh.port = Some(0);
            ssh.has_password = Some(true);
        }
    }
    request
}
