use std::str::FromStr;

use super::*;

const SCOPE: Scope = Scope::HealthFreeText;

fn somebody(number: u128) -> DataSubject {
    DataSubject(Uuid::from_u128(number))
}

fn part(text: &str) -> Part {
    Part::try_from(text.to_owned()).expect("a part")
}

fn target(number: u128, part: Option<Part>) -> Target {
    Target { data_subject: somebody(number), scope: SCOPE, part }
}

/// A second life of a part. No API begins one yet; the format and the fences know it.
fn second_life(bucket: &mut Bucket, of: &PersonKey) -> PersonKey {
    let id = PersonKey { generation: 2, ..of.clone() };
    bucket.keys.insert(id.clone(), Key::random());
    id
}

fn is_erased(bucket: &Bucket, id: &PersonKey) -> bool {
    matches!(bucket.state(id), KeyState::Erased)
}

#[test]
fn a_bucket_reads_back_with_its_keys_and_fences() {
    let tenant = TenantId::from_str("acme").expect("valid");
    let place = BucketPlace { node: 0x7f, bucket: 0x3a };
    let mut bucket = Bucket::default();
    let (id, key) = bucket.create(somebody(1), SCOPE, &Part::all());
    bucket.create(somebody(2), Scope::HealthClinical, &part("x-0"));
    bucket.fence(&target(2, None));
    bucket.fence(&target(2, Some(part("x-0"))));
    bucket.fences.insert(Fence { data_subject: somebody(3), scope: None, part: None, through: 4 });
    let under = Key::random();
    let bytes = bucket.seal(&tenant, place, &under);
    let read = Bucket::open(&tenant, place, &under, &bytes, 9).expect("it opens");
    assert_eq!((read.sequence, &read.fences, read.weight()), (9, &bucket.fences, bucket.weight()));
    assert!(matches!(read.state(&id), KeyState::Known(known) if known.expose() == key.expose()));
    let elsewhere = BucketPlace { bucket: 0x3b, ..place };
    assert_eq!(Bucket::open(&tenant, elsewhere, &under, &bytes, 9).err(), Some(Fault::KeyIds));
    let other = TenantId::from_str("other").expect("valid");
    assert_eq!(Bucket::open(&other, place, &under, &bytes, 9).err(), Some(Fault::Tag));
}

#[test]
fn a_full_bucket_fits_into_a_message_with_room_for_fences() {
    let mut bucket = Bucket::default();
    for number in (0..).step_by(100) {
        for number in number..number + 100 {
            // The longest part that there is, and one as commands name it.
            bucket.create(somebody(1), SCOPE, &part(&format!("{number:064}")));
            bucket.create(somebody(number), SCOPE, &part(&format!("{number:032}-1")));
        }
        if bucket.is_full() {
            break;
        }
    }
    let (guess, body) = (bucket.size(), bucket.body().len());
    assert!(body <= guess && guess - body < body / 10, "{guess} for {body}");
    for number in 0..1000 {
        bucket.fence(&target(10_000_000 + number, Some(part(&"x".repeat(64)))));
    }
    assert!(bucket.body().len() < 1024 * 1024 - 4096, "{}", bucket.body().len());
}

#[test]
fn a_fence_on_a_scope_covers_parts_that_do_not_exist_yet_and_nobody_else() {
    let mut bucket = Bucket::default();
    assert!(bucket.fence(&target(1, None)));
    for part in [Part::all(), part("later-0")] {
        assert!(matches!(bucket.current(somebody(1), SCOPE, &part), Current::Erased));
        assert!(matches!(bucket.current(somebody(2), SCOPE, &part), Current::None));
        assert!(matches!(bucket.current(somebody(1), Scope::HealthClinical, &part), Current::None));
    }
    assert!(!bucket.fence(&target(1, None)), "twice is no news");
    assert!(!bucket.fence(&target(1, Some(part("x-0")))), "it is covered already");
}

#[test]
fn a_fence_on_a_person_covers_scopes_that_do_not_exist_yet() {
    let mut bucket = Bucket::default();
    bucket.fences.insert(Fence { data_subject: somebody(1), scope: None, part: None, through: 1 });
    for scope in Scope::ALL {
        assert!(matches!(bucket.current(somebody(1), *scope, &Part::all()), Current::Erased));
    }
    assert!(bucket.is_fenced(&target(1, None)) && !bucket.fence(&target(1, None)));
    assert!(matches!(bucket.current(somebody(2), SCOPE, &Part::all()), Current::None));
}

#[test]
fn a_fence_reaches_to_the_highest_generation_and_no_further() {
    let mut bucket = Bucket::default();
    let (first, _) = bucket.create(somebody(1), SCOPE, &Part::all());
    bucket.fence(&target(1, None));
    let second = second_life(&mut bucket, &first);
    assert!(is_erased(&bucket, &first) && !is_erased(&bucket, &second));
    assert!(matches!(bucket.current(somebody(1), SCOPE, &Part::all()), Current::Key(id, _) if id == second));
    assert_eq!(bucket.remove(&target(1, None)), 1, "only the first life");
    assert!(bucket.fence(&target(1, None)), "the second life is news");
    let third = PersonKey { generation: 3, ..first };
    assert!(is_erased(&bucket, &second) && !is_erased(&bucket, &third));
    assert_eq!(bucket.fences.len(), 1, "the older fence is within the newer");
}

#[test]
fn a_narrow_fence_leaves_the_other_parts_alone() {
    let mut bucket = Bucket::default();
    let (gone, _) = bucket.create(somebody(1), SCOPE, &part("x-0"));
    let (stays, _) = bucket.create(somebody(1), SCOPE, &part("x-1"));
    bucket.fence(&target(1, Some(part("x-0"))));
    assert!(is_erased(&bucket, &gone) && !is_erased(&bucket, &stays) && bucket.holds_fenced_keys());
    assert!(!bucket.is_fenced(&target(1, None)), "the scope as a whole is not fenced");
    assert_eq!(bucket.remove(&target(1, None)), 1, "what is not fenced is not removed");
    assert!(!is_erased(&bucket, &stays) && !bucket.holds_fenced_keys());
}
