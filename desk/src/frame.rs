//! What every page shares: who looks, the menu, what was done, what went wrong.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts as RequestParts;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use domain::permit::{Principal, may_command, may_query};
use time::OffsetDateTime;

use crate::Parts;
use crate::api::Api;
use crate::fields::Fields;
use crate::trouble::{Refused, Trouble};
use crate::words::Words;

/// A request by whoever it is.
pub(crate) struct Guest {
    pub(crate) desk: Arc<Parts>,
    pub(crate) api: Api,
    pub(crate) words: Words,
    /// What stands behind the `?`.
    pub(crate) asked: Fields,
    /// Whose session it is, if there is one.
    pub(crate) who: Option<Principal>,
    /// Under which address the browser has this page.
    pub(crate) origin: String,
}

/// A request in a session.
pub(crate) struct Visit {
    pub(crate) desk: Arc<Parts>,
    pub(crate) api: Api,
    pub(crate) words: Words,
    pub(crate) asked: Fields,
    pub(crate) who: Principal,
    /// Under which address the browser has this page.
    pub(crate) origin: String,
}

/// Who looks, for the page that says what went wrong.
type Looking = Arc<OnceLock<Principal>>;

impl FromRequestParts<Arc<Parts>> for Guest {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Parts>) -> Result<Self, Trouble> {
        let who = match edge::auth::cookie(&parts.headers) {
            Some(secret) => desk.credentials.authenticate(secret).await.map_err(|failure| {
                tracing::warn!(%failure, "nobody can be recognised");
                Trouble::own(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "")
            })?,
            None => None,
        };
        if let (Some(looking), Some(who)) = (parts.extensions.get::<Looking>(), &who) {
            let _ = looking.set(who.clone());
        }
        let (api, words) = (Api::of(&desk.api, parts), Words::of(&parts.headers));
        let asked = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self { desk: Arc::clone(desk), api, words, asked, who, origin: origin(parts) })
    }
}

/// No page is shown and nothing is done without a session.
impl FromRequestParts<Arc<Parts>> for Visit {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut RequestParts, desk: &Arc<Parts>) -> Result<Self, Trouble> {
        let Guest { desk, api, words, asked, who, origin } = Guest::from_request_parts(parts, desk).await?;
        let who = who.ok_or(Trouble::SignIn)?;
        Ok(Self { desk, api, words, asked, who, origin })
    }
}

/// Where a form came from; `guard` has compared it with this host.
fn origin(parts: &RequestParts) -> String {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    text(header::ORIGIN).map_or_else(|| format!("http://{}", text(header::HOST).unwrap_or("localhost")), str::to_owned)
}

impl Guest {
    /// The frame of a page that needs no session.
    pub(crate) fn frame(&self) -> Frame {
        Frame { done: done(&self.asked), ..Frame::bare(self.words) }
    }
}

impl Visit {
    /// The frame of a page; `here` is its place in the menu.
    pub(crate) fn frame(&self, here: &'static str) -> Frame {
        Frame { who: Some(self.who.clone()), here, done: done(&self.asked), ..Frame::bare(self.words) }
    }

    /// The frame of a page for when the session is over.
    pub(crate) fn bare(&self) -> Frame {
        Frame::bare(self.words)
    }

    /// Now.
    pub(crate) fn now(&self) -> OffsetDateTime {
        self.desk.clock.now()
    }

    /// A new id, for what a form begins. Sent twice, the form begins it once.
    pub(crate) fn id(&self) -> String {
        self.desk.dice.uuid().to_string()
    }

    /// `path` with the position that it must reflect, as the redirect after a command says it.
    pub(crate) fn since(&self, path: &str) -> String {
        match self.asked.some("at") {
            Some(at) => {
                let sign = if path.contains('?') { '&' } else { '?' };
                format!("{path}{sign}min_position={}", crate::fields::encoded(at))
            }
            None => path.to_owned(),
        }
    }
}

fn done(asked: &Fields) -> Option<String> {
    asked.some("done").map(str::to_owned)
}

