//! What time it is at AWS, and that what was signed for another time is refused:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>.

use super::behind::{Asked, Told};
use super::scene::Scene;
use super::xml;
use bellwether::clock::Clock;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

/// How far off a signature may be.
const NEAR: SignedDuration = SignedDuration::from_mins(5);

/// From where on EC2 calls it expired, whether it is of the past or of the future:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonErrors.html>.
const FAR: SignedDuration = SignedDuration::from_mins(15);

impl Scene {
    fn now(&self) -> Timestamp {
        Clock::system().now() + *self.ahead.lock().unwrap()
    }

    /// The time, as the head of an answer says it.
    pub(super) fn date(&self) -> String {
        DateTimePrinter::new().timestamp_to_rfc9110_string(&self.now()).unwrap()
    }

    /// How a request is refused that was signed for another time; `None` of one in time, or unsigned. By some minutes EC2 was
    /// seen to doubt the keys and not the time: <https://github.com/aws/aws-sdk-java/issues/519>.
    pub(super) fn untimely(&self, asked: &Asked) -> Option<Told> {
        let signed = asked.headers.get("x-amz-date")?.to_str().unwrap();
        let signed: Timestamp = signed.parse().unwrap();
        let off = self.now().duration_since(signed).abs();
        if off > FAR {
            return Some(xml::refusal(400, "RequestExpired", "Request has expired."));
        }
        let message = "AWS was not able to validate the provided access credentials";
        (off > NEAR).then(|| xml::refusal(401, "AuthFailure", message))
    }
}
