//! Class connection, once the connection is open: close and update-secret.

use super::super::core::{End, Session};
use crate::model::{AmqpError, ReplyCode};
use crate::wire::Method;
use crate::wire::method::connection;

impl Session {
    /// Takes a method on channel 0.
    pub(in crate::session) async fn connection_method(
        &mut self,
        method: &Method<'_>,
    ) -> Result<(), End> {
        let Method::Connection(inner) = method else {
            return Err(unexpected(method));
        };
        match inner {
            connection::Method::Close(_) => {
                self.flush();
                let ticket = self.release();
                // The client leaves either way; a store that failed has been reported already.
                let _ = self.wait(ticket).await;
                self.deliver_confirms();
                self.reply(0, connection::CloseOk {});
                Err(End::ClientClosed)
            }
            connection::Method::UpdateSecret(_) => {
                // Spec 1.9.2: internal users have no secret that could expire.
                self.reply(0, connection::UpdateSecretOk {});
                Ok(())
            }
            connection::Method::Start(_)
            | connection::Method::StartOk(_)
            | connection::Method::Secure(_)
            | connection::Method::SecureOk(_)
            | connection::Method::Tune(_)
            | connection::Method::TuneOk(_)
            | connection::Method::Open(_)
            | connection::Method::OpenOk(_)
            | connection::Method::CloseOk(_)
            | connection::Method::Blocked(_)
            | connection::Method::Unblocked(_)
            | connection::Method::UpdateSecretOk(_) => Err(unexpected(method)),
        }
    }
}

/// As RabbitMQ says it of everything else on channel 0.
fn unexpected(method: &Method<'_>) -> End {
    let text = "unexpected method in connection state running";
    let error = AmqpError::new(ReplyCode::ChannelError, text);
    End::Error(error.blaming(method.class_id(), method.method_id()))
}
