//! What STS lends, keys for a while: <https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html>.

use super::behind::Told;
use super::words::Words;
use super::xml;

/// Keys as they were lent.
#[derive(Clone, Debug)]
pub(crate) struct Lent {
    /// What was asked, and by what right: `RoleArn`, `WebIdentityToken`.
    pub(crate) words: Words,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
}

impl Lent {
    /// Those of an answer; `None` of one that lends nothing.
    pub(super) fn of(words: Words, told: &Told) -> Option<Self> {
        let keys = xml::inside(&told.body, "Credentials")?;
        let said = |name: &str| xml::said(keys, name);
        let (id, secret, token) =
            (said("AccessKeyId"), said("SecretAccessKey"), said("SessionToken"));
        Some(Self { words, id, secret, token })
    }
}
