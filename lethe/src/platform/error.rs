//! Why a platform does not start, or an operator's wish is not carried out.

use std::net::SocketAddr;
use std::path::PathBuf;

use domain::ids::TenantId;
use domain::port::Failure;
use infra::keys::kms::{KmsDirError, KmsOpenError};
use infra::nats_server::{ElsewhereError, NatsServerError};

use crate::cli::{ApiError, CliError};

/// What is wrong, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory {path} cannot be used: {cause}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Another process serves it.
    #[error("another lethe serves {path}: stop it, or use it through its API")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// Without TLS.
    #[error(
        "{address} is not on loopback: beyond it lethe speaks TLS only. Give --tls-cert and --tls-key, or put a TLS proxy in front"
    )]
    NotLoopback {
        /// Which.
        address: SocketAddr,
    },
    /// The port is taken, or not ours.
    #[error("cannot listen on {address}: {cause}. Choose another with --listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] infra::tls::TlsError),
    /// The identity providers cannot be used.
    #[error(transparent)]
    Providers(#[from] infra::oidc::NoProviders),
    /// The nats-server cannot be found or started.
    #[error(transparent)]
    Nats(#[from] NatsServerError),
    /// The NATS that others run cannot be used.
    #[error(transparent)]
    NatsElsewhere(#[from] ElsewhereError),
    /// There is no such tenant.
    #[error("there is no tenant {tenant} here: create it with `lethe tenant create {tenant}`")]
    NoSuchTenant {
        /// Which.
        tenant: TenantId,
    },
    /// The root keys may not be kept there.
    #[error(transparent)]
    KmsDir(#[from] KmsDirError),
    /// The off-site target may not be there.
    #[error("the off-site target lies inside the data directory, so it is lost with it: choose a place elsewhere")]
    OffSiteInside,
    /// The KMS cannot be used.
    #[error(transparent)]
    Kms(#[from] KmsOpenError),
    /// The rules say no.
    #[error("{detail}")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// In words.
        detail: String,
    },
    /// The world failed.
    #[error("{}", with_cause(.0))]
    Failed(#[from] Failure),
}

/// The operator may see the cause: it is their machine.
fn with_cause(failure: &Failure) -> String {
    match failure {
        Failure::Unavailable { cause, .. } => format!("{failure}: {cause}"),
        Failure::Damaged { .. } | Failure::Missing { .. } => failure.to_string(),
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::InUse { .. } | StartError::Refused { .. } => Self::conflict(error),
            StartError::NoSuchTenant { .. } => Self::not_found(error),
            StartError::NotLoopback { .. }
            | StartError::Tls(_)
            | StartError::Providers(_)
            | StartError::NatsElsewhere(_)
            | StartError::KmsDir(_)
            | StartError::OffSiteInside => Self::input(error),
            StartError::DataDir { .. }
            | StartError::Listen { .. }
            | StartError::Nats(_)
            | StartError::Kms(_)
            | StartError::Failed(_) => Self::unavailable(error),
        }
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        Self::local(message).with_status(CliError::from(error).status())
    }
}
