//! Writes the certificates of the part `access`: `certificates <folder>`.
//!
//! - `authority.pem`: who has signed the others
//! - `server.pem`, `server.key`: of what is measured
//! - `client.pem`, `client.key`: of the load

use std::{error::Error, fs, path::Path};

use chartbrew_gateway_bench::certificates::Authority;

/// Their names, beside 127.0.0.1. `bench/harness/access.py` has the client's too.
const NAMES: [(&str, &str); 2] = [("server", "server.example"), ("client", "client.example")];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("usage: certificates <folder>")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let authority = Authority::new()?;
    fs::write(folder.join("authority.pem"), authority.pem())?;
    for (whose, name) in NAMES {
        let (certificate, key) = authority.sign(&[name, "127.0.0.1"])?;
        let file = folder.join(whose);
        fs::write(file.with_extension("pem"), certificate.pem())?;
        fs::write(file.with_extension("key"), key.serialize_pem())?;
    }
    Ok(())
}
