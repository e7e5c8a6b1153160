//! Errors about exchanges and bindings.

use super::{AmqpError, ReplyCode, exchange_in};
use crate::model::name::{ExchangeName, VirtualHostName};

impl AmqpError {
    /// 404: the exchange does not exist.
    #[must_use]
    pub fn no_exchange(name: &ExchangeName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::NotFound,
            format!("no {}", exchange_in(name, host)),
        )
    }

    /// 403: the default exchange cannot be declared, deleted or bound (spec 3.1.3, 3.4.3).
    #[must_use]
    pub fn default_exchange() -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            "operation not permitted on the default exchange",
        )
    }

    /// 403: the name is reserved to the broker (spec 3.1.4).
    #[must_use]
    pub fn exchange_name_reserved(name: &ExchangeName) -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            format!("exchange name '{name}' contains reserved prefix 'amq.*'"),
        )
    }

    /// 403: a predeclared exchange cannot be deleted (spec 3.2.1).
    #[must_use]
    pub fn exchange_is_system(name: &ExchangeName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            format!("deletion of system {} not allowed", exchange_in(name, host)),
        )
    }

    /// 406: delete with if-unused found bindings (spec 3.2.2).
    #[must_use]
    pub fn exchange_in_use(name: &ExchangeName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("{} in use", exchange_in(name, host)),
        )
    }

    /// 403: clients may not publish to an internal exchange (spec 3.3.2).
    #[must_use]
    pub fn exchange_is_internal(name: &ExchangeName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            format!("cannot publish to internal {}", exchange_in(name, host)),
        )
    }

    /// 406: no such type (spec 3.1.2).
    #[must_use]
    pub fn unknown_exchange_type(kind: &str) -> Self {
        let flaw = if kind.is_empty() {
            "invalid"
        } else {
            "unknown"
        };
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("{flaw} exchange type '{kind}'"),
        )
    }

    /// 406: an exchange of that name exists with another property (spec 3.1.6).
    #[must_use]
    pub fn exchange_inequivalent(
        argument: &str,
        name: &ExchangeName,
        host: &VirtualHostName,
        difference: &str,
    ) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!(
                "inequivalent arg '{argument}' for {}: {difference}",
                exchange_in(name, host)
            ),
        )
    }
}