/// What every page shares.
pub(crate) struct Frame {
    pub(crate) words: Words,
    pub(crate) who: Option<Principal>,
    /// The place in the menu.
    pub(crate) here: &'static str,
    /// The study whose menu is shown.
    pub(crate) study: Option<String>,
    /// What was done just now, by its key.
    pub(crate) done: Option<String>,
    /// Why something was not done.
    pub(crate) refused: Option<Refused>,
    /// Where a browser without scripts looks again, after a few seconds.
    pub(crate) again: Option<String>,
    /// Whether the page says when its study moved on.
    pub(crate) live: bool,
}

impl Frame {
    fn bare(words: Words) -> Self {
        Self { words, who: None, here: "", study: None, done: None, refused: None, again: None, live: false }
    }

    /// The frame within a study.
    pub(crate) fn of_study(self, study: &str) -> Self {
        Self { study: Some(study.to_owned()), ..self }
    }

    /// The frame of a page that says when its study moved on.
    pub(crate) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// The frame with what went wrong.
    pub(crate) fn but(self, refused: Option<Refused>) -> Self {
        Self { refused, ..self }
    }

    /// A text.
    pub(crate) fn t(&self, key: &'static str) -> &'static str {
        self.words.text(key)
    }

    /// The words for a name of the API.
    pub(crate) fn name(&self, kind: &str, name: &str) -> String {
        self.words.name(kind, name)
    }

    /// What was done, in words; nothing for what is not among them.
    pub(crate) fn what_was_done(&self) -> Option<String> {
        let key = self.done.as_deref()?;
        Some(self.name("done", key)).filter(|text| text != key)
    }

    /// Why it was not done, in words.
    pub(crate) fn why_not<'a>(&'a self, refused: &'a Refused) -> &'a str {
        let ours = self.words.of_problem(&refused.code);
        ours.or_else(|| Some(&*refused.detail).filter(|text| !text.is_empty())).unwrap_or(&refused.code)
    }

    /// What is shown in the menu, by the tables that also decide.
    pub(crate) fn asks(&self, query: &str) -> bool {
        self.who.as_ref().is_some_and(|who| may_query(who.actor.role, query))
    }

    /// The same for what can be done.
    pub(crate) fn does(&self, command: &str) -> bool {
        self.who.as_ref().is_some_and(|who| may_command(who.actor.role, command))
    }

    /// Whether one of the operator's pages is for this reader.
    pub(crate) fn operates(&self) -> bool {
        self.asks("operations.show") || self.asks("operations.journals")
    }

    /// A moment of the API for people: to the minute, in UTC.
    pub(crate) fn when(&self, moment: &str) -> String {
        match (moment.get(..10), moment.get(11..16)) {
            (Some(day), Some(time)) => format!("{day} {time}"),
            _ => moment.to_owned(),
        }
    }

    /// The beginning of an id or a hash: enough for people to tell two apart.
    pub(crate) fn short<'a>(&self, id: &'a str) -> &'a str {
        id.get(..8).unwrap_or(id)
    }

    /// A count with a thin gap before each three digits.
    pub(crate) fn n(&self, count: &u64) -> String {
        let digits = count.to_string();
        let (mut text, first) = (String::new(), digits.len() % 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at % 3 == first {
                text.push('\u{202f}');
            }
            text.push(digit);
        }
        text
    }
}

/// Makes the answer of a page; what went wrong gives it its status.
pub(crate) fn page(frame: &Frame, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => match &frame.refused {
            Some(refused) => refused.mark(Html(text).into_response()),
            None => Html(text).into_response(),
        },
        Err(error) => {
            tracing::error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct WentWrong {
    f: Frame,
}

/// Makes a page of trouble that comes out bare.
pub(crate) async fn framed(mut request: Request, next: Next) -> Response {
    let (looking, words) = (Looking::default(), Words::of(request.headers()));
    request.extensions_mut().insert(Arc::clone(&looking));
    let response = next.run(request).await;
    match response.extensions().get::<Trouble>() {
        Some(Trouble::Refused(refused)) => {
            let who = looking.get().cloned();
            let f = Frame { who, refused: Some(refused.clone()), ..Frame::bare(words) };
            let shown = WentWrong { f };
            page(&shown.f, &shown)
        }
        _ => response,
    }
}
