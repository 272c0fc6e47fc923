//! Answers: JSON, and errors that say what to mend.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

/// A whole answer.
pub type Answer = Response<Full<Bytes>>;

/// What a handler gives: an answer, or what was wrong.
pub type Result = std::result::Result<Answer, ApiError>;

/// Seconds after which to try again where we are away.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// How a caller may say who it is.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What was wrong, and what to do about it. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiError {
    /// Which error, and with it the status.
    pub code: Code,
    /// For people.
    pub message: Cow<'static, str>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// What stood there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What should stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<Cow<'static, str>>,
    /// Methods that the path takes, for 405.
    #[serde(skip)]
    pub allow: Option<&'static str>,
}

/// Every error there is; its name is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The body or a parameter is wrong.
    Invalid,
    /// Alerts that Grafana manages itself.
    Grafana,
    /// No token, or an unknown one.
    Unauthorized,
    /// The token's role may not do this.
    Forbidden,
    /// No such path, cluster or pool.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// The body did not come in time.
    TooSlow,
    /// What the old service offered and this one does not.
    Gone,
    /// The body is too large.
    TooLarge,
    /// The body is no JSON by its headers.
    NotJson,
    /// A fault of ours.
    Fault,
    /// The store is away: nothing was stored as far as we know.
    StoreAway,
    /// We are stopping: nothing was stored.
    Draining,
}

// === impl ApiError ===

impl ApiError {
    /// An error with a message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None, value: None, mend: None, allow: None }
    }

    /// A field that is wrong, what stood there, and what should.
    pub fn field(
        code: Code,
        field: &'static str,
        value: impl Into<String>,
        mend: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut value = value.into();
        value.truncate(value.floor_char_boundary(200));
        Self {
            field: Some(field),
            value: Some(value),
            mend: Some(mend.into()),
            ..Self::new(code, format!("{field} cannot be taken"))
        }
    }

    /// The answer that says so.
    pub fn into_response(self) -> Answer {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a ApiError,
        }
        let mut answer = json(self.code.status(), &Body { error: &self });
        let headers = answer.headers_mut();
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        match self.code {
            Code::Unauthorized => drop(headers.insert(WWW_AUTHENTICATE, CHALLENGE)),
            Code::StoreAway | Code::Draining => {
                drop(headers.insert(RETRY_AFTER, RETRY_SECONDS));
            }
            _ => {}
        }
        answer
    }
}

impl From<crate::store::Error> for ApiError {
    fn from(error: crate::store::Error) -> Self {
        // Whatever the store's trouble is: nothing was stored as far as we know, and later it may be. Storing
        // a delivery twice is storing it once.
        tracing::debug!(%error, "store refused");
        Self::new(Code::StoreAway, "the store is away; send it again")
    }
}

// === impl Code ===

impl Code {
    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid | Self::Grafana => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Gone => StatusCode::GONE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StoreAway | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

// === free functions ===

/// A JSON answer.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("answers hold nothing but JSON can");
    with_type(status, JSON, body.into())
}

/// An answer of some type.
pub(super) fn with_type(status: StatusCode, kind: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
