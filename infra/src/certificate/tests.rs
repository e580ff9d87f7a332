use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::history::Aggregate;
use domain::ids::{ErasureId, UserId};
use domain::port::{
    Certifier as _, Destruction, ErasureAccount, Failure, OffSite as _, PublicKey, Signer as _, TreeCopies,
};
use domain::privacy::{Justification, RefusalGround, RefusedScope};
use domain::scope::{Part, Scope};
use futures_util::future::join_all;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;

use super::canonical::canonical;
use super::*;
use crate::archive::{ArchiveHeader, ArchiveWriter, Origin};
use crate::journal::raw::RawMessage;
use crate::log::Checkpoints;
use crate::log::note::tests::SeedSigner;
use crate::log::scratch::Scratch;
use crate::log::testing::cardio;
use crate::verify::clinic::{Clinic, person, stream, values};

const SCOPES: [Scope; 5] = [
    Scope::IdentityContact,
    Scope::IdentityCodeList,
    Scope::HealthClinical,
    Scope::HealthFreeText,
    Scope::HealthOptional,
];

struct Issued {
    clinic: Clinic,
    certificates: Certificates,
    account: ErasureAccount,
    text: String,
}

impl Issued {
    fn key(&self) -> PublicKey {
        self.clinic.world.signer.key()
    }

    async fn verify(&self, text: &str) -> Checked {
        verify(text, &self.key(), None).await
    }
}

fn certificates(clinic: &Clinic) -> Certificates {
    Certificates::new(CertificateParts {
        tenant: "acme".parse().unwrap(),
        dir: clinic.world.scratch.path().to_owned(),
        source: clinic.world.journals.clone(),
        checkpoints: Arc::new(Checkpoints::new(clinic.world.parts())),
        keys: clinic.tree.clone(),
        kms: clinic.kms.clone(),
        signer: clinic.world.signer.clone(),
        off_site: Some(clinic.world.off_site.clone()),
        clock: clinic.world.clock.clone(),
    })
}

/// Person 1 has data in four of five scopes, thirty values of their own among them; all of it is erased.
async fn issued(clinic: Clinic) -> Issued {
    let (identity, participant, privacy) =
        [Aggregate::Identity, Aggregate::Participant, Aggregate::Privacy].map(|kind| stream(kind, 1)).into();
    clinic.commit(&identity, "identity-recorded", values(&[(SCOPES[0], "all"), (SCOPES[1], "all")])).await;
    let parts: Vec<String> = (0..30).map(|number| format!("a-{number}")).collect();
    for part in &parts {
        clinic.commit(&participant, "items-saved", values(&[(SCOPES[2], "all"), (SCOPES[3], part)])).await;
    }
    clinic.commit(&stream(Aggregate::Participant, 2), "items-saved", values(&[(SCOPES[2], "all")])).await;
    clinic.commit(&privacy, "erasure-requested", json!({})).await;
    let certificates = certificates(&clinic);
    certificates.checkpoint(&cardio()).await.unwrap();
    clinic.commit(&privacy, "erasure-begun", json!({})).await;
    clinic.commit(&participant, "scopes-fenced", json!({})).await;
    let receipt = clinic.shred(1, &SCOPES).await;
    let account = ErasureAccount {
        erasure: ErasureId(Uuid::from_u128(5)),
        stream: privacy,
        justification: Justification::ConsentWithdrawn,
        requested: (UserId(Uuid::from_u128(11)), datetime!(2026-03-01 08:00 UTC)),
        approved: (UserId(Uuid::from_u128(12)), datetime!(2026-03-01 08:30 UTC), "DPA-7/2".parse().unwrap()),
        begun: 2,
        logically_effective_at: datetime!(2026-03-01 09:00 UTC),
        cryptographically_complete_by: datetime!(2026-03-01 09:01 UTC),
        destroyed: receipt.targets,
        kept: vec![RefusedScope {
            scope: Scope::IdentityNationalId,
            part: None,
            ground: RefusalGround::LegalObligation,
            hold: None,
            rule: None,
            until: None,
            after: None,
        }],
        destruction: Destruction::Done,
        copy: TreeCopies::Single,
        recipients: 2,
        probed: 5,
        next_due: None,
    };
    certificates.certify(&account).await.unwrap();
    let text = certificates.certificate(account.erasure).await.unwrap().unwrap();
    Issued { clinic, certificates, account, text }
}

async fn small() -> Issued {
    issued(Clinic::new().await).await
}

fn archive(dir: &Path, messages: &[RawMessage]) {
    for (index, messages) in messages.chunks(20).enumerate() {
        let header = ArchiveHeader { origin: Origin::Events(cardio()), from: messages[0].sequence };
        let file = File::create(dir.join(format!("{index}.archive"))).unwrap();
        let mut writer = ArchiveWriter::new(file, header).unwrap();
        messages.iter().for_each(|message| writer.push(message).unwrap());
        writer.finish_at(messages[messages.len() - 1].sequence).unwrap();
    }
}

