//! The API as a client meets it.

use std::collections::BTreeSet;

use domain::permit::Role;
use lethe::platform::random_id;
use reqwest::{Client as Http, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tests::api::{enrol, identity, participant, send, vital_signs};
use tests::home::{Home, acme};

/// A caller whose requests can be shaped freely.
struct Caller {
    http: Http,
    url: String,
    token: String,
    user: uuid::Uuid,
}

impl Caller {
    async fn new(home: &Home, role: Role) -> Self {
        let id = random_id();
        let user = domain::ids::UserId(id);
        let token = lethe::platform::NewToken::new(&acme(), user, role, "somebody in a test", false);
        let token = home.platform.create_token(token).await.expect("a token");
        Self { http: Http::new(), url: home.platform.url().to_owned(), token, user: id }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// It is a problem with this status and code.
async fn problem(response: Response, status: u16, code: &str, what: &str) {
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{what}");
    let found = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{what}: {body}");
    assert_eq!((&body["status"], &body["type"]), (&json!(status), &json!(format!("/problems/{code}"))), "{what}");
}

/// Every described view: its path, this test's address for it, and who may ask.
fn views(person: uuid::Uuid, erasure: uuid::Uuid, design: &str, user: uuid::Uuid) -> Vec<(&'static str, String, Role)> {
    use Role::{Controller, DataManager, Dpo, Investigator, Operator};
    let (study, person) = ("/v1/studies/cardio-1", participant(person));
    let of_person = |view: &str| format!("{person}{view}");
    let of_study = |view: &str| format!("{study}{view}");
    vec![
        ("/v1/dataset-json/about", "/v1/dataset-json/about".to_owned(), Investigator),
        ("/v1/dataset-json/studies", "/v1/dataset-json/studies".to_owned(), Investigator),
        ("/v1/dataset-json/studies/{study}", "/v1/dataset-json/studies/cardio-1".to_owned(), Investigator),
        (
            "/v1/dataset-json/studies/{study}/datasets",
            "/v1/dataset-json/studies/cardio-1/datasets".to_owned(),
            Investigator,
        ),
        (
            "/v1/dataset-json/studies/{study}/datasets/{dataset}",
            "/v1/dataset-json/studies/cardio-1/datasets/VS".to_owned(),
            Investigator,
        ),
        (
            "/v1/dataset-json/studies/{study}/snapshots",
            "/v1/dataset-json/studies/cardio-1/snapshots".to_owned(),
            Investigator,
        ),
        ("/v1/access", "/v1/access".to_owned(), Dpo),
        ("/v1/access/mine", "/v1/access/mine".to_owned(), Investigator),
        ("/v1/users/{user}/access", format!("/v1/users/{user}/access"), Dpo),
        ("/v1/studies/{study}/participants/{participant}/access", of_person("/access"), Dpo),
        ("/v1/incidents", "/v1/incidents".to_owned(), Dpo),
        ("/v1/erasures/{erasure}", format!("/v1/erasures/{erasure}"), Dpo),
        ("/v1/erasures/{erasure}/impact", format!("/v1/erasures/{erasure}/impact"), Dpo),
        ("/v1/operations/backups", "/v1/operations/backups".to_owned(), Operator),
        ("/v1/operations/figures", "/v1/operations/figures".to_owned(), Operator),
        ("/v1/operations/findings", "/v1/operations/findings".to_owned(), Operator),
        ("/v1/operations/health", "/v1/operations/health".to_owned(), Operator),
        ("/v1/operations/journals", "/v1/operations/journals".to_owned(), Operator),
        ("/v1/operations/journals/{journal}/commits", "/v1/operations/journals/cardio-1/commits".to_owned(), Operator),
        ("/v1/operations/journals/{journal}/streams", "/v1/operations/journals/cardio-1/streams".to_owned(), Operator),
        ("/v1/operations/keys", "/v1/operations/keys".to_owned(), Operator),
        ("/v1/operations/kms", "/v1/operations/kms".to_owned(), Operator),
        ("/v1/operations/openings", "/v1/operations/openings".to_owned(), Operator),
        ("/v1/operations/projections", "/v1/operations/projections".to_owned(), Operator),
        ("/v1/operations/rebuilds", "/v1/operations/rebuilds".to_owned(), Operator),
        ("/v1/operations/sign-ins", "/v1/operations/sign-ins".to_owned(), Operator),
        ("/v1/operations/standstills", "/v1/operations/standstills".to_owned(), Operator),
        ("/v1/sessions", "/v1/sessions".to_owned(), Controller),
        ("/v1/studies", "/v1/studies".to_owned(), Investigator),
        ("/v1/studies/{study}", of_study(""), Investigator),
        ("/v1/studies/{study}/audit", of_study("/audit"), Investigator),
        ("/v1/studies/{study}/design", of_study("/design"), Investigator),
        ("/v1/studies/{study}/designs/{design}", of_study(&format!("/designs/{design}")), Investigator),
        (
            "/v1/studies/{study}/designs/{design}/difference/{other}",
            of_study(&format!("/designs/{design}/difference/{design}")),
            Investigator,
        ),
        ("/v1/studies/{study}/erasures", of_study("/erasures"), Dpo),
        ("/v1/studies/{study}/events", of_study("/events"), Dpo),
        ("/v1/studies/{study}/exports", of_study("/exports"), Dpo),
        ("/v1/studies/{study}/figures/completeness", of_study("/figures/completeness"), Investigator),
        ("/v1/studies/{study}/figures/enrolment", of_study("/figures/enrolment"), Investigator),
        ("/v1/studies/{study}/figures/entry-lag", of_study("/figures/entry-lag"), Investigator),
        ("/v1/studies/{study}/figures/lock-readiness", of_study("/figures/lock-readiness"), Investigator),
        ("/v1/studies/{study}/figures/queries", of_study("/figures/queries"), Investigator),
        ("/v1/studies/{study}/figures/signatures", of_study("/figures/signatures"), Investigator),
        ("/v1/studies/{study}/figures/verification", of_study("/figures/verification"), Investigator),
        ("/v1/studies/{study}/figures/visits", of_study("/figures/visits"), Investigator),
        ("/v1/studies/{study}/holds", of_study("/holds"), Dpo),
        ("/v1/studies/{study}/lock-readiness", of_study("/lock-readiness"), DataManager),
        ("/v1/studies/{study}/matrix", of_study("/matrix"), Investigator),
        ("/v1/studies/{study}/overview", of_study("/overview"), Investigator),
        ("/v1/studies/{study}/participants", of_study("/participants"), Investigator),
        ("/v1/studies/{study}/participants/{participant}", of_person(""), Investigator),
        ("/v1/studies/{study}/participants/{participant}/audit", of_person("/audit"), Investigator),
        ("/v1/studies/{study}/participants/{participant}/casebook", of_person("/casebook"), Investigator),
        ("/v1/studies/{study}/participants/{participant}/identity", of_person("/identity"), Investigator),
        (
            "/v1/studies/{study}/participants/{participant}/migration/{design}",
            of_person(&format!("/migration/{design}")),
            DataManager,
        ),
        ("/v1/studies/{study}/participants/{participant}/signatures", of_person("/signatures"), Investigator),
        ("/v1/studies/{study}/queries", of_study("/queries"), Investigator),
        ("/v1/studies/{study}/randomisation", of_study("/randomisation"), DataManager),
        ("/v1/studies/{study}/restrictions", of_study("/restrictions"), Dpo),
        ("/v1/studies/{study}/audit/reviews", of_study("/audit/reviews"), DataManager),
        ("/v1/studies/{study}/audit/unusual", of_study("/audit/unusual"), DataManager),
        ("/v1/users", "/v1/users".to_owned(), Controller),
        ("/v1/users/reviews", "/v1/users/reviews".to_owned(), Controller),
        ("/v1/users/{user}/sessions", format!("/v1/users/{user}/sessions"), Controller),
        ("/v1/machines", "/v1/machines".to_owned(), Controller),
        ("/v1/passkeys", "/v1/passkeys".to_owned(), Controller),
        ("/v1/users/{user}/passkeys", format!("/v1/users/{user}/passkeys"), Controller),
        ("/v1/users/{user}/sign-ins", format!("/v1/users/{user}/sign-ins"), Controller),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_answers_as_described() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let person = enrol(&integrator, "oslo", "N-1").await;
    send(&integrator, &participant(person), vital_signs("120")).await.expect("saved");
    let at = format!("{}/identity", participant(person));
    send(&integrator, &at, identity("Ada", "Lovelace", "ada@example.org")).await.expect("recorded");
    let erasure = random_id();
    let ask = json!({"type": "request-erasure", "erasure": erasure, "justification": "consent-withdrawn"});
    let at = format!("{}/privacy", participant(person));
    let last = send(&home.client(Role::Dpo).await, &at, ask).await.expect("requested").position.expect("a position");

    let (investigator, dpo) = (Caller::new(&home, Role::Investigator).await, Caller::new(&home, Role::Dpo).await);
    let manager = Caller::new(&home, Role::DataManager).await;
    let study = investigator.get(&format!("/v1/studies/cardio-1?min_position={last}")).await;
    let study: Value = study.json().await.expect("JSON");
    let design = study["designs"][0]["design"].as_str().expect("a published design");
    let controller = Caller::new(&home, Role::Controller).await;
    let operator = Caller::new(&home, Role::Operator).await;
    let views = views(person, erasure, design, controller.user);
    let described = super::description();
    let described = super::operations(&described).into_keys();
    let mut described: BTreeSet<String> =
        described.filter_map(|name| Some(name.strip_prefix("get ")?.to_owned())).collect();
    // What is not completed has no certificate: see the tests of erasure.
    for form in ["certificate", "certificate.html"] {
        assert!(described.remove(&format!("/v1/erasures/{{erasure}}/{form}")));
        let certificate = format!("/v1/erasures/{erasure}/{form}?min_position={last}");
        problem(dpo.get(&certificate).await, 404, "no-certificate", "a certificate").await;
        let unknown = format!("/v1/erasures/{}/{form}", random_id());
        problem(dpo.get(&unknown).await, 404, "no-such-erasure", "nobody's certificate").await;
        problem(investigator.get(&format!("/v1/erasures/x/{form}")).await, 400, "invalid-id", "no id").await;
    }
    // Nothing is exported here, and NDJSON is no JSON: see the tests of exports and of datasets.
    assert!(described.remove("/v1/dataset-json/studies/{study}/datasets/{dataset}/ndjson"));
    for (path, asked) in [("{export}", ""), ("{export}/files/{file}", "/files/cardio-1.VS.csv")] {
        assert!(described.remove(&format!("/v1/studies/{{study}}/exports/{path}")));
        let unknown = format!("/v1/studies/cardio-1/exports/{}{asked}", random_id());
        problem(investigator.get(&unknown).await, 404, "no-such-export", path).await;
    }
    // Nothing looks like an attack here: see the tests of detection.
    assert!(described.remove("/v1/incidents/{incident}"));
    let unknown = format!("/v1/incidents/{}", random_id());
    problem(dpo.get(&unknown).await, 404, "no-such-incident", "no incident").await;
    // Nobody is randomised here: see the tests of the write side.
    for (path, code, asked) in [
        ("/v1/studies/{study}/participants/{participant}/allocation", "not-randomised", "/allocation"),
        ("/v1/studies/{study}/randomisation/{list}/reveal", "forbidden", ""),
    ] {
        assert!(described.remove(path));
        let at = match asked {
            "" => "/v1/studies/cardio-1/randomisation/main/reveal".to_owned(),
            of_person => format!("{}{of_person}", participant(person)),
        };
        let answer = investigator.get(&at).await;
        let status = answer.status().as_u16();
        assert!(matches!(status, 403 | 404 | 409), "{path}: {status}");
        problem(answer, status, code, path).await;
    }
    // About the door and not about the record: whether there is a provider at all, and where its sign-out is.
    for (path, to_nobody, said) in [
        ("/v1/sign-in/provider", 200, json!({"offered": false})),
        ("/v1/sign-out/provider", 401, json!({"location": null})),
    ] {
        assert!(described.remove(path));
        let nobody = investigator.http.get(format!("{}{path}", investigator.url)).send().await.expect("an answer");
        assert_eq!(nobody.status().as_u16(), to_nobody, "{path}");
        let told: Value = investigator.get(path).await.json().await.expect("JSON");
        assert_eq!(told, said, "{path}");
    }
    assert_eq!(views.iter().map(|(path, ..)| (*path).to_owned()).collect::<BTreeSet<_>>(), described);
    for (_, path, role) in &views {
        let caller = match role {
            Role::Dpo => &dpo,
            Role::DataManager => &manager,
            Role::Controller => &controller,
            Role::Operator => &operator,
            _ => &investigator,
        };
        let nobody = caller.http.get(format!("{}{path}", caller.url)).send().await.expect("an answer");
        assert!(nobody.headers().contains_key("www-authenticate"), "{path}");
        problem(nobody, 401, "unauthorized", path).await;
        let answer = caller.get(&format!("{path}?min_position={last}")).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store", "{path}");
        // The audit trail of a study is a stream of lines.
        let lined = path.ends_with("cardio-1/audit") || path == "/v1/access";
        let kind = if lined { "application/x-ndjson" } else { "application/json" };
        assert!(header(&answer, "content-type").starts_with(kind), "{path}");
        assert!(reflects(header(&answer, "lethe-position"), &last), "{path}");
        problem(caller.get(&format!("{path}?colour=red")).await, 400, "invalid-query", path).await;
        let wrong = caller.request(Method::DELETE, path).send().await.expect("an answer");
        assert!(header(&wrong, "allow").contains("GET"), "{path}");
        problem(wrong, 405, "method-not-allowed", path).await;
    }
    problem(dpo.get("/v1/unheard-of").await, 404, "no-such-address", "an unknown address").await;
    let served: Value = dpo.get("/openapi.json").await.json().await.expect("JSON");
    assert_eq!(served, super::description());
    home.stop().await;
}

/// Whether an answer's positions are at least as far as one of them must be.
fn reflects(positions: &str, wanted: &str) -> bool {
    let (journal, sequence) = apart(wanted);
    positions.split(',').map(apart).any(|found| found.0 == journal && found.1 >= sequence)
}

/// A position as journal (with its incarnation) and sequence. Clients never do this: to them it is opaque.
fn apart(position: &str) -> (&str, u64) {
    let (journal, sequence) = position.rsplit_once(':').expect("a position");
    (journal, sequence.parse().expect("a sequence"))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_positions_and_tags_keep_their_word() {
    let home = Home::new().await;
    home.live_study().await;
    let integrator = home.client(Role::Integrator).await;
    let mut numbers = Vec::new();
    let mut people = Vec::new();
    // Not in the order in which they are listed.
    for n in (0..25).map(|n| n * 7 % 25) {
        numbers.push(format!("N-{n:02}"));
        people.push(enrol(&integrator, "oslo", &format!("N-{n:02}")).await);
    }
    numbers.sort();
    let investigator = Caller::new(&home, Role::Investigator).await;
    let last = tags(&Caller::new(&home, Role::Integrator).await, people[0]).await;
    assert_eq!(paged(&investigator, &last).await, numbers);

    let list = "/v1/studies/cardio-1/participants";
    for wrong in ["limit=0", "limit=1001"] {
        problem(investigator.get(&format!("{list}?{wrong}")).await, 400, "invalid-limit", wrong).await;
    }
    for wrong in ["limit=-1", "limit=ten", "limit=1&limit=2", "cursors=00"] {
        problem(investigator.get(&format!("{list}?{wrong}")).await, 400, "invalid-query", wrong).await;
    }
    problem(investigator.get(&format!("{list}?cursor=Ada")).await, 400, "invalid-cursor", "a cursor").await;
    positions(&investigator, list, &last).await;
    home.stop().await;
}

/// Saves a form with `If-None-Match: *`: once, and no second time. Gives the position.
async fn tags(integrator: &Caller, person: uuid::Uuid) -> String {
    let save =
        |body: Value| integrator.request(Method::POST, &participant(person)).header("If-None-Match", "*").json(&body);
    let first = save(vital_signs("120")).send().await.expect("an answer");
    assert_eq!(first.status(), 200, "nothing was there");
    let (tag, position) = (header(&first, "etag").to_owned(), header(&first, "lethe-position").to_owned());
    let mut change = vital_signs("121");
    change["items"][0]["reason"] = json!("typing error");
    let second = save(change).send().await.expect("an answer");
    assert_eq!(header(&second, "etag"), tag, "the refusal says what is there");
    problem(second, 412, "tag-differs", "something is there").await;
    position
}

/// The subject numbers of all pages of ten, in order.
async fn paged(caller: &Caller, position: &str) -> Vec<String> {
    let mut path = format!("/v1/studies/cardio-1/participants?limit=10&min_position={position}");
    let (mut numbers, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page: Value = caller.get(&path).await.json().await.expect("JSON");
        let items = page["items"].as_array().expect("items");
        numbers.extend(items.iter().filter_map(|item| item["subject_number"].as_str()).map(str::to_owned));
        sizes.push(items.len());
        assert!(sizes.len() <= 3, "it ends: {sizes:?}");
        match page.get("next").expect("next is always said") {
            Value::Null => break,
            next => {
                path = format!("/v1/studies/cardio-1/participants?limit=10&cursor={}", next.as_str().expect("text"))
            }
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    numbers
}

/// What is not there yet is waited for; what never was is refused.
async fn positions(caller: &Caller, list: &str, last: &str) {
    let (journal, sequence) = apart(last);
    let (study, incarnation) = journal.rsplit_once(':').expect("an incarnation");
    let other_life = incarnation.parse::<u64>().expect("a number") + 1;
    let elsewhere = format!("unheard:{incarnation}:{sequence}");
    for (wrong, code) in [
        (format!("{study}:{other_life}:{sequence}"), "unknown-position"),
        (elsewhere, "unknown-position"),
        ("yesterday".to_owned(), "invalid-position"),
    ] {
        problem(caller.get(&format!("{list}?min_position={wrong}")).await, 400, code, &wrong).await;
    }
    let future = format!("{journal}:{}", sequence + 1_000_000);
    let late = caller.get(&format!("{list}?min_position={future}")).await;
    assert_eq!(header(&late, "retry-after"), "1");
    problem(late, 503, "behind", "a position that is not there yet").await;
}
