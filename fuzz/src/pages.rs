//! Any bytes as a team's list that arrives in pieces → its elements, and pages of them.

use chartbrew_gateway::chartbrew::types::{
    Connection, Elements, PageReader, PageRequest, Position, Unreadable,
};
use serde_json::value::RawValue;

/// More than an input has.
const MAX_ELEMENT: usize = 1 << 20;
/// Pages that are read of one list.
const MAX_PAGES: usize = 8;

/// Cuts a list into its elements, whole and in pieces of this size, and reads pages of it.
///
/// # Panics
/// If a promise is broken.
pub fn run(body: &[u8], size: usize) {
    let whole = elements(body, body.len());
    for size in [1, 1 + size] {
        assert!(elements(body, size) == whole, "it depends on the pieces");
    }
    let json = serde_json::from_slice::<Vec<&RawValue>>(body);
    if let Ok(json) = json {
        let texts = json.iter().map(|element| element.get().as_bytes().to_vec());
        assert!(
            whole
                .as_ref()
                .is_ok_and(|found| texts.eq(found.iter().cloned())),
            "the elements are others than JSON has"
        );
    }
    if let Ok(elements) = whole {
        pages(&elements, 1 + size % 3);
    }
}

/// The elements, without the space around them.
fn elements(body: &[u8], size: usize) -> Result<Vec<Vec<u8>>, Unreadable> {
    let (mut elements, mut found) = (Elements::default(), Vec::new());
    for piece in body.chunks(size.max(1)) {
        let needs_more = elements.push(piece, MAX_ELEMENT, |element| {
            found.push(element.trim_ascii().to_vec());
            Ok(true)
        })?;
        assert!(needs_more);
    }
    elements.finish().map(|()| found)
}

/// Each page has rows of the list in the list's order, and none of another page.
fn pages(elements: &[Vec<u8>], size: usize) {
    let (mut after, mut before): (Option<Position>, Vec<Connection>) = (None, Vec::new());
    for _ in 0..MAX_PAGES {
        let mut reader = PageReader::new(PageRequest { size, after });
        let _read = elements.iter().take_while(|row| reader.take(row)).count();
        let page = reader.finish();
        assert!(page.rows.len() <= size);
        assert!(page.next.is_none() || page.rows.len() == size);
        assert!(
            page.next
                .is_none_or(|next| after.is_none_or(|after| after < next))
        );
        assert!(
            page.rows.iter().all(|row| !before.contains(row)),
            "a row is on two pages"
        );
        before.extend(page.rows);
        let Some(next) = page.next else { return };
        assert!(Position::from_parts(next.to_parts()) == next);
        after = Some(next);
    }
}
