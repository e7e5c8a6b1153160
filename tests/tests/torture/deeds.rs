//! What a run did to everybody, counted.

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) broker: u32,
    pub(crate) store: u32,
    pub(crate) service: u32,
    pub(crate) devices: u32,
    pub(crate) stops: u32,
    /// Services that ended by themselves: planted deaths, and starts without a broker.
    pub(crate) restarts: u32,
    /// Dead letters that were sent again.
    pub(crate) replayed: usize,
}

impl std::fmt::Display for Deeds {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            broker,
            store,
            service,
            devices,
            stops,
            restarts,
            replayed,
        } = self;
        write!(
            formatter,
            "killed: broker {broker}, store {store}, service {service}, devices {devices}; stopped {stops}; ended by themselves {restarts}; sent again {replayed}"
        )
    }
}
