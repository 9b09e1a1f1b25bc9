//! Certificates made for the occasion, of ECDSA P-256 keys.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, Error, IsCa, KeyPair,
};

/// An authority that those trust who are given its certificate.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By its name the authority is told from what it signs.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of bench/run");
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with those names, DNS names or addresses, and its key.
    ///
    /// # Errors
    /// If a name is invalid.
    pub fn sign(&self, names: &[&str]) -> Result<(Certificate, KeyPair), Error> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.0)?;
        Ok((certificate, key))
    }
}
