use proptest::{collection, prelude::*};

use super::*;

/// What is read of an array that arrives in these pieces, and how it ends.
fn read(pieces: &[&[u8]], max: usize) -> Result<Vec<String>, Unreadable> {
    let (mut elements, mut found) = (Elements::default(), Vec::new());
    for piece in pieces {
        let more = elements.push(piece, max, |element| {
            found.push(String::from_utf8_lossy(element).trim().to_owned());
            Ok(true)
        })?;
        assert!(more);
    }
    elements.finish().map(|()| found)
}

const ARRAYS: [&str; 14] = [
    "[]",
    " [ ] \r\n\t",
    "[1]",
    "[1,2 , 3]",
    r#"[{"a":1},{"b":[{"c":{}}]}]"#,
    r#"["a","b,]}[{","c\"]","d\\","e\\\"","\u005d"]"#,
    r#"[{"]":"}","[{":["]}",{"\\":"\\\\\""}]},"x"]"#,
    "[[],[[]],[[[1],2],3]]",
    "[null,true,false,-1.5e-7]",
    r#"[ {"id" : 1 } ,
          {"id":2}
        ]"#,
    r#"["日本語","🦀","\ud83e\udd80"]"#,
    r#"[""]"#,
    "[{}]",
    r#"[{"a":"\\"},{"a":"\\\\\\"}]"#,
];

#[test]
fn an_array_is_cut_into_its_elements_wherever_it_is_cut_itself() {
    for array in ARRAYS {
        let expected: Vec<&serde_json::value::RawValue> = serde_json::from_str(array).unwrap();
        let expected: Vec<_> = expected.iter().map(|element| element.get()).collect();
        let bytes = array.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    read(&pieces, 1_000).unwrap(),
                    expected,
                    "{array} {first} {second}"
                );
            }
        }
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&each, 1_000).unwrap(), expected, "{array}");
    }
}

#[test]
fn an_array_without_its_end_is_cut_short() {
    for array in ARRAYS {
        let array = array.trim().as_bytes();
        for end in 1..array.len() {
            let cut = read(&[&array[..end]], 1_000);
            assert_eq!(cut, Err(Unreadable::CutShort), "{end}");
        }
    }
}

#[test]
fn what_is_no_array_is_refused() {
    let cases: [(&[u8], _); 9] = [
        (b"", Unreadable::WrongShape),
        (b" \n", Unreadable::WrongShape),
        (b"{}", Unreadable::WrongShape),
        (b"null", Unreadable::WrongShape),
        (b"\"[]\"", Unreadable::WrongShape),
        (b"<html>[]", Unreadable::WrongShape),
        (b"\xef\xbb\xbf[]", Unreadable::WrongShape),
        (b"[]]", Unreadable::WrongShape),
        (b"[] []", Unreadable::WrongShape),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(&[bytes], 1_000), Err(expected), "{bytes:?}");
        let each: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(read(&each, 1_000), Err(expected), "{bytes:?}");
    }
}

#[test]
fn an_element_is_as_large_as_it_may_be_and_the_list_any_size() {
    let element = format!(r#"{{"id":1,"x":"{}"}}"#, "y".repeat(80));
    let max = element.len();
    let list = format!("[{}]", vec![element.as_str(); 50].join(","));
    for size in [1, 7, 64, 1_000] {
        let pieces: Vec<_> = list.as_bytes().chunks(size).collect();
        assert_eq!(read(&pieces, max).unwrap().len(), 50, "{size}");
    }
    for size in [1, 7, 64] {
        let pieces: Vec<_> = list.as_bytes().chunks(size).collect();
        assert_eq!(read(&pieces, max - 20), Err(Unreadable::TooLarge), "{size}");
    }
    // Brackets without end are no element without end.
    let deep = "[".repeat(10_000);
    let pieces: Vec<_> = deep.as_bytes().chunks(100).collect();
    assert_eq!(read(&pieces, 1_000), Err(Unreadable::TooLarge));
}

#[test]
fn nothing_is_read_after_the_last_element_that_is_needed() {
    let (mut elements, mut found) = (Elements::default(), Vec::new());
    let each = |element: &[u8]| {
        found.push(element.to_vec());
        Ok(found.len() < 2)
    };
    // What follows is not even looked at.
    let needs_more = elements.push(b"[1,2,3}}}", 1_000, each).unwrap();
    assert!(!needs_more);
    assert_eq!(found, [b"1", b"2"]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_splitter_panic(
        bytes in collection::vec(prop_oneof![any::<u8>(), Just(b'['), Just(b']'), Just(b','),
            Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}')], 0..60),
        size in 1..9_usize,
    ) {
        let pieces: Vec<_> = bytes.chunks(size).collect();
        // The same, however it is cut.
        prop_assert_eq!(read(&pieces, 1_000), read(&[&bytes], 1_000));
        if let Ok(expected) = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(&bytes) {
            let expected: Vec<_> = expected.iter().map(|e| e.get().to_owned()).collect();
            prop_assert_eq!(read(&pieces, 1_000), Ok(expected));
        }
    }
}
