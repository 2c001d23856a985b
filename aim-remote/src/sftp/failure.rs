//! What a server's refusals mean.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::extensions::Statvfs;
use russh_sftp::protocol::StatusCode;

use crate::transport::TransportError;

/// Puts an SFTP error into its kind.
pub(super) fn failure(host: &str, place: String, error: &SftpError) -> TransportError {
    match error {
        SftpError::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => TransportError::NotFound { place },
            StatusCode::PermissionDenied => TransportError::PermissionDenied { place },
            StatusCode::NoConnection | StatusCode::ConnectionLost => lost(host, error),
            _ => TransportError::Refused {
                place,
                reason: format!("the server says: {error}"),
            },
        },
        SftpError::Limited(reason) => TransportError::Refused {
            place,
            reason: reason.clone(),
        },
        // all others come from a stream that ended or no longer makes sense
        _ => lost(host, error),
    }
}

fn lost(host: &str, error: &SftpError) -> TransportError {
    TransportError::ConnectionLost {
        host: host.to_owned(),
        reason: error.to_string(),
    }
}

pub(super) fn is_missing(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(status) if status.status_code == StatusCode::NoSuchFile)
}

/// Bytes that an ordinary account may still write.
pub(super) fn free_bytes(stat: &Statvfs) -> u64 {
    stat.blocks_avail.saturating_mul(stat.fragment_size)
}
