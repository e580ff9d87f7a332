//! `lethe kms …`.

use clap::Subcommand;
use domain::ids::TenantId;
use serde_json::{Value, json};

use super::CliError;
use super::options::Place;
use crate::platform::Operator;

/// The KMS that holds the root keys.
#[derive(Subcommand)]
pub(super) enum Kms {
    /// Shows which KMS it is and what it can vouch for, the living roots, the head, what stands off-site, and the public
    /// key that checks certificates.
    Status {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Replaces the root key: a new one is made, the key tree is wrapped under it and shipped, the old one is destroyed.
    /// Nobody is erased by it.
    Rotate {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

impl Kms {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let (path, tenant, json, place) = match self {
            Self::Status { tenant, json, place } => ("/v1/admin/kms/status", tenant, json, place),
            Self::Rotate { tenant, json, place } => ("/v1/admin/kms/rotate", tenant, json, place),
        };
        let operator = Operator::of(&place).await?;
        let answer = operator.post(path, &json!({"tenant": tenant})).await;
        operator.leave().await;
        print(&answer?, json);
        Ok(())
    }
}

fn print(answer: &Value, json: bool) {
    if json {
        return out!("{answer}");
    }
    for (name, value) in answer.as_object().into_iter().flatten() {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(values) => values.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        out!("{:<16} {text}", name.replace('_', " "));
    }
}
