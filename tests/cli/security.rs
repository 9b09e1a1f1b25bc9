//! The threat model in SECURITY.md, compared with the tests that it names.

use std::collections::BTreeMap;

use super::docs::{quoted, read};

/// The heads of its tables: of what is prevented, with the tests, and of what is not.
const PREVENTED: &str = "| what they may try | what stops it | shown by |";
const NOT_PREVENTED: &str = "| what | why, and what to do |";

#[test]
fn every_test_that_the_threat_model_names_exists() {
    let model = read("SECURITY.md");
    let mut sources = BTreeMap::new();
    let (mut tables, mut tests) = (0, 0);
    let mut is_prevented = None;
    for line in model.lines() {
        match line {
            PREVENTED => (tables, is_prevented) = (tables + 1, Some(true)),
            NOT_PREVENTED => is_prevented = Some(false),
            "|---|---|---|" | "|---|---|" => {}
            row if row.starts_with('|') => match is_prevented {
                Some(true) => tests += shown(row, &mut sources),
                Some(false) => assert_eq!(row.matches('|').count(), 3, "{row}"),
                None => panic!("a table without one of the heads: {row}"),
            },
            _ => is_prevented = None,
        }
    }
    assert!(
        tables >= 10 && tests >= 60,
        "{tables} tables, {tests} tests"
    );
}

/// How many tests the last cell of a row names. They exist: after each file come its tests. A step of
/// the checks counts as one.
fn shown<'a>(row: &'a str, sources: &mut BTreeMap<&'a str, String>) -> usize {
    let cells: Vec<_> = row.trim_matches('|').split('|').collect();
    let [_, _, cell] = cells.as_slice() else {
        panic!("not three cells: {row}");
    };
    let (mut file, mut tests) = (None, 0);
    for name in quoted(cell) {
        if name.ends_with(".rs") {
            sources.entry(name).or_insert_with(|| read(name));
            file = Some(name);
            continue;
        }
        if let Some(step) = name.strip_prefix(".ci/run ") {
            let step = format!("step_{step}() {{");
            assert!(read(".ci/run").contains(&step), "no {name}");
            tests += 1;
            continue;
        }
        let file = file.unwrap_or_else(|| panic!("{name} has no file: {row}"));
        assert!(has_test(&sources[file], name), "{file} has no test {name}");
        tests += 1;
    }
    // What is no test has a step of the checks, or is said in words.
    assert!(
        tests > 0 || cell.contains(".ci/run"),
        "nothing shows it: {row}"
    );
    tests
}

fn has_test(source: &str, name: &str) -> bool {
    let heads = ["fn", "async fn"].map(|kind| format!("{kind} {name}("));
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let is_test = pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test");
        is_test && heads.iter().any(|head| pair[1].starts_with(head))
    })
}
