//! A walk over a data file: every page, every record, each looked at once.

use std::os::unix::fs::FileExt;

use super::blobs::Hash;
use super::image::{Image, PAGE_LEN, TREE_LEN, Tree, page_flag, u16_at, u32_at, u64_at};
use super::records::Meta as Number;
use super::report::{DAMAGES_MAX, Damage, Report};
use super::table::decode_record;
use super::tables::{BLOBS, META, ROWS, TABLE_COUNT};

const HEADER_LEN: usize = 16;
const NODE_HEADER_LEN: usize = 8;
const NO_PAGE: u64 = u64::MAX;
/// Deeper than any tree of 2^48 pages.
const DEPTH_MAX: u16 = 32;

/// Flags of a node in a leaf.
mod node_flag {
    pub const LONG: u16 = 0x01;
    pub const TREE: u16 = 0x02;
}

type Page = [u8; PAGE_LEN];

impl Image {
    /// What can be seen without reading much: whether the pages that are needed are in the file, and whether it is
    /// one of ours. Reads a few pages; all of them when the file is shorter than its meta page says.
    ///
    /// # Errors
    /// One sentence, without the file's name.
    pub fn check_to_open(&self) -> Result<(), String> {
        let want = self.meta.file_len();
        if self.len < want {
            let report = self.walk();
            if !report.is_sound() {
                return Err(format!(
                    "it has {} bytes, but its pages need {want}: it was cut off, or the disk was full",
                    self.len
                ));
            }
        }
        let mut walk = Walk::new(self);
        walk.heads_only = true;
        walk.main();
        let report = walk.report;
        match (report.is_sound(), report.format) {
            (false, _) => Err(format!("it is damaged: {}", report.summary())),
            (true, None) => {
                Err("it is a database of another program: no format of plexichat is in it".into())
            }
            (true, Some(_)) => Ok(()),
        }
    }

    /// Looks at every page and every record.
    pub fn walk(&self) -> Report {
        let mut walk = Walk::new(self);
        walk.main();
        walk.free();
        walk.report
    }
}
/// Pages that a walk has seen.
struct Seen(Vec<u64>);

impl Seen {
    /// Marks a page; false when it was marked before or is not in the file.
    fn mark(&mut self, page: u64) -> bool {
        let Some(word) = self.0.get_mut((page / 64) as usize) else { return false };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Which tree is walked.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Lists of free pages by transaction.
    Free,
    /// The tables by name.
    Main,
    /// A table: its place in `ROWS`, or none when a later version has added it.
    Table(Option<usize>),
}

/// What was counted while walking a tree, to be compared with what it says of itself.
#[derive(Default)]
struct Counted {
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
    /// The last key, and what the next one may not be below: keys ascend over the whole tree.
    last: Option<Vec<u8>>,
    least: Option<Vec<u8>>,
}

struct Walk<'a> {
    image: &'a Image,
    seen: Seen,
    /// Of tables other than the first only the root is looked at.
    heads_only: bool,
    report: Report,
}

/// A node, inside its page.
struct Node<'p> {
    flags: u16,
    key: &'p [u8],
    /// What stands behind the key.
    rest: &'p [u8],
    /// The length of the value, or a page number in a branch.
    number: u64,
}

