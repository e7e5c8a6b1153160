//! Names as newtypes: a queue's name is never mistaken for an exchange's.
//!
//! All are cheap to clone. AMQP bounds each to 255 bytes of UTF-8 (spec 2.10).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a short string holds.
const BYTES_MAX: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name, unless it is longer than AMQP can say.
            #[must_use]
            pub fn checked(text: &str) -> Option<Self> {
                (text.len() <= BYTES_MAX).then(|| Self::from(text))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        // Lets a map that is keyed by the name be asked with a borrowed text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

name! {
    /// A queue's name.
    QueueName
}
name! {
    /// An exchange's name; the empty name is the default exchange.
    ExchangeName
}
name! {
    /// A virtual host's name.
    VirtualHostName
}
name! {
    /// A user's name.
    UserName
}
name! {
    /// A consumer's tag, unique within its channel.
    ConsumerTag
}

impl ExchangeName {
    /// Whether this names the default exchange, whose bindings are the queues themselves.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.as_str().is_empty()
    }
}
