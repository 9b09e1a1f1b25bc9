//! Certificates and keys: read from PEM files, and read again when these change.
//!
//! [`server`] has those of the gateway's own port, [`client`] those of its connections to Chartbrew,
//! [`probe`] those of who asks it whether it serves.

pub mod client;
pub mod probe;
pub mod server;

use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use x509_parser::{
    certificate::{Validity, X509Certificate},
    prelude::{FromDer, GeneralName},
};

use crate::reload::{Content, File, FileProblem};

/// What gRPC speaks (RFC 7301, 6).
const ALPN: &[u8] = b"h2";

/// The certificates of a PEM file, in its order, at least one.
fn certificates(
    variable: &'static str,
    content: &Content,
) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
    let certificates = CertificateDer::pem_slice_iter(content).collect::<Result<Vec<_>, _>>();
    // The reader's own error repeats a part of the file.
    let certificates = certificates.map_err(|_| FileProblem::new(variable, "is not valid PEM"))?;
    match certificates.is_empty() {
        true => Err(FileProblem::new(variable, "contains no certificate in PEM")),
        false => Ok(certificates),
    }
}

/// The private key of a PEM file: the first one, as PKCS #8, PKCS #1 or SEC 1.
fn private_key(
    variable: &'static str,
    content: &Content,
) -> Result<PrivateKeyDer<'static>, FileProblem> {
    PrivateKeyDer::from_pem_slice(content)
        .map_err(|_| FileProblem::new(variable, "contains no unencrypted private key in PEM"))
}

/// What is wrong with a certificate and its key, each by its setting, that rustls does not take.
fn unusable(cert: &'static str, key: &'static str, error: &Error) -> FileProblem {
    match error {
        Error::InconsistentKeys(_) => FileProblem::new(
            key,
            format!("is not the key of the first certificate of {cert}"),
        ),
        Error::InvalidCertificate(_) => FileProblem::new(
            cert,
            "has a certificate that cannot be used; it must be of X.509 version 3",
        ),
        _ => FileProblem::new(
            key,
            "cannot be used; keys of RSA with 2048 bits or more, of ECDSA on P-256 or P-384 and of Ed25519 can",
        ),
    }
}

/// The files of a certificate and its key, each by its setting; none if neither is set.
///
/// # Errors
/// If one of the two is set.
fn pair([cert, key]: [(&'static str, &Option<PathBuf>); 2]) -> Result<Vec<File>, FileProblem> {
    let file = |(variable, path): (_, &Option<PathBuf>)| File::of(variable, path.as_ref());
    let needed = |missing, with| FileProblem::new(missing, format!("is needed with {with}"));
    match (file(cert), file(key)) {
        (Some(cert), Some(key)) => Ok(vec![cert, key]),
        (None, None) => Ok(Vec::new()),
        (Some(_), None) => Err(needed(key.0, cert.0)),
        (None, Some(_)) => Err(needed(cert.0, key.0)),
    }
}

/// Trusts these authorities.
fn roots(
    variable: &'static str,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, FileProblem> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority);
        added.map_err(|_| no_authority(variable))?;
    }
    Ok(roots)
}

fn no_authority(variable: &'static str) -> FileProblem {
    FileProblem::new(variable, "has a certificate that is no authority's")
}

/// When a certificate expires, in seconds since 1970.
fn expiry(variable: &'static str, certificate: &CertificateDer<'_>) -> Result<i64, FileProblem> {
    validity(variable, certificate).map(|validity| validity.not_after.timestamp())
}

/// When a certificate that is valid now expires, in seconds since 1970.
///
/// # Errors
/// If it has expired, or is not valid yet.
fn current_expiry(
    variable: &'static str,
    certificate: &CertificateDer<'_>,
) -> Result<i64, FileProblem> {
    let validity = validity(variable, certificate)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let expiry = validity.not_after.timestamp();
    let problem = match now {
        _ if now >= expiry => "has a certificate that has expired",
        _ if now < validity.not_before.timestamp() => "has a certificate that is not valid yet",
        _ => return Ok(expiry),
    };
    Err(FileProblem::new(variable, problem))
}

fn validity(
    variable: &'static str,
    certificate: &CertificateDer<'_>,
) -> Result<Validity, FileProblem> {
    let parsed = X509Certificate::from_der(certificate);
    let validity = parsed.map(|(_, certificate)| certificate.validity().clone());
    validity.map_err(|_| FileProblem::new(variable, "contains a certificate that cannot be read"))
}

/// When the first certificate of a chain expires, in seconds since 1970.
///
/// # Errors
/// If the one that the chain is for has expired, or is not valid yet. Of the others some may have: a chain
/// can have more of them than a peer needs.
fn first_expiry(variable: &'static str, chain: &[CertificateDer<'_>]) -> Result<i64, FileProblem> {
    let mut first = i64::MAX;
    for (index, certificate) in chain.iter().enumerate() {
        let at = match index {
            0 => current_expiry(variable, certificate)?,
            _ => expiry(variable, certificate)?,
        };
        first = first.min(at);
    }
    Ok(first)
}

