//! What the documents say, held against the code.

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_reason_of_the_error_table_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("src/grpc/status.rs")).unwrap();
    let document = fs::read_to_string(root.join("docs/errors.md")).unwrap();

    let in_code: BTreeSet<_> = table.split('"').filter(|text| is_reason(text)).collect();
    let in_document: BTreeSet<_> = document
        .lines()
        .filter_map(|row| row.split('|').nth(2))
        .map(|cell| cell.trim().trim_matches('`'))
        .filter(|text| is_reason(text))
        .collect();
    assert!(in_code.len() > 15, "{in_code:?}");
    assert_eq!(in_code, in_document);
}

fn is_reason(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}
