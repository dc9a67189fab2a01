//! A data file as bytes: read page by page with own code, every number checked against what is there.
//!
//! LMDB maps the file and believes what stands in it: a file that was cut kills the process with SIGBUS, a wrong
//! page number is followed wherever it points. So whatever comes from outside, or may have suffered, is looked at
//! here and in `walk` first. Nothing there maps anything, and no byte of the file can make it panic or read without
//! bound.
//!
//! The layout is LMDB's (`mdb.c`, data version 1): two meta pages, of which each transaction writes the other one;
//! B+trees of pages with a header of 16 bytes; long values on pages of their own.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const PAGE_LEN: usize = 4_096;
/// Where a meta page keeps its content, after the page header.
pub const META_AT: usize = 16;
/// Magic, version, address, map size, two trees, last page, transaction.
pub const META_LEN: usize = 136;
const MAGIC: u32 = 0xBEEF_C0DE;
const DATA_VERSION: u32 = 1;
pub const TREE_LEN: usize = 48;

/// Flags of a page. The last three are of pages in memory and may have been left in the file.
pub mod page_flag {
    pub const BRANCH: u16 = 0x01;
    pub const LEAF: u16 = 0x02;
    pub const OVERFLOW: u16 = 0x04;
    pub const META: u16 = 0x08;
    pub const OF_MEMORY: u16 = 0x10 | 0x4000 | 0x8000;
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("callers stay inside the page"))
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("callers stay inside the page"))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("callers stay inside the page"))
}

/// What LMDB notes of one tree.
#[derive(Clone, Copy)]
pub struct Tree {
    pub depth: u16,
    pub branch_pages: u64,
    pub leaf_pages: u64,
    pub overflow_pages: u64,
    pub entries: u64,
    pub root: u64,
}

impl Tree {
    pub fn parse(bytes: &[u8]) -> Tree {
        Tree {
            depth: u16_at(bytes, 6),
            branch_pages: u64_at(bytes, 8),
            leaf_pages: u64_at(bytes, 16),
            overflow_pages: u64_at(bytes, 24),
            entries: u64_at(bytes, 32),
            root: u64_at(bytes, 40),
        }
    }
}

/// A meta page: where the state of one transaction begins.
#[derive(Clone)]
pub struct Meta {
    pub bytes: [u8; META_LEN],
    pub txn: u64,
    pub last_page: u64,
    pub free: Tree,
    pub main: Tree,
}

impl Meta {
    /// The content of a meta page, if it is one of a store.
    pub fn parse(bytes: &[u8; META_LEN]) -> Option<Meta> {
        let (magic, version, page_len) = (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 24));
        if (magic, version, page_len) != (MAGIC, DATA_VERSION, PAGE_LEN as u32) {
            return None;
        }
        let (free, main) = (Tree::parse(&bytes[24..]), Tree::parse(&bytes[24 + TREE_LEN..]));
        Some(Meta { bytes: *bytes, last_page: u64_at(bytes, 120), txn: u64_at(bytes, 128), free, main })
    }

    /// Bytes that a file with all pages has. The file may be shorter when the last pages hold nothing.
    pub fn file_len(&self) -> u64 {
        self.last_page.saturating_add(1).saturating_mul(PAGE_LEN as u64)
    }
}
/// An open data file with the state it is to be read at.
pub struct Image {
    pub file: File,
    pub len: u64,
    pub meta: Meta,
}

impl Image {
    /// Opens the file at its last transaction.
    ///
    /// # Errors
    /// One sentence, without the file's name, when this is no data file or its beginning is gone.
    pub fn open(path: &Path) -> Result<Image, String> {
        let (file, len, metas) = Image::read_metas(path)?;
        match metas {
            [Some(first), Some(second)] => {
                let meta = if second.txn > first.txn { second } else { first };
                Ok(Image { file, len, meta })
            }
            [None, None] => Err(format!(
                "its {len} bytes do not begin as those of a plexichat store do: it is another file, or it was overwritten"
            )),
            _ => Err("one of its two first pages is damaged".into()),
        }
    }

    /// Opens the file at a transaction that the caller keeps from being overwritten. `None`: there have been later
    /// ones already, and its meta page is gone.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_at(path: &Path, txn: u64) -> Result<Option<Image>, String> {
        let (file, len, metas) = Image::read_metas(path)?;
        let meta = metas.into_iter().flatten().find(|meta| meta.txn == txn);
        Ok(meta.map(|meta| Image { file, len, meta }))
    }

    /// Reads the file as a meta page kept elsewhere says.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn with_meta(path: &Path, meta: Meta) -> io::Result<Image> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Image { file, len, meta })
    }

    fn read_metas(path: &Path) -> Result<(File, u64, [Option<Meta>; 2]), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let data = file.metadata().map_err(|error| error.to_string())?;
        let len = data.len();
        if !data.is_file() {
            return Err("it is not a file".into());
        }
        if len < 2 * PAGE_LEN as u64 {
            return Err(match len {
                0 => "it is empty (0 bytes): the disk was full, or something has emptied it".into(),
                _ => format!("it has {len} bytes, a store has at least {}: it was cut off", 2 * PAGE_LEN),
            });
        }
        let mut metas = [None, None];
        for (index, meta) in metas.iter_mut().enumerate() {
            let mut page = [0; PAGE_LEN];
            file.read_exact_at(&mut page, (index * PAGE_LEN) as u64).map_err(|error| error.to_string())?;
            if u16_at(&page, 10) & page_flag::META != 0 {
                *meta = Meta::parse(page[META_AT..].first_chunk().expect("a page is longer"));
            }
        }
        Ok((file, len, metas))
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }
}
