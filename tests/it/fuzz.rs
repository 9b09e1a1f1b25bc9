//! The fuzz targets on the stable toolchain: what the corpus holds, and variants of it. The long
//! runs are libFuzzer's: see docs/fuzzing.md.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "a crate of its own where libFuzzer runs it, a module here"
)]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

use proptest::{
    collection,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

use self::targets::{answer, request};

/// Variants that are tried of each target's corpus.
const VARIANTS: u32 = 5_000;

/// The inputs of a target, in a fixed order.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no corpus");
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One change to an input.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// The rest is another input's rest.
    Splice(Index, Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let some = collection::vec(any::<u8>(), 1..8);
    prop_oneof![
        any::<(Index, u8)>().prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), some).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1..32_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        any::<(Index, Index, Index)>().prop_map(|(at, of, from)| Edit::Splice(at, of, from)),
    ]
}

impl Edit {
    fn apply(self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let place = |at: Index, length: usize| at.index(length + 1);
        match self {
            Self::Set(at, byte) => {
                let at = place(at, input.len());
                input.splice(at..input.len().min(at + 1), [byte]);
            }
            Self::Insert(at, bytes) => {
                let at = place(at, input.len());
                input.splice(at..at, bytes);
            }
            Self::Remove(at, length) => {
                let at = place(at, input.len());
                input.drain(at..input.len().min(at + length));
            }
            Self::Splice(at, of, from) => {
                let other = of.get(corpus);
                input.truncate(place(at, input.len()));
                input.extend_from_slice(&other[place(from, other.len())..]);
            }
        }
    }
}

/// Runs the corpus, then variants of it. A failure shows the input, as small as it can be.
fn try_all(target: &str, run: fn(&[u8])) {
    let corpus = corpus(target);
    corpus.iter().for_each(|input| run(input));
    let config = Config {
        cases: VARIANTS,
        failure_persistence: None,
        ..Config::default()
    };
    let variants = (any::<Index>(), collection::vec(edit(), 1..5)).prop_map(|(of, edits)| {
        let mut input = of.get(&corpus).clone();
        edits
            .into_iter()
            .for_each(|edit| edit.apply(&mut input, &corpus));
        input
    });
    let result = TestRunner::new(config).run(&variants, |input| {
        run(&input);
        Ok(())
    });
    assert!(result.is_ok(), "{target}: {}", result.unwrap_err());
}

#[test]
fn any_answer_keeps_the_promises() {
    try_all("answer", answer::run);
}

#[test]
fn any_request_keeps_the_promises() {
    try_all("request", request::run);
}
