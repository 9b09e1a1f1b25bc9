use tokio::time::Instant;

use super::*;

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// The hash of another token.
fn hash(token: &str) -> String {
    TokenHash::of(token).to_string()
}

fn callers(text: &str) -> Callers {
    Callers::parse(text, true).unwrap()
}

#[test]
fn a_caller_is_found_by_token_certificate_or_both() {
    let text = format!(
        r#"
        [[caller]]
        name = "by-token"
        token_sha256 = ["{}", "{}"]
        [[caller]]
        name = "by-certificate"
        certificate_names = ["Billing.example", "spiffe://example/billing"]
        [[caller]]
        name = "by-both"
        token_sha256 = ["{}"]
        certificate_names = ["both.example"]
        "#,
        hash("old"),
        hash("new"),
        hash("both"),
    );
    let callers = callers(&text);
    type Case = (
        Option<&'static str>,
        &'static [&'static str],
        Result<&'static str, Unknown>,
    );
    let cases: [Case; 11] = [
        (Some("old"), &[], Ok("by-token")),
        (Some("new"), &["other.example"], Ok("by-token")),
        (Some("other"), &[], Err(Unknown::Token)),
        (Some(HASH), &[], Err(Unknown::Token)),
        (None, &[], Err(Unknown::NoToken)),
        (None, &["x", "billing.example"], Ok("by-certificate")),
        (None, &["spiffe://example/billing"], Ok("by-certificate")),
        (None, &["spiffe://example/Billing"], Err(Unknown::NoToken)),
        (None, &["both.example"], Err(Unknown::NoToken)),
        (Some("both"), &["billing.example"], Err(Unknown::Token)),
        (Some("both"), &["both.example"], Ok("by-both")),
    ];
    for (token, names, expected) in cases {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let found = callers
            .identify(token, &names)
            .map(|caller| &**caller.name());
        assert_eq!(found, expected, "{token:?} {names:?}");
    }
    // A token that is wrong is wrong, whatever the certificate is.
    let names = ["billing.example".to_owned()];
    assert_eq!(
        callers.identify(Some("other"), &names).err(),
        Some(Unknown::Token)
    );
}

#[test]
fn a_caller_may_do_what_its_entry_says() {
    let text = format!(
        r#"
        [[caller]]
        name = "limited"
        token_sha256 = ["{HASH}"]
        teams = [1, 2]
        methods = ["Create", "Get"]
        calls_per_second = 2
        [[caller]]
        name = "all"
        token_sha256 = ["{}"]
        "#,
        hash("all"),
    );
    let callers = callers(&text);
    let method = |name: &str| format!("chartbrew.connection.v1.ConnectionService/{name}");
    let limited = callers.identify(Some("abc"), &[]).unwrap();
    assert!(limited.may_use_team(2) && !limited.may_use_team(3) && !limited.may_use_team(0));
    assert!(limited.may_call(&method("Get")) && !limited.may_call(&method("List")));
    assert!(!limited.may_call("Get"));
    assert!(limited.take().is_ok() && limited.take().is_ok());
    let wait = limited.take().unwrap_err();
    assert!(
        wait > Duration::ZERO && wait <= Duration::from_millis(500),
        "{wait:?}"
    );
    let all = callers.identify(Some("all"), &[]).unwrap();
    assert!(all.may_use_team(3) && all.may_call(&method("List")) && all.take().is_ok());
}

#[tokio::test]
async fn a_change_of_the_file_gives_no_caller_its_calls_again() {
    let path = std::env::temp_dir().join(format!("callers-{}", uuid::Uuid::new_v4()));
    let write = |rate: u32, team: u32| {
        let entry = format!(
            "[[caller]]\nname = \"a\"\ntoken_sha256 = [\"{HASH}\"]\ncalls_per_second = {rate}\nteams = [{team}]"
        );
        std::fs::write(path.with_extension("new"), entry).unwrap();
        std::fs::rename(path.with_extension("new"), &path).unwrap();
    };
    write(1, 1);
    let callers = Callers::open(path.clone(), false, Duration::from_millis(1)).unwrap();
    let caller = || {
        callers
            .current()
            .identify(Some("abc"), &[])
            .unwrap()
            .clone()
    };
    let changed = async |team| {
        while !caller().may_use_team(team) {
            tokio::task::yield_now().await;
        }
    };
    let mut is_shown = false;
    for team in 2..100 {
        let begun = Instant::now();
        let first = caller().take();
        write(1, team);
        changed(i32::try_from(team).unwrap()).await;
        let second = caller().take();
        // After that time there is one more call to make.
        if begun.elapsed() < Duration::from_secs(1) {
            is_shown = first.is_ok();
            assert!(second.is_err());
            break;
        }
    }
    assert!(is_shown);
    // Another rate counts from the start.
    write(2, 100);
    changed(100).await;
    assert!(caller().take().is_ok());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_wrong_is_named_and_no_value_is_repeated() {
    let entry =
        |more: &str| format!("[[caller]]\nname = \"a\"\ntoken_sha256 = [\"{HASH}\"]\n{more}");
    let cases = [
        (String::new(), "has no [[caller]]"),
        ("marker".to_owned(), "line 1: is not valid TOML"),
        (entry("marker = 1"), "line 4: unknown key"),
        (
            entry("teams = \"marker\""),
            "line 4: a value is of another type",
        ),
        (entry("[other]\nmarker = 1"), "line 4: unknown key"),
        (
            "[[caller]]\ntoken_sha256 = []".to_owned(),
            "an entry needs a name",
        ),
        (
            "[[caller]]\nname = \"mar ker\"".to_owned(),
            "caller number 1: name must be",
        ),
        (
            format!("[[caller]]\nname = \"{}\"", "a".repeat(65)),
            "name must be 1 to 64",
        ),
        (
            "[[caller]]\nname = \"a\"".to_owned(),
            "needs token_sha256 or certificate_names",
        ),
        (
            "[[caller]]\nname = \"a\"\ntoken_sha256 = [\"marker\"]".to_owned(),
            "64 hexadecimal",
        ),
        (entry("teams = []"), "teams must be numbers"),
        (entry("teams = [0]"), "teams must be numbers"),
        (entry("methods = []"), "methods must be some of Create, Get"),
        (
            entry("methods = [\"marker\"]"),
            "methods must be some of Create, Get",
        ),
        (entry("calls_per_second = 0"), "calls_per_second must be"),
        (entry("calls_per_second = -1"), "calls_per_second must be"),
        (
            entry("certificate_names = [\"*.marker\"]"),
            "certificate_names: each must be",
        ),
        (
            entry("") + &entry("").replace("\"a\"", "\"b\""),
            "\"b\": a token_sha256 is there twice",
        ),
        (
            entry("") + &entry(""),
            "caller \"a\": the name is there twice",
        ),
        (
            "[[caller]]\nname = \"a\"\ncertificate_names = [\"marker\"]\n\
             [[caller]]\nname = \"b\"\ncertificate_names = [\"Marker\"]"
                .to_owned(),
            "\"b\": one of certificate_names is there twice",
        ),
    ];
    for (text, expected) in cases {
        let problem = Callers::parse(&text, true).unwrap_err();
        assert!(problem.contains(expected), "{text}\n{problem}");
        assert!(
            !problem.contains("marker") && !problem.contains('\n'),
            "{problem}"
        );
    }
    let names = entry("certificate_names = [\"marker\"]");
    let problem = Callers::parse(&names, false).unwrap_err();
    assert_eq!(
        problem,
        "caller \"a\": certificate_names need GATEWAY_TLS_CLIENT_CA"
    );
}
