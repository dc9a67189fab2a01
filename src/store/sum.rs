//! The checksum file beside a backup.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{DATA_FILE, files};

/// The checksum file of a backup, in the format of `sha256sum`.
pub const SUM_FILE: &str = "data.mdb.sha256";

/// The sum that the checksum file beside a data file promises, in lower-case hexadecimal.
///
/// # Errors
/// In words: it cannot be read, or is no such file.
pub fn expected_sum(file: &Path) -> Result<Option<String>, String> {
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
    if sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(sum));
    }
    Err(format!("{} is no file of sha256sum: it is damaged, or it is another file", name.display()))
}

pub fn sum_line(sum: &str) -> String {
    format!("{sum}  {DATA_FILE}\n")
}

pub fn sum_of(file: &Path) -> io::Result<String> {
    copy_and_sum(&mut File::open(file)?, &mut io::sink())
}

/// Copies all of `from` and returns the SHA-256 of what was copied.
pub fn copy_and_sum(from: &mut File, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let len = from.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        hash.update(&buffer[..len]);
        to.write_all(&buffer[..len])?;
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
