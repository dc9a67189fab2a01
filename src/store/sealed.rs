//! Files that nobody can read who has the disk alone.
//!
//! Each has a random key of its own, which stands at its beginning, sealed by the server's ([`Keyring`]): when that
//! changes, so much is written anew. Layout:
//!
//! | bytes | |
//! |---|---|
//! | 16 | a mark that tells it from a file that is not sealed |
//! | 1 | version of this layout |
//! | 2 × 61 | the key of the file, sealed, twice: one of them is whole while the other is written anew |
//! | 7 | random: what the nonces of the file begin with |
//! | … | segments of 64 KiB, encrypted, each followed by its tag of 16 bytes; only the last is shorter |
//!
//! The nonce of a segment is the 7 bytes, its number in 4 and whether it is the last in 1 (STREAM: Hoang, Reyhanitabar,
//! Rogaway and Vizár 2015), so a segment that was moved, left out or cut off opens nothing. The sealed key is bound to
//! the name of the file, which is the SHA-256 of what was encrypted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use super::blobs::{Blob, Hash};
use super::keyring::{Keyring, Purpose};
use crate::limits::KIB;

/// Drawn by lot: no other file begins with it, but on purpose.
pub const MARK: [u8; 16] = *b"\xd7plx\x9e\x13sealed\x00\xc4\x5b\xe6";
const VERSION: u8 = 1;
const KEY_LEN: usize = 32;
const SEALED_KEY_LEN: usize = Keyring::sealed_len(KEY_LEN);
const SEALED_KEY_AT: usize = MARK.len() + 1;
const PREFIX_LEN: usize = 7;
const PREFIX_AT: usize = SEALED_KEY_AT + 2 * SEALED_KEY_LEN;
const HEADER_LEN: usize = PREFIX_AT + PREFIX_LEN;
/// Bytes of a segment before they are encrypted.
pub const SEGMENT_LEN: usize = 64 * KIB;
const TAG_LEN: usize = 16;

/// A disk writes so many bytes at once or not at all: a header is never half a new one.
const SECTOR_LEN: usize = 512;
const _: () = assert!(HEADER_LEN <= SECTOR_LEN);

/// Encrypts all of `from` into an empty file; the SHA-256 of what was read.
///
/// # Errors
/// Those of reading and writing.
pub fn write(from: &mut dyn Read, to: &mut File, keys: &Keyring) -> io::Result<Hash> {
    let (key, prefix) = (random::<KEY_LEN>()?, random::<PREFIX_LEN>()?);
    let cipher = cipher(&key);
    to.write_all(&[0; HEADER_LEN])?;
    let mut sum = Sha256::new();
    let (mut segment, mut next) = (vec![0; SEGMENT_LEN], vec![0; SEGMENT_LEN]);
    let mut len = fill(from, &mut segment)?;
    for number in 0.. {
        // It is the last when nothing follows.
        let next_len = if len == SEGMENT_LEN { fill(from, &mut next)? } else { 0 };
        let part = &mut segment[..len];
        sum.update(&*part);
        let nonce = nonce(prefix, number, next_len == 0)?;
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::empty(), part);
        to.write_all(part)?;
        to.write_all(tag.map_err(|_| io::ErrorKind::InvalidInput)?.as_ref())?;
        if next_len == 0 {
            break;
        }
        (segment, next, len) = (next, segment, next_len);
    }
    let hash: Hash = sum.finalize().into();
    let sealed = keys.seal_for(Purpose::MediaKey, &hash, &key);
    let header = [&MARK[..], &[VERSION], &sealed, &sealed, &prefix].concat();
    to.write_all_at(&header, 0)?;
    Ok(hash)
}

/// What is in a file, sealed or not.
///
/// # Errors
/// When it is sealed, and these keys do not open it.
pub fn open(raw: Arc<dyn Blob>, keys: Option<&Keyring>, hash: &Hash) -> io::Result<Arc<dyn Blob>> {
    let Some(header) = header(&*raw)? else { return Ok(raw) };
    let keys = keys.ok_or_else(|| damaged("it is sealed, and there are no keys beside it"))?;
    let key = header.sealed_keys().find_map(|sealed| keys.unseal_for(Purpose::MediaKey, hash, sealed));
    let key = key.and_then(|key| <[u8; KEY_LEN]>::try_from(key).ok());
    let key =
        key.ok_or_else(|| damaged("it is sealed with a key that is not here, or it is another file"))?;
    let len = plain_len(raw.len()).ok_or_else(|| damaged("it was cut"))?;
    Ok(Arc::new(Sealed { raw, cipher: cipher(&key), prefix: header.prefix(), len }))
}

