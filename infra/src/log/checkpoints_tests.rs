use super::*;
use crate::log::leaf::Incarnations;
use crate::log::testing::{World, cardio, own};

/// What a start says after `change`, when `size` messages were signed and others came after.
async fn start(size: u64, change: impl FnOnce(&World)) -> Result<(), Failure> {
    let world = World::new();
    world.journals.fill(&cardio(), "signed", size);
    world.checkpoints().force(&cardio()).await.unwrap();
    world.journals.fill(&cardio(), "later", 3);
    change(&world);
    world.checkpoints().check_at_start(&[]).await
}

fn lost(result: Result<(), Failure>) -> String {
    match result {
        Err(Failure::Damaged { what, detail }) => {
            format!("{what}: {}", detail.split(" (do").next().unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_signs_news_only_and_starts_again() {
    let world = World::new();
    world.journals.fill(&cardio(), "a", 20);
    world.journals.fill(&own(), "b", 1);
    let checkpoints = world.checkpoints();
    checkpoints.tick().await;
    checkpoints.tick().await;
    assert_eq!(checkpoints.shelf(&cardio()).sizes().unwrap(), [20]);
    world.journals.fill(&cardio(), "c", 5);
    checkpoints.tick().await;
    assert_eq!(checkpoints.shelf(&cardio()).sizes().unwrap(), [20, 25]);
    assert_eq!(checkpoints.shelf(&own()).sizes().unwrap(), [1]);
    let again = world.checkpoints();
    again.check_at_start(&[cardio(), own()]).await.unwrap();
    world.journals.fill(&cardio(), "d", 5);
    let newest = again.force(&cardio()).await.unwrap().checkpoint;
    assert_eq!(newest.size, 30);
    for old in [20, 25] {
        let old = again.shelf(&cardio()).read(old, &world.signer.key()).unwrap().checkpoint;
        let proof = again.consistency(&old, &newest).await.unwrap();
        assert!(old.is_prefix_of(&newest, &proof));
    }
}

#[tokio::test]
async fn a_shorter_journal_is_found() {
    for size in [1, 7, 2000] {
        let result =
            start(size, |world| world.journals.change(&cardio(), |messages| messages.truncate(size as usize - 1)))
                .await;
        let expected =
            format!("journal stream EVT_acme_cardio: messages {size} to {size} are lost: they are not there any more");
        assert_eq!(lost(result), expected);
    }
}

/// Sequences are used again after a cut: the same length, or longer, and other messages.
#[tokio::test]
async fn an_old_journal_that_was_written_to_again_is_found() {
    for (size, kept) in [(10, 9), (10, 3), (3000, 2990), (3000, 1000), (3000, 1)] {
        let result = start(size, |world| {
            world.journals.change(&cardio(), |messages| messages.truncate(kept));
            world.journals.fill(&cardio(), "others", 4000);
        });
        let first = kept + 1;
        let expected = format!(
            "journal stream EVT_acme_cardio: messages {first} to {size} are lost: others than those that were signed stand \
             in their place"
        );
        assert_eq!(lost(result.await), expected);
    }
}

#[tokio::test]
async fn without_the_stored_hashes_the_journal_is_read_whole() {
    let remove = |world: &World| std::fs::remove_dir_all(world.scratch.path().join("log")).unwrap();
    start(3000, remove).await.unwrap();
    let result = start(3000, |world| {
        remove(world);
        world.journals.change(&cardio(), |messages| messages[17].payload = "other".into());
    });
    assert!(
        lost(result.await).starts_with("journal stream EVT_acme_cardio: messages 1 to 3000 are lost: at least one")
    );
}

#[tokio::test]
async fn damaged_hashes_are_made_again() {
    for level in ["level-00", "level-03", "level-11"] {
        let result = start(3000, |world| {
            let path = world.scratch.path().join("log/cardio").join(level);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[5] ^= 1;
            std::fs::write(path, bytes).unwrap();
        });
        // A leaf that is not the journal's is no proof of damage in the journal: the root decides.
        result.await.unwrap_or_else(|error| panic!("{level}: {error}"));
    }
}

#[tokio::test]
async fn a_missing_journal_stream_is_found_by_its_checkpoints() {
    let result = start(5, |world| drop(world.journals.0.lock().unwrap().remove(&cardio()))).await;
    assert_eq!(lost(result), "journal stream lethe/acme/cardio: it is not there, and 5 messages of it were signed");
    let elsewhere = start(5, |world| {
        std::fs::remove_dir_all(world.scratch.path().join("checkpoints")).unwrap();
        world.journals.0.lock().unwrap().remove(&cardio());
    });
    assert_eq!(
        lost(elsewhere.await),
        "journal stream lethe/acme/cardio: it is not there, and 5 messages of it were signed"
    );
}

#[tokio::test]
async fn the_off_site_checkpoint_counts_when_the_folder_is_an_old_copy() {
    let result = start(20, |world| {
        std::fs::remove_dir_all(world.scratch.path().join("checkpoints")).unwrap();
        std::fs::remove_dir_all(world.scratch.path().join("log")).unwrap();
        world.journals.change(&cardio(), |messages| messages.truncate(12));
    });
    assert_eq!(
        lost(result.await),
        "journal stream EVT_acme_cardio: messages 13 to 20 are lost: they are not there any more"
    );
}

#[tokio::test]
async fn a_checkpoint_that_was_touched_is_refused() {
    let result = start(20, |world| {
        let path = world.scratch.path().join("checkpoints/cardio").join(format!("{:020}.note", 20));
        let note = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, note.replace("\n20\n", "\n19\n")).unwrap();
    });
    assert!(lost(result.await).ends_with("its signature does not fit its text"));
}

#[tokio::test]
async fn a_restored_journal_goes_on_in_its_next_incarnation() {
    let restored = |list: &'static str| {
        move |world: &World| {
            let mut journals = world.journals.0.lock().unwrap();
            journals.get_mut(&cardio()).unwrap().1 = list.parse::<Incarnations>().unwrap();
        }
    };
    start(20, restored("1:1,2:24")).await.unwrap();
    start(20, restored("1:1,2:21")).await.unwrap();
    // The restore itself went back behind the checkpoint, and said so.
    start(20, restored("1:1,2:20")).await.unwrap();
    let world = World::new();
    world.journals.fill(&cardio(), "a", 20);
    restored("1:1,2:10")(&world);
    world.checkpoints().force(&cardio()).await.unwrap();
    restored("1:1")(&world);
    let result = world.checkpoints().check_at_start(&[]).await;
    assert!(lost(result).contains("other incarnations"), "no life is forgotten");
}

#[tokio::test]
async fn what_does_not_go_off_site_is_sent_later() {
    let world = World::new();
    world.journals.fill(&cardio(), "a", 5);
    world.off_site.be_away(true);
    let checkpoints = world.checkpoints();
    checkpoints.force(&cardio()).await.unwrap();
    world.off_site.be_away(false);
    let there = async || world.off_site.list("").await.unwrap();
    assert_eq!(there().await, Vec::<String>::new());
    checkpoints.tick().await;
    assert_eq!(there().await, ["checkpoints/cardio/000001/00000000000000000005"]);
    world.journals.fill(&cardio(), "b", 5);
    checkpoints.tick().await;
    assert_eq!(there().await.len(), 1, "not every one at once");
    world.pass(time::Duration::seconds(61));
    checkpoints.tick().await;
    assert_eq!(there().await.len(), 2);
}

#[tokio::test]
async fn old_ones_are_thinned_out_and_those_that_were_asked_for_stay() {
    let world = World::new();
    let checkpoints = world.checkpoints();
    let mut size = 0;
    for day in 0..3 {
        for _ in 0..60 {
            world.journals.fill(&cardio(), "a", 1);
            size += 1;
            checkpoints.tick().await;
            if size == 10 {
                checkpoints.force(&cardio()).await.unwrap();
            }
        }
        world.pass(time::Duration::days(1));
        assert_eq!(size, 60 * (day + 1));
    }
    let sizes = checkpoints.shelf(&cardio()).sizes().unwrap();
    assert!(sizes.starts_with(&[10, 60]), "{sizes:?}");
    assert!(sizes.len() < 130 && sizes.ends_with(&[178, 179, 180]), "{sizes:?}");
    world.checkpoints().check_at_start(&[]).await.unwrap();
    assert_eq!(checkpoints.before(&cardio(), 61).await.unwrap().checkpoint.size, 60);
    assert_eq!(checkpoints.before(&cardio(), 60).await.unwrap().checkpoint.size, 10);
    assert!(matches!(checkpoints.before(&cardio(), 10).await, Err(Failure::Missing { .. })));
}
