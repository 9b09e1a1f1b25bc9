use proptest::{collection, prelude::*};
use serde_json::{Value, json};

use super::*;

/// Moments, in seconds: the greater, the newer.
fn row(id: i64, second: Option<u32>) -> Value {
    let created = second.map(|second| format!("2026-11-24T00:00:{second:02}.000Z"));
    json!({"id": id, "createdAt": created, "name": format!("n{id}")})
}

/// Ids, each with its moment.
type Rows<'a> = &'a [(i64, Option<u32>)];

fn rows(list: Rows<'_>) -> Vec<Value> {
    list.iter().map(|(id, second)| row(*id, *second)).collect()
}

/// One page of a list, and how many rows were read of it.
fn page(list: &[Value], size: usize, after: Option<Position>) -> (Page, usize) {
    let mut reader = PageReader::new(PageRequest { size, after });
    let mut read = 0;
    for row in list {
        read += 1;
        if !reader.take(row.to_string().as_bytes()) {
            break;
        }
    }
    (reader.finish(), read)
}

fn ids(page: &Page) -> Vec<i32> {
    page.rows.iter().map(|row| row.id).collect()
}

/// All pages of a list that may change between them.
fn walk(size: usize, mut list: impl FnMut(usize) -> Vec<Value>) -> Vec<Vec<i32>> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let (page, _) = page(&list(pages.len()), size, after);
        pages.push(ids(&page));
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

#[test]
fn pages_follow_the_order_of_time_and_then_of_ids() {
    let list: [(&str, Rows<'_>, &[&[i32]]); 10] = [
        ("an empty list", &[], &[&[]]),
        ("less than a page", &[(1, Some(1))], &[&[1]]),
        ("a page", &[(2, Some(2)), (1, Some(1))], &[&[2, 1]]),
        (
            "pages",
            &[
                (5, Some(5)),
                (4, Some(4)),
                (3, Some(3)),
                (2, Some(2)),
                (1, Some(1)),
            ],
            &[&[5, 4], &[3, 2], &[1]],
        ),
        (
            "whole pages",
            &[(4, Some(4)), (3, Some(3)), (2, Some(2)), (1, Some(1))],
            &[&[4, 3], &[2, 1]],
        ),
        (
            "the same second, in any order",
            &[
                (9, Some(2)),
                (3, Some(1)),
                (5, Some(1)),
                (1, Some(1)),
                (4, Some(1)),
            ],
            &[&[9, 1], &[3, 4], &[5]],
        ),
        (
            "a list that is not sorted",
            &[
                (1, Some(1)),
                (3, Some(3)),
                (2, Some(2)),
                (5, Some(5)),
                (4, Some(4)),
            ],
            &[&[5, 4], &[3, 2], &[1]],
        ),
        (
            "no times: the newer has the greater id",
            &[(1, None), (2, None), (3, None)],
            &[&[3, 2], &[1]],
        ),
        (
            "rows without a time are last, wherever they come",
            &[(8, None), (3, Some(3)), (9, None), (2, Some(2))],
            &[&[3, 2], &[9, 8]],
        ),
        (
            "a row that comes twice counts once",
            &[
                (3, Some(3)),
                (3, Some(3)),
                (2, Some(2)),
                (2, Some(2)),
                (1, Some(1)),
            ],
            &[&[3, 2], &[1]],
        ),
    ];
    for (case, list, pages) in list {
        assert_eq!(walk(2, |_| rows(list)), pages, "{case}");
    }
}

#[test]
fn what_is_no_row_is_passed_over() {
    let mut list = rows(&[(3, Some(3)), (2, Some(2)), (1, Some(1))]);
    let others = [
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({"id": null}),
        json!({"id": 0, "createdAt": "2026-11-24T00:00:09Z"}),
        json!({"id": -1}),
        json!({"id": "x"}),
        json!({"id": 2_147_483_648_i64, "createdAt": "2026-11-24T00:00:09Z"}),
    ];
    for (at, other) in others.into_iter().enumerate() {
        list.insert(at % 4, other);
    }
    assert_eq!(walk(2, |_| list.clone()), [vec![3, 2], vec![1]]);
    // A time that is none is as good as no time.
    for time in [json!(1), json!("yesterday"), json!({})] {
        let list = [row(1, Some(1)), json!({"id": 2, "createdAt": time})];
        assert_eq!(walk(9, |_| list.to_vec()), [[1, 2]], "{time}");
    }
}

#[test]
fn no_row_that_was_there_throughout_is_skipped_or_repeated() {
    let all: Vec<_> = (1..=9).rev().map(|n| (n, Some(n as u32))).collect();
    // The row that the token names is gone, and newer ones have come, before each page.
    let pages = walk(2, |page| {
        let gone = [8, 6, 4];
        let is_there = |(id, _): &&(i64, _)| !gone[..page.min(3)].contains(id);
        let new = (0..page as i64).map(|n| row(20 + n, Some(30 + n as u32)));
        let old = all.iter().filter(is_there).map(|(id, at)| row(*id, *at));
        new.chain(old).collect()
    });
    assert_eq!(
        pages,
        [vec![9, 8], vec![7, 6], vec![5, 4], vec![3, 2], vec![1]]
    );
}

#[test]
fn no_more_is_read_of_a_sorted_list_than_the_page_needs() {
    let list: Vec<_> = (1..=20).rev().map(|n| (n, Some(n as u32))).collect();
    let list = rows(&list);
    // The page, one more, and the one that shows that no other is of that moment.
    let (first, read) = page(&list, 3, None);
    assert_eq!((ids(&first), read), (vec![20, 19, 18], 5));
    let (second, read) = page(&list, 3, first.next);
    assert_eq!((ids(&second), read), (vec![17, 16, 15], 8));
    // Of the same moment: all of them.
    let same = rows(&[
        (4, Some(1)),
        (3, Some(1)),
        (2, Some(1)),
        (1, Some(1)),
        (9, Some(0)),
    ]);
    let (first, read) = page(&same, 1, None);
    assert_eq!((ids(&first), read), (vec![1], 5));
    // Not sorted: the whole list.
    let mixed = rows(&[
        (1, Some(1)),
        (2, Some(2)),
        (3, Some(3)),
        (4, Some(4)),
        (5, Some(5)),
    ]);
    let (first, read) = page(&mixed, 1, None);
    assert_eq!((ids(&first), read), (vec![5], 5));
}

proptest! {
    /// Of a list that is sorted by time, either way. (One that is sorted as far as the page goes,
    /// and no further, is not read further.)
    #[test]
    fn the_pages_are_the_list(
        list in collection::btree_map(1..40_i64, proptest::option::of(0..6_u32), 0..30),
        size in 1..7_usize,
        newest_first: bool,
    ) {
        let mut list: Vec<_> = list.into_iter().collect();
        list.sort_by_key(|(_, second)| *second);
        if newest_first {
            list.reverse();
        }
        let pages = walk(size, |_| rows(&list));
        let (full, last) = (&pages[..pages.len() - 1], &pages[pages.len() - 1]);
        prop_assert!(full.iter().all(|page| page.len() == size));
        prop_assert!(last.len() <= size && (!last.is_empty() || full.is_empty()));
        let mut expected = list.clone();
        expected.sort_by_key(|(id, second)| match second {
            Some(second) => (false, -i64::from(*second), *id),
            None => (true, 0, -id),
        });
        let expected: Vec<_> = expected.iter().map(|(id, _)| i32::try_from(*id).unwrap()).collect();
        prop_assert_eq!(pages.concat(), expected);
    }
}