/// # Errors
/// Those of the disk.
pub fn is_sealed(file: &File) -> io::Result<bool> {
    Ok(header(file)?.is_some())
}

/// Seals the key of a file by the newest of the server, durably. False: it is so already, or the file is not sealed.
///
/// # Errors
/// Those of the disk; that these keys do not open it.
pub fn rewrap(file: &File, keys: &Keyring, hash: &Hash) -> io::Result<bool> {
    let Some(header) = header(file)? else { return Ok(false) };
    if header.sealed_keys().all(|sealed| keys.is_by_newest(Purpose::MediaKey, hash, sealed)) {
        return Ok(false);
    }
    let key = header.sealed_keys().find_map(|sealed| keys.unseal_for(Purpose::MediaKey, hash, sealed));
    let key = key.ok_or_else(|| damaged("it is sealed with a key that is not here"))?;
    let sealed = keys.seal_for(Purpose::MediaKey, hash, &key);
    // The first can be read until the second is on disk, and then the other way round.
    for place in [1, 0] {
        file.write_all_at(&sealed, (SEALED_KEY_AT + place * SEALED_KEY_LEN) as u64)?;
        file.sync_data()?;
    }
    Ok(true)
}

/// What a header is read from.
trait Raw {
    fn read_header(&self, out: &mut [u8; HEADER_LEN]) -> io::Result<()>;
}

impl Raw for dyn Blob {
    fn read_header(&self, out: &mut [u8; HEADER_LEN]) -> io::Result<()> {
        self.read_exact_at(out, 0)
    }
}

impl Raw for File {
    fn read_header(&self, out: &mut [u8; HEADER_LEN]) -> io::Result<()> {
        self.read_exact_at(out, 0)
    }
}

struct Header([u8; HEADER_LEN]);

impl Header {
    fn sealed_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.0[SEALED_KEY_AT..PREFIX_AT].chunks(SEALED_KEY_LEN)
    }

    fn prefix(&self) -> [u8; PREFIX_LEN] {
        *self.0[PREFIX_AT..].first_chunk().expect("the prefix is last")
    }
}

/// `None` for a file that is not sealed.
fn header<R: Raw + ?Sized>(raw: &R) -> io::Result<Option<Header>> {
    let mut header = [0; HEADER_LEN];
    match raw.read_header(&mut header) {
        Ok(()) if header.starts_with(&MARK) => {}
        Ok(()) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    match header[MARK.len()] {
        VERSION => Ok(Some(Header(header))),
        version => Err(damaged(&format!("it is sealed as version {version}, this program knows {VERSION}"))),
    }
}

struct Sealed {
    raw: Arc<dyn Blob>,
    cipher: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
    len: u64,
}

impl Sealed {
    /// Decrypts a segment into `room`, of which it is the front.
    fn segment<'r>(&self, number: u64, room: &'r mut [u8]) -> io::Result<&'r [u8]> {
        let begin = number * SEGMENT_LEN as u64;
        let left = self.len - begin;
        let len = left.min(SEGMENT_LEN as u64) as usize;
        let at = HEADER_LEN as u64 + number * (SEGMENT_LEN + TAG_LEN) as u64;
        let bytes = &mut room[..len + TAG_LEN];
        self.raw.read_exact_at(bytes, at)?;
        let number = u32::try_from(number).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let nonce = nonce(self.prefix, number, left <= SEGMENT_LEN as u64)?;
        let plain = self.cipher.open_in_place(nonce, Aad::empty(), bytes);
        plain.map(|plain| &*plain).map_err(|_| damaged("a part of it was changed"))
    }
}

impl Blob for Sealed {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, mut out: &mut [u8], mut at: u64) -> io::Result<()> {
        if at.checked_add(out.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut room = vec![0; SEGMENT_LEN + TAG_LEN];
        while !out.is_empty() {
            let segment = self.segment(at / SEGMENT_LEN as u64, &mut room)?;
            let part = &segment[(at % SEGMENT_LEN as u64) as usize..];
            let (filled, rest) = out.split_at_mut(part.len().min(out.len()));
            filled.copy_from_slice(&part[..filled.len()]);
            (at, out) = (at + filled.len() as u64, rest);
        }
        Ok(())
    }
}

