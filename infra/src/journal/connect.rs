//! A connection that heals by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use domain::port::Failure;

/// A dead connection is noticed after three of these at the latest.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE_MS: u64 = 20;
const LONGEST_PAUSE_MS: u64 = 2_000;

/// Connects with a login's options (user, password, inbox prefix) to one of the servers of a cluster: `url` names one of
/// them, or several with commas between them. Once connected, a lost connection is made again and again, ever more
/// slowly, until it holds, to whichever of them answers.
///
/// # Errors
/// When the server cannot be reached now or refuses the login.
pub async fn connect(login: ConnectOptions, url: &str, name: &str) -> Result<Client, Failure> {
    // The tree has two of them, and TLS refuses to guess which one is meant. One that is installed already will do.
    let _ = async_nats::rustls::crypto::ring::default_provider().install_default();
    let connected_before = AtomicBool::new(false);
    let options = login
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_PATIENCE)
        .reconnect_delay_callback(pause_before)
        .event_callback(move |event| {
            report(&event, &connected_before);
            std::future::ready(())
        });
    let urls: Vec<&str> = url.split(',').collect();
    options.connect(urls).await.map_err(|error| Failure::unavailable("the NATS server", error))
}

fn pause_before(attempt: usize) -> Duration {
    let doubled = FIRST_PAUSE_MS << attempt.min(10);
    Duration::from_millis(if attempt == 0 { 0 } else { doubled.min(LONGEST_PAUSE_MS) })
}

fn report(event: &Event, connected_before: &AtomicBool) {
    match event {
        Event::Connected if connected_before.swap(true, Ordering::SeqCst) => {
            tracing::info!("connected to the NATS server again");
        }
        Event::Connected => tracing::debug!("connected to the NATS server"),
        Event::Disconnected => tracing::warn!("the connection to the NATS server is lost; connecting again"),
        Event::SlowConsumer(_) => tracing::warn!("deliveries came faster than they were taken; reading again"),
        Event::Closed => tracing::debug!("the connection to the NATS server is closed"),
        other => tracing::warn!(event = %other, "NATS"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that wants TLS and then knows nothing of it.
    #[tokio::test]
    async fn a_server_that_wants_tls_is_spoken_to_in_tls() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let info = r#"INFO {"server_id":"x","version":"2.15.1","go":"go","host":"127.0.0.1","port":1,"max_payload":1048576,"proto":1,"tls_required":true}"#;
            stream.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
            let mut hello = [0_u8; 3];
            stream.read_exact(&mut hello).await.unwrap();
            hello
        });
        assert!(matches!(connect(ConnectOptions::new(), &url, "test").await, Err(Failure::Unavailable { .. })));
        assert_eq!(server.await.unwrap()[..2], [0x16, 3], "a TLS handshake");
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = (0..12).map(|attempt| pause_before(attempt).as_millis() as u64).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!((pauses[0], pauses[1], pauses[11]), (0, 40, 2_000));
        assert_eq!(pause_before(usize::MAX), Duration::from_secs(2));
    }
}
