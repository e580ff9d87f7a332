//! What the demo prints: the read models as a table, lines to try, and the same queries before and after an erasure.

use serde_json::Value;

use super::erase::Erased;
use super::people::Person;
use super::study::STUDY;
use super::{Cast, Voice};
use crate::cli::{ApiError, Client};
use crate::platform::Platform;

/// The answers about one participant, before the erasure.
pub struct Before {
    overview: Value,
    casebook: Answer,
    identity: Answer,
    audit: Value,
}

/// A query's answer, or the refusal that came instead.
enum Answer {
    Shown(Value),
    Refused(String),
}

impl Before {
    pub(super) async fn look(cast: &Cast, person: &Person, position: &str) -> Result<Self, ApiError> {
        let since = format!("?min_position={position}");
        Ok(Self {
            overview: cast.investigator.get(&format!("/v1/studies/{STUDY}/overview{since}")).await?.body,
            casebook: answer(&cast.investigator, &path(person, &format!("casebook{since}"))).await?,
            identity: answer(&cast.investigator, &path(person, "identity")).await?,
            audit: cast.investigator.get(&path(person, "audit")).await?.body,
        })
    }
}

fn path(person: &Person, view: &str) -> String {
    format!("/v1/studies/{STUDY}/participants/{}/{view}", person.id)
}

async fn answer(client: &Client, path: &str) -> Result<Answer, ApiError> {
    match client.get(path).await {
        Ok(reply) => Ok(Answer::Shown(reply.body)),
        Err(error) if error.status == Some(410) => Ok(Answer::Refused(format!("410 {}", error.code))),
        Err(error) => Err(error),
    }
}

/// A table of the read models.
pub(super) async fn read_models(cast: &Cast, position: &str, voice: &Voice) -> Result<(), ApiError> {
    let path = format!("/v1/studies/{STUDY}/overview?min_position={position}");
    let overview = cast.investigator.get(&path).await?.body;
    voice.say(&format!(
        "\n{:<12} {:>10} {:>10} {:>10} {:>10}",
        "site", "registered", "consented", "withdrawn", "erased"
    ));
    let row = |name: &str, counts: &Value| {
        let number = |key: &str| counts[key].as_u64().unwrap_or_default();
        let [a, b, c, d] = ["registered", "consented", "withdrawn", "erased"].map(number);
        voice.say(&format!("{name:<12} {a:>10} {b:>10} {c:>10} {d:>10}"));
    };
    for site in overview["sites"].as_array().into_iter().flatten() {
        row(site["site"].as_str().unwrap_or_default(), &site["total"]);
    }
    row("all", &overview["total"]);
    Ok(())
}

/// What each read model holds, by the answers of the API.
pub(super) async fn every_model(cast: &Cast, before: &Before, person: &Person, voice: &Voice) -> Result<(), ApiError> {
    let list = cast.investigator.get(&format!("/v1/studies/{STUDY}/participants?limit=1000")).await?.body;
    let open = cast.dpo.get(&format!("/v1/studies/{STUDY}/erasures?open=true")).await?.body;
    let count = |answer: &Value| answer["items"].as_array().map_or(0, Vec::len);
    let more = if list["next"].is_null() { "" } else { " and more" };
    voice.say(&format!("\n{:<18} {}", "read model", "holds"));
    let line = |model: &str, holds: String| voice.say(&format!("{model:<18} {holds}"));
    line("study overview", registered(&before.overview));
    line("participant list", format!("{} participants{more}", count(&list)));
    line("casebook", format!("{}, of participant {}", forms_of(&before.casebook), person.id));
    line("identity", format!("{}, of the same", name_of(&before.identity)));
    line("audit trail", format!("{}, of the same", audit_of(&before.audit)));
    line("open erasures", count(&open).to_string());
    Ok(())
}

/// Lines that work as printed, in another terminal.
pub(super) fn curl_lines(platform: &Platform, cast: &Cast, person: &Person, voice: &Voice) {
    let url = platform.url();
    voice.say("\nTry, in another terminal:");
    voice.say(&format!("  export LETHE_TOKEN={}", cast.investigator_token));
    for view in ["overview", "participants?limit=5"] {
        voice.say(&format!("  curl -s -H \"Authorization: Bearer $LETHE_TOKEN\" '{url}/v1/studies/{STUDY}/{view}'"));
    }
    for view in ["casebook", "audit"] {
        voice.say(&format!("  curl -s -H \"Authorization: Bearer $LETHE_TOKEN\" '{url}{}'", path(person, view)));
    }
    voice.say(&format!("  curl -s '{url}/readyz'; curl -s '{url}/metrics'; curl -s '{url}/openapi.json'"));
}

/// The same queries, side by side.
pub(super) async fn before_and_after(
    cast: &Cast,
    before: &Before,
    person: &Person,
    erased: &Erased,
    voice: &Voice,
) -> Result<(), ApiError> {
    let casebook = answer(&cast.investigator, &path(person, "casebook")).await?;
    let identity = answer(&cast.investigator, &path(person, "identity")).await?;
    let audit = cast.investigator.get(&path(person, "audit")).await?.body;
    let overview = cast.investigator.get(&format!("/v1/studies/{STUDY}/overview")).await?.body;
    voice.say(&format!("\nErasure {} is complete. The same queries before and after:", erased.erasure));
    voice.say(&format!("{:<22} {:<34} {}", "query", "before", "after"));
    let line = |query: &str, before: String, after: String| voice.say(&format!("{query:<22} {before:<34} {after}"));
    line("identity", name_of(&before.identity), name_of(&identity));
    line("casebook", forms_of(&before.casebook), forms_of(&casebook));
    line("audit trail", audit_of(&before.audit), audit_of(&audit));
    line("registered in study", registered(&before.overview), registered(&overview));
    Ok(())
}

fn registered(overview: &Value) -> String {
    let total = &overview["total"];
    format!("{} ({} erased)", total["registered"], total["erased"])
}

fn name_of(identity: &Answer) -> String {
    match identity {
        Answer::Refused(why) => why.clone(),
        Answer::Shown(identity) => {
            let details = identity["details"].as_array().into_iter().flatten();
            let names = details.filter(|detail| detail["detail"].as_str().is_some_and(|name| name.ends_with("_name")));
            names.map(|name| name["value"].as_str().unwrap_or("(erased)")).collect::<Vec<_>>().join(" ")
        }
    }
}

fn forms_of(casebook: &Answer) -> String {
    match casebook {
        Answer::Refused(why) => why.clone(),
        Answer::Shown(casebook) => {
            let forms = casebook["forms"].as_array().map_or(0, Vec::len);
            let items = casebook["forms"].as_array().into_iter().flatten();
            let items = items.map(|form| form["items"].as_array().map_or(0, Vec::len)).sum::<usize>();
            format!("{items} values on {forms} forms")
        }
    }
}

/// How many entries there are, and how many of their values can still be read.
fn audit_of(audit: &Value) -> String {
    let entries: Vec<&Value> = audit["items"].as_array().into_iter().flatten().collect();
    let readable = entries.iter().filter(|entry| entry["new"].is_string()).count();
    format!("{} entries, {readable} values readable", entries.len())
}
