//! Files of text, up to a size: a path may name something that never ends.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a file whole; one that is larger than `most` bytes is [`io::ErrorKind::FileTooLarge`].
pub(super) fn read(path: &Path, most: usize) -> io::Result<String> {
    let mut text = String::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    if text.len() > most { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}
