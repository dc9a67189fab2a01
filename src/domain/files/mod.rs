//! Files that are uploaded for messages, whole or in chunks. What messages make of them stands in
//! [`super::chat::attachment`].

pub mod session;
pub mod upload;

use super::command::commands;
use crate::id::AttachmentId;

commands! { Files:
    442 UploadOpen(session::UploadOpen) => upload_open -> (), speaks;
    443 ChunkPut(session::ChunkPut) => chunk_put -> u64, speaks;
    444 UploadAbort(session::UploadAbort) => upload_abort -> (), frees_room;
    590 AttachmentCreate(upload::AttachmentCreate) => attachment_create -> AttachmentId, speaks;
    591 UploadComplete(session::UploadComplete) => upload_complete -> AttachmentId, speaks;
}
