//! The options of TLS.

use std::path::PathBuf;

use clap::Args;
use infra::tls::{Files, Oldest};

use crate::platform::{Certificate, Options};

/// Which certificate people are shown.
#[derive(Args)]
pub(super) struct TlsArgs {
    /// The certificate that people are shown, in PEM, with those between it and its root. Taken up anew when the file changes.
    #[arg(long, env = "LETHE_TLS_CERT", value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, env = "LETHE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Who signs the certificates of clients, in PEM: with it, nobody connects without such a certificate.
    #[arg(long, env = "LETHE_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    #[arg(long, env = "LETHE_TLS_OLDEST", value_name = "1.2|1.3", default_value = "1.3", value_parser = oldest)]
    tls_oldest: Oldest,
    /// Speaks TLS with a certificate that it signs itself: for a look, not for people's data.
    #[arg(long)]
    tls_self_signed: bool,
}

fn oldest(text: &str) -> Result<Oldest, String> {
    match text {
        "1.2" => Ok(Oldest::V1_2),
        "1.3" => Ok(Oldest::V1_3),
        _ => Err("1.2 or 1.3".into()),
    }
}

impl TlsArgs {
    /// The options with the certificate that was given, if one was.
    pub(super) fn with(self, options: Options) -> Options {
        match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => {
                let files = Files { certificate, key, clients: self.tls_client_ca, oldest: self.tls_oldest };
                options.certificate(Certificate::Files(files))
            }
            _ if self.tls_self_signed => options.certificate(Certificate::Own(self.tls_oldest)),
            _ => options,
        }
    }
}
