//! The group of routes below `/search`.

pub use super::messages::search_message_list;
pub use super::servers::search_server_list;
pub use super::users::search_user_list;
