//! Who may do what: users, their passwords, their rights, what bounds them (spec 8).
//!
//! Pure: hashing and matching take their input and answer. What is known of everybody is one
//! `AccessTable`, next door.

mod limits;
mod login;
mod password;
mod pattern;
mod permission;
mod user;

pub use limits::{UserLimits, VirtualHostLimits};
pub use login::{LoginRequest, Secret};
pub use password::{HashAlgorithm, HashError, PasswordHash};
pub use pattern::{Pattern, PatternError, TopicVariables};
pub use permission::{
    Permission, PermissionError, Resource, TopicPermission, TopicRules, Verb, VerbRules,
};
pub use user::{Tags, TagsError, User};
