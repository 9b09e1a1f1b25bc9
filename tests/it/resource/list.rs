//! A team's list, page by page.

use std::collections::{BTreeMap, BTreeSet};

use chartbrew_gateway::proto::{Connection, ListRequest, ListResponse};
use chartbrew_sandbox::{Handle, Settings, User};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{Client, with_token};
use crate::support::gateway::{authorized, failure, gateway, sandbox, sandbox_with};

/// 2026-01-01, in seconds since 1970.
const YEAR: i64 = 1_767_225_600;

/// A row that was created so many seconds after the year began.
fn row(second: i64) -> Value {
    let created = jiff::Timestamp::from_second(YEAR + second).unwrap();
    json!({ "name": "m", "createdAt": created.to_string() })
}

fn request(page_size: i32, page_token: &str) -> ListRequest {
    ListRequest {
        team_id: 1,
        page_size,
        page_token: page_token.to_owned(),
        ..ListRequest::default()
    }
}

async fn page(client: &Client, size: i32, token: &str) -> Result<ListResponse, Status> {
    let request = authorized(request(size, token));
    Ok(client.clone().list(request).await?.into_inner())
}

/// All pages, and what `between` does after each.
async fn walk(
    client: &Client,
    size: i32,
    mut between: impl FnMut(&[Connection]),
) -> Vec<Connection> {
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(client, size, &token).await.unwrap();
        let count = page.connections.len();
        let is_last = page.next_page_token.is_empty();
        assert!(
            count == size as usize || is_last,
            "a page of {count} is not the last"
        );
        between(&page.connections);
        rows.extend(page.connections);
        if is_last {
            return rows;
        }
        assert_ne!(page.next_page_token, token, "the walk goes on");
        token = page.next_page_token;
    }
}

fn ids(rows: &[Connection]) -> Vec<i32> {
    rows.iter().map(|row| row.id).collect()
}

/// The newest first; which come first of a second is the gateway's to say, as long as it is always
/// the same.
fn is_sorted(rows: &[Connection]) -> bool {
    let seconds = rows.iter().map(|row| row.create_time.unwrap().seconds);
    seconds.rev().is_sorted()
}

#[tokio::test]
async fn every_row_comes_once_while_others_come_and_go() {
    walk_while_others_come_and_go(5_000, 100).await;
}

/// The same in earnest: with 50 pages, a gigabyte of lists passes.
#[tokio::test]
#[ignore = "takes half a minute unless optimised"]
async fn every_row_of_fifty_thousand_comes_once_while_others_come_and_go() {
    walk_while_others_come_and_go(50_000, 1_000).await;
}

async fn walk_while_others_come_and_go(count: i64, size: i32) {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let page_of = i64::from(size);
    // Three share a second, and in one place so many that they fill two pages.
    let second = |n: i64| match n {
        n if (count / 2..count / 2 + 2 * page_of).contains(&n) => count / 2,
        n => n / 3 * 3,
    };
    let rows = (0..count).map(|n| row(second(n)));
    let mut throughout: BTreeSet<_> = sandbox.insert_many(1, rows).into_iter().collect();
    let mut pages = 0;
    let rows = walk(&gateway.client, size, |page| {
        pages += 1;
        let (first, last) = (page.first().unwrap(), page.last().unwrap());
        // The last of the page, after which the next one begins; some that were seen, and some that
        // were not.
        let ids = [
            last.id,
            first.id,
            page[page.len() / 2].id,
            last.id - 7,
            last.id - 2 * size,
        ];
        for id in ids {
            if sandbox.delete(1, id) {
                throughout.remove(&id);
            }
        }
        // A new one; one where the walk has been, one where it is, and one where it will come.
        let here = last.create_time.unwrap().seconds - YEAR;
        let some = [count + pages, here + page_of / 2, here, here - page_of / 2];
        sandbox.insert_many(1, some.map(row));
    })
    .await;
    assert!(pages >= count / page_of, "{pages}");
    let mut seen = BTreeMap::<_, usize>::new();
    for id in ids(&rows) {
        *seen.entry(id).or_default() += 1;
    }
    assert!(seen.values().all(|times| *times == 1), "no row comes twice");
    let missed = throughout
        .iter()
        .filter(|id| !seen.contains_key(id))
        .count();
    assert_eq!(missed, 0, "rows that were there throughout and never came");
    assert!(throughout.len() as i64 >= count - 5 * pages);
    assert!(is_sorted(&rows), "the newest come first");
}

