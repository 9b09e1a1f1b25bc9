//! The files of TLS with Chartbrew: one that cannot be used is one line, which names its setting and
//! shows nothing of the file.

use std::{fs, path::PathBuf};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::binary::run;

const CA: &str = "CHARTBREW_CA_FILE";
const CERT: &str = "CHARTBREW_CLIENT_CERT";
const KEY: &str = "CHARTBREW_CLIENT_KEY";
const SECRET: &str = "not-for-your-eyes";
/// PEM whose reader repeats the line in its error.
const GARBAGE: &str = "-----BEGIN not-for-your-eyes\nnot-for-your-eyes\n";

/// Removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A certificate and its key, in PEM.
fn signed(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    change(&mut params);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_one_line() {
    let files = Files::new();
    let (cert, key) = signed(|_| {});
    let other_key = signed(|_| {}).1;
    let (expired, its_key) = signed(|params| params.not_after = date_time_ymd(2020, 1, 1));
    // Base64 of nothing that is a certificate, or a key.
    let broken = |name: &str| format!("-----BEGIN {name}-----\nc2VjcmV0\n-----END {name}-----\n");
    let (no_cert, no_key) = (broken("CERTIFICATE"), broken("PRIVATE KEY"));
    let cert_file = files.write("cert.pem", &cert);
    let key_file = files.write("key.pem", &key);
    let key_in_its_place = files.write("swapped.pem", &key);
    let cert_in_its_place = files.write("swapped-key.pem", &cert);
    let garbage = files.write("garbage.pem", GARBAGE);
    let empty = files.write("empty.pem", "");
    let no_cert = files.write("no-cert.pem", &no_cert);
    let no_key = files.write("no-key.pem", &no_key);
    let other_key_file = files.write("other-key.pem", &other_key);
    let expired = files.write("expired.pem", &expired);
    let its_key_file = files.write("its-key.pem", &its_key);
    let missing = files.0.join(SECRET);
    let missing = missing.to_str().unwrap();

    let cases: [(&str, &[(&str, &str)]); 16] = [
        (CA, &[(CA, missing)]),
        (CA, &[(CA, &garbage)]),
        (CA, &[(CA, &empty)]),
        (CA, &[(CA, &no_cert)]),
        (CA, &[(CA, &key_file)]),
        (KEY, &[(CERT, &cert_file)]),
        (CERT, &[(KEY, &key_file)]),
        (CERT, &[(CERT, missing), (KEY, &key_file)]),
        (CERT, &[(CERT, &garbage), (KEY, &key_file)]),
        (CERT, &[(CERT, &no_cert), (KEY, &key_file)]),
        (CERT, &[(CERT, &key_in_its_place), (KEY, &key_file)]),
        (CERT, &[(CERT, &expired), (KEY, &its_key_file)]),
        (KEY, &[(CERT, &cert_file), (KEY, &cert_in_its_place)]),
        (KEY, &[(CERT, &cert_file), (KEY, &garbage)]),
        (KEY, &[(CERT, &cert_file), (KEY, &no_key)]),
        (KEY, &[(CERT, &cert_file), (KEY, &other_key_file)]),
    ];
    let secrets = [&*key, &*other_key, &*its_key].map(|pem| pem.lines().nth(1).unwrap());
    // The reader shows bytes as numbers.
    let as_bytes = format!("{:?}", SECRET.as_bytes());
    let as_bytes = as_bytes.trim_matches(['[', ']']);
    for (variable, settings) in cases {
        for subcommand in ["check", "serve"] {
            let ended = run(&[subcommand], settings).await;
            let told = &ended.stderr;
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{told}");
            let expected = format!("chartbrew-gateway: {variable}: ");
            assert!(told.starts_with(&expected), "{settings:?}: {told}");
            assert_eq!(told.lines().count(), 1, "{settings:?}: {told}");
            for secret in secrets.iter().chain(&[SECRET, "c2VjcmV0", as_bytes]) {
                assert!(!told.contains(secret), "{settings:?}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn all_files_that_cannot_be_used_are_named() {
    let files = Files::new();
    let garbage = files.write("garbage.pem", GARBAGE);
    let ended = run(&["check"], &[(CA, &garbage), (KEY, &garbage)]).await;
    let named = ended.stderr.lines().map(|line| line.split(": ").nth(1));
    let named: Vec<_> = named.map(Option::unwrap).collect();
    assert_eq!(named, [CA, CERT]);
}

#[tokio::test]
async fn files_that_can_be_used_are_shown_by_their_paths() {
    let files = Files::new();
    let (cert, key) = signed(|_| {});
    let cert = files.write("cert.pem", &cert);
    let key = files.write("key.pem", &key);
    let settings = [(CA, &*cert), (CERT, &*cert), (KEY, &*key)];
    let ended = run(&["check"], &settings).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for (variable, path) in settings {
        let line = format!("{variable}={path}");
        assert!(ended.stdout.lines().any(|shown| shown == line), "{line}");
    }
}
