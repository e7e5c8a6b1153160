//! What an exchange's arguments ask for (spec 3.1.7).

use super::ArgumentError;
use super::check::exchange_name;
use crate::model::name::ExchangeName;
use crate::wire::TableReader;

pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// An exchange's arguments, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeArguments {
    /// Where messages go that the exchange gives nobody. It need not exist.
    pub alternate: Option<ExchangeName>,
}

impl ExchangeArguments {
    /// Understands the arguments of an exchange that is new.
    pub fn parse(fields: TableReader<'_>) -> Result<Self, ArgumentError> {
        let alternate = exchange_name(fields, ALTERNATE_EXCHANGE)?;
        Ok(Self {
            alternate: alternate.map(ExchangeName::from),
        })
    }
}
