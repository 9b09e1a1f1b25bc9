//! Which module may import which: tables that are compared with the source. No files may import
//! each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Top-level module → the modules that it may use.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("admin", &["telemetry"]),
    (
        "app",
        &[
            "admin",
            "chartbrew",
            "delivery",
            "grpc",
            "reload",
            "telemetry",
        ],
    ),
    ("callers", &["proto", "reload", "telemetry", "tls"]),
    ("chartbrew", &["crypto", "reload", "telemetry", "tls"]),
    // The binary's own module, which uses the library by its name.
    ("cli", &[]),
    (
        "config",
        &[
            "admin",
            "app",
            "callers",
            "chartbrew",
            "convert",
            "delivery",
            "grpc",
            "reload",
            "telemetry",
            "tls",
        ],
    ),
    ("convert", &["chartbrew::types", "proto"]),
    ("crypto", &[]),
    ("delivery", &["chartbrew", "crypto", "telemetry"]),
    ("demo", &["admin", "app", "proto"]),
    (
        "grpc",
        &[
            "callers",
            "chartbrew",
            "convert",
            "delivery",
            "proto",
            "reload",
            "telemetry",
            "tls",
        ],
    ),
    ("proto", &[]),
    ("reload", &["telemetry"]),
    ("shutdown", &[]),
    ("telemetry", &["crypto"]),
    ("tls", &["reload", "telemetry"]),
];

/// Crates that a module must not know, so that what it decides does not depend on a protocol that
/// is another module's.
const MAY_NOT_NAME: [(&str, &[&str]); 3] = [
    ("delivery", &["tonic::", "prost", "reqwest", "axum"]),
    ("chartbrew", &["tonic::", "prost", "axum"]),
    ("convert", &["tonic::", "reqwest", "axum", "tokio"]),
];

/// A module's path from the crate's root: `["delivery", "create"]`.
type Module = Vec<String>;

#[test]
fn a_module_uses_only_what_it_may() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (module, text) in &sources {
        let top = &module[0];
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == top) else {
            wrong.push(format!("{top} is not in the table"));
            continue;
        };
        for used in used_paths(module, text) {
            let path = used.join("::");
            let may =
                |allowed: &&str| path == *allowed || path.starts_with(&format!("{allowed}::"));
            if used[0] != *top && !allowed.iter().any(may) {
                wrong.push(format!("{} may not use {path}", module.join("::")));
            }
        }
        for (_, names) in MAY_NOT_NAME.iter().filter(|(name, _)| name == top) {
            for name in names.iter().filter(|name| text.contains(**name)) {
                wrong.push(format!("{} may not name {name}", module.join("::")));
            }
        }
    }
    for (name, _) in MAY_USE {
        let exists = sources.keys().any(|module| module[0] == name);
        assert!(exists, "the table has a module that is gone: {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A module and those inside it may know each other; all others must be read in some order.
#[test]
fn no_modules_import_each_other_in_a_circle() {
    let sources = sources();
    let mut uses: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, text) in &sources {
        for used in used_paths(module, text) {
            let files = (1..=used.len()).rev().map(|length| &used[..length]);
            let mut files = files.filter_map(|path| sources.get_key_value(path));
            let Some((used, _)) = files.next() else {
                continue;
            };
            if !used.starts_with(module) && !module.starts_with(used) {
                uses.entry(module).or_default().insert(used);
            }
        }
    }
    // Whatever uses nothing that is left cannot be part of a circle.
    loop {
        let left: BTreeSet<_> = uses.keys().copied().collect();
        for used in uses.values_mut() {
            used.retain(|module| left.contains(module));
        }
        uses.retain(|_, used| !used.is_empty());
        if uses.len() == left.len() {
            break;
        }
    }
    let circle = uses.iter().map(|(module, used)| {
        let used: Vec<_> = used.iter().map(|used| used.join("::")).collect();
        format!("{} uses {}", module.join("::"), used.join(", "))
    });
    let circle: Vec<_> = circle.collect();
    assert!(circle.is_empty(), "a circle:\n{}", circle.join("\n"));
}

#[test]
fn only_one_file_makes_a_status() {
    let makers = sources()
        .into_iter()
        .filter(|(_, text)| text.contains("Status::with_") || text.contains("Status::new("));
    let makers: Vec<_> = makers.map(|(module, _)| module.join("::")).collect();
    assert_eq!(makers, ["grpc::status::row"]);
}

#[test]
fn the_reader_finds_imports_in_every_form() {
    let text = "use crate::{\n    chartbrew::{self, Token},\n    convert::Limits,\n};\n\
                use super::{b::{c, d::E}, F};\nfn f() -> crate::delivery::Error { super::g() }";
    let module = ["grpc".to_owned(), "a".to_owned()];
    let found = used_paths(&module, text).into_iter();
    let found: Vec<_> = found.map(|path| path.join("::")).collect();
    let expected = [
        "chartbrew",
        "chartbrew::Token",
        "convert::Limits",
        "delivery::Error",
        "grpc::F",
        "grpc::b::c",
        "grpc::b::d::E",
        "grpc::g",
    ];
    assert_eq!(found, expected);
}

/// Every source file but lib.rs and main.rs, by its module, without comments and tests.
fn sources() -> BTreeMap<Module, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let module = path.strip_prefix(&src).unwrap().with_extension("");
                let module: Module = module
                    .iter()
                    .map(|part| part.to_str().unwrap().to_owned())
                    .collect();
                if !["lib", "main", "tests"].contains(&&**module.last().unwrap()) {
                    sources.insert(module, code(&path));
                }
            }
        }
    }
    sources
}

fn code(path: &PathBuf) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths that follow `crate::` and `super::`, from the crate's root; groups are opened.
fn used_paths(module: &[String], text: &str) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    let parent = &module[..module.len() - 1];
    for (start, prefix, base) in text
        .match_indices("crate::")
        .map(|(start, prefix)| (start, prefix, &[][..]))
        .chain(
            text.match_indices("super::")
                .map(|(start, prefix)| (start, prefix, parent)),
        )
    {
        expand(base, &text[start + prefix.len()..], &mut found);
    }
    found.remove(&Vec::new());
    found
}

fn expand(base: &[String], text: &str, found: &mut BTreeSet<Module>) {
    if let Some(group) = text.strip_prefix('{') {
        for item in items(group) {
            expand(base, item.trim(), found);
        }
        return;
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path: Module = match name {
        "" => return,
        "self" => base.to_vec(),
        "super" => base[..base.len().saturating_sub(1)].to_vec(),
        _ => [base, &[name.to_owned()]].concat(),
    };
    match rest.strip_prefix("::") {
        Some(rest) => expand(&path, rest, found),
        None => {
            found.insert(path);
        }
    }
}

/// The items of a group, up to its closing brace.
fn items(group: &str) -> Vec<&str> {
    let (mut items, mut level, mut start) = (Vec::new(), 0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items
}
