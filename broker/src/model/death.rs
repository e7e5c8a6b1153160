//! Why messages die.

/// Why a message leaves its queue for the dead letter exchange (spec 7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// A consumer refused it.
    Rejected,
    /// It lived as long as it may.
    Expired,
    /// The queue was too long.
    MaxLength,
    /// It failed to be processed too often.
    DeliveryLimit,
}

impl DeathReason {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Rejected,
        Self::Expired,
        Self::MaxLength,
        Self::DeliveryLimit,
    ];

    /// The word that headers use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}