/// Changes the certificate and signs it anew: what must be found is not found by the signature.
async fn resigned(issued: &Issued, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&issued.text).unwrap();
    change(&mut value["certificate"]);
    let message = canonical(&value["certificate"]).unwrap();
    let signature = issued.clinic.world.signer.sign(message.as_bytes()).await.unwrap();
    value["signature"]["value"] = BASE64.encode(signature.0).into();
    canonical(&value).unwrap()
}

#[tokio::test]
async fn a_certificate_holds_and_says_what_was_done() {
    let issued = small().await;
    let checked = issued.verify(&issued.text).await;
    assert_eq!(checked.refused, Vec::<String>::new());
    assert_eq!(checked.holds.len(), 5, "{:?}", checked.holds);
    let body: Value = serde_json::from_str(&issued.text).unwrap();
    let body = &body["certificate"];
    let counts =
        |name: &str| body["destroyed"].as_array().unwrap().iter().map(|scope| scope[name].clone()).collect::<Vec<_>>();
    assert_eq!(counts("keys"), [1, 1, 1, 30, 0]);
    assert_eq!(counts("sections"), [1, 1, 30, 30, 0]);
    assert_eq!(counts("finding"), ["destroyed", "destroyed", "destroyed", "destroyed", "none-held"]);
    assert_eq!(body["sections_made_unreadable"], 62);
    assert_eq!(body["kept"][0], json!({ "scope": "identity.national-id", "ground": "legal-obligation" }));
}

/// `infra/vectors/certificate.json`, signed by the key whose seed is 32 bytes of 07, is read for ever.
#[tokio::test]
async fn the_example_of_the_format_page_holds() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/certificate.json");
    if std::env::var_os("LETHE_WRITE_VECTORS").is_some() && !Path::new(file).exists() {
        std::fs::write(file, small().await.text).unwrap();
    }
    let text = std::fs::read_to_string(file).unwrap();
    let checked = verify(&text, &SeedSigner::new(7).key(), None).await;
    assert_eq!((checked.refused, checked.holds.len()), (Vec::new(), 5));
}

#[tokio::test]
async fn it_is_issued_once_and_kept_here_and_elsewhere() {
    let issued = small().await;
    issued.clinic.commit(&stream(Aggregate::Participant, 2), "items-saved", json!({})).await;
    issued.clinic.world.pass(time::Duration::days(1));
    let again = issued.certificates.certify(&issued.account).await.unwrap();
    assert_eq!(again.bytes, issued.text.len() as u64);
    let name = format!("certificates/{}.json", issued.account.erasure);
    assert_eq!(issued.clinic.world.off_site.get(&name).await.unwrap().as_deref(), Some(issued.text.as_bytes()));
    std::fs::remove_dir_all(issued.clinic.world.scratch.path().join("certificates")).unwrap();
    let found = issued.certificates.certificate(issued.account.erasure).await.unwrap();
    assert_eq!(found.as_deref(), Some(&*issued.text));
    let other = issued.certificates.certificate(ErasureId(Uuid::from_u128(6))).await.unwrap();
    assert_eq!(other, None);
}

#[tokio::test]
async fn no_flipped_bit_and_no_other_key_goes_unseen() {
    let issued = small().await;
    assert!(!verify(&issued.text, &SeedSigner::new(9).key(), None).await.is_verified());
    for byte in 0..issued.text.len() {
        let mut bytes = issued.text.clone().into_bytes();
        bytes[byte] ^= 1;
        let flipped = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!issued.verify(&flipped).await.is_verified(), "byte {byte}");
    }
    let spelt = issued.text.replacen(',', ", ", 1);
    assert!(!issued.verify(&spelt).await.is_verified(), "another spelling");
}

