//! What the connection's user may do, asked anew whenever users or rights were changed.

use std::sync::Arc;

use crate::engine::{Engine, Rights};

/// The rights of a session, as of a state of the engine's table.
#[derive(Debug)]
pub(super) struct CurrentRights {
    rights: Arc<Rights>,
    generation: u64,
    /// Counts the changes that concern this user here; what was allowed under another version has
    /// to be asked again.
    version: u64,
}

impl CurrentRights {
    /// `rights` were asked for when the table had that generation, or later.
    pub(super) const fn new(rights: Arc<Rights>, generation: u64) -> Self {
        Self {
            rights,
            generation,
            version: 1,
        }
    }

    /// Asks again if anything has changed.
    pub(super) fn refresh(&mut self, engine: &Engine) -> &Arc<Rights> {
        let generation = engine.access.generation();
        if generation != self.generation {
            let rights = &self.rights;
            let fresh = engine.access.rights(rights.name(), rights.host());
            if !Arc::ptr_eq(&fresh, rights) {
                self.rights = fresh;
                self.version += 1;
            }
            self.generation = generation;
        }
        &self.rights
    }

    /// The rights as they were last asked for.
    pub(super) const fn current(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// The number of this state of the rights; never 0.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }
}
