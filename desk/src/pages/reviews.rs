//! Reviews: what is unusual in a study's audit trail, and which rights nobody uses; and that somebody looked, and what was found.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::on_to;
use crate::fields::{Fields, encoded};
use crate::frame::{Frame, Visit, page};
use crate::model::{Design, List, Looked, Review, Right, Shown, Unusual, User};
use crate::trouble::{Refused, Trouble};

/// A line of the list: what a rule named, in words.
struct Named {
    one: Unusual,
    place: String,
}

#[derive(Template)]
#[template(path = "trail_review.html")]
struct Trail {
    f: Frame,
    study: String,
    looked: Looked,
    named: Vec<Named>,
    reviews: Vec<Review>,
    /// What the form begins: sent twice, it is recorded once.
    id: String,
    finding: String,
}

/// The parameters that move the lines of the rules.
const LINES: [&str; 5] = ["late_days", "often", "day_begins", "day_ends", "much"];

/// `GET /desk/studies/{study}/audit/review`.
pub(crate) async fn trail(visit: Visit, Path(study): Path<String>) -> Result<Response, Trouble> {
    trail_shown(&visit, &study, &Fields::default(), None).await
}

async fn trail_shown(visit: &Visit, study: &str, sent: &Fields, refused: Option<Refused>) -> Result<Response, Trouble> {
    let base = format!("/v1/studies/{}", encoded(study));
    let List::<Review> { items: reviews, .. } = visit.api.get(&visit.since(&format!("{base}/audit/reviews"))).await?;
    // A review goes on where the last one ended, unless another place is asked for.
    // One of fewer sites is nobody's but their own.
    let own = visit.who.actor.id.to_string();
    let counts = |review: &&Review| review.of.sites.as_str() == Some("all") || review.act.actor.id == own;
    let last = reviews.iter().filter(counts).map(|review| review.of.through).max().unwrap_or_default();
    let after = sent.some("after").or(visit.asked.some("after")).map_or_else(|| last.to_string(), str::to_owned);
    let lines: String =
        LINES.iter().filter_map(|name| Some(format!("&{name}={}", encoded(visit.asked.some(name)?)))).collect();
    let (unusual, design) =
        (format!("{base}/audit/unusual?after={}{lines}", encoded(&after)), format!("{base}/design"));
    let (looked, design) = tokio::try_join!(visit.api.get::<Looked>(&unusual), visit.api.find::<Design>(&design))?;
    let design = design.unwrap_or_default();
    let mut looked = looked;
    let place = |one: &Unusual| {
        let form = one.form.as_ref();
        let parts = [
            form.map(|form| design.visit_name(&form.visit)),
            form.map(|form| design.form_name(&form.form)),
            one.item.as_ref().map(|item| design.item_name(&item.item, visit.words.language)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    };
    let named = std::mem::take(&mut looked.items).into_iter().map(|one| Named { place: place(&one), one }).collect();
    let shown = Trail {
        f: visit.frame("audit").of_study(study).but(refused),
        study: study.to_owned(),
        looked,
        named,
        reviews,
        id: visit.id(),
        finding: sent.text("finding").to_owned(),
    };
    Ok(page(&shown.f, &shown))
}

/// `POST` to the same: records that somebody looked, and what was found.
pub(crate) async fn record_trail(visit: Visit, Path(study): Path<String>, fields: Fields) -> Result<Response, Trouble> {
    let number = |name: &str| fields.text(name).parse::<u64>().unwrap_or_default();
    let body = json!({
        "review": fields.text("id"), "after": number("after"), "through": number("through"),
        "finding": fields.text("finding"),
    });
    match visit.api.post(&format!("/v1/studies/{}/audit/reviews", encoded(&study)), &body).await {
        Ok(answer) => Ok(on_to(&format!("/desk/studies/{}/audit/review", encoded(&study)), "review", &answer)),
        Err(Trouble::Refused(refused)) => trail_shown(&visit, &study, &fields, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// After how many days without use a right is named.
const UNUSED_DAYS: i64 = 90;

/// A right of somebody, and for how many days nobody used it.
struct Held {
    user: String,
    name: Option<Shown>,
    right: Right,
    idle: i64,
    unused: bool,
    /// Whether who looks may end it: nobody ends their own.
    ends: bool,
}

#[derive(Template)]
#[template(path = "access_review.html")]
struct Access {
    f: Frame,
    held: Vec<Held>,
    unused: usize,
    people: usize,
    reviews: Vec<Review>,
    id: String,
    finding: String,
}

/// `GET /desk/users/review`.
pub(crate) async fn access(visit: Visit) -> Result<Response, Trouble> {
    access_shown(&visit, &Fields::default(), None).await
}

async fn access_shown(visit: &Visit, sent: &Fields, refused: Option<Refused>) -> Result<Response, Trouble> {
    let (users, reviews) = (visit.since("/v1/users"), visit.since("/v1/users/reviews"));
    let (users, reviews) =
        tokio::try_join!(visit.api.get::<List<User>>(&users), visit.api.get::<List<Review>>(&reviews))?;
    let now = visit.now();
    let mut held = Vec::new();
    let people = users.items.iter().filter(|user| !user.rights.is_empty()).count();
    for user in users.items {
        for right in user.rights {
            let idle = idle(&right, now);
            let (name, user) = (user.name.clone(), user.user.clone());
            let ends = visit.who.actor.id.to_string() != user;
            held.push(Held { user, name, unused: idle >= UNUSED_DAYS, idle, ends, right });
        }
    }
    held.sort_by_key(|one| (std::cmp::Reverse(one.idle), one.name.as_ref().map(Shown::text)));
    let shown = Access {
        f: visit.frame("users").but(refused),
        unused: held.iter().filter(|one| one.unused).count(),
        held,
        people,
        reviews: reviews.items,
        id: visit.id(),
        finding: sent.text("finding").to_owned(),
    };
    Ok(page(&shown.f, &shown))
}

/// For how many days a right was not used: since the last session by it began, or else since it was given.
fn idle(right: &Right, now: OffsetDateTime) -> i64 {
    let since = right.used_at.as_ref().or(right.given_at.as_ref());
    let since = since.and_then(|since| OffsetDateTime::parse(since, &Rfc3339).ok());
    since.map_or(0, |since| (now - since).whole_days())
}

/// `POST` to the same: records that somebody looked, and what was found.
pub(crate) async fn record_access(visit: Visit, fields: Fields) -> Result<Response, Trouble> {
    let body = json!({"review": fields.text("id"), "finding": fields.text("finding")});
    match visit.api.post("/v1/users/reviews", &body).await {
        Ok(answer) => Ok(on_to("/desk/users/review", "review", &answer)),
        Err(Trouble::Refused(refused)) => access_shown(&visit, &fields, Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

/// `POST /desk/users/review/{user}/{right}/end`: ends a right from the review.
pub(crate) async fn end_right(visit: Visit, Path((user, right)): Path<(String, String)>) -> Result<Response, Trouble> {
    let path = format!("/v1/users/{}/rights/{}/end", encoded(&user), encoded(&right));
    match visit.api.post(&path, &json!({})).await {
        Ok(answer) => Ok(on_to("/desk/users/review", "right-ended", &answer)),
        Err(Trouble::Refused(refused)) => access_shown(&visit, &Fields::default(), Some(refused)).await,
        Err(trouble) => Err(trouble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_right_is_idle_since_it_was_used_or_else_since_it_was_given() {
        let right = |given_at: Option<&str>, used_at: Option<&str>| Right {
            right: String::new(),
            role: "monitor".into(),
            environment: "TEST".into(),
            sites: json!("all"),
            expires_at: None,
            given_at: given_at.map(Into::into),
            used_at: used_at.map(Into::into),
        };
        let now = datetime!(2026-11-22 12:00 UTC);
        let (early, late) = (Some("2026-08-01T12:00:00Z"), Some("2026-11-20T12:00:00Z"));
        assert_eq!(idle(&right(early, None), now), 113);
        assert_eq!(idle(&right(early, late), now), 2);
        assert_eq!(idle(&right(None, None), now), 0);
    }
}
