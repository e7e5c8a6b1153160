//! How far everybody has come.

use std::sync::Arc;

use leveret_client::message::{Body, MemberChange, Seq};

use super::scene::{Scene, add, member, titled};
use crate::store::ChatStore;

pub(super) async fn check(open: &impl AsyncFn() -> Arc<dyn ChatStore>) {
    cursors_move_forward_only(&Scene::new(open).await).await;
    unread_is_a_subtraction(&Scene::new(open).await).await;
    whatever_the_order_the_greatest_counts(&Scene::new(open).await).await;
}

async fn cursors_move_forward_only(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    for _ in 0..4 {
        scene.says(&group, ana, Body::text("oi")).await;
    }
    let moved = |delivered, read| Some((Seq(delivered), Seq(read)));
    assert_eq!(scene.advance(&group, bruno, 3, 0).await, moved(3, 0));
    assert_eq!(scene.advance(&group, bruno, 2, 0).await, None);
    // What was read has arrived.
    assert_eq!(scene.advance(&group, bruno, 0, 4).await, moved(4, 4));
    assert_eq!(scene.advance(&group, bruno, 1, 1).await, None);
    // Nobody has read what is not there.
    assert_eq!(scene.advance(&group, bruno, 99, 99).await, moved(5, 5));
    assert_eq!(scene.advance(&group, &scene.carla, 1, 1).await, None);
    scene
        .says(&group, ana, member(bruno, MemberChange::Remove))
        .await;
    assert_eq!(scene.advance(&group, bruno, 6, 6).await, None);
    let cursors = scene.store.cursors(&group).await.expect("it works");
    assert_eq!(cursors.len(), 1, "only those who are in it");
}

async fn unread_is_a_subtraction(scene: &Scene) {
    let (ana, bruno, carla) = (&scene.ana, &scene.bruno, &scene.carla);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    let unread = async |user| {
        let last = scene.conversation(&group).await.last_seq;
        last.since(scene.cursor(&group, user).await.read)
    };
    assert_eq!((unread(ana).await, unread(bruno).await), (0, 1));
    scene.says(&group, ana, Body::text("one")).await;
    assert_eq!((unread(ana).await, unread(bruno).await), (0, 2));
    // Who writes has read what is there.
    scene.says(&group, bruno, Body::text("two")).await;
    assert_eq!((unread(ana).await, unread(bruno).await), (1, 0));
    // Who comes begins with the message of its coming.
    scene.says(&group, ana, add(carla)).await;
    assert_eq!(unread(carla).await, 1);
}

async fn whatever_the_order_the_greatest_counts(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    for _ in 0..30 {
        scene.says(&group, ana, Body::text("oi")).await;
    }
    let mut highest = (0, 0);
    let mut number: u64 = 7;
    for _ in 0..60 {
        // All numbers below 31, in no order, more than once.
        number = (number * 11 + 3) % 31;
        let read = number / 2;
        scene.advance(&group, bruno, number, read).await;
        highest = (highest.0.max(number), highest.1.max(read));
        let cursor = scene.cursor(&group, bruno).await;
        assert_eq!((cursor.delivered.0, cursor.read.0), highest);
        assert!(cursor.read <= cursor.delivered);
    }
}
