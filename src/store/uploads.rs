//! Records of files that are uploaded for messages. As those in [`super::records`].

use super::earlier::{StoredFile1, Upload1};
use super::records::records;
use super::table::Record;
use super::upgrade::upgrade;
use crate::id::{AttachmentId, ChannelId, UserId};

records! {
    /// A file, as those are shown it who may see it.
    StoredFile v 2 from 1 StoredFile1 {
        /// Random; sixteen hexadecimal digits of its address.
        key: u64,
        /// As the uploader called it, without folders.
        filename: String,
        content_type: String,
        /// Bytes.
        size: u64,
        /// SHA-256 of them.
        hash: [u8; 32],
        /// Pixels as it is shown, of a picture or a film; 0 where it is neither, or nobody has looked.
        width: u32,
        height: u32,
        /// By size.
        thumbnails: Vec<Thumbnail>,
        /// Of a film or a sound, as it says.
        duration_ms: Option<u64>,
        /// What a picture looks like: those that look alike differ in few bits.
        look: Option<u64>,
    }

    /// A small picture of a file.
    Thumbnail v 1 {
        /// Which of the sizes that are configured it is.
        side: u32,
        content_type: String,
        hash: [u8; 32],
    }

    /// A file that its uploader can put into messages.
    Upload v 2 from 1 Upload1 {
        file: StoredFile,
        created_at: u64,
        /// From when on it is only where it was put, in steady time.
        lapses_at: u64,
    }

    UploadRef v 1 { user_id: UserId, id: AttachmentId, }

    /// A message that has a file.
    FileUse v 1 { channel_id: ChannelId, id: AttachmentId, }

    /// What a user has uploaded since his minute, his hour and his day began, in steady time.
    UploadCount v 1 {
        minute_from: u64,
        minute_count: u64,
        hour_from: u64,
        hour_count: u64,
        day_from: u64,
        day_count: u64,
        /// Bytes.
        day_len: u64,
    }

    /// A file that comes in chunks.
    UploadSession v 1 {
        filename: String,
        /// As declared.
        content_type: String,
        /// Bytes of the whole.
        size: u64,
        /// Bytes of each chunk but the last.
        chunk_size: u64,
        created_at: u64,
        /// In steady time.
        expires_at: u64,
        /// Chunks that are there.
        chunk_count: u64,
    }

    /// A part of one.
    UploadChunk v 1 { hash: [u8; 32], size: u64, }
}

impl StoredFile {
    /// What is kept for it.
    pub fn blobs(&self) -> impl Iterator<Item = [u8; 32]> + '_ {
        std::iter::once(self.hash).chain(self.thumbnails.iter().map(|thumbnail| thumbnail.hash))
    }
}
