//! Who is there, on any device. Pure: time comes in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use leveret_client::message::{DeviceId, Presence, PresenceState, UserId};

/// Presence that is not said again for so long is over.
const LEASE: Duration = Duration::from_secs(60);
/// Users whose presence is remembered; beyond, those who are gone are let go, and then all.
const USERS_MAX: usize = 100_000;
/// Devices of a user that are remembered: as many as an account may have.
const DEVICES_MAX: usize = 20;

/// A user's devices, and what others were told.
#[derive(Debug)]
struct Known {
    devices: HashMap<DeviceId, (PresenceState, Instant)>,
    told: PresenceState,
}

impl Known {
    fn state(&self, now: Instant) -> PresenceState {
        let alive = self.devices.values().filter(|(_, until)| *until > now);
        let rank = |state: &PresenceState| match state {
            PresenceState::Offline => 0,
            PresenceState::Away => 1,
            PresenceState::Online => 2,
        };
        let states = alive.map(|(state, _)| *state);
        states.max_by_key(rank).unwrap_or(PresenceState::Offline)
    }
}

/// Who is there.
#[derive(Debug, Default)]
pub(crate) struct Presences {
    users: HashMap<UserId, Known>,
}

/// What is new about somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: PresenceState,
    pub(crate) now: PresenceState,
}

impl Presences {
    /// A device says what it is; what is new about its user, if anything.
    pub(crate) fn note(&mut self, presence: &Presence, now: Instant) -> Option<Change> {
        if self.users.len() >= USERS_MAX && !self.users.contains_key(&presence.from) {
            self.users
                .retain(|_, known| known.state(now) != PresenceState::Offline);
            if self.users.len() >= USERS_MAX {
                self.users.clear();
            }
        }
        let known = self
            .users
            .entry(presence.from.clone())
            .or_insert_with(|| Known {
                devices: HashMap::new(),
                told: PresenceState::Offline,
            });
        known.devices.retain(|_, (_, until)| *until > now);
        if known.devices.len() < DEVICES_MAX || known.devices.contains_key(&presence.dev) {
            let entry = (presence.state, now + LEASE);
            known.devices.insert(presence.dev.clone(), entry);
        }
        let (before, state) = (known.told, known.state(now));
        known.told = state;
        if state == PresenceState::Offline {
            self.users.remove(&presence.from);
        }
        (before != state).then_some(Change { before, now: state })
    }

    /// Those who have said nothing for too long: they are gone, and this is said once.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<UserId> {
        let is_gone = |known: &Known| known.state(now) == PresenceState::Offline;
        let gone = self.users.iter().filter(|(_, known)| is_gone(known));
        let gone: Vec<_> = gone.map(|(user, _)| user.clone()).collect();
        for user in &gone {
            self.users.remove(user);
        }
        gone
    }

    /// What is known of somebody.
    pub(crate) fn state(&self, user: &UserId, now: Instant) -> PresenceState {
        let known = self.users.get(user);
        known.map_or(PresenceState::Offline, |known| known.state(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(device: &str, state: PresenceState) -> Presence {
        Presence {
            from: "uana".parse().unwrap(),
            dev: device.parse().unwrap(),
            state,
        }
    }

    #[test]
    fn somebody_is_there_as_long_as_one_device_is() {
        let now = Instant::now();
        let mut presences = Presences::default();
        let mut say = |device, state| {
            let change = presences.note(&presence(device, state), now);
            change.map(|change| change.now)
        };
        assert_eq!(
            say("done", PresenceState::Online),
            Some(PresenceState::Online)
        );
        assert_eq!(say("done", PresenceState::Online), None, "no news");
        assert_eq!(
            say("dtwo", PresenceState::Away),
            None,
            "at the other device"
        );
        assert_eq!(
            say("done", PresenceState::Offline),
            Some(PresenceState::Away)
        );
        assert_eq!(
            say("dtwo", PresenceState::Offline),
            Some(PresenceState::Offline)
        );
    }

    #[test]
    fn who_says_nothing_for_a_minute_is_gone_and_that_is_said_once() {
        let now = Instant::now();
        let mut presences = Presences::default();
        presences.note(&presence("done", PresenceState::Online), now);
        assert_eq!(presences.expired(now), []);
        assert_eq!(presences.expired(now + LEASE), ["uana".parse().unwrap()]);
        assert_eq!(presences.expired(now + LEASE), []);
        let ana = "uana".parse().unwrap();
        assert_eq!(presences.state(&ana, now), PresenceState::Offline);
    }
}
