//! The token of a page: where in a team's list it begins.
//!
//! It holds the time of creation and the id of the last connection of the page before, and the
//! team, so that it is of no use for another one's list.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::chartbrew::types::Position;

/// Version 1: three big-endian numbers follow.
const VERSION: u8 = 1;
const LENGTH: usize = 1 + 4 + 8 + 8;

/// The token that asks for what follows this position.
pub(super) fn write(team: i32, position: Position) -> String {
    let (age, id) = position.to_parts();
    let mut bytes = vec![VERSION];
    bytes.extend(team.to_be_bytes());
    bytes.extend(age.to_be_bytes());
    bytes.extend(id.to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a token; `None` if it is none of this team's.
pub(super) fn read(team: i32, token: &str) -> Option<Position> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let bytes: [u8; LENGTH] = bytes.try_into().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (of_team, rest) = rest.split_first_chunk()?;
    let (age, rest) = rest.split_first_chunk()?;
    let (id, _) = rest.split_first_chunk()?;
    let is_ours = *version == VERSION && i32::from_be_bytes(*of_team) == team;
    let parts = (i64::from_be_bytes(*age), i64::from_be_bytes(*id));
    is_ours.then(|| Position::from_parts(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_for_the_same_team() {
        for parts in [
            (0, 1),
            (-1_764_000_000_000_000, 4714),
            (i64::MAX, -7),
            (i64::MIN, i64::MIN),
        ] {
            let position = Position::from_parts(parts);
            let token = write(7, position);
            assert_eq!(read(7, &token), Some(position));
            assert_eq!(read(8, &token), None);
        }
        for other in ["", "x", "AQ", "!", &"A".repeat(28), &"A".repeat(1_000_000)] {
            assert_eq!(read(1, other), None);
        }
    }
}
