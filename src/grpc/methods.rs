//! Which methods there are, as telemetry must know them: a caller can make up names without end.

use crate::{proto, telemetry::Method};

/// What a path, without its first slash, stands for.
pub(super) fn of(path: &str) -> Method {
    if path.starts_with("grpc.") {
        return Method::Standard;
    }
    let known = proto::methods().iter().find(|known| *known == path);
    known.map_or(Method::Unknown, |known| Method::Known(known))
}

/// Whether a path, without its first slash, is of the reflection service.
pub(super) fn is_reflection(path: &str) -> bool {
    path.starts_with("grpc.reflection.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contracts_methods_have_names() {
        let create = "chartbrew.connection.v1.ConnectionService/Create";
        let cases = [
            (create, Method::Known(create)),
            (
                "chartbrew.connection.v1.ConnectionService/Made",
                Method::Unknown,
            ),
            ("", Method::Unknown),
            ("grpc.health.v1.Health/Check", Method::Standard),
        ];
        for (path, expected) in cases {
            assert_eq!(of(path), expected, "{path}");
        }
    }
}
