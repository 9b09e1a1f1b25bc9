//! Requests that are wrong, with secrets in right places and wrong ones.

use chartbrew_gateway::proto::{CreateRequest, NewConnection};
use prost_types::{Value, value::Kind};

use super::marks;

/// Each with the places whose markers the caller may see again.
pub(super) fn wrong_requests() -> Vec<(&'static str, Vec<&'static str>, CreateRequest)> {
    let long = |place: &str| Some(marks::mark(place).repeat(12_000));
    let not_a_value = || Some(marks::object(marks::mark("extra"), Value { kind: None }));
    let nan = || Value {
        kind: Some(Kind::NumberValue(f64::NAN)),
    };
    let mut cases = Vec::new();
    let mut case = |name, may_show: &[&'static str], change: &dyn Fn(&mut CreateRequest)| {
        let mut request = marks::request();
        change(&mut request);
        cases.push((name, may_show.to_vec(), request));
    };
    fn of(request: &mut CreateRequest) -> &mut NewConnection {
        request.connection.as_mut().unwrap()
    }
    case("no team", &[], &|r| r.team_id = 0);
    case("no type", &[], &|r| of(r).r#type = 0);
    case("a type that is none", &[], &|r| of(r).r#type = 7_777);
    case("a mode that is none", &[], &|r| of(r).ssl_mode = -1);
    case("no scheme", &[], &|r| {
        of(r).authentication.as_mut().unwrap().r#type = 0
    });
    case("a name too long", &[], &|r| {
        of(r).name = long("password").unwrap()
    });
    case("a port too long", &[], &|r| of(r).port = long("password"));
    case("texts too long", &[], &|r| {
        let c = of(r);
        c.password = long("password");
        c.connection_string = long("connectionString");
        c.username = long("username");
        c.db_name = long("dbName");
        c.ssh.as_mut().unwrap().passphrase = long("sshPassphrase");
        c.authentication.as_mut().unwrap().pass = long("authPass");
    });
    case("a host too long", &[], &|r| of(r).host = long("host"));
    case("a secret as oauth_id", &["password"], &|r| {
        of(r).oauth_id = Some(marks::mark("password"))
    });
    case("a secret as request_id", &["password"], &|r| {
        r.request_id = Some(marks::mark("password"))
    });
    case("secrets as project ids", &[], &|r| {
        of(r).project_ids = vec![String::new(), long("password").unwrap()];
    });
    case("options of another kind", &[], &|r| {
        of(r).options = Some(marks::text(marks::mark("option")))
    });
    case("a number that is none", &[], &|r| {
        let nan = marks::object("private_key", nan());
        of(r).firebase_service_account = Some(nan.clone());
        of(r).options = Some(Value {
            kind: Some(Kind::StructValue(nan)),
        });
    });
    case("a key before no value", &["extra"], &|r| {
        of(r).extra_fields = not_a_value()
    });
    case("a key of the schema before no value", &["extra"], &|r| {
        of(r).schema = not_a_value()
    });
    case("a secret under a name of the contract", &[], &|r| {
        for name in ["sshPrivateKey", "password", "id", "__proto__"] {
            let extra = of(r).extra_fields.get_or_insert_default();
            extra
                .fields
                .insert(name.to_owned(), marks::text(marks::mark("extra")));
        }
    });
    case("nested too deep", &[], &|r| {
        let deep = (0..60).fold(marks::text(marks::mark("extra")), |value, _| Value {
            kind: Some(Kind::StructValue(marks::object("k", value))),
        });
        of(r).extra_fields = Some(marks::object("k", deep));
    });
    case("flags of a response", &[], &|r| {
        of(r).ssh.as_mut().unwrap().has_password = Some(true)
    });
    case("a tunnel's port", &[], &|r| {
        of(r).ssh.as_mut().unwrap().port = Some(99_999)
    });
    case("files too large", &[], &|r| {
        let large = marks::mark("sslKey").repeat(100_000);
        r.files.as_mut().unwrap().ssl_key = Some(large.into());
    });
    case("an empty file", &[], &|r| {
        r.files.as_mut().unwrap().ssl_ca = Some(Vec::new().into())
    });
    case("a message too large", &[], &|r| {
        of(r).password = Some(marks::mark("password").repeat(400_000));
    });
    cases
}