/// The DNS and URI names of a certificate (RFC 5280, 4.2.1.6). The subject's common name is none.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    let names = names.filter_map(|name| match name {
        // What looks like a name of the other kind is none: an authority that checks only one kind must not
        // be able to give a name of the other.
        GeneralName::DNSName(name) if !is_uri(name) => Some(name.to_ascii_lowercase()),
        GeneralName::URI(name) if is_uri(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}

/// A DNS or URI name as it is compared with the [`names`] of a certificate: DNS names have no case
/// (RFC 4343), and stand for themselves alone, without wildcards.
///
/// # Errors
/// If it is neither.
pub fn certificate_name(name: &str) -> Result<String, &'static str> {
    let is_text = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match (is_text, is_uri(name)) {
        (true, true) => Ok(name.to_owned()),
        (true, false) if !name.contains(['*', ':', '/', '@', ',']) => Ok(name.to_ascii_lowercase()),
        _ => Err("must be a DNS name without wildcards, or a URI such as spiffe://example/billing"),
    }
}

fn is_uri(name: &str) -> bool {
    name.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_name_or_a_uri() {
        let cases = [
            ("Billing.example", Some("billing.example")),
            ("spiffe://Example/Billing", Some("spiffe://Example/Billing")),
            ("*.example", None),
            ("a b", None),
            ("", None),
            ("billing@example", None),
            ("spiffe:billing", None),
        ];
        for (text, name) in cases {
            assert_eq!(certificate_name(text).ok().as_deref(), name, "{text:?}");
        }
    }

    #[test]
    fn a_certificate_is_used_while_it_is_valid() {
        let issued = |from, to| {
            let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().clone()
        };
        let (valid, expired, future) = (issued(2000, 4000), issued(2000, 2001), issued(3999, 4001));
        let first = |chain: &[_]| first_expiry("A_FILE", chain).map_err(|problem| problem.problem);
        let chain = [valid.clone(), expired.clone(), future.clone()];
        assert_eq!(first(&chain), Ok(978_307_200));
        assert_eq!(first(&[valid]), Ok(64_060_588_800));
        assert!(first(&[expired]).unwrap_err().ends_with("has expired"));
        assert!(first(&[future]).unwrap_err().ends_with("not valid yet"));
    }

    #[test]
    fn names_are_those_of_the_alternative_name_alone() {
        let name = |text: &str| rcgen::string::Ia5String::try_from(text).unwrap();
        let mut params = rcgen::CertificateParams::new(["A.Example".to_owned()]).unwrap();
        params.subject_alt_names.extend([
            rcgen::SanType::URI(name("spiffe://example/Billing")),
            // Of the other kind.
            rcgen::SanType::DnsName(name("spiffe://example/admin")),
            rcgen::SanType::URI(name("admin.example")),
        ]);
        let common = rcgen::DnType::CommonName;
        params.distinguished_name.push(common, "common.example");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(
            names(certificate.der()),
            ["a.example", "spiffe://example/Billing"]
        );
    }
}
