//! The generator's own AMQP 0-9-1: frames, the few methods it needs, a blocking connection.
//!
//! It shares nothing with the broker's codec, so that a mistake in one is not hidden by the other.
//!
//! ```text
//! +------+---------+---------------+==================+------+
//! | kind | channel | payload bytes |     payload      | 0xCE |
//! |  u8  |   u16   |      u32      | `payload` octets |  u8  |
//! +------+---------+---------------+==================+------+
//! ```

mod arguments;
mod calls;
mod connection;
mod delivery;
mod error;
mod frames;
pub(crate) mod method;
mod uri;

pub(crate) use arguments::Arguments;
pub(crate) use calls::Acknowledgement;
pub(crate) use connection::{Connection, control, header_body_bytes};
pub(crate) use delivery::{Delivery, DeliveryAssembler};
pub(crate) use error::{ClientError, FrameError};
pub(crate) use frames::{FRAME_OVERHEAD_BYTES, Frame, FrameBuffer, FrameKind, append_frame};
pub(crate) use method::{MethodFrame, Value};
pub(crate) use uri::Uri;
