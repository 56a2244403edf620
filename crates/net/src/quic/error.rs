//! What the transport's errors mean to a caller.

use iroh::endpoint::{
    ConnectWithOptsError, ConnectingError, ConnectionError, TransportErrorCode, VarInt,
};

use crate::{NetError, PeerId};

/// Application code of a connection closed because its peer has too many.
pub(super) const TOO_MANY_CONNECTIONS: VarInt = VarInt::from_u32(2);

/// TLS alerts are transport errors from this code on (RFC 9001, section 4.8).
const TLS_ALERT_FIRST: u64 = 0x100;
const TLS_ALERT_LAST: u64 = 0x1ff;

pub(super) fn from_dial(error: &ConnectWithOptsError, peer: PeerId) -> NetError {
    match error {
        ConnectWithOptsError::SelfConnect { .. } => NetError::SelfDial,
        ConnectWithOptsError::EndpointClosed { .. } => NetError::Closed,
        other => {
            tracing::debug!(%peer, error = %other, "cannot dial");
            NetError::Unreachable { peer }
        }
    }
}

pub(super) fn from_connecting(error: &ConnectingError, peer: PeerId) -> NetError {
    match error {
        ConnectingError::ConnectionError { source, .. } => from_connection(source, peer),
        ConnectingError::HandshakeFailure { .. } => NetError::WrongPeer { peer },
        other => {
            tracing::debug!(%peer, error = %other, "cannot connect");
            NetError::Unreachable { peer }
        }
    }
}

pub(super) fn from_connection(error: &ConnectionError, peer: PeerId) -> NetError {
    match error {
        ConnectionError::TimedOut => NetError::Unreachable { peer },
        ConnectionError::TransportError(error) if is_tls_alert(error.code) => {
            NetError::WrongPeer { peer }
        }
        ConnectionError::ConnectionClosed(close) if is_tls_alert(close.error_code) => {
            NetError::WrongPeer { peer }
        }
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            NetError::Refused { peer }
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == TOO_MANY_CONNECTIONS => {
            NetError::Busy { peer }
        }
        ConnectionError::VersionMismatch => NetError::BadHandshake,
        _ => NetError::Closed,
    }
}

fn is_tls_alert(code: TransportErrorCode) -> bool {
    (TLS_ALERT_FIRST..=TLS_ALERT_LAST).contains(&u64::from(code))
}
