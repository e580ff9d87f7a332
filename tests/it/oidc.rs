//! Coming in by an identity provider: the certified `oidc-provider`, in a process of its own, over HTTP from end to end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lethe::cli::Client;
use lethe::platform::Platform;
use reqwest::Client as Http;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tests::door::{Person, Turned};
use tests::home::{Folder, Home, acme};

use super::door::{no, refused};

const SECRET: &str = "a secret, of a client: with + and %";

const PACKAGE: &str = include_str!("oidc/package.json");
const PROVIDER: &str = include_str!("oidc/provider.mjs");

/// Two tests must not install at once.
static INSTALLING: Mutex<()> = Mutex::new(());

/// The provider's packages, installed once into the user's cache.
fn installed() -> Result<PathBuf, String> {
    let _one = INSTALLING.lock().map_err(|error| error.to_string())?;
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or(home);
    let parent = cache.ok_or("there is neither HOME nor XDG_CACHE_HOME")?.join("lethe");
    let package: Value = serde_json::from_str(PACKAGE).map_err(|error| error.to_string())?;
    let version = package["dependencies"]["oidc-provider"].as_str().ok_or("no version is pinned")?;
    let folder = parent.join(format!("oidc-provider-{version}"));
    if folder.exists() {
        return Ok(folder);
    }
    let fresh = parent.join(format!(".oidc-provider-{}", std::process::id()));
    fs::create_dir_all(&fresh).map_err(|error| error.to_string())?;
    fs::write(fresh.join("package.json"), PACKAGE).map_err(|error| error.to_string())?;
    let output = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"])
        .current_dir(&fresh)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm: {error}"))?;
    let done = output.status.success() && fresh.join("node_modules/oidc-provider").exists();
    // Whoever is first wins: another installation is as good as ours.
    if !done || fs::rename(&fresh, &folder).is_err() {
        let _ = fs::remove_dir_all(&fresh);
    }
    folder.exists().then_some(folder).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A provider that runs, until this is dropped.
struct Provider {
    process: Child,
    url: String,
    /// What it complains about.
    heard: PathBuf,
}

impl Provider {
    fn start(folder: &Path, packages: &Path) -> Result<Self, String> {
        // Node looks for packages beside the file that asks.
        std::os::unix::fs::symlink(packages.join("node_modules"), folder.join("node_modules"))
            .map_err(|error| error.to_string())?;
        let file = folder.join("provider.mjs");
        fs::write(&file, PROVIDER).map_err(|error| error.to_string())?;
        let (said, heard) = (folder.join("provider.out"), folder.join("provider.err"));
        let create = |path: &Path| fs::File::create(path).map_err(|error| error.to_string());
        let mut process = Command::new("node")
            .args([file.as_os_str(), SECRET.as_ref()])
            .stdin(Stdio::null())
            .stdout(create(&said)?)
            .stderr(create(&heard)?)
            .spawn()
            .map_err(|error| format!("node: {error}"))?;
        // Into a file: a pipe that nobody reads any more would end it.
        loop {
            let text = fs::read_to_string(&said).unwrap_or_default();
            if let Some((port, _)) = text.split_once('\n') {
                return Ok(Self { process, url: format!("http://127.0.0.1:{port}"), heard });
            }
            if let Ok(Some(status)) = process.try_wait() {
                return Err(format!(
                    "the provider ended, {status}: {}",
                    fs::read_to_string(&heard).unwrap_or_default()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    async fn told(&self, path: &str) -> String {
        let answer = Http::new().get(format!("{}{path}", self.url)).send().await.expect("it answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.expect("text")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let ended = self.process.wait();
        if std::thread::panicking() {
            println!("the provider: {ended:?} {}", fs::read_to_string(&self.heard).unwrap_or_default());
        }
    }
}

/// A browser, as far as it matters here: it keeps cookies and goes where it is sent.
struct Browser {
    http: Http,
    cookies: BTreeMap<String, String>,
    /// Who sits there, and how they prove it at the provider.
    account: &'static str,
    amr: &'static str,
    acr: &'static str,
}

struct Seen {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Browser {
    fn of(account: &'static str, amr: &'static str) -> Self {
        let http = Http::builder().redirect(Policy::none()).pool_max_idle_per_host(0).build().expect("a client");
        Self { http, cookies: BTreeMap::new(), account, amr, acr: "" }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header("x-account", self.account).header("x-amr", self.amr);
        if !self.acr.is_empty() {
            request = request.header("x-acr", self.acr);
        }
        let answer = request.header("Cookie", cookies.join("; ")).send().await.expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
            let (name, value) = pair.split_once('=').expect("a pair");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = answer.headers().get("location").map(|to| to.to_str().expect("text").to_owned());
        Seen { status: answer.status().as_u16(), location, body: answer.text().await.expect("text") }
    }

    /// Goes to the provider and comes back with what the address says then: state and code.
    async fn fetch(&mut self, home: &Home, link: Option<&str>) -> (String, String) {
        let lethe = home.platform.url();
        let body = json!({"tenant": "acme", "link": link, "base": lethe, "environment": "TEST"});
        let request = self.http.post(format!("{lethe}/v1/sign-in/provider")).json(&body);
        let gone = self.send(request).await;
        let gone: Value = serde_json::from_str(&gone.body).expect("JSON");
        let mut to = gone["location"].as_str().unwrap_or_else(|| panic!("sent there: {gone}")).to_owned();
        let base = to.split("/auth").next().expect("an issuer").to_owned();
        for _ in 0..12 {
            if let Some(query) = to.strip_prefix(&format!("{lethe}/sign-in/provider/back?")) {
                let field = |name: &str| {
                    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
                    found.unwrap_or_else(|| panic!("{name} is in {query}")).to_owned()
                };
                return (field("state"), field("code"));
            }
            let request = self.http.get(&to);
            let seen = self.send(request).await;
            let next = seen.location.unwrap_or_else(|| panic!("{to} leads nowhere: {} {}", seen.status, seen.body));
            to = if next.starts_with('/') { format!("{base}{next}") } else { next };
        }
        panic!("it goes round in circles: {to}");
    }

    async fn bring(&mut self, home: &Home, (state, code): &(String, String)) -> (u16, Value) {
        let request = self.http.post(format!("{}/v1/sign-in/provider/back", home.platform.url()));
        let seen = self.send(request.json(&json!({"state": state, "code": code}))).await;
        (seen.status, serde_json::from_str(&seen.body).expect("JSON"))
    }

    async fn sign_in(&mut self, home: &Home, link: Option<&str>) -> Result<Client, (u16, String)> {
        let fetched = self.fetch(home, link).await;
        match self.bring(home, &fetched).await {
            (200, begun) => Ok(Client::new(home.platform.url(), begun["token"].as_str().expect("a session"))),
            (status, problem) => Err((status, problem["code"].as_str().unwrap_or_default().to_owned())),
        }
    }

    /// Signs out at the provider, which tells us.
    async fn sign_out_there(&mut self, provider: &Provider, home: &Home) {
        let back = format!("{}/sign-in", home.platform.url());
        let address = format!("{}/session/end", provider.url);
        let asked = self.http.get(&address).query(&[("client_id", "lethe"), ("post_logout_redirect_uri", &*back)]);
        let page = self.send(asked).await;
        let xsrf = page.body.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let xsrf = xsrf.unwrap_or_else(|| panic!("a form: {}", page.body));
        let confirm = self.http.post(format!("{address}/confirm"));
        let form = confirm.header("Content-Type", "application/x-www-form-urlencoded");
        let done = self.send(form.body(format!("xsrf={xsrf}&logout=yes"))).await;
        assert!(done.location.is_some_and(|to| to.starts_with(&back)), "back to us: {} {}", done.status, done.body);
    }
}

/// The platform, and the provider that its tenant has; none where there cannot be one, on a machine that is not CI.
async fn home_with_provider(test: &str, clock: &Turned) -> Option<(Home, Provider)> {
    let folder = Folder::new();
    let started = installed().and_then(|packages| Provider::start(folder.path(), &packages));
    let provider = match started {
        Ok(provider) => provider,
        Err(reason) if std::env::var_os("CI").is_some() => panic!("{test} needs oidc-provider: {reason}"),
        Err(reason) => {
            println!("skipped: {test} (oidc-provider cannot be had: {reason})");
            return None;
        }
    };
    let file = folder.path().join("oidc.json");
    let one = json!({"issuer": provider.url, "client_id": "lethe", "client_secret": SECRET, "acr_values": ["urn:two"]});
    fs::write(&file, json!({"acme": one}).to_string()).expect("written");
    let options = || folder.options().clock(Arc::new(clock.clone())).providers(Some(file.clone()));
    let open = Platform::start(options()).await.map(|_| ()).expect_err("others can read the file");
    assert!(open.to_string().contains("chmod 600"), "{open}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("closed");
    let platform = Platform::start(options()).await.expect("the platform starts");
    platform.create_tenant(&acme()).await.expect("a tenant can be created");
    let home = Home { folder, platform };
    provider.told(&format!("/serves?at={}", home.platform.url())).await;
    Some((home, provider))
}

async fn invited(ada: &Person, role: &str, name: &str) -> String {
    let right = json!({"role": role, "environment": "TEST", "organisation": "own", "sites": "all"});
    let made = ada.session.post("/v1/users", &json!({"name": name, "right": right})).await.expect("invited").body;
    made["link"].as_str().expect("a link").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_comes_in_by_their_provider_and_leaves_when_it_says_so() {
    let clock = Turned::now();
    let test = "who_is_invited_comes_in_by_their_provider_and_leaves_when_it_says_so";
    let Some((home, provider)) = home_with_provider(test, &clock).await else { return };
    let ada = Person::first(&home, &clock).await;
    let link = invited(&ada, "investigator", "Olga Oidc").await;
    let closed = Err((401, "not-opened".to_owned()));

    // Nobody comes in without an invitation, nor with less than two factors.
    let outcome = |session: Result<Client, (u16, String)>| session.map(|_| ());
    assert_eq!(outcome(Browser::of("olga", "pwd otp").sign_in(&home, None).await), closed);
    let weak = Browser::of("olga", "pwd").sign_in(&home, Some(&link)).await;
    assert_eq!(outcome(weak), Err((403, "too-few-factors-there".to_owned())));
    let mut olga = Browser::of("olga", "pwd otp");
    let session = olga.sign_in(&home, Some(&link)).await.expect("joined");
    session.get("/v1/studies").await.expect("lists");
    assert_eq!(outcome(Browser::of("eve", "pwd otp").sign_in(&home, Some(&link)).await), closed, "a link counts once");
    assert_eq!(outcome(Browser::of("eve", "pwd otp").sign_in(&home, None).await), closed, "another person of it");
    let other = invited(&ada, "monitor", "Otto Other").await;
    let twice = Browser::of("olga", "pwd otp").sign_in(&home, Some(&other)).await;
    assert_eq!(outcome(twice), Err((409, "identity-taken".to_owned())));

    // What was begun counts once, in the browser that began.
    let mut elsewhere = Browser { acr: "urn:two", ..Browser::of("olga", "") };
    let fetched = elsewhere.fetch(&home, None).await;
    assert_eq!(Browser::of("olga", "").bring(&home, &fetched).await.0, 401, "no cookie of ours");
    assert_eq!(elsewhere.bring(&home, &fetched).await.0, 401, "it was tried already");
    let there = elsewhere.sign_in(&home, None).await.expect("by the class that was asked for");

    // The provider says that one session of it is over: ours that began by it is, and no other.
    elsewhere.sign_out_there(&provider, &home).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while refused(there.get("/v1/studies").await) != no(401, "unauthorized") {
        assert!(std::time::Instant::now() < deadline, "we were told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    session.get("/v1/studies").await.expect("another browser's session goes on");
    // New keys are looked for when a token names them, of whatever kind. With them the provider forgets who is there.
    for kind in ["ES256", "EdDSA"] {
        assert_eq!(provider.told("/rotate").await, kind);
        clock.on(Duration::from_secs(6));
        Browser::of("olga", "hwk fpt").sign_in(&home, None).await.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
    }

    let forged = "logout_token=eyJhbGciOiJub25lIn0.e30.";
    let told = Http::new().post(format!("{}/oidc/acme/back-channel-logout", home.platform.url()));
    let told = told.header("Content-Type", "application/x-www-form-urlencoded").body(forged).send().await;
    assert_eq!(told.expect("an answer").status().as_u16(), 400);
    let ins = session.get("/v1/users").await;
    assert_eq!(refused(ins), no(403, "forbidden"), "the right is the one that was given here");
    home.stop().await;
}
