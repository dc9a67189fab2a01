//! Pictures.

pub mod avatars;
pub mod kept;
pub mod pictures;

use super::routes::Answer::{One, Picture};
use super::routes::{multipart, routes};
use crate::domain::community::server::ServerResponse;
use crate::domain::identity::right::Right;

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
}
