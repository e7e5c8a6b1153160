//! Who may do what in a group, and who may read what.

use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{
    Body, ConversationId, GroupAccess, GroupChange, GroupHistory, GroupSettings, MemberChange,
    RejectionCode, Role, Seq, Toggle, UserId,
};

use super::scene::{Scene, add, member, titled};
use crate::store::ChatStore;

pub(super) async fn check(open: &impl AsyncFn() -> Arc<dyn ChatStore>) {
    a_group_is_made_once_and_is_for_its_members(&Scene::new(open).await).await;
    roles_say_who_may_change_what(&Scene::new(open).await).await;
    a_banned_member_is_out_until_it_is_let_in(&Scene::new(open).await).await;
    an_open_group_takes_whoever_comes(&Scene::new(open).await).await;
    the_last_owner_leaves_an_heir(&Scene::new(open).await).await;
    what_was_said_before_and_after_is_not_seen(&Scene::new(open).await).await;
    a_silenced_member_reads_on(&Scene::new(open).await).await;
}

async fn a_group_is_made_once_and_is_for_its_members(scene: &Scene) {
    let group = scene
        .group(titled("ops"), &[&scene.ana, &scene.bruno])
        .await;
    let text = Body::text("let me in");
    let code = scene.refused(&group, &scene.carla, text.clone()).await;
    assert_eq!(code, RejectionCode::NotMember);
    let nowhere = ConversationId::random_group();
    let code = scene.refused(&nowhere, &scene.carla, text).await;
    assert_eq!(code, RejectionCode::NotMember);
    let create = |members| {
        let settings = titled("mine now");
        Body::Group(GroupChange::Create { settings, members })
    };
    let code = scene
        .refused(&group, &scene.bruno, create(Vec::new()))
        .await;
    assert_eq!(code, RejectionCode::Exists);
    let with_nobody = create(vec![UserId::random()]);
    let code = scene.refused(&nowhere, &scene.carla, with_nobody).await;
    assert_eq!(code, RejectionCode::NoSuchUser);
    assert_eq!(scene.store.conversation(&nowhere).await, Ok(None));

    let conversation = scene.conversation(&group).await;
    assert_eq!(conversation.settings, Some(titled("ops")));
    assert_eq!(conversation.members, 2);
    assert_eq!(scene.member(&group, &scene.ana).await.role, Role::Owner);
    let mut both = vec![scene.ana.clone(), scene.bruno.clone()];
    both.sort();
    assert_eq!(scene.member_ids(&group).await, both);
    let ids = scene.store.conversation_ids(None, 10).await;
    assert_eq!(ids, Ok(vec![group.clone()]));
    let after = scene.store.conversation_ids(Some(&group), 10).await;
    assert_eq!(after, Ok(Vec::new()));
}

async fn roles_say_who_may_change_what(scene: &Scene) {
    let (ana, bruno, carla) = (&scene.ana, &scene.bruno, &scene.carla);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    let before = scene.conversation(&group).await.member_version;
    let forbidden = RejectionCode::Forbidden;
    let role = |user, role| member(user, MemberChange::Role { role });
    let settings = |title| {
        let settings = titled(title);
        Body::Group(GroupChange::Settings { settings })
    };
    assert_eq!(scene.refused(&group, bruno, add(carla)).await, forbidden);
    let upward = role(bruno, Role::Owner);
    assert_eq!(scene.refused(&group, bruno, upward).await, forbidden);
    assert_eq!(
        scene.refused(&group, bruno, settings("mine")).await,
        forbidden
    );

    scene.says(&group, ana, role(bruno, Role::Moderator)).await;
    scene.says(&group, bruno, add(carla)).await;
    assert!(scene.conversation(&group).await.member_version > before);
    assert_eq!(scene.conversation(&group).await.members, 3);
    let exists = RejectionCode::Exists;
    assert_eq!(scene.refused(&group, bruno, add(carla)).await, exists);
    let owner = member(ana, MemberChange::Remove);
    assert_eq!(scene.refused(&group, bruno, owner).await, forbidden);
    let upward = role(carla, Role::Moderator);
    assert_eq!(scene.refused(&group, bruno, upward).await, forbidden);
    scene
        .says(&group, bruno, member(carla, MemberChange::Remove))
        .await;
    assert_eq!(scene.conversation(&group).await.members, 2);
    assert!(!scene.member(&group, carla).await.is_present());
    scene.says(&group, ana, settings("new name")).await;
    let now = scene.conversation(&group).await.settings;
    assert_eq!(now, Some(titled("new name")));
}

