//! What a machine wrote on its console, as far as it may be kept and shown. Pure.

use regex::{Captures, Regex};
use std::sync::LazyLock;

/// Lines that are kept.
const LINES: usize = 15;

/// Characters of a line that are kept.
const WIDTH: usize = 200;

/// What stands where a secret may have stood.
const MASK: &str = "***";

/// What a terminal would take for a command.
static COMMAND: LazyLock<Regex> = LazyLock::new(|| regex(r"\x1b\[[0-9;?]*[ -/]*[@-~]"));

/// A name that speaks of a secret, and all that follows on its line: values have blanks, quotes and brackets in them.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?i)([\w.-]*(?:token|secret|pass|pwd|credential|key|auth)[\w.-]*\\?["']?\s*[:=]|\b(?:bearer|basic)\s).*"#,
    )
});

/// Such a name as an option of a command, or one of the short ones that k3s and curl have.
static OPTION: LazyLock<Regex> = LazyLock::new(|| {
    let name = r"(?:^|\s)-(?:[\w-]*(?:token|secret|pass|credential|key|auth)[\w-]*|[tup])";
    let value = r#"(?:"[^"]*"?|'[^']*'?|\S+)"#;
    regex(&format!(r"(?i)({name}\s+){value}"))
});

/// Who an address is asked as.
static USER: LazyLock<Regex> = LazyLock::new(|| regex(r"://[^/\s@]*@"));

/// A long word without a gap, as tokens and keys are, or a shorter one behind a user's name.
static WORD: LazyLock<Regex> = LazyLock::new(|| regex(r"[A-Za-z0-9+/_=-]{32,}|:[A-Za-z0-9]{8,}"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("it is a constant")
}

/// The last lines of a console, without control characters, and without what may be a secret: boot scripts print the join
/// token, and history is read by many. `None` where nothing is left.
pub fn last_words(console: &str) -> Option<String> {
    let lines: Vec<String> = console.lines().map(clean).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join("\n"))
}

/// Somebody's words in one line, short, and without what may be a secret.
pub fn in_words(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean(&line)
}

fn clean(line: &str) -> String {
    let plain = COMMAND.replace_all(line, "");
    let plain: String = plain.chars().filter(|letter| !letter.is_control()).collect();
    let masked = USER.replace_all(plain.trim(), format!("://{MASK}@"));
    let masked = NAMED.replace_all(&masked, format!("${{1}}{MASK}"));
    let masked = OPTION.replace_all(&masked, format!("${{1}}{MASK}"));
    let masked = WORD.replace_all(&masked, |found: &Captures<'_>| {
        if may_be_secret(&found[0]) { MASK.to_owned() } else { found[0].to_owned() }
    });
    masked.chars().take(WIDTH).collect()
}

/// Digits among letters; but a UUID is none, and a path, which has slashes and no capitals as a rule.
fn may_be_secret(word: &str) -> bool {
    let has = |kind: fn(&char) -> bool| word.chars().any(|letter| kind(&letter));
    let mixed = has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase);
    let digits = has(char::is_ascii_digit) && has(char::is_ascii_alphabetic);
    let groups: Vec<usize> = word.split('-').map(str::len).collect();
    let is_uuid = groups == [8, 4, 4, 4, 12];
    let is_path = word.contains('/') && !mixed;
    let is_short = word.starts_with(':') && word.len() <= 32;
    digits && !is_uuid && !is_path && (mixed || !is_short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_without_what_a_terminal_would_obey() {
        let lines: Vec<String> =
            (1..=40).map(|number| format!("\x1b[31mline {number}\x1b[0m\r")).collect();
        let console = lines.join("\n\n");
        let words = last_words(&console).unwrap();
        let lines: Vec<&str> = words.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[14]), (15, "line 26", "line 40"));
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
        let others = [
            "k3s agent -s https://10.0.0.1:6443 -t hunter2",
            "  --token hunter2 \\",
            r#"k3s agent --token "correct horse hunter2" --debug"#,
            "X-Auth-Token: Bearer hunter2",
            r#"{"tokens": ["hunter2"]}"#,
            r#"level=info msg="{\"token\":\"hunter2\"}""#,
            r#"K3S_TOKEN="pass;hunter2""#,
            r#"password: "correct horse hunter2""#,
            "+ K3S_TOKEN=$'hunter2'",
            "\x1b[36mtoken\x1b[0m=hunter2",
            "K3S_DATASTORE_ENDPOINT=postgres://k3s:hunter2@10.0.0.5/k3s",
            "git clone https://oauth2:hunter2@git.example.dev/x",
            "curl -u admin:hunter2 https://10.0.0.1",
            r#""auth": "hunter2""#,
            "passphrase=hunter2",
            "pwd=hunter2",
            "PGPASS=hunter2",
            "ubuntu:aB3hunter2Yz".trim(),
            "joined as hunter2abcdefghij0123456789klmnopqrstuvwxyz",
        ];
        for line in secrets.iter().map(String::as_str).chain(others) {
            let told = last_words(line).unwrap();
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
            "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password'",
            "pulling rancher/mirrored-pause:3.6 at 2026-11-30T10:00:00Z",
        ];
        for line in lines {
            assert_eq!(last_words(line).as_deref(), Some(line));
        }
    }
}
