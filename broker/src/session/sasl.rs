//! The login mechanisms: PLAIN, AMQPLAIN and, where configured, ANONYMOUS (spec 1.3).

use crate::model::{AmqpError, LoginRequest, ReplyCode, Secret};
use crate::wire::TableReader;
use crate::wire::table::{TableLimits, validate};

/// What is offered to clients, in the order of preference.
pub(super) const fn mechanisms(with_anonymous: bool) -> &'static [u8] {
    if with_anonymous {
        b"PLAIN AMQPLAIN ANONYMOUS"
    } else {
        b"PLAIN AMQPLAIN"
    }
}

/// Reads a response. The mechanism's name comes back for the text of a refusal.
///
/// # Errors
///
/// An unknown mechanism or a malformed response; neither is ever told to the peer.
pub(super) fn read(
    mechanism: &str,
    response: &[u8],
    anonymous: Option<&LoginRequest>,
) -> Result<(&'static str, LoginRequest), AmqpError> {
    match (mechanism, anonymous) {
        ("ANONYMOUS", Some(login)) => Ok(("ANONYMOUS", login.clone())),
        ("PLAIN", _) => plain(response).map(|request| ("PLAIN", request)),
        ("AMQPLAIN", _) => amqplain(response).map(|request| ("AMQPLAIN", request)),
        _ => Err(AmqpError::new(
            ReplyCode::CommandInvalid,
            format!("unknown authentication mechanism '{mechanism}'"),
        )),
    }
}

/// `NUL user NUL password`, with nothing before the first NUL (spec 1.3.1).
fn plain(response: &[u8]) -> Result<LoginRequest, AmqpError> {
    let mut parts = response.split(|byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(user), Some(password), None) => login(user, password),
        _ => Err(malformed()),
    }
}

/// A field table without its length, with LOGIN and PASSWORD (spec 1.3.2).
fn amqplain(response: &[u8]) -> Result<LoginRequest, AmqpError> {
    validate(response, TableLimits::FRAME).map_err(|_| malformed())?;
    let table = TableReader::new(response);
    let field = |name: &str| table.get(name).and_then(|value| value.as_octets());
    match (field("LOGIN"), field("PASSWORD")) {
        (Some(user), Some(password)) => login(user, password),
        _ => Err(malformed()),
    }
}

fn login(user: &[u8], password: &[u8]) -> Result<LoginRequest, AmqpError> {
    let user = std::str::from_utf8(user).map_err(|_| malformed())?;
    Ok(LoginRequest {
        user: user.to_owned(),
        password: Secret::new(password),
    })
}

fn malformed() -> AmqpError {
    AmqpError::new(
        ReplyCode::SyntaxError,
        "malformed response to the authentication challenge",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_response_names_user_and_password_and_nothing_else() {
        let (_, request) = read("PLAIN", b"\0guest\0secret", None).expect("well formed");
        assert_eq!(request.user, "guest");
        assert!(request.password.is(b"secret"));
        let malformed: [&[u8]; 7] = [
            b"",
            b"\0",
            b"\0guest",
            b"guest\0secret",
            b"x\0guest\0secret",
            b"\0a\0b\0c",
            b"\0\xFF\0b",
        ];
        for response in malformed {
            assert!(read("PLAIN", response, None).is_err(), "{response:?}");
        }
    }

    #[test]
    fn no_response_of_up_to_two_bytes_is_accepted_or_panics() {
        for mechanism in ["PLAIN", "AMQPLAIN"] {
            for first in 0..=255 {
                for second in 0..=255 {
                    assert_eq!(
                        read(mechanism, &[first, second], None).is_ok(),
                        mechanism == "PLAIN" && [first, second] == [0, 0]
                    );
                }
            }
        }
    }

    #[test]
    fn amqplain_needs_both_fields_as_strings() {
        let good = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x06secret";
        assert_eq!(
            read("AMQPLAIN", good, None).expect("well formed").1.user,
            "guest"
        );
        assert!(read("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest", None).is_err());
        assert!(read("AMQPLAIN", b"\x05LOGINt\x01\x08PASSWORDS\0\0\0\x01x", None).is_err());
    }

    #[test]
    fn an_unknown_mechanism_is_refused() {
        let error = read("CRAM-MD5", b"", None).expect_err("unknown");
        assert_eq!(error.code, ReplyCode::CommandInvalid);
    }
}
