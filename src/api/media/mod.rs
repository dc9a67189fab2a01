//! Pictures.

pub mod avatars;

use super::routes::Answer::Svg;
use super::routes::routes;

routes! {
    /// Generated picture of a user.
    Get "/avatars/users/{user_id}" => avatars::avatar_user_get, Public, Exempt { answer: Svg };
    /// Generated picture of a server.
    Get "/avatars/servers/{server_id}" => avatars::avatar_server_get, Public, Exempt { answer: Svg };
}
