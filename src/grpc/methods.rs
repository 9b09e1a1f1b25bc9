//! Which methods there are, as telemetry must know them: a caller can make up names without end.

use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::{proto, telemetry::Method};

/// `package.Service/Method` of every method of the contract.
static CONTRACT: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let services = files.file.iter().flat_map(|file| {
        let package = file.package();
        file.service.iter().map(move |service| (package, service))
    });
    let methods = services.flat_map(|(package, service)| {
        let name = move |method: &str| format!("{package}.{}/{method}", service.name());
        service.method.iter().map(move |method| name(method.name()))
    });
    methods.collect()
});

/// What a path, without its first slash, stands for.
pub(super) fn of(path: &str) -> Method {
    if path.starts_with("grpc.") {
        return Method::Standard;
    }
    let known = CONTRACT.iter().find(|known| *known == path);
    known.map_or(Method::Unknown, |known| Method::Known(known))
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