async fn a_banned_member_is_out_until_it_is_let_in(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    let open = GroupSettings {
        access: GroupAccess::Open,
        ..titled("open")
    };
    let group = scene.group(open, &[ana, bruno]).await;
    let banned = RejectionCode::Banned;
    scene
        .says(&group, ana, member(bruno, MemberChange::Ban))
        .await;
    let text = Body::text("but why?");
    assert_eq!(scene.refused(&group, bruno, text.clone()).await, banned);
    let join = member(bruno, MemberChange::Join);
    assert_eq!(scene.refused(&group, bruno, join.clone()).await, banned);
    assert_eq!(scene.refused(&group, ana, add(bruno)).await, banned);
    scene
        .says(&group, ana, member(bruno, MemberChange::Unban))
        .await;
    scene.says(&group, bruno, join).await;
    scene.says(&group, bruno, text).await;
    // Who never was in can be kept out as well.
    scene
        .says(&group, ana, member(&scene.carla, MemberChange::Ban))
        .await;
    let join = member(&scene.carla, MemberChange::Join);
    assert_eq!(scene.refused(&group, &scene.carla, join).await, banned);
    assert_eq!(scene.conversation(&group).await.members, 2);
}

async fn an_open_group_takes_whoever_comes(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    let open = GroupSettings {
        access: GroupAccess::Open,
        ..titled("open")
    };
    let join = member(bruno, MemberChange::Join);
    let closed = scene.group(titled("closed"), &[ana]).await;
    let code = scene.refused(&closed, bruno, join.clone()).await;
    assert_eq!(code, RejectionCode::NotMember);
    let group = scene.group(open, &[ana]).await;
    scene.says(&group, bruno, join.clone()).await;
    let code = scene.refused(&group, bruno, join).await;
    assert_eq!(code, RejectionCode::Exists);
    let muted = scene.store.set_muted(&group, bruno, Toggle::On).await;
    assert_eq!(muted, Ok(true));
    assert_eq!(scene.member(&group, bruno).await.muted, Toggle::On);
    let muted = scene
        .store
        .set_muted(&group, &scene.carla, Toggle::On)
        .await;
    assert_eq!(muted, Ok(false));
    // Nobody is brought along by somebody else.
    let brought = member(&scene.carla, MemberChange::Join);
    let code = scene.refused(&group, bruno, brought).await;
    assert_eq!(code, RejectionCode::NotMember);
}

async fn the_last_owner_leaves_an_heir(scene: &Scene) {
    let (ana, bruno, carla) = (&scene.ana, &scene.bruno, &scene.carla);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    scene.says(&group, ana, add(carla)).await;
    let role = MemberChange::Role {
        role: Role::Moderator,
    };
    scene.says(&group, ana, member(carla, role)).await;
    scene
        .says(&group, ana, member(ana, MemberChange::Leave))
        .await;
    assert_eq!(scene.member(&group, carla).await.role, Role::Owner);
    assert_eq!(scene.member(&group, bruno).await.role, Role::Member);
    scene
        .says(&group, carla, member(carla, MemberChange::Leave))
        .await;
    assert_eq!(scene.member(&group, bruno).await.role, Role::Owner);
    scene
        .says(&group, bruno, member(bruno, MemberChange::Leave))
        .await;
    assert_eq!(scene.conversation(&group).await.members, 0);
    assert_eq!(scene.member_ids(&group).await, []);
}

async fn what_was_said_before_and_after_is_not_seen(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    for (history, first) in [(GroupHistory::Joined, 3), (GroupHistory::All, 1)] {
        let settings = GroupSettings {
            history,
            ..titled("ops")
        };
        let group = scene.group(settings, &[ana]).await;
        scene.says(&group, ana, Body::text("before")).await;
        scene.says(&group, ana, add(bruno)).await;
        scene.says(&group, ana, Body::text("during")).await;
        scene
            .says(&group, ana, member(bruno, MemberChange::Remove))
            .await;
        scene.says(&group, ana, Body::text("after")).await;
        let conversation = scene.conversation(&group).await;
        let visible = scene.member(&group, bruno).await.visible(&conversation);
        assert_eq!(visible, Seq(first)..=Seq(5), "{history:?}");
        let visible = scene.member(&group, ana).await.visible(&conversation);
        assert_eq!(visible, Seq(1)..=Seq(6));
        let conversations = scene.store.conversations_of(bruno).await;
        assert!(conversations.expect("it works").contains(&group));
    }
}

async fn a_silenced_member_reads_on(scene: &Scene) {
    let (ana, bruno) = (&scene.ana, &scene.bruno);
    let group = scene.group(titled("ops"), &[ana, bruno]).await;
    let silence = |until| member(bruno, MemberChange::Silence { until });
    let until = scene.now().plus(Duration::from_secs(3600));
    scene.says(&group, ana, silence(until)).await;
    let code = scene.refused(&group, bruno, Body::text("hm")).await;
    assert_eq!(code, RejectionCode::Silenced);
    assert!(scene.member(&group, bruno).await.is_present());
    assert!(scene.advance(&group, bruno, 2, 2).await.is_some());
    scene.says(&group, ana, silence(scene.now())).await;
    scene.says(&group, bruno, Body::text("thanks")).await;
}
