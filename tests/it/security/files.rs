//! Secrets in files, and files that are wrong: neither `check` nor `serve` repeats anything of them.

use std::path::PathBuf;

use chartbrew_gateway::callers::token::TokenHash;

use super::{
    binary::{assert_clean, run},
    marks,
};
use crate::support::pki::{Authority, Directory, HOST, Pair, text};

/// The settings of a gateway with every kind of secret, all in order.
pub(super) struct Secrets {
    directory: Directory,
    pub(super) authority: Authority,
    pub(super) pair: Pair,
    cert: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
    token: PathBuf,
    callers: PathBuf,
    store: String,
}

/// The gateway's own token.
pub(super) fn own_token() -> String {
    marks::mark("authToken")
}

/// The token of its one caller.
pub(super) fn callers_token() -> String {
    marks::mark("token")
}

/// The password of its store, where nobody listens.
fn store() -> String {
    format!("redis://default:{}@127.0.0.1:1/0", marks::mark("password"))
}

impl Secrets {
    pub(super) fn new() -> Self {
        let (directory, authority) = (Directory::new(), Authority::new("ours"));
        let pair = authority.issue(&[HOST]);
        let hash = TokenHash::of(&callers_token());
        let callers = format!("[[caller]]\nname = \"billing\"\ntoken_sha256 = [\"{hash}\"]\n");
        Self {
            cert: directory.write("cert.pem", &pair.cert),
            key: directory.write("key.pem", &pair.key),
            client_ca: directory.write("client-ca.pem", authority.pem()),
            token: directory.write("token", &own_token()),
            callers: directory.write("callers.toml", &callers),
            store: store(),
            directory,
            authority,
            pair,
        }
    }

    pub(super) fn settings(&self) -> [(&str, &str); 6] {
        [
            ("GATEWAY_TLS_CERT", text(&self.cert)),
            ("GATEWAY_TLS_KEY", text(&self.key)),
            ("GATEWAY_TLS_CLIENT_CA", text(&self.client_ca)),
            ("CHARTBREW_TOKEN_FILE", text(&self.token)),
            ("GATEWAY_CALLERS_FILE", text(&self.callers)),
            ("GATEWAY_REQUEST_ID_STORE", &self.store),
        ]
    }

    /// What TLS with Chartbrew can have.
    fn upstream(&self) -> [(&str, &str); 3] {
        [
            ("CHARTBREW_CA_FILE", text(&self.client_ca)),
            ("CHARTBREW_CLIENT_CERT", text(&self.cert)),
            ("CHARTBREW_CLIENT_KEY", text(&self.key)),
        ]
    }

    /// Writes a file anew.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        self.directory.write(name, content)
    }

    /// Asserts that there is nothing of a token, a password or the key: no part of one of its lines, as
    /// it is or as the PEM reader shows it, a number for each byte.
    pub(super) fn nothing_in(&self, case: &str, written: &str) {
        assert_clean(case, written);
        let lines = self.pair.key.lines().filter(|line| !line.starts_with('-'));
        let parts = lines.flat_map(|line| line.as_bytes().chunks(8));
        let parts: Vec<_> = parts.filter(|part| part.len() == 8).collect();
        assert!(parts.len() > 10);
        for part in parts {
            let numbers = format!("{part:?}");
            let numbers = numbers.trim_matches(['[', ']']);
            for shape in [str::from_utf8(part).unwrap(), numbers] {
                assert!(!written.contains(shape), "{case}: {written}");
            }
        }
    }
}

/// Callers files with a token where it must not be.
fn wrong_callers() -> Vec<String> {
    let token = callers_token();
    let with = |line: &str| format!("[[caller]]\nname = \"a\"\n{line}\n");
    let hash = TokenHash::of("another");
    vec![
        token.clone(),
        format!("token = \"{token}\""),
        format!("[[caller]]\n{token} = 1"),
        format!("[[{token}]]"),
        with(&format!("token = \"{token}\"")),
        with(&format!("token_sha256 = \"{token}\"")),
        with(&format!("token_sha256 = [\"{token}\"]")),
        with(&format!("token_sha256 = [{token}]")),
        with(&format!("certificate_names = [\"*{token}\"]")),
        with(&format!(
            "token_sha256 = [\"{hash}\"]\nmethods = [\"{token}\"]"
        )),
        with(&format!(
            "token_sha256 = [\"{hash}\"]\nteams = [\"{token}\"]"
        )),
        with(&format!(
            "token_sha256 = [\"{hash}\"]\ncalls_per_second = \"{token}\""
        )),
        format!("[[caller]]\nname = \"{token} \"\ntoken_sha256 = [\"{hash}\"]"),
        format!("[[caller]]\nname = \"a\"\ntoken_sha256 = [\"{hash}\"]\n{token}"),
        format!("# \u{0}{token}"),
    ]
}

