use super::world::World;
use crate::journal::destructive_privileges;

#[tokio::test]
async fn the_login_that_writes_can_take_nothing_away_and_the_one_that_provisions_can() {
    let world = World::new().await;
    let none: [&str; 0] = [];
    assert_eq!(destructive_privileges(&world.client().await).await.unwrap(), none);
    let could = destructive_privileges(&world.provisioner_client().await).await.unwrap();
    assert!(could.contains(&"STREAM.UPDATE"), "{could:?}");
}
