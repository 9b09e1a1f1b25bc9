//! `chartbrew-gateway health`, as a probe runs it.

use tokio::process::Command;

use crate::support::{
    gateway::{gateway, sandbox},
    pki::{Authority, Files, HOST, text},
    raw::nobody,
};

/// Whether a probe says that the gateway serves, and what it prints.
async fn probe(flags: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"));
    let command = command.env_clear().arg("health").args(flags);
    let ended = command
        .envs(variables.iter().copied())
        .output()
        .await
        .unwrap();
    let printed = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(printed).unwrap())
}

#[tokio::test]
async fn a_probe_tells_a_gateway_that_serves_from_one_that_does_not() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.shutdown_delay = std::time::Duration::from_secs(3600))
        .start()
        .await;
    let addr = gateway.addr.to_string();
    let target = ["--target", &addr];
    assert_eq!(probe(&target, &[]).await, (true, "SERVING\n".to_owned()));
    // Beside the gateway, with the same environment.
    let everywhere = format!("0.0.0.0:{}", gateway.addr.port());
    assert!(probe(&[], &[("GATEWAY_LISTEN", &everywhere)]).await.0);
    let unknown = [&target[..], &["--service", "no.such.Service"]].concat();
    let (serves, printed) = probe(&unknown, &[]).await;
    assert!(
        !serves && printed.contains("service not registered"),
        "{printed}"
    );

    gateway.stop();
    let not_serving =
        async { while probe(&target, &[]).await != (false, "NOT_SERVING\n".to_owned()) {} };
    crate::support::time::soon(not_serving).await;
    let nobody = nobody().await;
    let nobody = nobody.trim_start_matches("http://");
    let (serves, printed) = probe(&["--target", nobody], &[]).await;
    assert!(
        !serves && printed.starts_with("chartbrew-gateway: "),
        "{printed}"
    );
}

#[tokio::test]
async fn a_probe_speaks_tls_and_shows_a_certificate() {
    let sandbox = sandbox().await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let files = Files::new(&authority, &authority);
    let gateway = gateway(&sandbox.url())
        .with(|settings| files.with_client_ca(settings, &[]))
        .start_without_client()
        .await;
    let addr = gateway.addr.to_string();
    let pair = authority.issue(&["probe.example"]);
    let (cert, key) = (
        files.write("probe.pem", &pair.cert),
        files.write("probe.key", &pair.key),
    );
    let ca = files.write("ca.pem", authority.pem());
    let other = files.write("other.pem", other.pem());
    let target = ["--target", &*addr];
    let shown = ["--cert", text(&cert), "--key", text(&key)];
    let trusted = ["--ca", text(&ca), "--server-name", HOST];
    let cases: [(&[&[&str]], bool); 7] = [
        (&[&target, &shown, &trusted], true),
        (&[&target, &shown, &["--tls"]], true),
        (&[&target, &trusted], false),
        (&[&target, &shown, &["--ca", text(&ca)]], false),
        (
            &[
                &target,
                &shown,
                &["--ca", text(&other), "--server-name", HOST],
            ],
            false,
        ),
        (&[&target, &shown], true),
        (&[&["--target", "192.0.2.1:1"], &shown, &["--tls"]], false),
    ];
    for (flags, expected) in cases {
        let flags = flags.concat();
        let (serves, printed) = probe(&flags, &[]).await;
        assert_eq!(serves, expected, "{flags:?}: {printed}");
        assert!(!printed.contains("-----"), "{printed}");
    }
    // Beside a gateway whose environment says that it has TLS.
    let variables = [
        ("GATEWAY_LISTEN", &*addr),
        ("GATEWAY_TLS_CERT", text(&files.cert)),
    ];
    assert!(probe(&shown, &variables).await.0);
}
