//! What a machine wrote on its console, as far as it may be kept and shown. Pure.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// Lines that are kept.
const LINES: usize = 15;

/// Characters of a line that are kept.
const WIDTH: usize = 200;

/// What stands where a secret may have stood.
const MASK: &str = "***";

/// A name that speaks of a secret, and its value.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let name = r#"[\w.-]*(?:token|secret|passw|credential|key)[\w.-]*["']?"#;
    let pattern =
        format!(r#"(?i)({name}\s*[:=]\s*|-{name}\s+|\b(?:bearer|basic)\s+)["']?[^\s"',;]+"#);
    Regex::new(&pattern).expect("it is a constant")
});

/// A long word without a gap, as tokens and keys are.
static LONG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_=-]{32,}").expect("it is a constant"));

/// The last lines of a console, without control characters, and without what may be a secret: boot scripts print the join
/// token, and history is read by many. `None` where nothing is left.
pub fn last_words(console: &str) -> Option<String> {
    let lines: Vec<String> = console.lines().map(clean).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join("\n"))
}

fn clean(line: &str) -> String {
    let plain: String = line.chars().filter(|letter| !letter.is_control()).collect();
    let masked = NAMED.replace_all(plain.trim(), format!("${{1}}{MASK}"));
    let masked = LONG.replace_all(&masked, |found: &Captures<'_>| {
        if may_be_secret(&found[0]) { MASK.to_owned() } else { found[0].to_owned() }
    });
    masked.chars().take(WIDTH).collect()
}

/// A path has no digits among both cases as a rule, and a UUID is no secret.
fn may_be_secret(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|letter| kind(&letter));
    let mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let is_hex = word.chars().all(|letter| letter.is_ascii_hexdigit());
    has(char::is_ascii_digit) && (mixed || is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_without_what_a_terminal_would_obey() {
        let console: String =
            (1..=40).map(|number| format!("\x1b[31mline {number}\r\n\n")).collect();
        let words = last_words(&console).unwrap();
        let lines: Vec<&str> = words.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[14]), (15, "[31mline 26", "[31mline 40"));
        assert_eq!(last_words(&"x".repeat(5_000)).unwrap().len(), 200);
        assert_eq!(last_words("\n \r\n\t"), None);
    }

    #[test]
    fn what_may_be_a_secret_is_masked() {
        let token = format!("K10{}::server:{}", "0a1b2c3d".repeat(8), "9f8e7d6c".repeat(4));
        let secrets = [
            format!("+ k3s agent --server https://10.0.0.1:6443 --token {token}"),
            format!("K3S_TOKEN={token}"),
            format!("joining with {token} now"),
            "  token: 'hunter2'".to_owned(),
            r#"{"aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}"#.to_owned(),
            "export AWS_SESSION_TOKEN=hunter2;".to_owned(),
            "Authorization: Bearer hunter2".to_owned(),
            "the key is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9.eyJzdWIiOiJoZWxsb3dvcmxkMTIzNDUifQ.abc"
                .to_owned(),
        ];
        for line in secrets {
            let told = last_words(&line).unwrap();
            let leaks = ["K10", "hunter2", "wJalr", "9f8e", "eyJhbG", "eyJzdW"];
            assert!(leaks.iter().all(|part| !told.contains(part)), "{told}");
            assert!(told.contains(MASK), "{told}");
        }
    }

    #[test]
    fn what_tells_why_it_did_not_join_is_left_alone() {
        let lines = [
            "level=fatal msg=\"token CA hash does not match the Cluster CA certificate hash\"",
            "dial tcp 10.0.0.1:6443: connect: connection refused",
            "open /var/lib/rancher/k3s/agent/client-kubelet.crt: no such file or directory",
            "instance 0f3c2a1b-1111-2222-3333-444455556666 is starting",
        ];
        for line in lines {
            assert_eq!(last_words(line).as_deref(), Some(line));
        }
    }
}
