//! The token in `authorization`.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::chartbrew::Token;

/// Why there is no token to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenMissing {
    /// No `authorization`.
    #[error("no `authorization` metadata: send `authorization: Bearer <Chartbrew token>`")]
    Absent,
    /// More than one, not ASCII, or not `Bearer <token>`.
    #[error("malformed `authorization` metadata: send it once, as `Bearer <token>`")]
    Malformed,
}

/// The caller's token. The scheme may have any case (RFC 9110, 11.1).
pub(super) fn token(headers: &HeaderMap) -> Result<Token, TokenMissing> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenMissing::Absent)?;
    if values.next().is_some() {
        return Err(TokenMissing::Malformed);
    }
    let text = value.to_str().map_err(|_| TokenMissing::Malformed)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(TokenMissing::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenMissing::Malformed);
    }
    Token::parse(token.trim_start()).map_err(|_| TokenMissing::Malformed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_comes_once_with_a_scheme_of_any_case() {
        let given = Token::parse("t0k.en").unwrap();
        for good in [
            "Bearer t0k.en",
            "bearer t0k.en",
            "BEARER   t0k.en",
            " Bearer t0k.en ",
        ] {
            let found = token(&headers(&[good.as_bytes()]));
            assert!(found.is_ok_and(|found| found.is(&given)), "{good:?}");
        }
        let bad: [&[u8]; 8] = [
            b"",
            b"Bearer",
            b"Bearer ",
            b"t0k.en",
            b"Basic t0k.en",
            b"Bearer a b",
            b"Bearer \xff",
            b"Bearert0k.en",
        ];
        for bad in bad {
            let found = token(&headers(&[bad])).unwrap_err();
            assert_eq!(found, TokenMissing::Malformed, "{bad:?}");
        }
        let twice = headers(&[b"Bearer a", b"Bearer b"]);
        assert_eq!(token(&twice).unwrap_err(), TokenMissing::Malformed);
        assert_eq!(token(&headers(&[])).unwrap_err(), TokenMissing::Absent);
    }
}
