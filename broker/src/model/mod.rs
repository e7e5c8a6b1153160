//! The broker's vocabulary: names, messages, definitions, errors.
//!
//! Everything above the wire speaks in these types. They hold no locks and do no input or output.

mod access;
mod access_table;
mod arguments;
mod clock;
mod comparable;
mod dead_letter;
mod death;
mod deduplication;
mod delay;
mod entity;
mod error;
mod exchange_kind;
mod identity;
mod message;
mod name;
pub mod policy;
mod presentation;
mod queue_terms;
mod record;
mod shortage;
mod terms;

pub use access::{
    HashAlgorithm, HashError, LoginRequest, PasswordHash, Pattern, PatternError, Permission,
    PermissionError, Resource, Secret, Tags, TagsError, TopicPermission, TopicRules,
    TopicVariables, User, UserLimits, Verb, VerbRules, VirtualHostLimits,
};
pub use access_table::{AccessRow, AccessTable, Candidate};
pub use arguments::{
    ArgumentDifference, ArgumentError, ConsumerArguments, DeadLetterStrategy, DeadLetterTarget,
    DeduplicationLimits, DelayedRetry, DeliveryLimit, ExchangeArguments, HashInput, HashProperty,
    Overflow, QueueArguments, QueueProperties, QueueType, QueueVariant, QuorumArguments, RetryKind,
};
pub use clock::Now;
pub use comparable::Comparable;
pub use dead_letter::{Death, UnfitToBury};
pub use death::DeathReason;
pub use deduplication::{Deduplication, DeduplicationKey, Retention};
pub use delay::{UnfitToDelay, delay_ms};
pub use entity::{
    Arguments, BindingDefinition, DestinationKind, Entity, EntityChange, EntityKey,
    ExchangeDefinition, QueueDefinition, VirtualHostMetadata,
};
pub use error::{AmqpError, MethodId, ReplyCode, Scope};
pub use exchange_kind::ExchangeKind;
pub use identity::{ConsumerKey, QueueId, Seq};
pub use message::{Message, MessageParts, Stored};
pub use name::{ConsumerTag, ExchangeName, QueueName, UserName, VirtualHostName};
pub use queue_terms::QueueTerms;
pub use record::{Attempts, Operation, SeqRange, Settlement};
pub use shortage::{Reading, Shortage, Supply, Threshold};
pub use terms::value_term;
