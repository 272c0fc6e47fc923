//! What an answer of AWS means.

use super::pace::HELD_BACK;
use crate::provider::{Error, in_words};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use std::error::Error as StdError;

/// Letters of a message that are kept: a refusal has a long encoded part that only AWS can read.
const MESSAGE: usize = 300;

/// No machine of this kind here now: another may be had, or later.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
const CAPACITY: [&str; 4] = [
    "InsufficientFreeAddressesInSubnet",
    "UnfulfillableCapacity",
    "SpotMaxPriceTooLow",
    "Unsupported",
];

/// The account may have no more of this market.
const QUOTA: [&str; 6] = [
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "SpotInstanceCountLimitExceeded",
    "MaxSpotFleetRequestCountExceeded",
    "VolumeLimitExceeded",
];

const THROTTLED: [&str; 5] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "EC2ThrottledException",
];

const DENIED: [&str; 19] = [
    PROTECTED,
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// What AWS says of keys that are no good, and of what was signed at another time than its own.
const SIGNED: [&str; 6] = [
    "AuthFailure",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];

/// By this AWS says that an instance is protected from its end.
pub(super) const PROTECTED: &str = "OperationNotPermitted";

const NOT_FOUND: [&str; 2] = ["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"];

const UNAVAILABLE: [&str; 6] = [
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "ServerInternal",
    "ServiceUnavailable",
    "Unavailable",
];

/// The code by which AWS says that a dry run would have been well.
pub(super) const WOULD_BE_WELL: &str = "DryRunOperation";

/// What a failed call means.
pub(super) fn meaning<E>(error: &SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let (err, status) = (answer.err(), answer.raw().status().as_u16());
            by_code(err.code().unwrap_or_default(), err.message().unwrap_or_default(), status)
        }
        SdkError::TimeoutError(_) => Error::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => Error::TimedOut,
        // Nothing was sent without credentials.
        _ if is_without_credentials(error) => {
            Error::Denied(format!("no credentials of AWS: {}", words(error)))
        }
        SdkError::ConstructionFailure(_) => Error::Invalid(words(error)),
        _ => Error::Unavailable(words(error)),
    }
}

/// What a code of EC2's means; `status` decides about those that are not known.
pub(super) fn by_code(code: &str, message: &str, status: u16) -> Error {
    let message: String = in_words(message).chars().take(MESSAGE).collect();
    let told = format!("{code}: {message}");
    let is_in = |codes: &[&str]| codes.contains(&code);
    // Of instances, hosts, volumes, addresses.
    let is_short = code.starts_with("Insufficient") && code.ends_with("Capacity");
    if is_short || is_in(&CAPACITY) {
        Error::Capacity(told)
    } else if is_in(&QUOTA) {
        Error::Quota(told)
    } else if is_in(&THROTTLED) {
        Error::Throttled
    } else if code == HELD_BACK {
        Error::NotAsked
    } else if is_in(&SIGNED) {
        Error::Denied(format!("{told}; is this machine's clock right, and are the keys good?"))
    } else if is_in(&DENIED) {
        Error::Denied(told)
    } else if is_in(&NOT_FOUND) {
        Error::NotFound
    } else if is_in(&UNAVAILABLE) || status >= 500 {
        Error::Unavailable(told)
    } else {
        Error::Invalid(told)
    }
}

fn is_without_credentials(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(one) = next {
        if one.is::<CredentialsError>() {
            return true;
        }
        next = one.source();
    }
    false
}

/// An error and all that it came from, in words.
fn words(error: &(dyn StdError + 'static)) -> String {
    let (mut told, mut next) = (Vec::new(), Some(error));
    while let Some(one) = next {
        told.push(one.to_string());
        next = one.source();
    }
    in_words(&told.join(": ")).chars().take(MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::{Error, HELD_BACK, by_code};
    use crate::provider::LeftBehind;

    #[test]
    fn each_code_means_what_is_to_be_done_about_it() {
        let kinds = [
            ("InsufficientInstanceCapacity", 500, "capacity"),
            ("InsufficientFreeAddressesInSubnet", 400, "capacity"),
            ("InsufficientVolumeCapacity", 500, "capacity"),
            ("OperationNotPermitted", 400, "denied"),
            ("MaxSpotInstanceCountExceeded", 400, "quota"),
            ("VcpuLimitExceeded", 400, "quota"),
            ("RequestLimitExceeded", 503, "throttled"),
            (HELD_BACK, 503, "not_asked"),
            ("UnauthorizedOperation", 403, "denied"),
            ("ExpiredToken", 400, "denied"),
            ("SignatureDoesNotMatch", 403, "denied"),
            ("InvalidInstanceID.NotFound", 400, "not_found"),
            ("InvalidParameter", 400, "invalid"),
            ("InvalidParameterValue", 400, "invalid"),
            ("IdempotentParameterMismatch", 400, "invalid"),
            ("InternalError", 500, "unavailable"),
            ("SomethingNew", 503, "unavailable"),
            ("SomethingNew", 400, "invalid"),
        ];
        for (code, status, kind) in kinds {
            assert_eq!(by_code(code, "why", status).kind(), kind, "{code}");
        }
    }

    #[test]
    fn an_error_of_theirs_may_have_had_its_effect_and_a_refusal_has_none() {
        let left = |code, status| by_code(code, "why", status).left_behind();
        assert_eq!(left("InternalError", 500), LeftBehind::Unknown);
        assert_eq!(left("InsufficientInstanceCapacity", 500), LeftBehind::Nothing);
        assert_eq!(left("UnauthorizedOperation", 403), LeftBehind::Nothing);
    }

    #[test]
    fn the_encoded_part_of_a_refusal_is_not_kept() {
        let long = format!("You are not authorized. {}", "A1b2".repeat(200));
        let Error::Denied(told) = by_code("UnauthorizedOperation", &long, 403) else { panic!() };
        assert!(told.starts_with("UnauthorizedOperation: You are not authorized."), "{told}");
        assert!(told.len() < 350 && !told.contains("A1b2A1b2A1b2"), "{told}");
    }
}
