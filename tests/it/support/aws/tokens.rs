//! Client tokens: <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>.

use super::Call;
use super::behind::Told;
use super::words::Words;
use super::xml;
use std::collections::BTreeMap;

/// An action, its token, and the zone, where a token of the action holds in one zone only.
type Key = (String, String, Option<String>);

/// The calls that tokens were used for.
#[derive(Default)]
pub(super) struct Tokens {
    used: BTreeMap<Key, Use>,
}

struct Use {
    words: Words,
    /// `None` of one that could not be served: it may be tried again.
    told: Option<Told>,
}

impl Tokens {
    /// What a call with a token that was used before is told: the same again, or that it must not be another call.
    pub(super) fn told(&self, call: &Call, zone: Option<&str>) -> Option<Told> {
        let used = self.used.get(&key(call, zone)?)?;
        if used.words == call.words {
            return used.told.clone();
        }
        let message = "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).";
        Some(xml::refusal(400, "IdempotentParameterMismatch", message))
    }

    /// Remembers a call. One that was served, or could not be, binds its token; what is wrong with a call may be mended.
    /// Seen at AWS: <https://github.com/runs-on/runs-on/issues/251>, <https://github.com/ubicloud/ubicloud/pull/5898>.
    pub(super) fn keep(&mut self, call: &Call, zone: Option<&str>, told: &Told) {
        let Some(key) = key(call, zone) else { return };
        if told.is_well() || told.status >= 500 {
            let told = told.is_well().then(|| told.clone());
            self.used.insert(key, Use { words: call.words.clone(), told });
        }
    }
}

fn key(call: &Call, zone: Option<&str>) -> Option<Key> {
    let token = call.words.get("ClientToken")?;
    Some((call.action.clone(), token.clone(), zone.map(str::to_owned)))
}
