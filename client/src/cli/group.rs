//! `chat group`.

use leveret_client::message::{
    Body, ConversationId, GroupAccess, GroupChange, GroupSettings, MemberChange, RejectionCode,
    Reply, Request, Role, Timestamp,
};

use super::Failure;
use super::arguments::GroupCommand;
use super::converse::say_to;
use super::output::Output;
use super::person::{Person, To, unexpected};

pub(crate) async fn run(
    person: &Person,
    command: GroupCommand,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        GroupCommand::New {
            title,
            members,
            open,
        } => create(person, title, &members, open, output).await,
        GroupCommand::Add { group, user } => {
            let change = MemberChange::Add { role: Role::Member };
            change_member(person, &group, &user, change).await
        }
        GroupCommand::Rm { group, user } => {
            change_member(person, &group, &user, MemberChange::Remove).await
        }
        GroupCommand::Ban { group, user } => {
            change_member(person, &group, &user, MemberChange::Ban).await
        }
        GroupCommand::Unban { group, user } => {
            change_member(person, &group, &user, MemberChange::Unban).await
        }
        GroupCommand::Silence { group, user, time } => {
            let until = Timestamp::now().plus(time);
            change_member(person, &group, &user, MemberChange::Silence { until }).await
        }
        GroupCommand::Role { group, user, role } => {
            let role = role.into();
            change_member(person, &group, &user, MemberChange::Role { role }).await
        }
        GroupCommand::Set {
            group,
            title,
            topic,
        } => set(person, &group, title, topic).await,
        GroupCommand::Join { group } => change_own(person, &group, MemberChange::Join).await,
        GroupCommand::Leave { group } => change_own(person, &group, MemberChange::Leave).await,
        GroupCommand::Ls { group: None } => {
            for summary in person.conversations().await? {
                output.conversation(&summary)?;
            }
            Ok(())
        }
        GroupCommand::Ls { group: Some(group) } => {
            let conv = person.conversation(&group).await?;
            match person.ask(Request::Members { conv }).await? {
                Reply::Members { members } => {
                    for member in &members {
                        output.member(member)?;
                    }
                    Ok(())
                }
                other => Err(unexpected(&other)),
            }
        }
    }
}

async fn create(
    person: &Person,
    title: String,
    members: &[String],
    open: bool,
    output: &Output,
) -> Result<(), Failure> {
    let mut users = Vec::new();
    for member in members {
        users.push(person.user(member).await?);
    }
    let id = ConversationId::random_group();
    let settings = GroupSettings {
        title: title.trim_start_matches('#').to_owned(),
        access: if open {
            GroupAccess::Open
        } else {
            GroupAccess::Invited
        },
        ..GroupSettings::default()
    };
    let create = GroupChange::Create {
        settings,
        members: users,
    };
    say_to(person, &To::Group(id.clone()), Body::Group(create)).await?;
    Ok(output.id(&id)?)
}

async fn set(
    person: &Person,
    group: &str,
    title: Option<String>,
    topic: Option<String>,
) -> Result<(), Failure> {
    let to = person.to(group).await?;
    let conv = to.conversation(&person.device.user);
    let summaries = person.conversations().await?;
    let known = summaries.into_iter().find(|summary| summary.conv == conv);
    let settings = known.and_then(|summary| summary.settings);
    let mut settings = settings.ok_or(RejectionCode::NotMember)?;
    if let Some(title) = title {
        settings.title = title;
    }
    if let Some(topic) = topic {
        settings.topic = topic;
    }
    let body = Body::Group(GroupChange::Settings { settings });
    say_to(person, &to, body).await
}

async fn change_own(person: &Person, group: &str, change: MemberChange) -> Result<(), Failure> {
    let user = person.device.user.clone();
    let to = person.to(group).await?;
    say_to(person, &to, Body::Member { user, change }).await
}

async fn change_member(
    person: &Person,
    group: &str,
    user: &str,
    change: MemberChange,
) -> Result<(), Failure> {
    let user = person.user(user).await?;
    let to = person.to(group).await?;
    say_to(person, &to, Body::Member { user, change }).await
}
