//! Audit records, signatures, annotations, queries.

use std::io::Write;

use domain::ids::SiteId;
use domain::participant::{QueryKind, QueryState, Source};
use domain::permit::Role;

use super::OdmVersion;
use super::admin::meaning_code;
use super::flags::{Flag, TYPES};
use super::write::{OdmWriter, SIGNATURE_DEF, rfc3339};
use crate::ExchangeError;
use crate::model::{Act, Message, Notes, QueryRecord, Shown, SignatureRecord, Step};

/// Something about a place: which flag, its code, and a text.
pub(super) type Remark<'a> = (Flag, &'static str, Option<&'a Shown>);

impl<W: Write> OdmWriter<'_, W> {
    /// Who, where, when, why; and in `SourceID` what ODM has no attribute for: the role at that time, the organisation,
    /// what it was entered with, and when it was captured. The stamp is the time at which it was stored.
    pub(super) fn audit_record(
        &mut self,
        by: &Act,
        reason: Option<&Shown>,
        site: &SiteId,
    ) -> Result<(), ExchangeError> {
        self.audit_record_of(None, by, reason, site)
    }

    fn audit_record_of(
        &mut self,
        step: Option<Step>,
        by: &Act,
        reason: Option<&Shown>,
        site: &SiteId,
    ) -> Result<(), ExchangeError> {
        let source = format!(
            "role={} organisation={} source={} captured={}{}",
            by.role.as_str(),
            by.organisation,
            source_code(by.source),
            rfc3339(by.captured_at)?,
            step.map(|step| format!(" step={}", step.code())).unwrap_or_default()
        );
        self.xml.tag("AuditRecord").start()?;
        self.who_where_when(by, site, None)?;
        if let Some(reason) = reason {
            self.xml.tag("ReasonForChange").text(reason.words())?;
        }
        self.xml.tag("SourceID").text(source)?;
        self.xml.end()
    }

    fn who_where_when(&mut self, by: &Act, site: &SiteId, signature: Option<String>) -> Result<(), ExchangeError> {
        self.xml.tag("UserRef").attr("UserOID", by.user.to_string()).empty()?;
        self.xml.tag("LocationRef").attr("LocationOID", site.as_str()).empty()?;
        if let Some(oid) = signature {
            self.xml.tag("SignatureRef").attr("SignatureOID", oid).empty()?;
        }
        self.xml.tag("DateTimeStamp").text(rfc3339(by.stored_at)?)
    }

    /// ODM has room for one signature a place: the newest that holds. All of them stand in annotations too, with the
    /// printed name and the digest, for which the element has no room.
    pub(super) fn signature_element(&mut self, notes: &Notes, site: &SiteId) -> Result<(), ExchangeError> {
        let newest = notes.signatures.iter().filter(|signature| signature.holds).max_by_key(|it| it.by.stored_at);
        let Some(signature) = newest.filter(|_| self.options.notes) else { return Ok(()) };
        self.xml.tag("Signature").attr("ID", format!("S-{}", signature.signature)).start()?;
        let definition = format!("{SIGNATURE_DEF}{}", meaning_code(signature.meaning));
        self.who_where_when(&signature.by, site, Some(definition))?;
        self.xml.end()
    }

    /// The annotations of a place, numbered from 1.
    pub(super) fn annotations(&mut self, notes: &Notes, more: &[Remark<'_>]) -> Result<(), ExchangeError> {
        let mut number = 0;
        for (flag, code, text) in more {
            let comment = text.map(|text| (text.words().to_owned(), None));
            self.annotation(&mut number, None, comment, &[(*flag, code)])?;
        }
        if !self.options.notes {
            return Ok(());
        }
        for mark in &notes.marks {
            self.annotation(&mut number, None, None, &[(Flag::Mark, mark.code())])?;
        }
        for signature in &notes.signatures {
            let code = if signature.holds { "HOLDS" } else { "DROPPED" };
            self.annotation(&mut number, None, Some((words(signature)?, None)), &[(Flag::Signature, code)])?;
        }
        let v1 = self.options.version == OdmVersion::V1_3_2;
        for query in notes.queries.iter().filter(|query| v1 || query.kind == QueryKind::Annotation) {
            for (n, message) in query.thread.iter().enumerate() {
                self.message(&mut number, query, n, message)?;
            }
        }
        Ok(())
    }

    /// One step of a query as an annotation, as ODM 1.3.2 has no queries. The ID has the query's id and the step.
    fn message(
        &mut self,
        number: &mut u32,
        query: &QueryRecord,
        n: usize,
        message: &Message,
    ) -> Result<(), ExchangeError> {
        let id = format!("Q-{}-{}", query.query, n + 1);
        let mut flags = vec![(Flag::QueryStep, message.step.code())];
        if n == 0 {
            flags.extend([(Flag::QueryState, state_code(query.state)), (Flag::QueryKind, kind_code(query.kind))]);
        }
        let side = if is_site(message.by.role) { "Site" } else { "Sponsor" };
        let text = message.text.as_ref().map_or("", Shown::words);
        let comment = format!(
            "{text}{}[{} {} {}]",
            if text.is_empty() { "" } else { " " },
            message.by.user,
            message.by.role.as_str(),
            rfc3339(message.by.stored_at)?
        );
        self.annotation(number, Some(id), Some((comment, Some(side))), &flags)
    }

    fn annotation(
        &mut self,
        number: &mut u32,
        id: Option<String>,
        comment: Option<(String, Option<&'static str>)>,
        flags: &[(Flag, &str)],
    ) -> Result<(), ExchangeError> {
        *number += 1;
        self.xml.tag("Annotation").attr("SeqNum", number.to_string()).maybe("ID", id).start()?;
        if let Some((text, side)) = comment {
            let tag = self.xml.tag("Comment").maybe("SponsorOrSite", side);
            if self.options.version == OdmVersion::V1_3_2 {
                tag.text(text)?;
            } else {
                tag.start()?;
                self.xml.tag("TranslatedText").attr("Type", "text/plain").text(text)?;
                self.xml.end()?;
            }
        }
        for (flag, code) in flags {
            self.xml.tag("Flag").start()?;
            self.xml.tag("FlagValue").attr("CodeListOID", flag.list()).text(code)?;
            self.xml.tag("FlagType").attr("CodeListOID", TYPES).text(flag.code())?;
            self.xml.end()?;
        }
        self.xml.end()
    }

    /// The queries of a place as ODM 2.0 has them: the question, and each step as an audit record, whose reason is what
    /// was said. A remark that needs no answer is an annotation.
    pub(super) fn queries_v2(&mut self, notes: &Notes, site: &SiteId) -> Result<(), ExchangeError> {
        if !self.options.notes {
            return Ok(());
        }
        for query in notes.queries.iter().filter(|query| query.kind != QueryKind::Annotation) {
            let (Some(first), Some(last)) = (query.thread.first(), query.thread.last()) else { continue };
            self.xml
                .tag("Query")
                .attr("OID", query.query.as_str())
                .attr("Source", source_v2(query.kind, first.by.role))
                .maybe("Target", query.to.map(Role::as_str))
                .attr("Type", if query.kind == QueryKind::System { "System" } else { "Manual" })
                .attr("State", state_v2(query.state))
                .attr("LastUpdateDatetime", rfc3339(last.by.stored_at)?)
                .maybe("Name", query.check.as_ref().map(|check| check.as_str()))
                .start()?;
            self.xml.tag("Value").text(first.text.as_ref().map_or("", Shown::words))?;
            for message in &query.thread {
                self.audit_record_of(Some(message.step), &message.by, message.text.as_ref(), site)?;
            }
            self.xml.end()?;
        }
        Ok(())
    }
}

fn words(signature: &SignatureRecord) -> Result<String, ExchangeError> {
    Ok(format!(
        "{}; meaning: {}; at: {}; signature: {}; SHA-256: {}",
        signature.printed_name.words(),
        meaning_code(signature.meaning),
        rfc3339(signature.by.stored_at)?,
        signature.signature,
        signature.digest
    ))
}

fn is_site(role: Role) -> bool {
    matches!(role, Role::Investigator | Role::Coordinator | Role::Integrator)
}

pub(super) fn source_code(source: Source) -> &'static str {
    match source {
        Source::User => "user",
        Source::Device => "device",
        Source::System => "system",
        Source::Import => "import",
    }
}