impl<'a> Walk<'a> {
    fn new(image: &'a Image) -> Walk<'a> {
        let pages = image.len / PAGE_LEN as u64;
        let mut seen = Seen(vec![0; pages.div_ceil(64) as usize]);
        seen.mark(0);
        seen.mark(1);
        let report = Report { records: vec![0; TABLE_COUNT], pages, ..Report::default() };
        Walk { image, seen, heads_only: false, report }
    }

    fn damage(&mut self, page: u64, kind: Kind, key: &[u8], what: impl Into<String>) {
        self.report.damage_count += 1;
        if self.report.damages.len() < DAMAGES_MAX {
            let table = match kind {
                Kind::Free => Some("(free pages)"),
                Kind::Main => Some("(list of tables)"),
                Kind::Table(Some(index)) => Some(ROWS[index].name),
                Kind::Table(None) => None,
            };
            let place = table.map(|table| (table, key.to_vec()));
            self.report.damages.push(Damage { page, place, what: what.into() });
        }
    }

    fn main(&mut self) {
        let tree = self.image.meta.main;
        self.tree(Kind::Main, &tree);
    }

    fn free(&mut self) {
        let tree = self.image.meta.free;
        self.tree(Kind::Free, &tree);
    }

    fn tree(&mut self, kind: Kind, tree: &Tree) {
        let mut counted = Counted::default();
        if tree.root != NO_PAGE {
            self.subtree(kind, tree.root, tree.depth.min(DEPTH_MAX), &mut counted);
        } else if tree.depth != 0 {
            self.damage(tree.root, kind, &[], "the table has no root page");
        }
        if self.heads_only && kind != Kind::Main && kind != Kind::Table(Some(META.index)) {
            return;
        }
        for (what, counted, noted) in [
            ("branch pages", counted.branch_pages, tree.branch_pages),
            ("leaf pages", counted.leaf_pages, tree.leaf_pages),
            ("pages of long values", counted.overflow_pages, tree.overflow_pages),
            ("records", counted.entries, tree.entries),
        ] {
            if counted != noted {
                let what = format!("the table says it has {noted} {what}, {counted} were found");
                self.damage(tree.root, kind, &[], what);
            }
        }
    }

    /// `depth` is how many levels of pages there are from here on.
    fn subtree(&mut self, kind: Kind, number: u64, depth: u16, counted: &mut Counted) {
        let Some(page) = self.page(kind, number) else { return };
        let flags = u16_at(&page[..], 10) & !page_flag::OF_MEMORY;
        let want = if depth > 1 { page_flag::BRANCH } else { page_flag::LEAF };
        if flags != want {
            self.damage(number, kind, &[], format!("it is of kind {flags}, {want} is wanted"));
            return;
        }
        let nodes = match nodes(&page, flags) {
            Ok(nodes) => nodes,
            Err(what) => return self.damage(number, kind, &[], what),
        };
        if self.heads_only && kind != Kind::Main && kind != Kind::Table(Some(META.index)) {
            return;
        }
        if flags == page_flag::BRANCH {
            counted.branch_pages += 1;
            for (index, node) in nodes.iter().enumerate() {
                // The first key of a branch is not written.
                if index > 0 {
                    if !self.ascends(kind, counted, node.key) {
                        self.damage(number, kind, node.key, "the key is not greater than the one before");
                    }
                    counted.least = Some(node.key.to_vec());
                }
                self.subtree(kind, node.number, depth - 1, counted);
            }
            return;
        }
        counted.leaf_pages += 1;
        for node in nodes {
            if !self.ascends(kind, counted, node.key) {
                self.damage(number, kind, node.key, "the key is not greater than the one before");
            }
            counted.last = Some(node.key.to_vec());
            counted.entries += 1;
            self.leaf(kind, number, &node, counted);
        }
    }

    fn ascends(&self, kind: Kind, counted: &Counted, key: &[u8]) -> bool {
        let number = |key: &[u8]| key.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let order = |a: &[u8], b: &[u8]| match kind {
            Kind::Free => number(a).cmp(&number(b)),
            _ => a.cmp(b),
        };
        counted.last.as_ref().is_none_or(|last| order(last, key).is_lt())
            && counted.least.as_ref().is_none_or(|least| order(least, key).is_le())
    }

    fn leaf(&mut self, kind: Kind, page: u64, node: &Node<'_>, counted: &mut Counted) {
        let long;
        let value = match node.flags {
            node_flag::LONG => {
                let first = u64_at(node.rest, 0);
                let Some((value, pages)) = self.long_value(kind, first, node) else { return };
                counted.overflow_pages += pages;
                long = value;
                &long[..]
            }
            _ => &node.rest[..node.number as usize],
        };
        match (kind, node.flags) {
            (Kind::Main, node_flag::TREE) if value.len() == TREE_LEN => {
                let index = ROWS.iter().position(|row| row.name.as_bytes() == node.key);
                self.tree(Kind::Table(index), &Tree::parse(value));
            }
            (Kind::Main, _) | (_, node_flag::TREE) => {
                self.damage(page, kind, node.key, "it is a table where a record is wanted, or the reverse");
            }
            (Kind::Free, _) => self.free_pages(page, node.key, value),
            (Kind::Table(None), _) => {}
            (Kind::Table(Some(index)), _) => self.record(page, index, node.key, value),
        }
    }

    fn record(&mut self, page: u64, index: usize, key: &[u8], value: &[u8]) {
        self.report.records[index] += 1;
        match (ROWS[index].check)(key, value) {
            Ok(checked) => self.report.plain += u64::from(!checked),
            Err(what) => return self.damage(page, Kind::Table(Some(index)), key, what),
        }
        if index == BLOBS.index
            && let Ok(hash) = Hash::try_from(key)
        {
            self.report.blobs.push(hash);
        }
        if index == META.index
            && let Some(number) = decode_record::<Number>(value)
        {
            self.report.numbers.insert(key.to_vec(), number.value);
            if key == b"format" {
                self.report.format = Some(number.value);
            }
        }
    }

    /// A list of numbers, its length first. What is free may lie behind the end of the file: it was never written.
    fn free_pages(&mut self, page: u64, key: &[u8], value: &[u8]) {
        let (numbers, rest) = value.as_chunks::<8>();
        let Some((len, numbers)) = numbers.split_first() else {
            return self.damage(page, Kind::Free, key, "the list is empty");
        };
        if u64::from_le_bytes(*len) > numbers.len() as u64 || !rest.is_empty() {
            return self.damage(page, Kind::Free, key, "the list is longer than its record");
        }
        let len = u64::from_le_bytes(*len) as usize;
        for number in numbers[..len].iter().map(|number| u64::from_le_bytes(*number)) {
            let in_file = number < self.report.pages;
            if number > self.image.meta.last_page || number < 2 || (in_file && !self.seen.mark(number)) {
                self.damage(
                    number,
                    Kind::Free,
                    key,
                    "the page is listed as free, but it is in use or there is none",
                );
            }
        }
    }

    /// The page, if it may be read: in the file, and not seen before.
    fn page(&mut self, kind: Kind, number: u64) -> Option<Box<Page>> {
        if number >= self.report.pages || number > self.image.meta.last_page {
            let what = format!("it is behind the end of the file, which has {} pages", self.report.pages);
            self.damage(number, kind, &[], what);
            return None;
        }
        if !self.seen.mark(number) {
            self.damage(number, kind, &[], "two places refer to it");
            return None;
        }
        let mut page = Box::new([0; PAGE_LEN]);
        if let Err(error) = self.image.file.read_exact_at(&mut page[..], number * PAGE_LEN as u64) {
            self.damage(number, kind, &[], format!("the disk cannot read it: {error}"));
            return None;
        }
        if u64_at(&page[..], 0) != number {
            let what = format!("it says it is page {}", u64_at(&page[..], 0));
            self.damage(number, kind, &[], what);
            return None;
        }
        Some(page)
    }

    /// A value on pages of its own, and how many they are.
    fn long_value(&mut self, kind: Kind, first: u64, node: &Node<'_>) -> Option<(Vec<u8>, u64)> {
        let page = self.page(kind, first)?;
        let len = node.number as usize;
        // A value that was made shorter in the transaction that wrote it keeps the pages of the longer one.
        let (pages, pages_min) = (u32_at(&page[..], 12), (HEADER_LEN - 1 + len) / PAGE_LEN + 1);
        let flags = u16_at(&page[..], 10) & !page_flag::OF_MEMORY;
        if flags != page_flag::OVERFLOW || (pages as usize) < pages_min {
            self.damage(first, kind, node.key, "it is not the beginning of the long value that is wanted");
            return None;
        }
        let pages = u64::from(pages);
        if !(1..pages).all(|index| self.seen.mark(first + index)) {
            let what = "the long value runs into pages of others, or out of the file";
            self.damage(first, kind, node.key, what);
            return None;
        }
        let mut value = vec![0; len];
        let at = first * PAGE_LEN as u64 + HEADER_LEN as u64;
        match self.image.file.read_exact_at(&mut value, at) {
            Ok(()) => Some((value, pages)),
            Err(error) => {
                self.damage(first, kind, node.key, format!("the disk cannot read it: {error}"));
                None
            }
        }
    }
}

/// The nodes of a branch or leaf, none of which leaves the page.
fn nodes(page: &Page, flags: u16) -> Result<Vec<Node<'_>>, &'static str> {
    const BEYOND: &str = "a part of it says it lies outside";
    let (lower, upper) = (u16_at(page, 12) as usize, u16_at(page, 14) as usize);
    if lower < HEADER_LEN || lower > upper || upper > PAGE_LEN || lower % 2 != 0 {
        return Err("its header is damaged");
    }
    let count = (lower - HEADER_LEN) / 2;
    let mut nodes = Vec::with_capacity(count);
    for index in 0..count {
        let at = u16_at(page, HEADER_LEN + 2 * index) as usize;
        if at < upper || at + NODE_HEADER_LEN > PAGE_LEN {
            return Err(BEYOND);
        }
        let number = u64::from(u32_at(page, at));
        let (node_flags, key_len) = (u16_at(page, at + 4), u16_at(page, at + 6) as usize);
        let body = &page[at + NODE_HEADER_LEN..];
        if key_len > body.len() {
            return Err(BEYOND);
        }
        let (key, rest) = body.split_at(key_len);
        if flags == page_flag::BRANCH {
            // A page number has 48 bits; the flags of a branch's node are its upper 16.
            let number = number | u64::from(node_flags) << 32;
            nodes.push(Node { flags: 0, key, rest, number });
            continue;
        }
        let len = if node_flags == node_flag::LONG { 8 } else { number as usize };
        if node_flags > node_flag::TREE || len > rest.len() {
            return Err(BEYOND);
        }
        nodes.push(Node { flags: node_flags, key, rest, number });
    }
    Ok(nodes)
}
#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::records::Setting;
    use super::super::tables::SETTINGS;
    use super::super::{Options, Store, Sync};
    use super::*;
    use crate::id::UserId;

