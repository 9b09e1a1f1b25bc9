//! The list of dependencies in the documents, compared with `Cargo.toml`.

use std::collections::BTreeSet;

use super::docs::read;

#[test]
fn every_dependency_has_its_reason_and_its_licence() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let document = read("docs/dependencies.md");
    for (section, title) in [
        ("dependencies", "In the program"),
        ("build-dependencies", "For the build"),
        ("dev-dependencies", "For the tests"),
    ] {
        let named: BTreeSet<_> = manifest[section].as_table().unwrap().keys().collect();
        let named: BTreeSet<_> = named.into_iter().map(String::as_str).collect();
        let mut documented = BTreeSet::new();
        for row in rows(&document, title) {
            let [name, why, licence] = row.as_slice() else {
                panic!("{title}: {row:?}");
            };
            assert!(!why.is_empty() && !licence.is_empty(), "{name}");
            assert!(documented.insert(*name), "{title}: {name} is there twice");
        }
        assert_eq!(documented, named, "{title}");
    }
}

/// The rows of the table under a title, as cells.
fn rows<'a>(document: &'a str, title: &str) -> Vec<Vec<&'a str>> {
    let (_, after) = document.split_once(&format!("## {title}\n")).unwrap();
    let table = after.lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |row: &'a str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.map(cells).collect()
}