#[test]
fn no_file_and_no_setting_is_repeated_be_it_right_or_wrong() {
    let secrets = Secrets::new();
    let (settings, upstream) = (secrets.settings(), secrets.upstream());
    let right = [&settings[..], &upstream, &[("GATEWAY_LOG", "trace")]].concat();
    let output = run(&["check"], &right);
    let written = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{written}");
    assert!(written.contains("default:(hidden)@127.0.0.1"), "{written}");
    secrets.nothing_in("all in order", &written);

    let pem = &secrets.pair.key;
    let (cut, marked) = (&pem[..pem.len() / 2], pem.replace("-----B", "---- B"));
    let write = |name: &str, content: &str| {
        let path = secrets.write(name, content);
        path.into_os_string().into_string().unwrap()
    };
    let files = [
        text(&secrets.key).to_owned(),
        write("cut.pem", cut),
        write("marked.pem", &marked),
        write("dirty.pem", &pem.replace("\n", "*\n")),
        // The reader's own error shows the whole line.
        write("line.pem", &pem.replace('\n', " ")),
        write("twice.pem", &format!("{}{}", secrets.pair.cert, pem)),
        write(
            "encrypted.pem",
            &pem.replace("PRIVATE", "ENCRYPTED PRIVATE"),
        ),
        text(&secrets.token).to_owned(),
        // In place of a path.
        pem.clone(),
        pem.replace('\n', " "),
        own_token(),
        format!("/{}", own_token()),
        format!("/\u{7f}/{}", callers_token()),
        std::env::temp_dir().display().to_string(),
        "/dev/null".to_owned(),
    ];
    let mut wrong = Vec::new();
    for variable in [
        "GATEWAY_TLS_CERT",
        "GATEWAY_TLS_CLIENT_CA",
        "CHARTBREW_CA_FILE",
        "CHARTBREW_CLIENT_CERT",
        "GATEWAY_CALLERS_FILE",
        "CHARTBREW_TOKEN_FILE",
    ] {
        let files = files.iter();
        wrong.extend(files.map(|file| (variable, file.clone())));
    }
    // A token is a token, whatever it was made for; and a certificate may come with its key.
    wrong.retain(|(variable, file)| match *variable {
        "CHARTBREW_TOKEN_FILE" => *file != text(&secrets.token),
        "GATEWAY_CALLERS_FILE" => true,
        _ => !file.ends_with("twice.pem"),
    });
    let keys = files.iter().filter(|file| {
        let is_right = ["key.pem", "twice.pem"].map(|name| file.ends_with(name));
        !is_right.contains(&true)
    });
    let keys: Vec<_> = keys
        .cloned()
        .chain([text(&secrets.cert).to_owned()])
        .collect();
    for variable in ["GATEWAY_TLS_KEY", "CHARTBREW_CLIENT_KEY"] {
        wrong.extend(keys.iter().map(|file| (variable, file.clone())));
    }
    for (number, callers) in wrong_callers().iter().enumerate() {
        let file = write(&format!("callers-{number}.toml"), callers);
        wrong.push(("GATEWAY_CALLERS_FILE", file));
    }
    let mark = marks::mark("password");
    for url in [
        format!("redis://u:{mark}@h/x"),
        format!("redis://u:{mark}@h:1/0#x"),
        format!("redis://u:{mark}@"),
        format!("http://u:{mark}@h"),
        format!("redis:{mark}"),
        format!("redis://h:{mark}"),
        format!("redis://h/0?password={mark}"),
        // The password in the place of the user.
        format!("redis://{mark}@127.0.0.1:1"),
        mark.clone(),
    ] {
        wrong.push(("GATEWAY_REQUEST_ID_STORE", url));
    }
    for url in [
        format!("https://{mark}@h"),
        format!("https://h/?token={mark}"),
        format!("https://h/#{mark}"),
        format!("https://h:{mark}"),
    ] {
        wrong.push(("CHARTBREW_URL", url));
    }
    for (variable, value) in &wrong {
        let environment = [&right[..], &[(*variable, &**value)]].concat();
        for subcommand in ["check", "serve"] {
            let case = format!("{subcommand} {variable}={value:?}");
            let output = run(&[subcommand], &environment);
            let written = [output.stdout, output.stderr].concat();
            let written = String::from_utf8_lossy(&written);
            assert_eq!(output.status.code(), Some(2), "{case}: {written}");
            assert!(
                written.contains(&format!("{variable}: ")),
                "{case}: {written}"
            );
            secrets.nothing_in(&case, &written);
        }
    }
}