    fn options(path: &Path) -> Options {
        Options { path: path.to_path_buf(), map_size: 1 << 24, sync: Sync::Interval, readers_max: 8 }
    }

    /// A store with branches, long values, free pages, and everything in it as bytes.
    fn store() -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&options(folder.path())).unwrap();
        for round in 0..4_u64 {
            let mut tx = store.begin().unwrap();
            for user in 0..400 {
                let len = if user % 50 == round { 9_000 } else { 40 + (user % 90) as usize };
                let setting = |len| Setting { value: "v".repeat(len), created_at: round, updated_at: user };
                tx.put(SETTINGS, (UserId(user), "key"), &setting(len));
                if user % 100 == round {
                    tx.put(SETTINGS, (UserId(user), "key"), &setting(len / 2));
                    tx.put(SETTINGS, (UserId(user), "key"), &setting(10));
                }
            }
            for user in (round..400).step_by(9) {
                tx.delete(SETTINGS, (UserId(user), "key"));
            }
            tx.commit().unwrap();
        }
        drop(store);
        let bytes = std::fs::read(folder.path().join("data.mdb")).unwrap();
        (folder, bytes)
    }

    fn content(folder: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
        let store = Store::open(&options(folder)).unwrap();
        let snapshot = store.snapshot();
        let tables = (0..TABLE_COUNT).flat_map(|index| snapshot.read().raw(index));
        tables.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_sound_store_is_sound_also_while_it_is_written() {
        let (folder, bytes) = store();
        let image = Image::open(&folder.path().join("data.mdb")).unwrap();
        let report = image.walk();
        assert!(report.is_sound(), "{}", report.summary());
        assert_eq!((report.count(), report.plain), (content(folder.path()).len() as u64, 0));
        assert!(report.format == Some(super::super::FORMAT) && report.pages == bytes.len() as u64 / 4_096);
        let store = Store::open(&options(folder.path())).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..300_u64 {
                    let mut tx = store.begin().unwrap();
                    let setting = Setting { value: "w".repeat(5_000), created_at: round, updated_at: 0 };
                    tx.put(SETTINGS, (UserId(round % 40), "key"), &setting);
                    tx.commit().unwrap();
                }
            });
            while !writer.is_finished() {
                let report = store.walk().unwrap();
                assert!(report.is_sound(), "{}", report.summary());
            }
        });
    }

    #[test]
    fn flipped_bits_are_found_or_do_not_matter() {
        let (folder, sound) = store();
        let want = content(folder.path());
        let path = folder.path().join("data.mdb");
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut found = 0;
        for _ in 0..400 {
            let mut bytes = sound.clone();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
            std::fs::write(&path, &bytes).unwrap();
            match Image::open(&path) {
                Ok(image) if image.walk().is_sound() => {
                    assert!(content(folder.path()) == want, "byte {at}, seed {seed}");
                }
                _ => found += 1,
            }
        }
        assert!(found > 30, "only {found} of 400 are found, seed {seed}");
    }

    #[test]
    fn nothing_in_a_file_makes_the_walk_panic_or_run_without_end() {
        let (folder, sound) = store();
        let path = folder.path().join("data.mdb");
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..400 {
            let mut bytes = sound.clone();
            for _ in 0..random.usize(1..200) {
                // Headers, pointers and page numbers more often than content.
                let page = random.usize(..bytes.len() / PAGE_LEN) * PAGE_LEN;
                let at = page + if random.bool() { random.usize(..200) } else { random.usize(..PAGE_LEN) };
                bytes[at] = if random.bool() { random.u8(..) } else { [0, 0xff][random.usize(..2)] };
            }
            bytes.truncate(random.usize(..bytes.len() * 2));
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(image) = Image::open(&path) {
                let _ = image.check_to_open();
                let report = image.walk();
                assert_eq!(report.is_sound(), report.damages.is_empty());
            }
        }
    }
}
