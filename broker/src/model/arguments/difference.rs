//! Whether a redeclaration says the same as the declaration (spec 3.1.6, 4.1.5).

use super::exchange::ExchangeArguments;
use super::exchange::{ALTERNATE_EXCHANGE, DELAYED_TYPE};
use super::queue::QueueArguments;
use super::queue_type::{QUEUE_TYPE, QueueType};
use crate::model::comparable::Comparable;
use crate::model::terms::value_text;
use crate::wire::{TableReader, Value};

/// The first argument in which two declarations differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentDifference {
    /// The argument.
    pub argument: &'static str,
    /// What was received and what there is, as clients are told.
    pub text: String,
}

impl ArgumentDifference {
    fn new(
        argument: &'static str,
        current: Option<Value<'_>>,
        received: Option<Value<'_>>,
    ) -> Option<Self> {
        let typed = |value: Value<'_>| {
            let type_name = value.type_name();
            format!("the value '{}' of type '{type_name}'", value_text(value))
        };
        let text = match (received, current) {
            (None, None) => return None,
            (Some(received), Some(current)) => {
                if Comparable::new(received) == Comparable::new(current) {
                    return None;
                }
                let [received, current] = [received, current].map(value_text);
                format!("received '{received}' but current is '{current}'")
            }
            (None, Some(current)) => format!("received none but current is {}", typed(current)),
            (Some(received), None) => format!("received {} but current is none", typed(received)),
        };
        Some(Self { argument, text })
    }
}

/// An argument's value; a declaration that names no type asks for a classic queue.
fn value_or_default<'t>(fields: TableReader<'t>, argument: &str) -> Option<Value<'t>> {
    let default = (argument == QUEUE_TYPE).then_some(Value::LongString(b"classic"));
    fields.get(argument).or(default)
}

impl QueueArguments {
    /// The first difference between the arguments of the queue that there is and those of its
    /// redeclaration; arguments that its type does not know never differ.
    #[must_use]
    pub fn difference(
        current: TableReader<'_>,
        received: TableReader<'_>,
    ) -> Option<ArgumentDifference> {
        // What was accepted once names a type.
        let queue_type = QueueType::parse(current).unwrap_or_default();
        queue_type.arguments().find_map(|argument| {
            ArgumentDifference::new(
                argument,
                value_or_default(current, argument),
                value_or_default(received, argument),
            )
        })
    }
}

impl ExchangeArguments {
    /// The difference between the arguments of the exchange that there is and those of its
    /// redeclaration. Only the alternate exchange and
    /// the kind of a delayed exchange can make one.
    #[must_use]
    pub fn difference(
        current: TableReader<'_>,
        received: TableReader<'_>,
    ) -> Option<ArgumentDifference> {
        [ALTERNATE_EXCHANGE, DELAYED_TYPE]
            .into_iter()
            .find_map(|argument| {
                ArgumentDifference::new(argument, current.get(argument), received.get(argument))
            })
    }
}
