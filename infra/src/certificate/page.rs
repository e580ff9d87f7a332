//! A certificate for people: one page of HTML that can be printed, with nothing to load and nothing to run.

use std::fmt::Write as _;

use domain::port::{Destruction, TreeCopies};
use time::OffsetDateTime;

use super::body::{Body, Certificate, Finding};

/// What every page begins with.
const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Certificate of erasure</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body{font:16px/1.5 Georgia,serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
h1{font-size:1.7rem}h2{font-size:1.15rem;margin-top:2rem;border-bottom:1px solid #777}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ccc}
code{font:13px/1.4 monospace;word-break:break-all}
@media print{body{margin:0;max-width:none;font-size:11pt}h2{break-after:avoid}tr{break-inside:avoid}}
</style></head><body>
"#;

/// The page. It says what the certificate says, and checks nothing: that is for `lethe verify`. None if the text is no
/// certificate.
pub fn page(text: &str) -> Option<String> {
    let certificate: Certificate = serde_json::from_str(text).ok()?;
    let body = &certificate.certificate;
    let mut page = HEAD.to_owned();
    summary(&mut page, body);
    order(&mut page, body);
    scopes(&mut page, body);
    evidence(&mut page, body);
    heading(&mut page, "What this cannot prove");
    page += "<ul>";
    for limit in &body.what_this_cannot_prove {
        let _ = write!(page, "<li>{}</li>", escaped(limit));
    }
    page += "</ul>";
    heading(&mut page, "How to check it");
    let _ = writeln!(
        page,
        "<p>This page shows the certificate and checks nothing. Check the file itself: <code>lethe verify {}.json --trust \
         PUBLIC-KEY</code>, with the public key that you were given by another way. It was signed by <code>{}</code>.</p>\
         </body></html>",
        body.erasure,
        escaped(&certificate.signature.key)
    );
    Some(page)
}

fn summary(page: &mut String, body: &Body) {
    let study = body.study.as_ref().map_or_else(String::new, |study| format!(" in study <b>{study}</b>"));
    let _ = write!(
        page,
        "<h1>Certificate of erasure</h1><p>Of the person with the id <code>{}</code>{study} of <b>{}</b>, {} sections of the \
         record can no longer be read by anyone with this platform, since {}. {}</p>",
        body.data_subject,
        body.tenant,
        body.sections_made_unreadable,
        time(body.logically_effective_at),
        match body.old_roots {
            Destruction::Done => format!("The keys were destroyed by {}.", time(body.cryptographically_complete_by)),
            Destruction::Scheduled { .. } => format!(
                "The keys are out of use; the key management system destroys them for good by {}.",
                time(body.cryptographically_complete_by)
            ),
        }
    );
}

fn order(page: &mut String, body: &Body) {
    heading(page, "Who ordered it");
    let order = &body.order;
    table(
        page,
        &[
            ("Erasure", body.erasure.to_string()),
            ("Ground (GDPR Art. 17(1))", word(&order.justification)),
            ("Requested", format!("by user {}, {}", order.requested_by, time(order.requested_at))),
            ("Approved", format!("by user {}, {}", order.approved_by, time(order.approved_at))),
            ("Instruction of the controller", order.instruction.to_string()),
            ("Recipients told", body.recipients_notified.to_string()),
            ("Certificate issued", time(body.issued_at)),
        ],
    );
}

fn scopes(page: &mut String, body: &Body) {
    heading(page, "What was destroyed");
    let rows: Vec<_> = body
        .destroyed
        .iter()
        .map(|scope| {
            let part = scope.part.as_ref().map_or_else(String::new, |part| format!(", value {part}"));
            let found = match scope.finding {
                Finding::NoneHeld => "none held".to_owned(),
                Finding::Destroyed => format!(
                    "{} keys, {} sections; root version {} was replaced by {}",
                    scope.keys, scope.sections, scope.root_before, scope.root_after
                ),
            };
            (format!("{}{part}", scope.scope), found)
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(name, found)| (name.as_str(), found.clone())).collect();
    table(page, &rows);
    heading(page, "What was kept");
    if body.kept.is_empty() {
        *page += "<p>Nothing.</p>";
    }
    let rows = body.kept.iter().map(|kept| {
        let due = kept.due.as_ref().map_or_else(String::new, |due| format!(", to be looked at again on {due}"));
        (kept.scope.as_str(), format!("{}{due}", word(&kept.ground)))
    });
    table(page, &rows.collect::<Vec<_>>());
}

fn evidence(page: &mut String, body: &Body) {
    heading(page, "Evidence");
    let copies = match body.off_site.copies {
        TreeCopies::Single => "no copy of the key tree elsewhere".to_owned(),
        TreeCopies::OffSite => format!(
            "the copy elsewhere is under root version {}; what it has under older ones is dead",
            body.off_site.root.map_or_else(|| "unknown".to_owned(), |root| root.to_string())
        ),
    };
    let exportable = if body.kms.is_exportable {
        "keys can be copied out by its administrator"
    } else {
        "keys cannot be copied out"
    };
    table(
        page,
        &[
            ("Root keys are held in", format!("{} ({}): {exportable}", body.kms.kind, body.kms.device)),
            ("Copies", copies),
            ("Tried afterwards", format!("{} times, past all locks: nothing opened", body.probed)),
            ("Nobody else's keys", format!("{} proofs over the key map", body.key_map.len())),
            ("The erasure began with", format!("message {} of the record", body.record.begun.sequence)),
        ],
    );
    let _ = write!(
        page,
        "<p>The record before and after, as it was signed:</p><pre><code>{}</code></pre><pre><code>{}</code></pre>",
        escaped(&body.record.before),
        escaped(&body.record.after)
    );
}

fn heading(page: &mut String, text: &str) {
    let _ = write!(page, "<h2>{text}</h2>");
}

fn table(page: &mut String, rows: &[(&str, String)]) {
    if rows.is_empty() {
        return;
    }
    *page += "<table>";
    for (name, value) in rows {
        let _ = write!(page, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), escaped(value));
    }
    *page += "</table>";
}

/// A word of a closed list, as it is stored, for people.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(|value| value.as_str()).unwrap_or_default().replace('-', " ")
}

fn time(time: OffsetDateTime) -> String {
    let (date, clock) = (time.date(), time.time());
    format!("{date} {:02}:{:02} UTC", clock.hour(), clock.minute())
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}
