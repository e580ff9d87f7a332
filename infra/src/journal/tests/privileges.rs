use super::world::World;
use crate::journal::destructive_privileges;
use crate::journal::privileges::privileges;

#[tokio::test]
async fn no_login_can_take_anything_away_and_only_one_can_add() {
    let world = World::new().await;
    let (writes, provisions) = (world.client().await, world.provisioner_client().await);
    let none: [&str; 0] = [];
    for login in [&writes, &provisions] {
        assert_eq!(destructive_privileges(login).await.unwrap(), none);
    }
    // A request that is allowed is answered, so silence means something.
    assert_eq!(privileges(&provisions, &["STREAM.CREATE"]).await.unwrap(), ["STREAM.CREATE"]);
    assert_eq!(privileges(&writes, &["STREAM.CREATE", "STREAM.INFO"]).await.unwrap(), ["STREAM.INFO"]);
}
