//! The administrators' console, as far as it is requests: below `admin_ui.path`, for browsers.
//!
//! Owns: the cookie that holds a session, the token of forms, and what leads from a form to an operation. What pages
//! consist of, and how they are spelled, is the layer `console`.
//! Invariant: a page changes nothing and knows nothing but through operations of the API, which it asks in the name of
//! the session in its cookie ([`ask`]): each is admitted, refused, counted and written down like any other.

mod ask;
pub mod console_login;
pub mod console_pages;
mod live;
mod session;

use super::routes::Answer::{File, Html};
use super::routes::{form, routes};
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Leads to the log-in.
    Get root "/admin" => console_login::console_root, Public, Exempt { answer: Html };
    /// The log-in.
    Get root "/admin/login" => console_login::console_login, Public, Exempt { answer: Html };
    /// Name and password.
    Post root "/admin/ui/login" => console_login::console_sign_in.await, Public, Exempt {
        secret: true, body: form(FORM_LEN_MAX), answer: Html,
    };
    /// The code.
    Post root "/admin/ui/verify" => console_login::console_verify.await, Public, Exempt {
        secret: true, body: form(FORM_LEN_MAX), answer: Html,
    };
    /// Out.
    Post root "/admin/ui/logout" => console_login::console_sign_out.await, Public, Exempt {
        body: form(FORM_LEN_MAX), answer: Html,
    };
    /// The first page.
    Get root "/admin/ui" => console_pages::console_home.await, Public, Exempt { answer: Html };
    /// The same, as it is called elsewhere.
    Get root "/admin/ui-dashboard" => console_pages::console_dashboard.await, Public, Exempt { answer: Html };
    /// The part of it that moves.
    Get root "/admin/ui/live" => console_pages::console_live.await, Public, Exempt { answer: Html };
    /// A style or a script.
    Get root "/admin/ui/assets/{name}" => console_pages::console_asset.await, Public, Exempt { answer: File };
    /// What a page shows, as a file.
    Get root "/admin/ui/export/{page}" => console_pages::console_export.await, Public, Exempt { answer: File };
    /// A page.
    Get root "/admin/ui/{page}" => console_pages::console_page.await, Public, Exempt { answer: Html };
    /// Something that is done on it.
    Post root "/admin/ui/{page}" => console_pages::console_act.await, Public, Exempt {
        secret: true, body: form(FORM_LEN_MAX), answer: Html,
    };
    /// A page about one thing.
    Get root "/admin/ui/{page}/{item}" => console_pages::console_item.await, Public, Exempt { answer: Html };
    /// Something that is done on it.
    Post root "/admin/ui/{page}/{item}" => console_pages::console_item_act.await, Public, Exempt {
        body: form(FORM_LEN_MAX), answer: Html,
    };
}
