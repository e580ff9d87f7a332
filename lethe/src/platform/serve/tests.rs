use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn one_address_does_not_take_every_connection() {
    let (callers, elsewhere) = (Callers::default(), IpAddr::from([192, 0, 2, 7]));
    let mut held: Vec<_> = (0..3).filter_map(|_| callers.enter(elsewhere, 3)).collect();
    assert_eq!(held.len(), 3);
    assert!(callers.enter(elsewhere, 3).is_none() && callers.enter(IpAddr::from([192, 0, 2, 8]), 3).is_some());
    held.pop();
    assert!(callers.enter(elsewhere, 3).is_some(), "one of them was closed");
    let here: Vec<_> = (0..5).map(|_| callers.enter(IpAddr::from([127, 0, 0, 1]), 3)).collect();
    assert!(here.iter().all(Option::is_some), "a proxy on this machine");
    drop((held, here));
    assert!(callers.0.lock().expect("nobody panicked").is_empty(), "who left is forgotten");
}

async fn served(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = watch::channel(false);
    let router = Router::new().route("/", get(async || "here")).route("/echo", post(async |text: String| text));
    (address, stop, tokio::spawn(serve(listener, router, bounds, stopped)))
}

async fn all(connection: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // However it is closed, what came before counts.
    let _ = connection.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn who_sends_no_whole_head_is_let_go_and_others_are_answered() {
    let bounds = Bounds { patience: Duration::from_millis(300), ..Bounds::default() };
    let (address, stop, serving) = served(bounds).await;
    for begun in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nHost: a\r\nSlow", "POST /echo HTTP/1.1\r\n"] {
        let mut slow = TcpStream::connect(address).await.expect("a connection");
        slow.write_all(begun.as_bytes()).await.expect("sent");
        assert_eq!(all(&mut slow).await, "", "{begun}");
    }
    let mut good = TcpStream::connect(address).await.expect("a connection");
    good.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert!(all(&mut good).await.ends_with("here"), "and closed when nothing more is asked");
    stop.send(true).expect("it serves");
    serving.await.expect("it ends");
}

#[tokio::test]
async fn who_is_one_too_many_waits_for_a_place() {
    let (address, stop, serving) = served(Bounds { connections: 1, ..Bounds::default() }).await;
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut first = TcpStream::connect(address).await.expect("a connection");
    first.write_all(ask).await.expect("sent");
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.expect("an answer");
    let mut second = TcpStream::connect(address).await.expect("the system takes it in");
    second.write_all(ask).await.expect("sent");
    let waited = tokio::time::timeout(Duration::from_millis(100), second.read_exact(&mut answer)).await;
    assert!(waited.is_err(), "there is one place");
    drop(first);
    second.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(second);
    stop.send(true).expect("it serves");
    serving.await.expect("it ends");
}

#[tokio::test]
async fn a_head_has_an_end() {
    let (address, stop, serving) = served(Bounds::default()).await;
    let mut huge = TcpStream::connect(address).await.expect("a connection");
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(4 * HEAD));
    // The answer comes before all is sent.
    let _ = huge.write_all(head.as_bytes()).await;
    assert!(!all(&mut huge).await.contains("here"));
    stop.send(true).expect("it serves");
    serving.await.expect("it ends");
}
