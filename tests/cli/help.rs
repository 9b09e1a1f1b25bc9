//! `--help` and the README's tables of settings, which are made from it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cli` writes both anew.

use std::{env, fmt::Write, fs, path::PathBuf};

use crate::binary::run;

const BEGIN: &str = "<!-- Made from `serve --help`: UPDATE_GOLDEN=1 cargo test --test cli -->\n";
const END: &str = "<!-- End of what is made from it -->\n";

#[tokio::test]
async fn each_help_is_as_reviewed() {
    let cases: [(&str, &[&str]); 5] = [
        ("help.txt", &["--help"]),
        ("help-serve.txt", &["serve", "--help"]),
        ("help-demo.txt", &["demo", "--help"]),
        ("help-sandbox.txt", &["sandbox", "--help"]),
        ("help-check.txt", &["check", "--help"]),
    ];
    for (name, arguments) in cases {
        let ended = run(arguments, &[]).await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{name}");
        compare(&format!("tests/cli/{name}"), &ended.stdout);
    }
}

#[tokio::test]
async fn the_version_is_that_of_the_package_and_the_commit() {
    let printed = run(&["--version"], &[]).await.stdout;
    let (version, commit) = (env!("CARGO_PKG_VERSION"), chartbrew_gateway::COMMIT);
    assert_eq!(printed, format!("chartbrew-gateway {version} ({commit})\n"));
}

#[tokio::test]
async fn without_a_subcommand_it_says_what_there_is() {
    let ended = run(&[], &[]).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
    assert!(ended.stderr.contains("Commands:"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_readme_has_every_setting_with_its_default() {
    let readme = fs::read_to_string(file("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the mark");
    let (_, after) = rest.split_once(END).expect("README.md has the end mark");
    let tables = tables(&run(&["serve", "--help"], &[]).await.stdout);
    compare(
        "README.md",
        &format!("{before}{BEGIN}\n{tables}{END}{after}"),
    );
}

/// Compares a file with what it should be, or writes it.
fn compare(path: &str, expected: &str) {
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(file(path), expected).unwrap();
    }
    let found = fs::read_to_string(file(path)).unwrap_or_default();
    assert!(
        found == expected,
        "{path} is out of date: run UPDATE_GOLDEN=1 cargo test --test cli, and review.\n{expected}"
    );
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Markdown table for each group of settings in the help.
fn tables(help: &str) -> String {
    let mut tables = String::new();
    for group in help.split("\n\n") {
        let Some((heading, settings)) = group.split_once(":\n") else {
            continue;
        };
        let rows: Vec<_> = entries(settings).iter().filter_map(|e| row(e)).collect();
        if rows.is_empty() {
            continue;
        }
        let head = "| variable | default | meaning |\n|---|---|---|";
        writeln!(tables, "**{heading}**\n\n{head}\n{}\n", rows.join("\n")).unwrap();
    }
    tables
}

/// The help of each flag on one line.
fn entries(settings: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in settings.lines() {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match entries.last_mut() {
            Some(entry) if !words.starts_with('-') => {
                entry.push(' ');
                entry.push_str(&words);
            }
            _ => entries.push(words),
        }
    }
    entries
}

/// `--flag <VALUE> Meaning [env: NAME=] [default: value]` as a row; `None` if it has no variable.
fn row(entry: &str) -> Option<String> {
    let (text, settings) = entry.split_once("[env: ")?;
    let (variable, settings) = settings.split_once(']')?;
    let variable = variable.trim_end_matches('=');
    let default = settings
        .split_once("[default: ")
        .and_then(|(_, default)| default.split_once(']'))
        .map_or_else(|| "unset".to_owned(), |(default, _)| format!("`{default}`"));
    let (_, meaning) = text.split_once("> ")?;
    let meaning = meaning.trim().replace('|', "\\|");
    Some(format!("| `{variable}` | {default} | {meaning}. |"))
}
