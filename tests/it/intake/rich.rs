//! A study in which everything happens that a file can bring back.

use lethe::cli::Client;
use lethe::platform::random_id;
use serde_json::{Value, json};

/// Forms and groups that repeat, every type of item, checks, a computed item.
pub(super) fn design() -> Value {
    let item = |oid: &str, kind: &str| json!({"oid": oid, "name": oid, "data_type": kind});
    let with = |oid: &str, kind: &str, more: Value| {
        let mut item = item(oid, kind);
        item.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        item
    };
    let check = |comparator: &str, hard: bool, limit: &str| json!({"comparator": comparator, "hard": hard, "values": [limit], "message": {}, "expressions": []});
    let of = |oids: &[&str]| oids.iter().map(|oid| json!({"oid": oid})).collect::<Vec<_>>();
    let mut vs = of(&["SYS", "DIA", "HEIGHT", "WEIGHT", "BMI", "NOTE"]);
    vs[4]["method"] = json!("M.BMI");
    json!({
        "name": "Rich", "version": "1",
        "visits": [
            {"oid": "BASE", "name": "Baseline", "forms": of(&["VS", "AE"])},
            {"oid": "FU", "name": "Follow up", "repeating": true, "forms": of(&["VS", "AE"])},
            {"oid": "UNS", "name": "Unscheduled", "repeating": true, "forms": of(&["AE"])},
        ],
        "forms": [
            {"oid": "VS", "name": "Vital signs", "item_groups": of(&["VS", "READ"])},
            {"oid": "AE", "name": "Adverse event", "repeating": true, "item_groups": of(&["AE"])},
        ],
        "item_groups": [
            {"oid": "VS", "name": "Vital signs", "items": vs},
            {"oid": "READ", "name": "Readings", "repeating": true, "items": of(&["CLOCK", "PULSE"])},
            {"oid": "AE", "name": "Adverse event", "items": of(&["TERM", "ONSET", "ENDED", "SERIOUS", "GRADE", "SCAN"])},
        ],
        "items": [
            with("SYS", "integer", json!({"unit": "U.MMHG", "range_checks": [check("LE", false, "200"), check("LE", true, "999")]})),
            with("DIA", "integer", json!({"unit": "U.MMHG"})),
            item("HEIGHT", "decimal"), item("WEIGHT", "decimal"), item("BMI", "decimal"), item("NOTE", "text"),
            item("CLOCK", "time"), item("PULSE", "integer"),
            item("TERM", "text"), item("ONSET", "partial-date"), item("ENDED", "date-time"), item("SERIOUS", "boolean"),
            with("GRADE", "text", json!({"code_list": "CL.GRADE"})), item("SCAN", "file"),
        ],
        "code_lists": [{"oid": "CL.GRADE", "name": "Grade", "codes": [{"value": "1", "labels": {}}, {"value": "2", "labels": {}}]}],
        "units": {"U.MMHG": {"en": "mmHg"}},
        "methods": [{"oid": "M.BMI", "name": "BMI", "expressions": [
            {"context": "lethe", "text": "round(item(\"WEIGHT\") / item(\"HEIGHT\") / item(\"HEIGHT\") * 10000, 1)"}]}],
    })
}

async fn send(doctor: &Client, at: &str, body: Value) {
    // Where a form was saved before, its tag is needed: it is read when the platform says so, until it is the newest.
    let (id, mut tag) = (random_id(), None::<String>);
    loop {
        let Err(error) = doctor.command(at, id, tag.as_deref(), None, &body).await else { return };
        assert!(matches!(error.status, Some(412 | 428)), "{body}: {error}");
        let Ok(casebook) = doctor.get(&format!("{at}/casebook")).await else { continue };
        let of = |form: &Value, key: &str| form.get(key).cloned().unwrap_or_else(|| json!(1));
        let keys = ["visit", "visit_repeat", "form", "form_repeat"];
        let mut forms = casebook.body["forms"].as_array().expect("forms").iter();
        let form = forms.find(|form| keys.iter().all(|key| of(form, key) == of(&body, key)));
        tag = form.map(|form| format!("\"{}\"", form["tag"]));
    }
}

