//! A marker in every secret field, and the search for it in all the shapes it may have on a wire.

use chartbrew_gateway::proto::{
    Authentication, AuthenticationType, ConnectionFiles, ConnectionType, CreateRequest,
    NewConnection, SshTunnel,
};
use prost_types::{ListValue, Struct, Value, value::Kind};

/// The places of a request that hold what is nobody else's business.
pub(super) const PLACES: [&str; 21] = [
    "token",
    "password",
    "connectionString",
    "authToken",
    "authUser",
    "authPass",
    "option",
    "firebase",
    "sshPassword",
    "sshPassphrase",
    "sslCa",
    "sslCert",
    "sslKey",
    "sshKey",
    "extra",
    "schema",
    "host",
    "username",
    "dbName",
    "sshHost",
    "sshUsername",
];

/// The marker of a place. Distinct, and unlikely anywhere else.
pub(super) fn mark(place: &str) -> String {
    let number = PLACES.iter().position(|known| *known == place).unwrap();
    format!("mk{number:02}{place}Qz7")
}

/// All markers, in one text without spaces.
pub(super) fn all() -> String {
    PLACES.map(mark).join("-")
}

/// A secret as it may really be: the marker among quotes, umlauts and control characters.
pub(super) fn secret(place: &str) -> Option<String> {
    Some(format!("ü\"{}'\n\u{1F511}", mark(place)))
}

pub(super) fn text(text: impl Into<String>) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

pub(super) fn object(name: impl Into<String>, value: Value) -> Struct {
    Struct {
        fields: [(name.into(), value)].into(),
    }
}

fn secrets(place: &str) -> Option<Struct> {
    Some(object("private_key", text(secret(place)?)))
}

/// A request that is right and whose every secret field holds its marker.
pub(super) fn request() -> CreateRequest {
    let option = Kind::StructValue(secrets("option").unwrap());
    let options = ListValue {
        values: vec![Value { kind: Some(option) }],
    };
    let file = |place| secret(place).map(|text| text.into_bytes().into());
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "a name".to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            host: secret("host"),
            port: Some("5432".to_owned()),
            db_name: secret("dbName"),
            username: secret("username"),
            password: secret("password"),
            options: Some(Value {
                kind: Some(Kind::ListValue(options)),
            }),
            connection_string: secret("connectionString"),
            authentication: Some(Authentication {
                r#type: AuthenticationType::BasicAuth.into(),
                token: secret("authToken"),
                user: secret("authUser"),
                pass: secret("authPass"),
            }),
            firebase_service_account: secrets("firebase"),
            schema: secrets("schema"),
            ssh: Some(SshTunnel {
                host: secret("sshHost"),
                username: secret("sshUsername"),
                password: secret("sshPassword"),
                passphrase: secret("sshPassphrase"),
                ..SshTunnel::default()
            }),
            extra_fields: secrets("extra"),
            ..NewConnection::default()
        })),
        request_id: None,
        files: Some(ConnectionFiles {
            ssl_ca: file("sslCa"),
            ssl_cert: file("sslCert"),
            ssl_key: file("sslKey"),
            ssh_private_key: file("sshKey"),
        }),
    }
}

/// The same, without files and with a request id if asked for.
pub(super) fn without_files(with_id: bool) -> CreateRequest {
    CreateRequest {
        files: None,
        request_id: with_id.then(|| uuid::Uuid::new_v4().to_string()),
        ..request()
    }
}

// === the search ===

/// The place whose marker is in the bytes: plain in any case, as hex, percent-encoded, or base64
/// at any of its three alignments.
pub(super) fn found_in(bytes: &[u8]) -> Option<&'static str> {
    found_but(&[], bytes)
}

/// The same, but for some places.
pub(super) fn found_but(may_show: &[&str], bytes: &[u8]) -> Option<&'static str> {
    let exact = String::from_utf8_lossy(bytes);
    let lower = exact.to_lowercase();
    PLACES.into_iter().find(|place| {
        let mark = mark(place);
        let shown = lower.contains(&mark.to_lowercase())
            || lower.contains(&every_byte(&mark, ""))
            || lower.contains(&every_byte(&mark, "%"))
            || in_base64(&mark).iter().any(|text| exact.contains(text));
        shown && !may_show.contains(place)
    })
}

fn every_byte(text: &str, before: &str) -> String {
    let hex = |byte: u8| format!("{before}{byte:02x}");
    text.bytes().map(hex).collect()
}

/// The part of the text's base64 that does not depend on what stands around it, in both alphabets.
fn in_base64(text: &str) -> Vec<String> {
    let shifted = (0..3).map(|shift| {
        let bytes = [&[0; 3][..shift], text.as_bytes()].concat();
        let own = (shift * 8).div_ceil(6)..bytes.len() * 8 / 6;
        base64(&bytes)[own].to_owned()
    });
    shifted
        .flat_map(|text| [text.replace('+', "-").replace('/', "_"), text])
        .collect()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of = |chunk: &[u8]| {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    };
    bytes.chunks(3).flat_map(of).collect()
}

#[test]
fn a_marker_is_found_in_every_shape() {
    let mark = mark("password");
    let percent: String = mark.bytes().map(|b| format!("%{b:02X}")).collect();
    let hex: String = mark.bytes().map(|b| format!("{b:02X}")).collect();
    let shapes = [mark.clone(), mark.to_uppercase(), percent, hex];
    let encoded = ["", "a", "ab", "abc"].map(|before| base64(format!("{before}{mark}").as_bytes()));
    for shape in shapes.iter().chain(&encoded) {
        let text = format!("before {shape} after");
        assert_eq!(found_in(text.as_bytes()), Some("password"), "{shape}");
    }
    assert_eq!(base64(b"Man"), "TWFu");
    assert_eq!(found_in(b"no marker at all"), None);
    assert_eq!(found_but(&["password"], mark.as_bytes()), None);
}
