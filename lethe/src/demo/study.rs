//! The demo's study: three visits with vital signs, and adverse events.

use serde_json::{Value, json};

/// The study's id in the demo tenant.
pub const STUDY: &str = "cardio-1";

/// The four sites: id and name.
pub const SITES: [(&str, &str); 4] = [
    ("oslo", "Oslo University Hospital"),
    ("bergen", "Haukeland, Bergen"),
    ("porto", "Hospital do Porto"),
    ("krakow", "Szpital Kraków"),
];

/// The visits, in order.
pub const VISITS: [&str; 3] = ["BASELINE", "WEEK-4", "WEEK-12"];

/// The design, as an integrator would send it.
pub fn design() -> Value {
    let item = |oid: &str, name: &str, data_type: &str, unit: Option<&str>| json!({"oid": oid, "name": name, "labels": {"en": name}, "data_type": data_type, "unit": unit});
    let refs = |oids: &[&str]| oids.iter().map(|oid| json!({"oid": oid, "mandatory": true})).collect::<Value>();
    let visit =
        |oid: &str, name: &str| json!({"oid": oid, "name": name, "labels": {"en": name}, "forms": refs(&["VS", "AE"])});
    let mut severity = item("AESEV", "Severity", "text", None);
    severity["code_list"] = json!("SEVERITY");
    json!({
        "name": "CARDIO-1, a demonstration", "version": "1.0",
        "visits": [visit("BASELINE", "Baseline"), visit("WEEK-4", "Week 4"), visit("WEEK-12", "Week 12")],
        "forms": [
            {"oid": "VS", "name": "Vital signs", "labels": {"en": "Vital signs"}, "item_groups": refs(&["VS"])},
            {"oid": "AE", "name": "Adverse events", "labels": {"en": "Adverse events"}, "repeating": true, "item_groups": refs(&["AE"])},
        ],
        "item_groups": [
            {"oid": "VS", "name": "Vital signs", "items": refs(&["SYSBP", "DIABP", "PULSE", "WEIGHT"])},
            {"oid": "AE", "name": "Adverse event", "items": refs(&["AETERM", "AESTDAT", "AESEV"])},
        ],
        "items": [
            item("SYSBP", "Systolic blood pressure", "integer", Some("MMHG")),
            item("DIABP", "Diastolic blood pressure", "integer", Some("MMHG")),
            item("PULSE", "Pulse", "integer", Some("BPM")),
            item("WEIGHT", "Weight", "decimal", Some("KG")),
            item("AETERM", "What happened", "text", None),
            item("AESTDAT", "Since when", "partial-date", None),
            severity,
        ],
        "code_lists": [{"oid": "SEVERITY", "name": "Severity", "codes": [
            {"value": "MILD", "labels": {"en": "Mild"}},
            {"value": "MODERATE", "labels": {"en": "Moderate"}},
            {"value": "SEVERE", "labels": {"en": "Severe"}},
        ]}],
        "units": {"MMHG": {"en": "mmHg"}, "BPM": {"en": "beats/min"}, "KG": {"en": "kg"}},
    })
}