fn save(visit: (&str, u32), form: (&str, u32), items: &[(&str, u32, &str, Value)]) -> Value {
    let item = |(group, repeat, item, more): &(&str, u32, &str, Value)| {
        let mut item = json!({"group": group, "group_repeat": repeat, "item": item});
        item.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        item
    };
    let items: Vec<_> = items.iter().map(item).collect();
    json!({"type": "save-items", "visit": visit.0, "visit_repeat": visit.1, "form": form.0, "form_repeat": form.1, "items": items})
}

fn value(text: &str) -> Value {
    json!({"value": text})
}

/// Somebody with a blood pressure. Returns the address.
pub(super) async fn somebody(doctor: &Client, study: &str, number: &str) -> String {
    let at = format!("{study}/participants/{}", random_id());
    send(doctor, &at, json!({"type": "register", "site": "oslo", "subject_number": number})).await;
    send(doctor, &at, json!({"type": "give-consent", "version": "1.0"})).await;
    let items = [("VS", 1, "SYS", value("120")), ("VS", 1, "DIA", value("80"))];
    send(doctor, &at, save(("BASE", 1), ("VS", 1), &items)).await;
    at
}

/// Enters three participants.
pub(super) async fn enter(doctor: &Client, study: &str) {
    let first = somebody(doctor, study, "R-1").await;
    let visit = |visit: &str, repeat: u32, on: &str| json!({"type": "start-visit", "visit": visit, "visit_repeat": repeat, "on": on});
    send(doctor, &first, visit("BASE", 1, "2026-01-05")).await;
    let changed = |text: &str| json!({"value": text, "reason": "typing error"});
    send(doctor, &first, save(("BASE", 1), ("VS", 1), &[("VS", 1, "SYS", changed("250"))])).await;
    let items = [
        ("VS", 1, "HEIGHT", value("170.5")),
        ("VS", 1, "WEIGHT", value("70")),
        ("VS", 1, "NOTE", value("to be <cleared> & gone")),
        ("READ", 1, "CLOCK", value("08:30")),
        ("READ", 1, "PULSE", value("61")),
        ("READ", 3, "PULSE", json!({"not_done": "not-done"})),
    ];
    send(doctor, &first, save(("BASE", 1), ("VS", 1), &items)).await;
    let cleared = json!({"value": null, "reason": "of somebody else"});
    send(doctor, &first, save(("BASE", 1), ("VS", 1), &[("VS", 1, "NOTE", cleared)])).await;
    let form =
        |kind: &str, form: (&str, u32)| json!({"type": kind, "visit": "BASE", "form": form.0, "form_repeat": form.1});
    send(doctor, &first, form("complete-form", ("VS", 1))).await;
    let event = [
        ("AE", 1, "TERM", value("  headache, \"dull\"\nand long  ")),
        ("AE", 1, "ONSET", value("2026-01")),
        ("AE", 1, "ENDED", value("2026-01-06T08:30")),
        ("AE", 1, "SERIOUS", value("false")),
        ("AE", 1, "GRADE", value("2")),
        ("AE", 1, "SCAN", value("https://scans.example/17.png")),
    ];
    send(doctor, &first, save(("BASE", 1), ("AE", 1), &event)).await;
    send(doctor, &first, save(("BASE", 1), ("AE", 3), &[("AE", 1, "ONSET", value("2026"))])).await;
    let mut removed = form("remove-form", ("AE", 3));
    removed["reason"] = json!("entered twice");
    send(doctor, &first, removed).await;
    let item = json!({"level": "item", "visit": "BASE", "form": "VS", "group": "VS", "item": "DIA"});
    for place in [json!({"level": "participant"}), item] {
        send(
            doctor,
            &first,
            json!({"type": "open-query", "place": place, "kind": "annotation", "text": "see the letter"}),
        )
        .await;
    }
    send(doctor, &first, save(("FU", 2), ("VS", 1), &[("VS", 1, "DIA", json!({"not_done": "refused"}))])).await;
    send(doctor, &first, visit("FU", 2, "2026-02-05")).await;
    send(doctor, &first, json!({"type": "miss-visit", "visit": "FU", "visit_repeat": 3, "reason": "on a journey"}))
        .await;

    let second = somebody(doctor, study, "R-2").await;
    send(doctor, &second, json!({"type": "withdraw", "reason": "moved away"})).await;
    let third = somebody(doctor, study, "R-3").await;
    send(doctor, &third, visit("UNS", 1, "2026-03-01")).await;
    send(doctor, &third, save(("UNS", 1), ("AE", 2), &[("AE", 1, "TERM", value("a fall"))])).await;
}

