//! What Alertmanager tells us, turned into what is asked: a webhook's body becomes [`Signal`]s.
//!
//! Pure. Two steps: [`payload`] reads the body, lenient in what it does not need and strict in what
//! it does; [`route`] judges each alert by itself and says for whom it speaks. The top-level status
//! of a body is never read: it says `firing` as long as one alert of the group fires.
//!
//! Nothing here decides: a signal is a hint, and counts only as `policy` judges it.
//!
//! [`Signal`]: crate::model::Signal

pub mod payload;
pub mod route;

pub use payload::{Alert, BodyError, Delivery, Malformed, Status};
pub use route::{Ignored, Judged, Refused, judge, merge};

#[cfg(test)]
mod tests;