fn state_code(state: QueryState) -> &'static str {
    match state {
        QueryState::Candidate => "CANDIDATE",
        QueryState::Open => "OPEN",
        QueryState::Forwarded => "FORWARDED",
        QueryState::Answered => "ANSWERED",
        QueryState::Reopened => "REOPENED",
        QueryState::Resolved => "RESOLVED",
        QueryState::Closed => "CLOSED",
        QueryState::Cancelled => "CANCELLED",
    }
}

fn state_v2(state: QueryState) -> &'static str {
    match state {
        QueryState::Candidate => "Candidate",
        QueryState::Open | QueryState::Forwarded | QueryState::Reopened => "Open",
        QueryState::Answered => "Answered",
        QueryState::Resolved => "Resolved",
        QueryState::Closed => "Closed",
        QueryState::Cancelled => "Cancelled",
    }
}

fn kind_code(kind: QueryKind) -> &'static str {
    match kind {
        QueryKind::Manual => "MANUAL",
        QueryKind::System => "SYSTEM",
        QueryKind::Annotation => "ANNOTATION",
        QueryKind::SourceData => "SOURCE-DATA",
    }
}

fn source_v2(kind: QueryKind, role: Role) -> &'static str {
    match (kind, role) {
        (QueryKind::System, _) => "System",
        (QueryKind::SourceData, _) | (_, Role::Monitor) => "Site Monitor",
        _ => "Data Management",
    }
}