#[tokio::test]
async fn a_signed_untruth_is_refused() {
    let issued = small().await;
    let untrue = |change: fn(&mut Value), reason: &'static str| {
        let issued = &issued;
        async move {
            let text = resigned(issued, change).await;
            let checked = issued.verify(&text).await;
            assert!(checked.refused.iter().any(|refused| refused.contains(reason)), "{reason}: {:?}", checked.refused);
        }
    };
    untrue(|body| body["destroyed"][4]["scope"] = "user.profile".into(), "that nothing was held").await;
    untrue(|body| body["key_map"] = json!([]), "no proof of the key map").await;
    untrue(|body| body["key_map"][0]["after"] = body["key_map"][0]["before"].clone(), "something else was changed")
        .await;
    untrue(
        |body| drop(body["key_map"][0]["emptied"].as_array_mut().unwrap().remove(0)),
        "something named is there still",
    )
    .await;
    untrue(|body| body["data_subject"] = Uuid::from_u128(2).to_string().into(), "the proof of the key map").await;
    untrue(|body| body["destroyed"][0]["keys"] = 0.into(), "do not fit together").await;
    untrue(|body| body["sections_made_unreadable"] = 61.into(), "do not add up").await;
    untrue(|body| body["kept"][0]["scope"] = "health.clinical".into(), "destroyed and kept").await;
    untrue(|body| body["order"]["approved_by"] = body["order"]["requested_by"].clone(), "the same user").await;
    untrue(|body| body["cryptographically_complete_by"] = "2026-03-01T08:00:00Z".into(), "the times").await;
    untrue(|body| body["record"]["before"] = body["record"]["after"].clone(), "did not begin between").await;
    untrue(|body| drop(body["record"]["consistency"].as_array_mut().unwrap().pop()), "the record was changed").await;
    untrue(|body| body["record"]["begun"]["hash"] = "00".repeat(32).into(), "is not in the record").await;
    untrue(|body| body["study"] = "other".into(), "the checkpoint before is refused").await;
    untrue(|body| body["what_this_cannot_prove"] = json!([]), "cannot prove").await;
    untrue(|body| body["format"] = 2.into(), "unknown here").await;
}

/// A bit of any commit before or between the checkpoints, in a copy: not the record that was signed.
#[tokio::test]
async fn against_a_copy_of_the_journal_any_other_change_is_found() {
    let issued = small().await;
    let whole = issued.clinic.world.journals.change(&cardio(), |messages| messages.clone());
    let check = |messages: Vec<RawMessage>| {
        let (key, text) = (issued.key(), &issued.text);
        async move {
            let scratch = Scratch::new();
            archive(scratch.path(), &messages);
            verify(text, &key, Some(scratch.path())).await
        }
    };
    let checked = check(whole.clone()).await;
    assert_eq!(checked.refused, Vec::<String>::new());
    assert_eq!(checked.holds.len(), 8);
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        let mut payload = changed[index].payload.to_vec();
        let end = payload.len() - 1;
        payload[end] ^= 1;
        changed[index].payload = payload.into();
        let refused = check(changed).await.refused;
        assert!(
            refused.iter().any(|refused| refused.contains("is not the record that was signed")),
            "{index}: {refused:?}"
        );
    }
    assert!(!check(whole[..whole.len() - 1].to_vec()).await.is_verified(), "shorter");
    let empty = Scratch::new();
    assert!(!verify(&issued.text, &issued.key(), Some(empty.path())).await.is_verified(), "no copy at all");
}

/// The record was changed after the checkpoint before: then there is no certificate.
#[tokio::test]
async fn no_certificate_for_a_record_that_is_not_what_was_signed() {
    let issued = small().await;
    let root = issued.clinic.world.scratch.path();
    std::fs::remove_dir_all(root.join("certificates")).unwrap();
    issued.clinic.world.off_site.damage(&format!("certificates/{}.json", issued.account.erasure), |_| None);
    std::fs::remove_dir_all(root.join("log")).unwrap();
    issued.clinic.world.journals.change(&cardio(), |messages| messages[1].payload = "other".into());
    let refused = certificates(&issued.clinic).certify(&issued.account).await;
    assert!(matches!(refused, Err(Failure::Damaged { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_page_shows_it_and_escapes_what_it_shows() {
    let issued = small().await;
    let page = page(&issued.text).unwrap();
    for shown in
        ["Certificate of erasure", "62 sections", "none held", "consent withdrawn", "DPA-7/2", "legal obligation"]
    {
        assert!(page.contains(shown), "{shown}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "nothing to run or to load");
    let text = resigned(&issued, |body| body["kms"]["device"] = "<img src=x>&\"'".into()).await;
    let page = super::page(&text).unwrap();
    assert!(page.contains("&lt;img src=x&gt;&amp;&quot;&#39;") && !page.contains("<img"));
    assert_eq!(super::page("{}"), None);
}

/// A whole person, in a key map of 100 000 keys and a record of 100 000 messages.
#[tokio::test]
async fn a_certificate_has_at_most_ten_kilobytes() {
    let clinic = Clinic::new().await;
    let parts: Vec<_> = SCOPES.iter().map(|scope| (*scope, Part::all())).collect();
    for first in (100..20_100).step_by(500) {
        let people = (first..first + 500).map(|number| clinic.tree.current_or_create(person(number), &parts));
        for keys in join_all(people).await {
            assert_eq!(keys.unwrap().len(), 5);
        }
    }
    clinic.world.journals.fill(&cardio(), "filler", 100_000);
    let issued = issued(clinic).await;
    assert!(issued.verify(&issued.text).await.is_verified());
    assert!(issued.text.len() <= BYTES_MAX, "{} bytes", issued.text.len());
    assert!(issued.text.len() > 5_000, "{} bytes: is it all there?", issued.text.len());
}
