//! Who may import whom: the table, held against the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Room → the rooms that it may use. `proto` and `telemetry` are leaves that everyone may use.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("admin", &["telemetry"]),
    (
        "app",
        &["admin", "chartbrew", "delivery", "grpc", "telemetry"],
    ),
    ("chartbrew", &["telemetry"]),
    ("config", &["app", "chartbrew", "delivery", "telemetry"]),
    ("convert", &["chartbrew::types", "proto"]),
    ("delivery", &["chartbrew", "telemetry"]),
    ("demo", &["app", "proto"]),
    (
        "grpc",
        &["chartbrew", "convert", "delivery", "proto", "telemetry"],
    ),
    ("proto", &[]),
    ("shutdown", &[]),
    ("telemetry", &[]),
    // The binary's own room, which uses the library by its name.
    ("cli", &[]),
];

/// Crates that a room must not know, so that its idea stays apart from the wire's.
const MAY_NOT_NAME: [(&str, &[&str]); 3] = [
    (
        "delivery",
        &[
            "tonic::",
            "prost",
            "reqwest",
            "axum",
            "crate::proto",
            "crate::convert",
        ],
    ),
    (
        "chartbrew",
        &["tonic::", "prost", "axum", "crate::delivery"],
    ),
    ("convert", &["tonic::", "reqwest", "axum", "tokio"]),
];

#[test]
fn every_room_uses_only_what_it_may() {
    let mut wrong = Vec::new();
    let mut rooms = BTreeSet::new();
    for (path, room) in sources() {
        rooms.insert(room.clone());
        let text = code(&path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{room} is no room of the table"));
            continue;
        };
        for used in used_rooms(&text) {
            let fine = used.split("::").next() == Some(&room)
                || allowed
                    .iter()
                    .any(|a| *a == used || used.starts_with(&format!("{a}::")));
            if !fine {
                wrong.push(format!("{}: {room} may not use {used}", path.display()));
            }
        }
        for (_, names) in MAY_NOT_NAME.iter().filter(|(name, _)| *name == room) {
            for name in names.iter().filter(|name| text.contains(**name)) {
                wrong.push(format!("{}: {room} may not name {name}", path.display()));
            }
        }
    }
    for (room, _) in MAY_USE {
        assert!(
            rooms.contains(room),
            "the table has a room that is gone: {room}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_one_file_makes_a_status() {
    let makers = sources().into_iter().filter(|(path, _)| {
        let text = code(path);
        text.contains("Status::with_") || text.contains("Status::new(")
    });
    let makers: Vec<_> = makers.map(|(path, _)| path).collect();
    assert_eq!(makers, [src().join("grpc/status/row.rs")]);
}

#[test]
fn the_reader_finds_imports_in_every_form() {
    let text = "use crate::{\n    chartbrew::{self, Token},\n    convert::Limits,\n};\n\
                use crate::proto;\nfn f() -> crate::delivery::Error { crate::app::x() }";
    let found: Vec<_> = used_rooms(text).into_iter().collect();
    let expected = [
        "app::x",
        "chartbrew",
        "chartbrew::Token",
        "convert::Limits",
        "delivery::Error",
        "proto",
    ];
    assert_eq!(found, expected);
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file but lib.rs and main.rs, with its room.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let inside = path.strip_prefix(src()).unwrap();
                let first = inside.iter().next().unwrap().to_str().unwrap();
                let room = first.trim_end_matches(".rs").to_owned();
                if room != "lib" && room != "main" {
                    files.insert(path, room);
                }
            }
        }
    }
    files
}

/// The file without comments and without its tests, which may use what they like.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows `crate::`, one level into the room; groups are opened.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("crate::") {
        let after = &text[start + "crate::".len()..];
        expand("", after, &mut found);
    }
    found
}

fn expand(prefix: &str, text: &str, found: &mut BTreeSet<String>) {
    let depth = prefix.matches("::").count();
    if let Some(group) = text.strip_prefix('{') {
        let mut level = 0;
        let mut item = String::new();
        for character in group.chars() {
            match character {
                '}' if level == 0 => break,
                ',' if level == 0 => {
                    expand(prefix, item.trim(), found);
                    item.clear();
                    continue;
                }
                '{' => level += 1,
                '}' => level -= 1,
                _ => {}
            }
            item.push(character);
        }
        if !item.trim().is_empty() {
            expand(prefix, item.trim(), found);
        }
        return;
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = match name {
        "self" => prefix.trim_end_matches("::").to_owned(),
        _ => format!("{prefix}{name}"),
    };
    match rest.strip_prefix("::") {
        Some(rest) if depth == 0 => expand(&format!("{path}::"), rest, found),
        _ => {
            found.insert(path);
        }
    }
}
