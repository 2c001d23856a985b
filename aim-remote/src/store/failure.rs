//! What a store says, by kind.

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use crate::transport::TransportError;

/// Where a request went, for messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The server, as it was reached.
    pub(super) host: &'a str,
    /// The bucket.
    pub(super) bucket: &'a str,
    /// What the request was about.
    pub(super) place: &'a str,
    pub(super) region: &'a str,
    /// Id of the access key.
    pub(super) user: &'a str,
}

/// Puts an error into its kind. Stores name theirs by codes; these are those of Amazon's and of
/// common others, and the HTTP status decides about the rest.
pub(super) fn failure(asked: Asked<'_>, error: &Error) -> TransportError {
    let text = error.to_string();
    let host = || asked.host.to_owned();
    let place = || asked.place.to_owned();
    if let Some(http) = http_error(error) {
        let reason = crate::coordinator::chain(http);
        return match http.kind() {
            HttpErrorKind::Connect => TransportError::Unreachable {
                host: host(),
                reason,
            },
            _ => TransportError::ConnectionLost {
                host: host(),
                reason,
            },
        };
    }
    let code = between(&text, "<Code>", "</Code>").unwrap_or_default();
    let reason = match between(&text, "<Message>", "</Message>") {
        Some(message) if !code.is_empty() => format!("{code}: {message}"),
        _ if !code.is_empty() => code.to_owned(),
        _ => text.clone(),
    };
    match code {
        "NoSuchBucket" => TransportError::NotFound {
            place: asked.bucket.to_owned(),
        },
        "AccessDenied" | "AllAccessDisabled" => TransportError::PermissionDenied { place: place() },
        "NoSuchKey" | "NoSuchUpload" => TransportError::NotFound { place: place() },
        "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidSecurity"
        | "InvalidToken"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired" => refused(asked, reason),
        "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "PermanentRedirect"
        | "TemporaryRedirect" => other_region(asked, reason),
        "InsufficientCapacity"
        | "InsufficientStorage"
        | "QuotaExceeded"
        | "StorageFull"
        | "XMinioAdminBucketQuotaExceeded"
        | "XMinioStorageFull" => TransportError::NoSpace {
            place: place(),
            reason,
        },
        "InternalError" | "OperationAborted" | "RequestTimeout" | "ServiceUnavailable"
        | "SlowDown" => TransportError::Busy {
            host: host(),
            reason,
        },
        _ => by_status(asked, error, &text, reason),
    }
}

fn by_status(asked: Asked<'_>, error: &Error, text: &str, reason: String) -> TransportError {
    let place = asked.place.to_owned();
    match (error, status(text)) {
        (Error::NotFound { .. }, _) | (_, Some(404)) => TransportError::NotFound { place },
        (Error::PermissionDenied { .. }, _) | (_, Some(403)) => {
            TransportError::PermissionDenied { place }
        }
        (Error::Unauthenticated { .. }, _) | (_, Some(401)) => refused(asked, reason),
        (_, Some(507)) => TransportError::NoSpace { place, reason },
        (_, Some(408 | 429 | 500..=599)) => TransportError::Busy {
            host: asked.host.to_owned(),
            reason,
        },
        (_, Some(300..=399)) => other_region(asked, reason),
        _ if text.contains("redirect without LOCATION") => other_region(asked, reason),
        _ => TransportError::Refused { place, reason },
    }
}

fn refused(asked: Asked<'_>, reason: String) -> TransportError {
    TransportError::AuthenticationRefused {
        host: asked.host.to_owned(),
        user: asked.user.to_owned(),
        tried: vec![reason],
    }
}

fn other_region(asked: Asked<'_>, reason: String) -> TransportError {
    TransportError::OtherRegion {
        place: asked.bucket.to_owned(),
        region: asked.region.to_owned(),
        reason,
    }
}

/// The error of the connection beneath, if it is one.
fn http_error(error: &Error) -> Option<&HttpError> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref() {
            return Some(http);
        }
        cause = error.source();
    }
    None
}

/// The status of an answer, which only the text of the error has.
fn status(text: &str) -> Option<u16> {
    let (_, after) = text.split_once("status code: ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(open)?;
    after.split_once(close).map(|(inner, _)| inner)
}
