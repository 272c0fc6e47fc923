//! Who may do what: bearer tokens by role.
//!
//! A webhook token delivers and nothing else; a viewer reads; an operator reads and asks. Basic
//! credentials are taken too, with the token as the password, since Alertmanager can send those.
//! `/healthz` and `/readyz` need no token; `/metrics` takes one of any role.
//!
//! Without any token everything is allowed, to callers on this machine only.

use super::answer::{ApiError, Code};
use crate::config::{Auth, Role};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use std::net::IpAddr;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Credentials longer than this are nobody's.
const CREDENTIALS_MAX: usize = 4096;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// To be known at all.
    Any,
    /// To deliver alerts.
    Deliver,
    /// To read.
    Read,
    /// To ask for changes.
    Ask,
}

/// The roles of a caller, as bits: one token may stand in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Roles(u8);

// === impl Need ===

impl Need {
    fn met_by(self, roles: Roles) -> bool {
        match self {
            Self::Nothing => true,
            Self::Any => roles.0 != 0,
            Self::Deliver => roles.has(Role::Webhook),
            Self::Read => roles.has(Role::Viewer) || roles.has(Role::Operator),
            Self::Ask => roles.has(Role::Operator),
        }
    }
}

// === impl Roles ===

impl Roles {
    fn has(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }

    /// The roles of a token. Compares with every token there is and each to its end, so that the
    /// time says nothing about any of them.
    fn of(presented: &[u8], auth: &Auth) -> Self {
        let mut roles = 0_u8;
        for (role, token) in &auth.tokens {
            let same = same(presented, token.expose().as_bytes());
            roles |= u8::conditional_select(&0, &bit(*role), same);
        }
        Self(roles)
    }
}

// === free functions ===

/// Whether this caller may do it.
pub fn check(need: Need, auth: &Auth, headers: &HeaderMap, peer: IpAddr) -> Result<(), ApiError> {
    if need == Need::Nothing {
        return Ok(());
    }
    if auth.tokens.is_empty() {
        // Asked here again: a reload may take the tokens away while we listen to the world.
        return if peer.to_canonical().is_loopback() {
            Ok(())
        } else {
            Err(ApiError::new(Code::Forbidden, "no token is configured: this machine only"))
        };
    }
    let unknown = || ApiError::new(Code::Unauthorized, "a bearer token is needed");
    let presented = presented(headers).ok_or_else(unknown)?;
    let roles = Roles::of(&presented, auth);
    if roles.0 == 0 {
        Err(unknown())
    } else if need.met_by(roles) {
        Ok(())
    } else {
        Err(ApiError::new(Code::Forbidden, need.explanation()))
    }
}

impl Need {
    fn explanation(self) -> &'static str {
        match self {
            Self::Nothing | Self::Any => "a token is needed",
            Self::Deliver => "only a token with the role webhook may deliver alerts",
            Self::Read => "only a token with the role viewer or operator may read",
            Self::Ask => "only a token with the role operator may ask for changes",
        }
    }
}

fn bit(role: Role) -> u8 {
    match role {
        Role::Webhook => 1,
        Role::Viewer => 2,
        Role::Operator => 4,
    }
}

/// Whether two texts are the same, in a time that hangs on `presented` alone.
fn same(presented: &[u8], token: &[u8]) -> Choice {
    if token.is_empty() {
        return Choice::from(0);
    }
    let mut same = (presented.len() as u64).ct_eq(&(token.len() as u64));
    for (place, byte) in presented.iter().enumerate() {
        same &= byte.ct_eq(&token[place % token.len()]);
    }
    same
}

fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    if value.len() > CREDENTIALS_MAX {
        return None;
    }
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = base64(rest)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// Standard base64, padding optional.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::with_capacity(text.len()));
    for byte in &text[..end] {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held).to_le_bytes()[0]);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn auth() -> Auth {
        let token = |role, text: &str| (role, Secret::new(text));
        Auth {
            tokens: vec![
                token(Role::Webhook, "hook"),
                token(Role::Viewer, "view"),
                token(Role::Operator, "operate"),
            ],
        }
    }

    fn asks(need: Need, auth: &Auth, authorization: Option<&str>, peer: &str) -> Option<Code> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        check(need, auth, &headers, peer.parse().unwrap()).err().map(|error| error.code)
    }

    #[test]
    fn a_role_may_do_what_it_is_for_and_nothing_else() {
        let table = [
            (Need::Any, [true, true, true]),
            (Need::Deliver, [true, false, false]),
            (Need::Read, [false, true, true]),
            (Need::Ask, [false, false, true]),
        ];
        for (need, allowed) in table {
            for (token, allowed) in ["hook", "view", "operate"].into_iter().zip(allowed) {
                let code = asks(need, &auth(), Some(&format!("Bearer {token}")), "10.0.0.1");
                assert_eq!(code, (!allowed).then_some(Code::Forbidden), "{need:?} {token}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_nobody() {
        let long = format!("Bearer {}", "x".repeat(5000));
        for wrong in [
            None,
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer hoo"),
            Some("Bearer hookhook"),
            Some("Bearer hooks"),
            Some("Digest hook"),
            Some("Basic !!!!"),
            Some(long.as_str()),
        ] {
            let code = asks(Need::Deliver, &auth(), wrong, "127.0.0.1");
            assert_eq!(code, Some(Code::Unauthorized), "{wrong:?}");
        }
        let empty = Auth { tokens: vec![(Role::Operator, Secret::new(""))] };
        assert_eq!(asks(Need::Ask, &empty, Some("Bearer "), "::1"), Some(Code::Unauthorized));
    }

    #[test]
    fn basic_credentials_carry_the_token_as_password() {
        // alertmanager:hook and alertmanager:no
        let ok = "Basic YWxlcnRtYW5hZ2VyOmhvb2s=";
        assert_eq!(asks(Need::Deliver, &auth(), Some(ok), "10.0.0.1"), None);
        let wrong = "basic YWxlcnRtYW5hZ2VyOm5v";
        assert_eq!(asks(Need::Deliver, &auth(), Some(wrong), "10.0.0.1"), Some(Code::Unauthorized));
    }

    #[test]
    fn without_tokens_this_machine_only() {
        let none = Auth::default();
        for (peer, code) in [
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("10.0.0.1", Some(Code::Forbidden)),
        ] {
            assert_eq!(asks(Need::Ask, &none, None, peer), code, "{peer}");
        }
        assert_eq!(asks(Need::Nothing, &none, None, "10.0.0.1"), None);
    }
}
