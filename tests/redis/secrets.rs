//! What Redis learns of creates: all that it holds, and all that it was ever told to hold.

use std::time::Duration;

use chartbrew_gateway::{
    admin,
    app::{self, App},
    callers::token::TokenHash,
    chartbrew::{self, Token},
    delivery,
    delivery::request_id::{RedisSettings, StoreSettings},
    grpc::{self, OwnToken},
    proto::{
        ConnectionFiles, ConnectionType, CreateRequest, NewConnection,
        connection_service_client::ConnectionServiceClient,
    },
};
use chartbrew_sandbox::{self as sandbox, Fault, Sandbox};
use tonic::{Request, transport::Channel};

use crate::server::{Server, wanted};

/// In every secret of the requests, the callers' and the gateway's tokens, and the password of Redis.
const MARK: &str = "marker";
const PASSWORD: &str = "marker-of-redis";

/// A create with a secret in every place that may have one, and its request id.
fn request(name: &str) -> (CreateRequest, String) {
    let secret = |what: &str| Some(format!("{MARK}-{what}"));
    let file = |what: &str| secret(what).map(Into::into);
    let request_id = uuid::Uuid::new_v4().to_string();
    let request = CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: format!("{MARK}-{name}"),
            r#type: ConnectionType::Postgres.into(),
            host: secret("host"),
            db_name: secret("db"),
            username: secret("user"),
            password: secret("password"),
            connection_string: secret("string"),
            ..NewConnection::default()
        })),
        request_id: Some(request_id.clone()),
        files: Some(ConnectionFiles {
            ssl_ca: file("ca"),
            ssl_key: file("key"),
            ..ConnectionFiles::default()
        }),
    };
    (request, request_id)
}

async fn gateway(upstream: &str, store: RedisSettings) -> ConnectionServiceClient<Channel> {
    let callers = std::env::temp_dir().join(format!("callers-{}.toml", uuid::Uuid::new_v4()));
    let hash = TokenHash::of("marker-of-a-caller");
    let entry = format!("[[caller]]\nname = \"billing\"\ntoken_sha256 = [\"{hash}\"]\n");
    std::fs::write(&callers, entry).unwrap();
    let own = Token::parse("marker-of-the-gateway").unwrap();
    let settings = app::Settings {
        reload_interval: Duration::from_secs(3600),
        listen: "127.0.0.1:0".parse().unwrap(),
        grpc: grpc::Settings {
            own_token: Some(OwnToken::Fixed(own)),
            callers_file: Some(callers.clone()),
            ..grpc::Settings::default()
        },
        delivery: delivery::Settings {
            recovery_window: Duration::from_millis(200),
            ..delivery::Settings::default()
        },
        chartbrew: chartbrew::Settings {
            url: upstream.parse().unwrap(),
            ..chartbrew::Settings::default()
        },
        request_id_store: StoreSettings::Redis(store),
        admin: admin::Settings {
            listen: None,
            ..admin::Settings::default()
        },
    };
    let app = App::bind(settings).await.unwrap();
    std::fs::remove_file(callers).unwrap();
    let url = format!("http://{}", app.grpc_addr());
    tokio::spawn(app.run(std::future::pending()));
    ConnectionServiceClient::connect(url).await.unwrap()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn redis_is_told_nothing_of_a_secret() {
    if !wanted() {
        return;
    }
    // Every write is in a file, too: also what is overwritten or deleted again.
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = Server::start_with(&[&options[..], &["--requirepass", PASSWORD]].concat());
    let url = server.url().replace("//", &format!("//:{PASSWORD}@"));
    let sandbox = Sandbox::bind(sandbox::Settings {
        users: vec![sandbox::User::owner("marker-of-the-gateway", [1])],
        ..sandbox::Settings::default()
    });
    let sandbox = sandbox.await.unwrap();
    let (handle, upstream) = (sandbox.handle(), sandbox.url());
    tokio::spawn(sandbox.run(std::future::pending()));
    let mut client = gateway(&upstream, RedisSettings::parse(&url).unwrap()).await;
    let faults = [
        None,
        Some(Fault::create().drop_after_storing()),
        Some(Fault::create().drop_before_storing()),
        Some(Fault::create().garbled_answer()),
        Some(Fault::create().not_forwarded()),
        Some(Fault::create().body(400, "text/plain", MARK)),
        Some(Fault::files().body(500, "text/plain", MARK).forever()),
    ];
    let mut ids = Vec::new();
    for (number, fault) in faults.into_iter().enumerate() {
        handle.clear_faults();
        handle.script(fault);
        let (message, id) = request(&number.to_string());
        ids.push(id);
        // And once more, for the outcome that is kept.
        for _ in 0..2 {
            let mut request = Request::new(message.clone());
            let token = "Bearer marker-of-a-caller".parse().unwrap();
            request.metadata_mut().insert("authorization", token);
            drop(client.create(request).await);
        }
    }
    assert!(handle.rows(1).len() > 3);

    let redis = redis::Client::open(url).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(keys.len() > 5, "{} keys", keys.len());
    let mut held = Vec::new();
    for key in &keys {
        let content: Vec<u8> = redis::cmd("DUMP")
            .arg(key)
            .query_async(&mut redis)
            .await
            .unwrap();
        held.extend([&key[..], &content].concat());
    }
    let written = server.written();
    assert!(written.len() > held.len(), "{} bytes", written.len());
    for (what, bytes) in [("held", held), ("written", written)] {
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("chartbrew-gateway"), "{what}");
        let digits = ids.iter().map(|id| id.replace('-', ""));
        let digits: Vec<_> = digits.chain([hex(MARK), hex(&upstream)]).collect();
        let plain = ids.iter().map(String::as_str).chain([MARK, &upstream]);
        for secret in plain.chain(digits.iter().map(String::as_str)) {
            assert!(!text.contains(secret), "{secret} is {what}: {text}");
        }
    }
}