/// Two participants, one of whom is there with 120 and 80: every transaction, right and wrong.
pub(super) fn changes() -> String {
    let subject = |number: &str, kind: &str, items: &str| {
        format!(
            "<SubjectData SubjectKey=\"{number}\" TransactionType=\"{kind}\"><StudyEventData StudyEventOID=\"BASE\" \
             TransactionType=\"Context\"><FormData FormOID=\"VS\" TransactionType=\"Context\"><ItemGroupData \
             ItemGroupOID=\"VS\" TransactionType=\"Context\">{items}</ItemGroupData></FormData></StudyEventData></SubjectData>\n"
        )
    };
    let item = |oid: &str, kind: &str, value: &str| {
        let value = if value.is_empty() { String::new() } else { format!(" Value=\"{value}\"") };
        format!(
            "<ItemData ItemOID=\"{oid}\" TransactionType=\"{kind}\"{value}><AuditRecord><UserRef UserOID=\"U\"/>\
             <LocationRef LocationOID=\"L\"/><DateTimeStamp>2026-03-04T05:06:07Z</DateTimeStamp>\
             <ReasonForChange>read again</ReasonForChange></AuditRecord></ItemData>"
        )
    };
    let known = [
        item("SYS", "Insert", "130"),
        item("DIA", "Insert", "80"),
        item("HEIGHT", "Update", "170"),
        item("WEIGHT", "Remove", ""),
        item("NOTE", "Upsert", "new"),
        item("UNHEARD", "Upsert", "1"),
    ];
    let people = [
        subject("KNOWN", "Context", &known.concat()),
        subject("KNOWN", "Insert", ""),
        subject("KNOWN", "Remove", ""),
        subject("NOBODY", "Update", ""),
        subject("NEW", "Insert", &[item("SYS", "Insert", "1200"), item("DIA", "Insert", "70")].concat()),
        subject("NEW", "Context", &item("SYS", "Insert", "260")),
        subject("KNOWN", "Update", &[item("SYS", "Update", "121"), item("DIA", "Remove", "")].concat()),
    ];
    format!(
        "<ODM xmlns=\"http://www.cdisc.org/ns/odm/v1.3\" FileType=\"Transactional\" FileOID=\"C\" \
         CreationDateTime=\"2026-01-02T03:04:05Z\" ODMVersion=\"1.3.2\">\n<ClinicalData StudyOID=\"S\" \
         MetaDataVersionOID=\"1\">\n{}</ClinicalData></ODM>\n",
        people.concat()
    )
}

/// What becomes of it: first what the reader says, then each participant in order.
pub(super) fn became() -> Vec<&'static str> {
    vec![
        "SubjectData - refused transaction",
        // KNOWN: the first, the second and the last record.
        "ItemData UNHEARD refused item",
        "ItemData SYS refused item",
        "ItemData HEIGHT refused item",
        "ItemData WEIGHT refused item",
        "ItemData DIA unchanged -",
        "ItemData NOTE saved -",
        "SubjectData - refused transaction",
        "ItemData SYS saved -",
        "ItemData DIA saved -",
        // NOBODY
        "SubjectData - refused transaction",
        // NEW
        "ItemData SYS refused hard-check",
        "ItemData DIA saved -",
        "ItemData SYS saved -",
    ]
}

/// A table with a day, two measurements and a note.
pub(super) fn mapping() -> Value {
    json!({
        "delimiter": ";", "subject_number": {"column": "who"}, "site": {"codes": {"column": "where", "codes": {"1": "oslo"}}},
        "visit": {"constant": "BASE"}, "form": {"constant": "VS"}, "group": {"constant": "VS"},
        "visit_date": {"column": "day", "date_format": "DD.MM.YYYY"},
        "items": [
            {"column": "sys", "item": "SYS"},
            {"column": "dia", "item": "DIA", "not_done": {"ND": "not-done"}},
            {"column": "note", "item": "NOTE"},
        ],
    })
}
