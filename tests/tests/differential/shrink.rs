//! Makes a script that two brokers differ on as small as it gets.

use std::time::Duration;

use tokio::time::Instant;

use crate::play::{Divergence, Ending, Stage, play};
use crate::script::{Action, Fields, Script};

/// A smaller script that still diverges, and how.
pub(crate) struct Shrunk {
    pub(crate) script: Script,
    pub(crate) divergence: Divergence,
}

/// Drops steps and simplifies arguments for as long as the brokers still differ and time is left.
pub(crate) async fn shrink(
    stage: &Stage,
    script: &Script,
    divergence: Divergence,
    time: Duration,
) -> Shrunk {
    let deadline = Instant::now() + time;
    let mut script = script.clone();
    script.0.truncate(divergence.steps);
    let mut shrunk = Shrunk { script, divergence };
    loop {
        let before = shrunk.script.clone();
        drop_steps(stage, &mut shrunk, deadline).await;
        simplify_steps(stage, &mut shrunk, deadline).await;
        if shrunk.script == before || Instant::now() > deadline {
            return shrunk;
        }
    }
}

async fn drop_steps(stage: &Stage, shrunk: &mut Shrunk, deadline: Instant) {
    let mut size = shrunk.script.0.len() / 2;
    while size > 0 {
        let mut begin = 0;
        while begin < shrunk.script.0.len() {
            if Instant::now() > deadline {
                return;
            }
            let mut smaller = shrunk.script.clone();
            let end = (begin + size).min(smaller.0.len());
            smaller.0.drain(begin..end);
            if !try_smaller(stage, shrunk, smaller).await {
                begin += size;
            }
        }
        size /= 2;
    }
}

async fn simplify_steps(stage: &Stage, shrunk: &mut Shrunk, deadline: Instant) {
    let mut place = 0;
    while place < shrunk.script.0.len() {
        for action in simpler(&shrunk.script.0[place].action) {
            if Instant::now() > deadline {
                return;
            }
            let mut smaller = shrunk.script.clone();
            if place >= smaller.0.len() {
                return;
            }
            smaller.0[place].action = action;
            if try_smaller(stage, shrunk, smaller).await {
                break;
            }
        }
        place += 1;
    }
}

/// Takes a script that is smaller, if the brokers differ on it too.
async fn try_smaller(stage: &Stage, shrunk: &mut Shrunk, mut smaller: Script) -> bool {
    let Ok(Ending::Differ(divergence)) = play(stage, &smaller).await else {
        return false;
    };
    if divergence.kind() != shrunk.divergence.kind() {
        return false;
    }
    smaller.0.truncate(divergence.steps);
    *shrunk = Shrunk {
        script: smaller,
        divergence,
    };
    true
}

/// Each of these lacks one thing that the action has.
pub(crate) fn simpler(action: &Action) -> Vec<Action> {
    let mut all = Vec::new();
    match action {
        Action::DeclareQueue(declare) => {
            all.extend(fewer(&declare.arguments).map(|arguments| {
                let mut simpler = declare.clone();
                simpler.arguments = arguments;
                Action::DeclareQueue(simpler)
            }));
            for flag in 0..4 {
                let mut simpler = declare.clone();
                *[
                    &mut simpler.durable,
                    &mut simpler.auto_delete,
                    &mut simpler.exclusive,
                    &mut simpler.no_wait,
                ][flag] = false;
                all.push(Action::DeclareQueue(simpler));
            }
        }
        Action::DeclareExchange(declare) => {
            all.extend(fewer(&declare.arguments).map(|arguments| {
                let mut simpler = declare.clone();
                simpler.arguments = arguments;
                Action::DeclareExchange(simpler)
            }));
        }
        Action::Publish(publish) => {
            if let Some(headers) = &publish.headers {
                all.extend(fewer(headers).map(|headers| {
                    let mut simpler = publish.clone();
                    simpler.headers = (!headers.is_empty()).then_some(headers);
                    Action::Publish(simpler)
                }));
            }
            let without = |change: fn(&mut crate::script::Publish)| {
                let mut simpler = publish.clone();
                change(&mut simpler);
                Action::Publish(simpler)
            };
            all.extend([
                without(|publish| publish.padding = 0),
                without(|publish| publish.mandatory = false),
                without(|publish| publish.delivery_mode = None),
                without(|publish| publish.priority = None),
                without(|publish| publish.expiration = None),
                without(|publish| publish.message_id = None),
                without(|publish| publish.timestamp = None),
                without(|publish| publish.user_id = None),
            ]);
        }
        Action::Consume(consume) => {
            all.extend(fewer(&consume.arguments).map(|arguments| {
                let mut simpler = consume.clone();
                simpler.arguments = arguments;
                Action::Consume(simpler)
            }));
        }
        Action::Bind(binding) => all.extend(fewer(&binding.arguments).map(|arguments| {
            let mut simpler = binding.clone();
            simpler.arguments = arguments;
            Action::Bind(simpler)
        })),
        _ => {}
    }
    all.retain(|simpler| simpler != action);
    all
}

/// These fields, each time without another one.
fn fewer(fields: &Fields) -> impl Iterator<Item = Fields> {
    (0..fields.len()).map(|gone| {
        let mut fewer = fields.clone();
        fewer.remove(gone);
        fewer
    })
}
