//! A file that is opened on trial: read as it is, while what is written stays in memory.
//!
//! Opening a file marks and repairs it. Done on a damaged one, the first start would be refused
//! and the second, over the half repaired rest, would not. So a file is opened on trial first.

use redb::StorageBackend;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Writes are kept in blocks of this size.
const BLOCK: usize = 4_096;

/// The file under what was written to it on trial.
#[derive(Debug)]
pub(super) struct Trial {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Trial {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty"));
        }
        Ok(Self { file, written: Mutex::new(Written { len, blocks: BTreeMap::new() }) })
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as the file has it; what lies behind the file's end is zero.
    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut block = Vec::new();
        let mut rest = [0; BLOCK];
        while block.len() < rest.len() {
            let left = rest.len() - block.len();
            let at = number * BLOCK as u64 + block.len() as u64;
            match self.file.read_at(&mut rest[..left], at)? {
                0 => block.resize(BLOCK, 0),
                count => block.extend_from_slice(&rest[..count]),
            }
        }
        Ok(block)
    }
}

/// The pieces of a range, block by block: the block's number, where in it the piece starts, and
/// where the piece lies in the range.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let start = usize::try_from(at % BLOCK as u64).expect("less than a block");
        let count = (BLOCK - start).min(length - done);
        let piece = (at / BLOCK as u64, start, done..done + count);
        done += count;
        (count > 0).then_some(piece)
    })
}

impl StorageBackend for Trial {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, start, range) in pieces(offset, out.len()) {
            let count = range.len();
            match written.blocks.get(&number) {
                Some(block) => out[range].copy_from_slice(&block[start..start + count]),
                None => out[range].copy_from_slice(&self.block(number)?[start..start + count]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.written().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written();
        for (number, start, range) in pieces(offset, data.len()) {
            let block = match written.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(self.block(number)?),
            };
            block[start..start + range.len()].copy_from_slice(&data[range]);
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_on_trial_is_read_over_what_the_file_holds_and_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, [1; 10_000]).unwrap();
        let trial = Trial::open(&path).unwrap();
        trial.write(3_000, &[2; 6_000]).unwrap();
        assert_eq!(trial.len().unwrap(), 10_000, "it ends before the file does");
        trial.set_len(13_000).unwrap();
        let mut whole = [9; 13_000];
        trial.read(0, &mut whole).unwrap();
        let expected = [(3_000, 1), (6_000, 2), (1_000, 1), (3_000, 0)];
        let expected = expected.map(|(count, byte)| vec![byte; count]).concat();
        assert_eq!(whole.as_slice(), expected, "zero behind the end of the file");
        let mut part = [9; 5_000];
        trial.read(2_500, &mut part).unwrap();
        assert_eq!(part, expected[2_500..7_500]);
        assert!(trial.read(12_999, &mut [0; 2]).is_err(), "there is no more");
        assert_eq!(std::fs::read(&path).unwrap(), [1; 10_000]);
    }
}
