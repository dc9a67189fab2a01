//! SHA-256 of files, and the checksum file beside a backup.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{DATA_FILE, files, hex};
use crate::limits::KIB;

/// The checksum file of a backup, in the format of `sha256sum`.
pub const SUM_FILE: &str = "data.mdb.sha256";
const COPY_LEN: usize = 64 * KIB;

/// SHA-256 of some bytes.
pub type Hash = [u8; 32];

/// The sum that the checksum file beside a data file promises.
///
/// # Errors
/// In words: it cannot be read, or is no such file.
pub fn expected_sum(file: &Path) -> Result<Option<Hash>, String> {
    let name = file.with_file_name(SUM_FILE);
    if !file.ends_with(DATA_FILE) {
        return Ok(None);
    }
    let text = match std::fs::read_to_string(&name) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(files::explain(&name, &error)),
    };
    let sum = text.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    hex::decode(&sum).map(Some).ok_or_else(|| {
        format!("{} is no file of sha256sum: it is damaged, or it is another file", name.display())
    })
}

pub fn sum_line(sum: &Hash) -> String {
    format!("{}  {DATA_FILE}\n", hex::encode(sum))
}

/// The SHA-256 of all of a file.
pub fn sum_of(file: &Path) -> io::Result<Hash> {
    copy_and_sum(&mut File::open(file)?, &mut io::sink())
}

/// Copies all of `from` and returns the SHA-256 of what was copied.
pub fn copy_and_sum(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Hash> {
    let (mut sum, mut piece) = (Sha256::new(), vec![0; COPY_LEN]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(sum.finalize().into()),
            Ok(count) => {
                sum.update(&piece[..count]);
                to.write_all(&piece[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
