//! Bodies, limited in size and time.

use super::Limits;
use super::answer::{ApiError, Code};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};

/// How much of a body that is too large is read and dropped, so that the caller, who reads our
/// answer only after writing, gets to read it.
const DROPPED_BYTES: usize = 16 * 1024 * 1024;

/// What first becomes of memory for a body whose length is not said.
const FIRST_BYTES: usize = 8 * 1024;

/// Whether a body without `Content-Type` is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untyped {
    /// Yes: old senders do not say.
    Taken,
    /// No: a browser can be made to send such a body from any page, and JSON it cannot.
    Refused,
}

/// Refuses what is no JSON by its headers.
pub fn check_type(headers: &HeaderMap, untyped: Untyped) -> Result<(), ApiError> {
    let refused = |field, value: &str, mend| {
        Err(ApiError {
            message: "the body must be JSON".into(),
            ..ApiError::field(Code::NotJson, field, value, mend)
        })
    };
    if let Some(coding) = headers.get(CONTENT_ENCODING) {
        let coding = coding.to_str().unwrap_or("not text");
        if !coding.eq_ignore_ascii_case("identity") {
            return refused("content-encoding", coding, "send it uncompressed");
        }
    }
    match headers.get(CONTENT_TYPE) {
        None if untyped == Untyped::Taken => Ok(()),
        None => refused("content-type", "none", "application/json"),
        Some(kind) => {
            let kind = kind.to_str().unwrap_or("not text");
            let essence = kind.split(';').next().unwrap_or_default().trim();
            if essence.eq_ignore_ascii_case("application/json") {
                Ok(())
            } else {
                refused("content-type", kind, "application/json")
            }
        }
    }
}

/// Reads a body whole.
pub async fn read(mut body: Incoming, limits: &Limits) -> Result<Bytes, ApiError> {
    let announced = body.size_hint();
    let too_large = announced.lower() > limits.body_bytes as u64;
    let reading = async {
        if too_large {
            drain(&mut body, limits.body_bytes).await;
            return Err(large(limits));
        }
        collect(&mut body, announced.exact(), limits).await
    };
    match tokio::time::timeout(limits.body, reading).await {
        Ok(result) => result,
        Err(_) if too_large => Err(large(limits)),
        Err(_) => Err(ApiError::new(Code::TooSlow, "the body did not come in time")),
    }
}

async fn collect(
    body: &mut Incoming,
    exact: Option<u64>,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    let mut whole: Option<BytesMut> = None;
    let mut first = Bytes::new();
    while let Some(data) = next(body).await? {
        let length = whole.as_ref().map_or(first.len(), BytesMut::len) + data.len();
        if length > limits.body_bytes {
            drain(body, length).await;
            return Err(large(limits));
        }
        // Nearly every body comes in one piece, which is taken as it is.
        if length == data.len() && exact == Some(data.len() as u64) {
            return Ok(data);
        }
        match &mut whole {
            None if first.is_empty() => first = data,
            None => {
                let mut joined = BytesMut::with_capacity(FIRST_BYTES.max(length));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&data);
                whole = Some(joined);
            }
            Some(joined) => joined.extend_from_slice(&data),
        }
    }
    Ok(whole.map_or(first, BytesMut::freeze))
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, ApiError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers say nothing that we ask for.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(ApiError::new(Code::Invalid, "the body broke off")),
        }
    }
}

async fn drain(body: &mut Incoming, mut read: usize) {
    let end = read.saturating_add(DROPPED_BYTES);
    while read < end {
        match next(body).await {
            Ok(Some(data)) => read += data.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

fn large(limits: &Limits) -> ApiError {
    ApiError::new(Code::TooLarge, format!("the body is larger than {} bytes", limits.body_bytes))
}
