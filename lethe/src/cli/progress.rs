//! Progress bars of long work, here and on a platform that answers line by line.

use indicatif::{ProgressBar, ProgressStyle};
use infra::backup::Progress;
use serde_json::Value;

use super::CliError;
use crate::platform::Operator;

/// A bar that counts messages.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} messages, {eta} left");
        Self(ProgressBar::new(0).with_style(style.expect("the template is constant")).with_message(what))
    }

    pub(super) fn show(&self, progress: Progress) {
        self.0.set_length(progress.of_messages.max(progress.messages));
        self.0.set_position(progress.messages);
    }

    /// Says what is being done now.
    pub(super) fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Asks a platform for long work and shows how far it is. Returns its report.
pub(super) async fn watch(
    operator: &Operator,
    path: &str,
    body: &Value,
    what: &'static str,
) -> Result<Value, CliError> {
    let bar = Bar::new(what);
    let (mut report, mut failed) = (None, None);
    let take = |line: Value| match line["kind"].as_str() {
        Some("progress") => {
            let number = |key: &str| line[key].as_u64().unwrap_or_default();
            bar.show(Progress { messages: number("done"), of_messages: number("total"), bytes: number("bytes") });
        }
        Some("report") => report = Some(line["report"].clone()),
        _ => failed = Some(ended(what, &line)),
    };
    let done = operator.lines(path, body, take).await;
    bar.end();
    done?;
    match (report, failed) {
        (Some(report), None) => Ok(report),
        (_, failed) => Err(failed.unwrap_or_else(|| CliError::failed(what, ENDED_EARLY))),
    }
}

const ENDED_EARLY: &str = "it ended early";

/// What the last line of a long work says that failed, with the code that it would have as the answer of a request.
pub(super) fn ended(what: &str, line: &Value) -> CliError {
    let status = line["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
    CliError::answered(Some(status), format!("{what}: {}", line["detail"].as_str().unwrap_or(ENDED_EARLY)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_work_ends_with_the_code_of_what_failed() {
        for (line, code) in [
            (json!({"kind": "failed", "status": 503, "detail": "the journal is away"}), 6),
            (json!({"kind": "failed", "status": 404, "detail": "no such tenant"}), 4),
            (json!({"kind": "failed", "detail": "an older platform"}), 1),
            (json!(null), 1),
        ] {
            assert_eq!(ended("verifying", &line).code(), code, "{line}");
        }
    }
}
