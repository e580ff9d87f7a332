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

/// Connects with a login's options (user, password, inbox prefix). Once connected, a lost connection is made again and
/// again, ever more slowly, until it holds.
///
/// # Errors
/// When the server cannot be reached now or refuses the login.
pub async fn connect(login: ConnectOptions, url: &str, name: &str) -> Result<Client, Failure> {
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
    options.connect(url).await.map_err(|error| Failure::unavailable("the NATS server", error))
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
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = (0..12).map(|attempt| pause_before(attempt).as_millis() as u64).collect();
        assert!(pauses.is_sorted(), "{pauses:?}");
        assert_eq!((pauses[0], pauses[1], pauses[11]), (0, 40, 2_000));
        assert_eq!(pause_before(usize::MAX), Duration::from_secs(2));
    }
}