#[tokio::test]
async fn rows_of_one_second_come_once_whatever_the_size_of_the_pages() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let stored = sandbox.insert_many(1, (0..23).map(|_| row(0)));
    for size in [1, 2, 7, 22, 23, 24] {
        let mut rows = ids(&walk(&gateway.client, size, |_| {}).await);
        rows.sort_unstable();
        assert_eq!(rows, stored, "pages of {size}");
    }
}

#[tokio::test]
async fn the_token_is_empty_exactly_at_the_end() {
    for (rows, size, pages) in [
        (0, 5, 1),
        (1, 1, 1),
        (5, 5, 1),
        (6, 5, 2),
        (10, 5, 2),
        (11, 5, 3),
    ] {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        sandbox.insert_many(1, (0..rows).map(row));
        let mut count = 0;
        let all = walk(&gateway.client, size, |_| count += 1).await;
        assert_eq!(
            (all.len() as i64, count),
            (rows, pages),
            "{rows} rows by {size}"
        );
    }
}

#[tokio::test]
async fn a_page_has_as_many_rows_as_were_asked_for() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    sandbox.insert_many(1, (0..1_200).map(row));
    for (size, rows) in [(0, 100), (1, 1), (999, 999), (1_000, 1_000)] {
        let page = page(&gateway.client, size, "").await.unwrap();
        assert_eq!(page.connections.len(), rows);
        assert!(is_sorted(&page.connections));
        assert_eq!(page.connections[0].id, 1_200, "the newest row is the first");
    }
    let sent = sandbox.requests().len();
    for size in [-1, 1_001, i32::MIN, i32::MAX] {
        let failed = failure(page(&gateway.client, size, "").await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert_eq!(failed.fields(), ["page_size"], "{size}");
    }
    assert_eq!(sandbox.requests().len(), sent);
}

/// A sandbox whose owner has two teams.
async fn two_teams() -> Handle {
    sandbox_with(Settings {
        users: vec![User::owner("owner", [1, 2])],
        ..Settings::default()
    })
    .await
}

#[tokio::test]
async fn a_token_that_is_none_or_of_another_team_is_refused() {
    let sandbox = two_teams().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for team in [1, 2] {
        sandbox.insert_many(team, (0..3).map(row));
    }
    let list = async |team_id, page_token: &str| {
        let message = ListRequest {
            team_id,
            ..request(2, page_token)
        };
        let response = gateway
            .client
            .clone()
            .list(with_token("owner", message))
            .await;
        response.map(tonic::Response::into_inner)
    };
    let token = list(1, "").await.unwrap().next_page_token;
    assert_eq!(list(1, &token).await.unwrap().connections.len(), 1);
    let sent = sandbox.requests().len();
    let mut other_version = token.clone();
    other_version.replace_range(..1, "B");
    let broken = [
        (2, &*token),
        (1, &token[1..]),
        (1, &token[..token.len() - 1]),
        (1, &format!("{token}A")),
        (1, &format!("{token}=")),
        (1, &format!(" {token}")),
        (1, &other_version),
        (1, &token.to_ascii_lowercase()),
        (1, "x"),
        (1, "0"),
        (1, "é"),
        (1, &"A".repeat(100_000)),
    ];
    for (team, token) in broken {
        let failed = failure(list(team, token).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::InvalidArgument, "INVALID_FIELD")
        );
        assert_eq!(failed.fields(), ["page_token"]);
    }
    let failed = failure(list(0, "x").await);
    assert_eq!(failed.fields(), ["team_id", "page_token"], "all at once");
    assert_eq!(sandbox.requests().len(), sent);
}

/// Such a role sees no times: a list without them has an order all the same.
#[tokio::test]
async fn a_role_that_is_limited_to_projects_walks_through_its_own_rows() {
    let sandbox = sandbox_with(Settings {
        users: vec![User::project_scoped("member", [1], [7])],
        ..Settings::default()
    })
    .await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut mine = Vec::new();
    for second in 0..10 {
        for project in [7, 8] {
            let mut row = row(second);
            row["project_ids"] = json!([project]);
            let id = sandbox.insert(1, row);
            if project == 7 {
                mine.push(id);
            }
        }
    }
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let request = with_token("member", request(3, &token));
        let page = gateway
            .client
            .clone()
            .list(request)
            .await
            .unwrap()
            .into_inner();
        rows.extend(ids(&page.connections));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    mine.reverse();
    assert_eq!(rows, mine, "each once, the newest first");
}