/// How much was encrypted into a file of this length; `None` when none has it.
fn plain_len(raw_len: u64) -> Option<u64> {
    let segments = raw_len.checked_sub(HEADER_LEN as u64)?;
    let count = segments.div_ceil((SEGMENT_LEN + TAG_LEN) as u64);
    let last = segments - count.checked_sub(1)? * (SEGMENT_LEN + TAG_LEN) as u64;
    // A last one without bytes stands alone.
    let is_whole = last > TAG_LEN as u64 || (count == 1 && last == TAG_LEN as u64);
    is_whole.then(|| segments - count * TAG_LEN as u64)
}

fn nonce(prefix: [u8; PREFIX_LEN], number: u32, is_last: bool) -> io::Result<Nonce> {
    let nonce = [&prefix[..], &number.to_be_bytes(), &[u8::from(is_last)]].concat();
    Nonce::try_assume_unique_for_key(&nonce).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn cipher(key: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the length of the algorithm's"))
}

fn random<const LEN: usize>() -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Reads until there is no more room, or no more to read.
fn fill(from: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < out.len() {
        match from.read(&mut out[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::plain_file::PlainFile;
    use super::*;

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 7 + at / 251) as u8).collect()
    }

    struct Made {
        keys: Keyring,
        hash: Hash,
        file: File,
        content: Vec<u8>,
    }

    fn made(len: usize) -> Made {
        let (keys, content, mut file) = (Keyring::new(), content(len), tempfile::tempfile().unwrap());
        let hash = write(&mut content.as_slice(), &mut file, &keys).unwrap();
        assert_eq!(hash, <Hash>::from(Sha256::digest(&content)));
        Made { keys, hash, file, content }
    }

    impl Made {
        fn open_with(&self, keys: Option<&Keyring>, hash: &Hash) -> io::Result<Arc<dyn Blob>> {
            open(Arc::new(PlainFile::new(self.file.try_clone().unwrap()).unwrap()), keys, hash)
        }

        fn open(&self) -> io::Result<Arc<dyn Blob>> {
            self.open_with(Some(&self.keys), &self.hash)
        }

        fn raw(&self) -> Vec<u8> {
            let mut raw = vec![0; self.file.metadata().unwrap().len() as usize];
            self.file.read_exact_at(&mut raw, 0).unwrap();
            raw
        }
    }

    fn read(blob: &dyn Blob, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut out = vec![0; len];
        blob.read_exact_at(&mut out, at).map(|()| out)
    }

    #[test]
    fn what_was_sealed_is_read_again() {
        for len in [0, 1, 15, 16, 17, SEGMENT_LEN - 1, SEGMENT_LEN, SEGMENT_LEN + 1, 3 * SEGMENT_LEN, 200_000]
        {
            let made = made(len);
            let blob = made.open().unwrap();
            assert_eq!(blob.len(), len as u64);
            assert!(read(&*blob, 0, len).unwrap() == made.content, "{len}");
            assert!(read(&*blob, 0, len + 1).is_err() && read(&*blob, len as u64, 1).is_err());
            assert!(read(&*blob, u64::MAX, 1).is_err());
            assert!(blob.plain_file().is_none(), "the kernel would send what is sealed");
            let raw = made.raw();
            let window = made.content.get(..16.min(len)).filter(|window| window.len() == 16);
            assert!(window.is_none_or(|window| !raw.windows(16).any(|other| other == window)), "{len}");
        }
    }

    /// Beginnings and lengths around every border, and some between.
    #[test]
    fn every_part_of_a_sealed_file_is_that_part() {
        const LEN: usize = 200_000;
        let made = made(LEN);
        let blob = made.open().unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        let borders = [0, SEGMENT_LEN, 2 * SEGMENT_LEN, 3 * SEGMENT_LEN, LEN];
        let near = borders.iter().flat_map(|border| (-2i64..=2).map(move |by| *border as i64 + by));
        let mut places: Vec<usize> = near.filter_map(|place| usize::try_from(place).ok()).collect();
        places.extend((0..15).map(|_| random.usize(..LEN)));
        for start in &places {
            for end in places.iter().filter(|end| *end >= start) {
                let want = made.content.get(*start..*end);
                let got = read(&*blob, *start as u64, end - start).ok();
                assert!(got.as_deref() == want, "{start}..{end}");
            }
        }
    }

    #[test]
    fn nothing_that_was_changed_is_read() {
        let made = made(2 * SEGMENT_LEN + 5);
        let raw = made.raw();
        let whole = |made: &Made| made.open().and_then(|blob| read(&*blob, 0, blob.len() as usize));
        let put = |bytes: &[u8]| {
            made.file.set_len(0).unwrap();
            made.file.write_all_at(bytes, 0).unwrap();
        };
        let segment = SEGMENT_LEN + TAG_LEN;
        let second = HEADER_LEN + segment;
        for at in [PREFIX_AT, HEADER_LEN, second - 1, second, raw.len() - 1] {
            let mut other = raw.clone();
            other[at] ^= 1;
            put(&other);
            assert_eq!(whole(&made).unwrap_err().kind(), io::ErrorKind::InvalidData, "{at}");
        }
        // Cut, also between two segments; swapped; one left out; one twice.
        let (first, middle) = (&raw[HEADER_LEN..second], &raw[second..second + segment]);
        let (header, last) = (&raw[..HEADER_LEN], &raw[second + segment..]);
        for parts in [
            vec![header, first, middle],
            vec![header, first],
            vec![header],
            vec![&raw[..raw.len() - 1]],
            vec![header, middle, first, last],
            vec![header, first, last],
            vec![header, first, first, middle, last],
        ] {
            put(&parts.concat());
            assert!(whole(&made).is_err(), "{:?}", parts.iter().map(|part| part.len()).collect::<Vec<_>>());
        }
        put(&raw);
        assert!(whole(&made).unwrap() == made.content);
        // Under another name, or with other keys.
        assert!(made.open_with(Some(&made.keys), &[7; 32]).is_err());
        assert!(made.open_with(Some(&Keyring::new()), &made.hash).is_err());
        assert!(made.open_with(None, &made.hash).is_err());
        // One of the two sealed keys is enough.
        for place in 0..2 {
            let mut other = raw.clone();
            other[SEALED_KEY_AT + place * SEALED_KEY_LEN + 20] ^= 1;
            put(&other);
            assert!(whole(&made).unwrap() == made.content, "{place}");
        }
        let mut other = raw.clone();
        other[MARK.len()] = 2;
        put(&other);
        assert!(whole(&made).unwrap_err().to_string().contains("version 2"));
    }

    #[test]
    fn files_that_are_not_sealed_are_read_as_they_are() {
        for content in [&b"GIF89a"[..], &[7; 300], &MARK[..], b""] {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(content, 0).unwrap();
            let raw = Arc::new(PlainFile::new(file).unwrap());
            let blob = open(raw, None, &[0; 32]).unwrap();
            assert_eq!(read(&*blob, 0, content.len()).unwrap(), content);
            assert!(blob.plain_file().is_some());
        }
    }

    #[test]
    fn a_newer_key_of_the_server_takes_over() {
        let made = made(100_000);
        let before = made.raw();
        assert!(!rewrap(&made.file, &made.keys, &made.hash).unwrap(), "it is the newest");
        let both = made.keys.with_new_key();
        assert!(rewrap(&made.file, &both, &made.hash).unwrap());
        assert!(!rewrap(&made.file, &both, &made.hash).unwrap());
        assert_eq!(made.raw()[PREFIX_AT..], before[PREFIX_AT..], "nothing else is written");
        assert!(made.open().is_err(), "the old key alone opens it no longer");
        let blob = made.open_with(Some(&both), &made.hash).unwrap();
        assert!(read(&*blob, 0, made.content.len()).unwrap() == made.content);
        // A kill between the two places.
        let sealed = &before[SEALED_KEY_AT..SEALED_KEY_AT + SEALED_KEY_LEN];
        made.file.write_all_at(sealed, SEALED_KEY_AT as u64).unwrap();
        assert!(made.open_with(Some(&both), &made.hash).is_ok());
        assert!(rewrap(&made.file, &both, &made.hash).unwrap());
        assert!(rewrap(&made.file, &Keyring::new(), &made.hash).is_err());
    }
}
