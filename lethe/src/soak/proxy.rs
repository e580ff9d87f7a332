//! A TCP proxy that does what networks do: cuts, delays, closes one direction, falls silent, loses what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// One of the two directions of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    Clear,
    /// Every connection ends, and so does each new one.
    Cut,
    /// Every piece waits for so long.
    Delay(Duration),
    /// Connections that are there are closed in this direction; the other one stays open. New ones are whole.
    HalfClosed(Way),
    /// Nothing gets through in either direction; it waits.
    Silent,
    /// Nothing that the server says gets through; it waits.
    Mute,
}

impl Weather {
    fn holds(self, way: Way) -> bool {
        self == Self::Silent || (self == Self::Mute && way == Way::ToClient)
    }
}

/// How the network is now.
#[derive(Debug, Clone, Copy)]
struct Now {
    weather: Weather,
    /// How often all connections were cut: one that was there before is over, even if it is clear again by now.
    cuts: u64,
}

/// A proxy for one server. It ends when this is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Now>,
    accepting: AbortHandle,
}

impl Proxy {
    /// In front of what listens at `target`, on a port of its own.
    pub(super) async fn to(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let weather = watch::Sender::new(Now { weather: Weather::Clear, cuts: 0 });
        let seen = weather.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                // What fails here is one connection.
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(carry(client, target, seen.clone()));
            }
        });
        Ok(Self { address, weather, accepting: accepting.abort_handle() })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, for connections that are there and for new ones.
    pub(super) fn set(&self, weather: Weather) {
        self.weather.send_modify(|now| {
            now.cuts += u64::from(weather == Weather::Cut);
            now.weather = weather;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.set(Weather::Cut);
    }
}

/// Carries one connection until one side ends it or the weather does.
async fn carry(client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Now>) {
    let Now { weather: now, cuts } = *weather.borrow_and_update();
    if now == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pump(from_client, to_server, Way::ToServer, weather.clone(), cuts);
    let back = pump(from_server, to_client, Way::ToClient, weather.clone(), cuts);
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        // An error means that the proxy is gone.
        _ = weather.wait_for(|now| now.cuts != cuts) => {}
    }
}

/// Carries one direction. What was read and not delivered when the connection is cut is lost, as on the way.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut weather: watch::Receiver<Now>,
    cuts: u64,
) -> Option<()> {
    let mut piece = vec![0_u8; 64 * 1024];
    // A half-closed weather that was there before is not for this connection.
    let mut now = weather.borrow_and_update().weather;
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read.ok()?,
            changed = weather.changed() => {
                changed.ok()?;
                now = weather.borrow_and_update().weather;
                if now == Weather::HalfClosed(way) {
                    to.shutdown().await.ok()?;
                    return Some(());
                }
                continue;
            }
        };
        if read == 0 {
            to.shutdown().await.ok()?;
            return Some(());
        }
        if let Weather::Delay(pause) = now {
            sleep(pause).await;
        }
        let cleared = *weather.wait_for(|now| now.cuts != cuts || !now.weather.holds(way)).await.ok()?;
        if cleared.cuts != cuts {
            return None;
        }
        let half_closed_meanwhile = now != cleared.weather && cleared.weather == Weather::HalfClosed(way);
        now = cleared.weather;
        to.write_all(&piece[..read]).await.ok()?;
        if half_closed_meanwhile {
            to.shutdown().await.ok()?;
            return Some(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A server that repeats what it hears and counts it, behind a proxy, and a connection to it.
    struct Line {
        proxy: Proxy,
        heard: watch::Receiver<usize>,
        client: TcpStream,
    }

    impl Line {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let target = listener.local_addr().unwrap();
            let (sender, heard) = watch::channel(0);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        let mut piece = [0_u8; 64];
                        while let Ok(read @ 1..) = stream.read(&mut piece).await {
                            sender.send_modify(|count| *count += read);
                            if stream.write_all(&piece[..read]).await.is_err() {
                                return;
                            }
                        }
                        // Its own direction stays open a while longer, as a server's may.
                        let _ = stream.write_all(b"!").await;
                    });
                }
            });
            let proxy = Proxy::to(target).await.unwrap();
            let client = TcpStream::connect(proxy.address()).await.unwrap();
            Self { proxy, heard, client }
        }

        async fn says(&mut self, text: &[u8]) {
            self.client.write_all(text).await.unwrap();
        }

        async fn hears(&mut self, count: usize) -> Vec<u8> {
            let mut text = vec![0; count];
            self.client.read_exact(&mut text).await.unwrap();
            text
        }

        /// Whether the connection is over for the client: no more bytes, or an error.
        async fn is_over(&mut self) -> bool {
            matches!(self.client.read(&mut [0; 8]).await, Ok(0) | Err(_))
        }
    }

    #[tokio::test]
    async fn in_clear_weather_all_gets_through_both_ways() {
        let mut line = Line::new().await;
        line.says(b"hello").await;
        assert_eq!(line.hears(5).await, b"hello");
    }

    #[tokio::test]
    async fn a_cut_ends_connections_and_new_ones_until_it_is_clear() {
        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        line.proxy.set(Weather::Cut);
        assert!(line.is_over().await);
        line.client = TcpStream::connect(line.proxy.address()).await.unwrap();
        assert!(line.is_over().await, "a new one, too");
        line.proxy.set(Weather::Clear);
        line.client = TcpStream::connect(line.proxy.address()).await.unwrap();
        line.says(b"b").await;
        assert_eq!(line.hears(1).await, b"b");
    }

    #[tokio::test]
    async fn a_delay_holds_every_piece_that_long() {
        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        let pause = Duration::from_millis(40);
        line.proxy.set(Weather::Delay(pause));
        let begun = Instant::now();
        line.says(b"b").await;
        assert_eq!(line.hears(1).await, b"b");
        assert!(begun.elapsed() >= pause * 2, "once there and once back: {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn silence_holds_all_and_nothing_is_lost_when_it_ends() {
        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        line.proxy.set(Weather::Silent);
        line.says(b"b").await;
        let heard =
            tokio::time::timeout(Duration::from_millis(100), line.heard.wait_for(|count| *count > 1)).await.is_ok();
        assert!(!heard, "in spite of the silence");
        line.proxy.set(Weather::Clear);
        assert_eq!(line.hears(1).await, b"b");
    }

    #[tokio::test]
    async fn a_mute_server_hears_what_it_cannot_answer_and_a_cut_loses_the_answer() {
        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        line.proxy.set(Weather::Mute);
        line.says(b"b").await;
        line.heard.wait_for(|count| *count == 2).await.unwrap();
        line.proxy.set(Weather::Cut);
        line.proxy.set(Weather::Clear);
        assert!(line.is_over().await, "without the answer, however short the cut was");
    }

    #[tokio::test]
    async fn half_closed_one_direction_is_over_and_the_other_goes_on() {
        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        line.proxy.set(Weather::HalfClosed(Way::ToServer));
        assert_eq!(line.hears(1).await, b"!", "the server saw the end and could still say so");

        let mut line = Line::new().await;
        line.says(b"a").await;
        line.hears(1).await;
        line.proxy.set(Weather::HalfClosed(Way::ToClient));
        assert!(line.is_over().await);
        line.says(b"b").await;
        line.heard.wait_for(|count| *count == 2).await.unwrap();
        let other = TcpStream::connect(line.proxy.address()).await.unwrap();
        line.client = other;
        line.says(b"c").await;
        assert_eq!(line.hears(1).await, b"c", "a new one is whole");
    }
}
