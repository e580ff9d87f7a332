//! Asking the running server: which port, is it healthy, take the new configuration, does this login work.

use std::path::Path;
use std::time::Duration;

use async_nats::Client;
use serde::Deserialize;
use serde_json::Value;

use super::accounts::NatsLogin;

const POLL: Duration = Duration::from_millis(20);
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// The address that the server wrote into its ports file.
pub(super) async fn address(ports: &Path) -> String {
    loop {
        if let Some(address) = read_address(ports) {
            return address;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn read_address(ports: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Ports {
        nats: Vec<String>,
    }
    let file = std::fs::read_dir(ports)
        .ok()?
        .flatten()
        .find(|file| file.path().extension().is_some_and(|end| end == "ports"))?;
    // The server may be writing it at this moment; then it does not parse yet.
    let ports: Ports = serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    ports.nats.into_iter().next()
}

/// Removes what earlier servers wrote.
pub(super) fn forget_address(ports: &Path) -> std::io::Result<()> {
    for file in std::fs::read_dir(ports)? {
        std::fs::remove_file(file?.path())?;
    }
    Ok(())
}

/// Whether the server is healthy, journal streams on disk included; otherwise what it says.
pub(super) async fn health(address: &str, system: &NatsLogin) -> Result<(), String> {
    let reply = ask_server(address, system, "HEALTHZ").await?;
    let data = &reply["data"];
    if data["status_code"] == 200 { Ok(()) } else { Err(format!("health: {}", said(data, "error"))) }
}

/// Makes the server take its configuration file. The outer error means that it could not be asked, the inner one that it refused.
pub(super) async fn reload(address: &str, system: &NatsLogin) -> Result<Result<(), String>, String> {
    let reply = ask_server(address, system, "RELOAD").await?;
    Ok(if reply.get("error").is_none() { Ok(()) } else { Err(said(&reply["error"], "description")) })
}

/// Whether this login gets an answer from JetStream.
pub(super) async fn login_works(address: &str, login: &NatsLogin) -> Result<(), String> {
    let client = connect(address, login).await?;
    let reply = request(&client, "$JS.API.INFO".to_owned()).await?;
    if reply.get("error").is_none() { Ok(()) } else { Err(said(&reply["error"], "description")) }
}

async fn ask_server(address: &str, system: &NatsLogin, what: &str) -> Result<Value, String> {
    let client = connect(address, system).await?;
    let server = client.server_info().server_id;
    request(&client, format!("$SYS.REQ.SERVER.{server}.{what}")).await
}

async fn connect(address: &str, login: &NatsLogin) -> Result<Client, String> {
    login.connect_options().name("lethe supervisor").connect(address).await.map_err(|error| format!("connect: {error}"))
}

async fn request(client: &Client, subject: String) -> Result<Value, String> {
    let reply = tokio::time::timeout(ANSWER_PATIENCE, client.request(subject, "".into()))
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|error| format!("request: {error}"))?;
    serde_json::from_slice(&reply.payload).map_err(|error| format!("answer: {error}"))
}

fn said(value: &Value, field: &str) -> String {
    value[field].as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned())
}
