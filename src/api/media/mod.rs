//! Pictures, and files of messages.

pub mod avatars;
pub mod came;
pub mod chunks;
pub mod downloads;
pub mod kept;
pub mod pictures;
pub mod signature;
pub mod uploads;

use super::routes::Answer::{File, One, Picture};
use super::routes::{json, multipart, routes};
use crate::domain::chat::attachment::{AttachmentInfoResponse, AttachmentUploadResponse};
use crate::domain::community::server::ServerResponse;
use crate::domain::identity::right::Right;
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Picture of a user: his own, or a generated one. Pages show it, which give pictures no header: no access token.
    Get "/avatars/users/{user_id}" => avatars::avatar_user_get, Public, Exempt { ungated: true, answer: Picture };
    /// Give oneself a picture.
    Post "/avatars/users/@me" => pictures::avatar_user_upload.await, User, Uploads {
        right: Some(Right::AccountEditProfile),
        body: multipart(pictures::avatar_len_max),
        form: Some(&pictures::AVATAR_UPLOAD),
        answer: One(pictures::AvatarUploadResponse::SHAPE),
    };
    /// Remove one's picture.
    Delete "/avatars/users/@me" => pictures::avatar_user_delete, User, Default {
        right: Some(Right::AccountEditProfile),
        answer: One(pictures::PictureDeleteResponse::SHAPE),
    };
    /// Picture of a server: its icon, or a generated one. No access token, as with those of users.
    Get "/avatars/servers/{server_id}" => avatars::avatar_server_get, Public, Exempt { ungated: true, answer: Picture };
    /// Give a server an icon.
    Post "/avatars/servers/{server_id}" => pictures::avatar_server_upload.await, User, Uploads {
        body: multipart(pictures::avatar_len_max),
        form: Some(&pictures::ICON_UPLOAD),
        answer: One(pictures::IconUploadResponse::SHAPE),
    };
    /// Remove the icon of a server.
    Delete "/avatars/servers/{server_id}" => pictures::avatar_server_delete, User, Default {
        answer: One(pictures::PictureDeleteResponse::SHAPE),
    };
    /// Give oneself a picture: the older path.
    Post "/users/@me/avatar" => pictures::me_avatar_upload.await, User, Uploads {
        right: Some(Right::AccountEditProfile),
        body: multipart(pictures::avatar_len_max),
        form: Some(&pictures::AVATAR_UPLOAD),
        answer: One(pictures::AvatarUploadResponse::SHAPE),
    };
    /// Give a server an icon: the older path.
    Post "/servers/{server_id}/icon" => pictures::server_icon_upload.await, User, Uploads {
        body: multipart(pictures::icon_len_max),
        form: Some(&pictures::ICON_UPLOAD),
        answer: One(ServerResponse::SHAPE),
    };

    /// Upload a file for messages of a channel.
    Post "/channels/{channel_id}/attachments" => uploads::attachment_upload.await, User, Uploads {
        right: Some(Right::MessagesSend),
        body: multipart(uploads::file_len_max),
        form: Some(&uploads::ATTACHMENT_UPLOAD),
        answer: One(AttachmentUploadResponse::SHAPE),
    };
    /// A file of a message, or a thumbnail of it: for its uploader and whoever may read the message.
    Get "/media/attachments/{filename}" => downloads::attachment_get, Media, Default {
        right: Some(Right::MessagesRead),
        query: Some(&downloads::ATTACHMENT_GET),
        answer: File,
    };
    /// An extension: an address of a file that needs no login for a time.
    Get "/media/attachments/{filename}/signed" => downloads::attachment_sign, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(downloads::SignedUrlResponse::SHAPE),
    };
    /// An extension: what is known of a file: how large a picture is, how long a film, which small pictures there are of it.
    Get "/media/attachments/{filename}/info" => downloads::attachment_info, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(AttachmentInfoResponse::SHAPE),
    };
    /// Begin a file that comes in chunks.
    Post "/media/upload/session" => chunks::upload_open, User, Uploads {
        right: Some(Right::MessagesSend),
        body: json(FORM_LEN_MAX),
        form: Some(&chunks::UPLOAD_OPEN),
        answer: One(chunks::ChunkedUploadSessionResponse::SHAPE),
    };
    /// Send a chunk, in whatever order; one that is sent again takes the place of the former.
    Post "/media/upload/chunk/{session_id}" => chunks::chunk_upload.await, User, Default {
        right: Some(Right::MessagesSend),
        body: multipart(chunks::chunk_len_max),
        query: Some(&chunks::CHUNK_QUERY),
        form: Some(&chunks::CHUNK_UPLOAD),
        answer: One(chunks::ChunkUploadResponse::SHAPE),
    };
    /// Put the chunks of a file together.
    Post "/media/upload/complete/{session_id}" => chunks::upload_complete.await, User, Default {
        right: Some(Right::MessagesSend),
        answer: One(chunks::CompleteUploadResponse::SHAPE),
    };
    /// Give a file up that comes in chunks.
    Delete "/media/upload/session/{session_id}" => chunks::upload_abort, User, Default {
        right: Some(Right::MessagesSend),
    };
    /// An extension: which chunks of a file are there.
    Get "/media/upload/session/{session_id}" => chunks::upload_get, User, Default {
        right: Some(Right::MessagesSend),
        answer: One(chunks::UploadSessionDetail::SHAPE),
    };
    /// Own files that chunks are missing of.
    Get "/media/upload/sessions" => chunks::upload_list, User, Default {
        right: Some(Right::MessagesSend),
        answer: One(chunks::UploadSessionsResponse::SHAPE),
    };
    /// What of files is made smaller.
    Get "/media/compression/status" => chunks::compression_status, User, Default {
        answer: One(chunks::CompressionStatusResponse::SHAPE),
    };
}
