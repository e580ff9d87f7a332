//! The S3 adapter on a real server, and behind a proxy that loses answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::port::{Failure, OffSite, SwapError};
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::contract::{Scratch, holds};
use super::s3::{Credentials, S3OffSite, S3Place};
use super::seaweed::{SeaweedServer, locate_or_install};
use super::{FolderOffSite, Place};

async fn server(scratch: &Scratch) -> SeaweedServer {
    let binary = locate_or_install(|line| eprintln!("{line}")).unwrap();
    SeaweedServer::start(&binary, &scratch.0).await.unwrap()
}

fn open(place: Place) -> S3OffSite {
    let Place::S3(place) = place else { panic!("a bucket") };
    S3OffSite::new(&place, &"acme".parse().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_holds_the_contract_and_its_lock() {
    let scratch = Scratch::new();
    let server = server(&scratch).await;
    server.create_bucket("copies").await.unwrap();
    let acme = || open(server.place("copies"));
    holds(&[acme(), acme(), acme(), acme()]).await;

    a_locked_version_cannot_be_deleted(&server).await;
    a_lost_answer_is_found_out(&server).await;
    refusals_are_said(&server).await;
}

async fn a_locked_version_cannot_be_deleted(server: &SeaweedServer) {
    server.create_locked_bucket("locked", 1).await.unwrap();
    let off_site = open(server.place("locked"));
    off_site.put("tree/a.pack", b"kept").await.unwrap();
    let tag = off_site.swap_head(None, b"A").await.unwrap();
    off_site.swap_head(Some(&tag), b"B").await.unwrap();

    let path = "locked/lethe/acme/tree/a.pack";
    let (_, version, _) = server.request(Method::GET, path, &[], "").await.unwrap();
    let versioned = format!("{path}?versionId={}", version.unwrap());
    let (status, ..) = server.request(Method::DELETE, &versioned, &[], "").await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN);
    // The same without a lock, so that it is the lock that refused.
    server.create_bucket("loose").await.unwrap();
    open(server.place("loose")).put("tree/a.pack", b"kept").await.unwrap();
    let (status, ..) = server.request(Method::DELETE, "loose/lethe/acme/tree/a.pack", &[], "").await.unwrap();
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _, text) = server.request(Method::GET, &versioned, &[], "").await.unwrap();
    assert_eq!((status, text.as_str()), (StatusCode::OK, "kept"));
}

async fn a_lost_answer_is_found_out(server: &SeaweedServer) {
    let proxy = Proxy::start(server.endpoint()).await;
    let Place::S3(direct) = server.place("copies") else { panic!("a bucket") };
    let place = S3Place { endpoint: Some(proxy.endpoint.clone()), prefix: "lossy".to_owned(), ..direct };
    let off_site = S3OffSite::new(&place, &"acme".parse().unwrap()).unwrap();

    let first = off_site.swap_head(None, b"A").await.unwrap();
    proxy.lose_next_put.store(true, Ordering::SeqCst);
    let second = off_site.swap_head(Some(&first), b"B").await.unwrap();
    assert!(!proxy.lose_next_put.load(Ordering::SeqCst), "no answer was lost");
    assert_eq!(off_site.head().await.unwrap(), Some((b"B".to_vec(), second)));
    assert!(matches!(off_site.swap_head(Some(&first), b"C").await, Err(SwapError::Moved)));

    proxy.lose_next_put.store(true, Ordering::SeqCst);
    off_site.put("tree/b.pack", b"sent once").await.unwrap();
    assert!(!proxy.lose_next_put.load(Ordering::SeqCst), "no answer was lost");
    assert_eq!(off_site.get("tree/b.pack").await.unwrap(), Some(b"sent once".to_vec()));
}

async fn refusals_are_said(server: &SeaweedServer) {
    let wrong = Credentials { id: server.credentials().id.clone(), secret: "wrong".to_owned().into() };
    let off_site = open(server.place("copies").with_credentials(wrong));
    assert!(matches!(off_site.put("a", b"a").await, Err(Failure::Unavailable { .. })));
    assert!(matches!(off_site.head().await, Err(Failure::Unavailable { .. })));
    assert!(matches!(off_site.swap_head(None, b"a").await, Err(SwapError::Failed(_))));
    let words = open(server.place("copies")).describe();
    assert!(words.contains("copies") && !words.contains(server.credentials().secret.as_str()), "{words}");
}

/// Hands everything on, but may swallow the answer to one put.
struct Proxy {
    endpoint: String,
    lose_next_put: Arc<AtomicBool>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let lose_next_put = Arc::new(AtomicBool::new(false));
        let (address, lose) = (server.trim_start_matches("http://").to_owned(), lose_next_put.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(hand_on(client, address.clone(), lose.clone()));
            }
        });
        Self { endpoint, lose_next_put }
    }
}

async fn hand_on(client: TcpStream, address: String, lose: Arc<AtomicBool>) {
    let server = TcpStream::connect(address).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_put = Arc::new(AtomicBool::new(false));
    let put = is_put.clone();
    let up = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            if buffer.starts_with(b"PUT ") {
                put.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if is_put.swap(false, Ordering::SeqCst) && lose.swap(false, Ordering::SeqCst) {
            break;
        }
        if to_client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    up.abort();
}

#[test]
fn a_place_opens_what_it_says() {
    let tenant = "acme".parse().unwrap();
    let folder = "/mnt/copies".parse::<Place>().unwrap().open(&tenant).unwrap();
    assert_eq!(folder.describe(), FolderOffSite::new("/mnt/copies".as_ref(), &tenant).describe());
    let bucket = "s3://copies/x?endpoint=http://127.0.0.1:1&region=eu-1".parse::<Place>().unwrap();
    assert_eq!(bucket.open(&tenant).unwrap().describe(), "the bucket copies at http://127.0.0.1:1, below x/acme");
    // Elsewhere TLS works: it builds.
    assert!("s3://copies?endpoint=https://s3.example.org".parse::<Place>().unwrap().open(&tenant).is_ok());
}
