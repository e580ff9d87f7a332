//! Proving anew who acts, for what cannot be undone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::prompt::Prompt;
use crate::cli::CliError;

/// Asks for the password and a code, and gives what stands in `Lethe-Signer`.
pub(in crate::cli) fn proof() -> Result<String, CliError> {
    let mut prompt = Prompt::new();
    let password = prompt.ask_unseen("Password, once more: it cannot be undone")?;
    let code = prompt.ask_unseen("One-time code")?;
    let code: String = code.split_whitespace().collect();
    let factors = json!({"password": password, "code": code}).to_string();
    Ok(format!("Factors {}", STANDARD.encode(factors)))
}
