use super::*;

fn design() -> StudyDesign {
    serde_json::from_value(serde_json::json!({
        "name": "n", "version": "1",
        "visits": [{"oid": "V1", "name": "n", "forms": [{"oid": "F"}]}],
        "forms": [{"oid": "F", "name": "n", "item_groups": [{"oid": "G"}]}],
        "item_groups": [{"oid": "G", "name": "n", "repeating": true,
            "items": [{"oid": "PULSE"}, {"oid": "DAY"}, {"oid": "TEMP"}]}],
        "items": [
            {"oid": "PULSE", "name": "n", "data_type": "integer"},
            {"oid": "DAY", "name": "n", "data_type": "partial-date"},
            {"oid": "TEMP", "name": "n", "data_type": "decimal"},
        ],
    }))
    .unwrap()
}

fn mapping() -> Mapping {
    serde_json::from_value(serde_json::json!({
        "delimiter": ";", "subject_number": {"column": "subj"}, "visit": {"constant": "V1"}, "form": {"constant": "F"},
        "group": {"constant": "G"}, "group_repeat": "count", "null": ["NA"], "items": [
            {"column": "pulse", "item": "PULSE", "whole": true},
            {"column": "day", "item": "DAY", "date_format": "DDMMMYYYY"},
            {"column": "temp", "item": "TEMP", "decimal_mark": ","},
        ],
    }))
    .unwrap()
}

type Values = Vec<(u64, u32, Vec<(String, String)>)>;

fn read(text: &str) -> (Values, Vec<RowFault>) {
    let (mapping, design) = (mapping(), design());
    let mut rows = Rows::begin(text.as_bytes(), &mapping, &design).unwrap();
    let (mut values, mut faults) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next_row().unwrap() {
        match row {
            Ok(row) => values.push((
                row.line,
                row.items.first().map_or(0, |item| item.item.group_repeat),
                row.items
                    .into_iter()
                    .map(|item| (item.item.item.to_string(), item.value.map_or_else(String::new, String::from)))
                    .collect(),
            )),
            Err(all) => faults.extend(all),
        }
    }
    (values, faults)
}

#[test]
fn rows_become_values_and_repeats_are_counted() {
    let (values, faults) = read("subj;pulse;day;temp\n1;72.0;UNNOV2026;36,6\n1;NA;;-1\n2;80;22nov2026;37\n");
    assert_eq!(faults, []);
    let pair = |item: &str, value: &str| (item.to_owned(), value.to_owned());
    let wanted = vec![
        (2, 1, vec![pair("PULSE", "72"), pair("DAY", "2026-11"), pair("TEMP", "36.6")]),
        (3, 2, vec![pair("TEMP", "-1")]),
        (4, 1, vec![pair("PULSE", "80"), pair("DAY", "2026-11-22"), pair("TEMP", "37")]),
    ];
    assert_eq!(values, wanted);
}

#[test]
fn every_fault_of_a_row_is_named_with_line_and_column_and_the_next_row_is_read() {
    let (values, faults) = read("subj;pulse;day;temp\n1;7.5;x;y\n;1;;\n1;2\n3;4;;\n");
    let named: Vec<_> = faults.iter().map(|it| (it.line, it.column.as_deref().unwrap_or("-"), it.code)).collect();
    let wanted = [(2, "day", "format"), (3, "subj", "empty"), (4, "-", "field-count")];
    assert_eq!(named, wanted);
    assert_eq!(values.len(), 1);
    assert!(!format!("{faults:?}").contains("7.5"), "a fault holds no value");
}

#[test]
fn a_column_that_is_not_there_is_named() {
    let (mapping, design) = (mapping(), design());
    let error = Rows::begin("subj;pulse;temp\n".as_bytes(), &mapping, &design).err().unwrap();
    assert!(error.to_string().contains("\"day\""), "{error}");
}
