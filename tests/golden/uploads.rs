//! Files for messages: their commands, and how they are stored.

use plexichat::domain::Op;
use plexichat::domain::chat::attachment::{FilesPost, Wanted};
use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::chat::poll::NewPoll;
use plexichat::domain::files::session::{ChunkPut, UploadAbort, UploadComplete, UploadOpen};
use plexichat::domain::files::upload::{AttachmentCreate, Quota};
use plexichat::id::{AttachmentId, ChannelId, UserId};
use plexichat::store::records::{
    FileUse, StoredFile, Thumbnail, Upload, UploadChunk, UploadCount, UploadRef, UploadSession,
};

use super::{AT, Records, number};

fn file() -> StoredFile {
    StoredFile {
        key: 0x0123_4567_89ab_cdef,
        filename: "Grundriß.png".into(),
        content_type: "image/png".into(),
        size: 1 << 20,
        hash: std::array::from_fn(|index| 0x40 + index as u8),
        width: 640,
        height: 480,
        thumbnails: vec![thumbnail()],
        duration_ms: Some(1_500),
        look: Some(0x8f00_ff00_ff00_ff01),
    }
}

/// The same as the first version kept it.
fn file_1() -> StoredFile {
    StoredFile { duration_ms: None, look: None, ..file() }
}

fn thumbnail() -> Thumbnail {
    Thumbnail { side: 256, content_type: "image/webp".into(), hash: [8; 32] }
}

const QUOTA: Quota = Quota { minute_max: 10, hour_max: 100, day_max: 50, day_len_max: 1 << 29 };
const LIFE_MS: u64 = 86_400_000;
const KEY: [u8; 32] = [9; 32];

/// Those of files alone.
pub fn files() -> Vec<Op> {
    let content_type = "image/png".to_string();
    let size = 11 << 20;
    vec![
        UploadOpen {
            key: KEY,
            filename: "big.png".into(),
            content_type,
            size,
            life_ms: 3_600_000,
            quota: QUOTA,
        }
        .into(),
        ChunkPut { key: KEY, index: 2, hash: [7; 32], size: 1 << 20 }.into(),
        UploadAbort { key: KEY }.into(),
        AttachmentCreate { channel_id: ChannelId(3), file: file().into(), life_ms: LIFE_MS, quota: QUOTA }
            .into(),
        UploadComplete { key: KEY, file: file().into(), life_ms: LIFE_MS, quota: QUOTA }.into(),
    ]
}

/// Those of what is said in channels.
pub fn chat(message: MessageCreate, poll: NewPoll) -> Op {
    let files = vec![Wanted::Id(AttachmentId(16)), Wanted::Key(0x0123_4567_89ab_cdef)];
    FilesPost { message, poll: Some(poll.into()), files, count_max: 10 }.into()
}

pub fn examples(records: &mut Records) {
    records.example_of_versions(file(), &[file_1()]);
    records.example(thumbnail());
    let upload = |file: StoredFile| Upload { file, created_at: AT, lapses_at: AT + LIFE_MS };
    records.example_of_versions(upload(file()), &[upload(file_1())]);
    records.example(UploadRef { user_id: UserId(number(2)), id: AttachmentId(number(16)) });
    records.example(FileUse { channel_id: ChannelId(number(3)), id: AttachmentId(number(16)) });
    records.example(UploadCount {
        minute_from: AT,
        minute_count: 1,
        hour_from: AT + 1,
        hour_count: 2,
        day_from: AT + 2,
        day_count: 3,
        day_len: 1 << 30,
    });
    records.example(UploadSession {
        filename: "big.png".into(),
        content_type: "image/png".into(),
        size: 11 << 20,
        chunk_size: 5 << 20,
        created_at: AT,
        expires_at: AT + 3_600_000,
        chunk_count: 2,
    });
    records.example(UploadChunk { hash: [7; 32], size: 5 << 20 });
}
