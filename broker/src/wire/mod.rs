//! Bytes to AMQP 0-9-1 frames and back, without any input or output of its own.
//!
//! ```text
//!  0      1         3             7                  7+size
//! +------+---------+-------------+--------- … ------+-----+
//! | type | channel | size        | payload          | CE  |
//! +------+---------+-------------+--------- … ------+-----+
//!    1       2           4             size            1
//!
//! type 1, method      class:16 method:16 arguments
//! type 2, header      class:16 weight:16 body-size:64 flags:16 properties
//! type 3, body        octets
//! type 8, heartbeat   nothing
//! ```
//!
//! Everything is read by offset from the buffer it lies in: [`scan`] peels a frame, [`Method`] and
//! [`ContentHeader`] borrow from its payload, tables and properties stay raw bytes and are passed on
//! as they came. What came from a peer is checked here once, without recursion and without memory
//! in proportion to what it claims.

mod arguments;
pub mod content;
pub mod encoder;
mod error;
pub mod frame;
pub mod method;
mod octets;
pub mod properties;
pub mod table;

pub use arguments::Secret;
pub use content::ContentHeader;
pub use error::{ArgumentError, ContentError, EncodeError, FrameError, MethodError, TableError};
pub use frame::{FrameKind, FrameLimit, ProtocolGuess, ProtocolHeader, RawFrame, scan};
pub use method::{Method, Sender};
pub use octets::{FrameDescription, OctetSample};
pub use properties::{Properties, PropertiesBuilder, Property};
pub use table::{TableReader, TableWriter, Value};
