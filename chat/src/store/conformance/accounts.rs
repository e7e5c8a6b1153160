//! Accounts, devices and sessions.

use std::sync::Arc;

use leveret_client::message::{DeviceId, RejectionCode, Toggle, UserId};

use super::scene::{Scene, user};
use crate::store::{
    AddedUser, Appended, ChatStore, Device, DeviceKind, PasswordHash, Session, TokenHash,
    UserChange,
};

pub(super) async fn check(open: &impl AsyncFn() -> Arc<dyn ChatStore>) {
    a_name_is_one_persons(&Scene::new(open).await).await;
    an_account_changes(&Scene::new(open).await).await;
    a_deleted_account_leaves_nothing_to_log_in_with(&Scene::new(open).await).await;
    sessions_end_with_their_device(&Scene::new(open).await).await;
}

fn device(of: &UserId, id: &DeviceId, scene: &Scene) -> Device {
    Device {
        user: of.clone(),
        id: id.clone(),
        name: "a terminal".to_owned(),
        kind: DeviceKind::Inbox,
        behind: false,
        created: scene.now(),
    }
}

fn session(of: &UserId, device: &DeviceId, scene: &Scene) -> Session {
    Session {
        user: of.clone(),
        device: device.clone(),
        created: scene.now(),
        expires: scene.now(),
    }
}

async fn a_name_is_one_persons(scene: &Scene) {
    let other = user(&UserId::random(), "ana", scene.now());
    let added = scene.store.add_user(other.clone()).await;
    assert_eq!(added, Ok(AddedUser::Taken));
    assert_eq!(scene.store.user(&other.id).await, Ok(None));
    let found = scene.store.user_by_handle(&other.handle).await;
    let found = found.expect("it works").expect("ana is there");
    assert_eq!(found.id, scene.ana);
    let all = scene.store.users(None, 10).await.expect("it works");
    assert_eq!(all.len(), 3);
    let rest = scene.store.users(Some(&all[0].id), 1).await;
    assert_eq!(rest, Ok(vec![all[1].clone()]));
}

async fn an_account_changes(scene: &Scene) {
    let hash = PasswordHash("a hash".to_owned());
    let changes = [
        UserChange::Name("Ana Maria".to_owned()),
        UserChange::Password(Some(hash.clone())),
        UserChange::Administrator(true),
        UserChange::Receipts(Toggle::Off),
    ];
    for change in changes {
        let changed = scene.store.change_user(&scene.ana, change).await;
        assert!(changed.expect("it works").is_some());
    }
    let ana = scene.store.user(&scene.ana).await.expect("it works");
    let ana = ana.expect("ana is there");
    assert_eq!((ana.name.as_str(), ana.password), ("Ana Maria", Some(hash)));
    assert!(ana.administrator);
    assert_eq!(ana.receipts, Toggle::Off);
    let nobody = UserId::random();
    let change = UserChange::Administrator(true);
    assert_eq!(scene.store.change_user(&nobody, change).await, Ok(None));
}

async fn a_deleted_account_leaves_nothing_to_log_in_with(scene: &Scene) {
    let laptop = DeviceId::random();
    let token = TokenHash([7; 32]);
    let put = scene
        .store
        .put_device(device(&scene.ana, &laptop, scene))
        .await;
    put.expect("it works");
    let put = scene
        .store
        .put_session(token, session(&scene.ana, &laptop, scene))
        .await;
    put.expect("it works");
    let change = UserChange::Delete(scene.now());
    let gone = scene.store.change_user(&scene.ana, change).await;
    let gone = gone.expect("it works").expect("it was there");
    assert!(gone.deleted.is_some() && gone.password.is_none());
    assert_eq!(scene.store.session(&token).await, Ok(None));
    assert_eq!(scene.store.devices(&scene.ana).await, Ok(Vec::new()));
    assert_eq!(scene.store.user_by_handle(&gone.handle).await, Ok(None));
    // The id stays, for what it said; the name is free.
    let found = scene.store.user(&scene.ana).await.expect("it works");
    assert_eq!(found, Some(gone));
    let next = user(&UserId::random(), "ana", scene.now());
    assert_eq!(scene.store.add_user(next).await, Ok(AddedUser::Added));
    let no_user = Appended::Denied(RejectionCode::NoSuchUser);
    let from_it = scene.direct(&scene.ana, &scene.bruno, "still here");
    assert_eq!(scene.append(&from_it).await, no_user);
    let to_it = scene.direct(&scene.bruno, &scene.ana, "where are you?");
    assert_eq!(scene.append(&to_it).await, no_user);
}

async fn sessions_end_with_their_device(scene: &Scene) {
    let (laptop, phone) = (DeviceId::random(), DeviceId::random());
    for (number, id) in [(1, &laptop), (2, &laptop), (3, &phone)] {
        let put = scene.store.put_device(device(&scene.ana, id, scene)).await;
        put.expect("it works");
        let token = TokenHash([number; 32]);
        let put = scene
            .store
            .put_session(token, session(&scene.ana, id, scene))
            .await;
        put.expect("it works");
    }
    let devices = scene.store.devices(&scene.ana).await.expect("it works");
    assert_eq!(devices.len(), 2);
    scene
        .store
        .remove_session(&TokenHash([1; 32]))
        .await
        .expect("it works");
    let removed = scene.store.remove_device(&scene.ana, &laptop).await;
    assert!(removed.expect("it works").is_some());
    let removed = scene.store.remove_device(&scene.ana, &laptop).await;
    assert_eq!(removed, Ok(None));
    for (number, there) in [(1, false), (2, false), (3, true)] {
        let found = scene.store.session(&TokenHash([number; 32])).await;
        assert_eq!(found.expect("it works").is_some(), there, "{number}");
    }
}
