//! A whole study streams in constant memory. A test binary of its own, because it looks at its process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;

use domain::Moment;
use domain::design::StudyDesign;
use domain::ids::Environment;
use domain::participant::Source;
use domain::permit::Role;
use exchange::csv::{CsvOptions, write_csv};
use exchange::dataset_json::{DatasetForm, write_dataset};
use exchange::model::*;
use exchange::odm::{History, OdmOptions, OdmVersion, OdmWriter};
use exchange::table::{By, Spool, Spooled};
use exchange::xpt::write_xpt;
use serde_json::json;

/// A spool in a file, as the platform would have one.
struct FileSpool(BufWriter<File>);

impl Write for FileSpool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Spool for FileSpool {
    fn again(&mut self) -> io::Result<Box<dyn BufRead + '_>> {
        self.0.flush()?;
        self.0.get_mut().rewind()?;
        Ok(Box::new(BufReader::new(self.0.get_ref())))
    }
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("exchange-memory-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The most memory that this process has had, in KiB.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn design() -> StudyDesign {
    let items: Vec<_> = (0..20).map(|n| format!("ITEM{n}")).collect();
    let visits: Vec<_> =
        (0..10).map(|n| json!({"oid": format!("V{n}"), "name": "n", "forms": [{"oid": "F"}]})).collect();
    serde_json::from_value(json!({
        "name": "large", "version": "1", "visits": visits,
        "forms": [{"oid": "F", "name": "n", "item_groups": [{"oid": "G"}]}],
        "item_groups": [{"oid": "G", "name": "n", "items": items.iter().map(|oid| json!({"oid": oid})).collect::<Vec<_>>()}],
        "items": items.iter().map(|oid| json!({"oid": oid, "name": oid, "data_type": "decimal"})).collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// A participant of 10 visits with 20 values each, every one with who, when and why.
fn participant(n: u32) -> ParticipantRecord {
    let moment = Moment(time::OffsetDateTime::from_unix_timestamp(1_790_000_000 + i64::from(n)).unwrap());
    let by = Act {
        user: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        role: Role::Investigator,
        organisation: "clinic".parse().unwrap(),
        captured_at: moment,
        stored_at: moment,
        source: Source::User,
    };
    let item = |visit: u32, k: u32| {
        let state = ItemState::Value(format!("{}.{}", n % 97 + visit, k));
        let changes = vec![Change { state: state.clone(), by: by.clone(), reason: None }];
        ItemRecord {
            item: format!("ITEM{k}").parse().unwrap(),
            state,
            computed: false,
            changes,
            notes: Notes::default(),
        }
    };
    let group = |visit| GroupRecord {
        group: "G".parse().unwrap(),
        repeat: 1,
        items: (0..20).map(|k| item(visit, k)).collect(),
    };
    let form = |visit| FormRecord {
        form: "F".parse().unwrap(),
        repeat: 1,
        groups: vec![group(visit)],
        notes: Notes::default(),
    };
    let visit = |visit| VisitRecord {
        visit: format!("V{visit}").parse().unwrap(),
        repeat: 1,
        state: VisitState::Unsaid,
        forms: vec![form(visit)],
        notes: Notes::default(),
    };
    ParticipantRecord {
        subject_number: format!("S{n}").parse().unwrap(),
        site: "clinic".parse().unwrap(),
        restricted: false,
        withdrawn: false,
        registered: Some(by.clone()),
        visits: (0..10).map(visit).collect(),
        notes: Notes::default(),
    }
}

/// Writes a study in every format, to nowhere.
fn write_everything(design: &StudyDesign, participants: u32) {
    let moment = Moment(time::OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap());
    let export = StudyExport {
        study: "large".parse().unwrap(),
        environment: Environment::Test,
        design,
        created_at: moment,
        as_of: moment,
        file_oid: "large.1".into(),
        software_version: "0",
        users: vec![],
        sites: vec![],
    };
    for version in [OdmVersion::V1_3_2, OdmVersion::V2_0] {
        let options = OdmOptions { version, history: History::Whole, notes: true, metadata: true };
        let mut writer = OdmWriter::begin(io::sink(), &export, options).unwrap();
        (0..participants).for_each(|n| writer.participant(&participant(n)).unwrap());
        writer.finish().unwrap();
    }
    let folder = folder();
    let spool = |table: &exchange::table::Table| {
        let path = folder.join(table.oid.as_str());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(FileSpool(BufWriter::new(file)))
    };
    let mut spooled = Spooled::begin(&export.study, design, By::ItemGroup, spool).unwrap();
    (0..participants).for_each(|n| spooled.participant(&participant(n)).unwrap());
    for mut table in spooled.finish() {
        assert_eq!(table.records, u64::from(participants) * 10);
        write_csv(&mut table, &mut io::sink(), CsvOptions::default()).unwrap();
        write_dataset(&export, &mut table, DatasetForm::Json, &mut io::sink()).unwrap();
        write_xpt(&export, &mut table, "G", &mut io::sink()).unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
}

/// `PARTICIPANTS=10000` is the whole measurement; the test itself is content with fewer.
#[test]
fn a_larger_study_takes_no_more_memory() {
    if peak().is_none() {
        return println!("skipped: a_larger_study_takes_no_more_memory (there is no /proc/self/status)");
    }
    let many = std::env::var("PARTICIPANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let design = design();
    write_everything(&design, 20);
    let small = peak().unwrap();
    write_everything(&design, many);
    let large = peak().unwrap();
    println!("{many} participants of 200 values: {large} KiB at most; 20 participants: {small} KiB");
    assert!(large < small + 512, "{many} participants took {large} KiB, 20 participants {small} KiB");
}
