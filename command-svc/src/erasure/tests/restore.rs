use super::*;

#[tokio::test]
async fn an_older_world_around_newer_orders_is_brought_back_into_force() {
    let clinic = Clinic::with(&[ADA, EVE]).await;
    let backup = clinic.world.backup();
    clinic.approve(ADA, true).await;
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    for _ in 0..2 {
        // Everything is as it was, the keys of the erased included; only the orders are up to date.
        clinic.world.restore(backup.clone(), &privacy(ADA));
        assert_eq!(clinic.world.live_keys(subject(ADA)), 4);
        for _ in 0..2 {
            reinstate(&clinic.commands, &clinic.tenant, &privacy(ADA)).await.expect("in force");
            clinic.check(ADA);
            assert_eq!(clinic.world.live_keys(subject(ADA)), 0);
        }
        assert_eq!(clinic.way(ADA), WHOLE_WAY, "nothing is recorded twice");
        assert_eq!(clinic.world.live_keys(subject(EVE)), 4);
    }
}

#[tokio::test]
async fn an_erasure_that_was_under_way_goes_on_after_a_restore_wherever_it_stood() {
    for n in 0.. {
        let clinic = Clinic::with(&[ADA, EVE]).await;
        clinic.approve(ADA, true).await;
        let backup = clinic.world.backup();
        clinic.world.fail_at(n, When::After);
        clinic.run_once(&[ADA]).await;
        if clinic.world.heal() {
            assert!(n > 20, "every call was tried");
            break;
        }
        clinic.world.restore(backup, &privacy(ADA));
        reinstate(&clinic.commands, &clinic.tenant, &privacy(ADA)).await.expect("in force");
        assert_eq!(clinic.run_once(&[ADA]).await, [true], "{n}");
        assert_eq!(clinic.way(ADA), WHOLE_WAY, "{n}");
        clinic.check(ADA);
        assert_eq!(clinic.world.live_keys(subject(EVE)), 4, "{n}");
    }
}

#[tokio::test]
async fn an_erasure_of_somebody_whose_record_is_lost_goes_on() {
    let clinic = Clinic::with(&[EVE]).await;
    let backup = clinic.world.backup();
    clinic.enrol(ADA).await;
    clinic.approve(ADA, true).await;
    clinic.world.restore(backup, &privacy(ADA));
    reinstate(&clinic.commands, &clinic.tenant, &privacy(ADA)).await.expect("in force");
    assert_eq!(clinic.run_once(&[ADA]).await, [true]);
    assert_eq!(clinic.way(ADA), WHOLE_WAY);
    let back = json!({"type": "record", "details": {"email": "ada@example.org"}});
    let register = json!({"type": "register", "site": "oslo", "subject_number": "1"});
    assert_eq!(clinic.send("investigator", ADA, "", register).await.status, 201);
    assert_eq!(
        clinic.send("investigator", ADA, "/identity", back).await.status,
        410,
        "nothing of it is taken any more"
    );
}
