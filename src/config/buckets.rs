//! The table of rate-limit buckets that routes name (contract README §6): one row is the option, its default and help,
//! and the rule that the limiter goes by.
//!
//! Owns: the rows. `options.rs` makes the section `rate_limiting.buckets` of them, `api/limiter/rules.rs` the rules; each
//! takes of a row what is its own. A macro hands the rows out as `macro_rules` cannot call one in the middle of a table.

/// Invokes a macro with what it was given, followed by the rows: name of the rule, option, default, what it is counted
/// by (`KeyKind`), whether bots get more, scope as refusals tell it, a wider bucket that is asked before, help.
macro_rules! bucket_rows {
    ($($then:ident)::+! $($with:tt)*) => {
        $($then)::+! { $($with)* {
            AuthLogin auth_login = "5/60s fixed; 20/h", Ip, false, "route", "POST /auth/login, per address";
            AuthRegister auth_register = "3/60s fixed; 10/h; 20/d", Ip, false, "route", "POST /auth/register, per address";
            AuthTwoFactor auth_two_factor = "5+2/60s sliding", Ip, false, "route", "POST /auth/2fa, per address";
            MessagesCreate messages_create = "5+3/5s token", UserChannel, true, "resource", "POST a message, per user and channel";
            MessagesEdit messages_edit = "5+2/5s sliding", UserChannel, false, "resource", "PATCH or DELETE a message, per user and channel";
            Reactions reactions = "1+1/250ms token", UserChannel, true, "resource", "PUT or DELETE a reaction, per user and channel";
            MessagesList messages_list = "10+5/10s sliding", UserChannel, true, "resource", "GET the messages of a channel, per user and channel";
            UsersMeGet users_me_get = "30+10/60s sliding", User, false, "route", "GET /users/@me, per user";
            UsersMeEdit users_me_edit = "2/60s fixed; 20/h", User, false, "route", "PATCH /users/@me, per user";
            ServersCreate servers_create = "10+2/60s sliding; 100/d", User, false, "route", "POST /servers, per user";
            ServersDelete servers_delete = "1/60s fixed", User, false, "route", "DELETE a server, per user";
            ServersGet servers_get = "20+10/10s sliding", User, false, "route", "GET a server, per user";
            ServersChannelsList servers_channels_list = "100+20/60s sliding", User, false, "route", "GET the channels of a server, per user";
            RelationshipsList relationships_list = "100+20/60s sliding", User, false, "route", "GET /relationships/@me, per user";
            RelationshipsCreate relationships_create = "5+2/60s sliding; 50/h", User, false, "route", "POST /relationships, per user";
            RelationshipsBlock relationships_block = "10+5/60s sliding", User, false, "route", "POST /relationships/block, per user";
            Uploads uploads = "10+2/60s token; 100/h", User, false, "route", "Uploads of files, per user";
            WebhooksCreate webhooks_create = "5+2/60s sliding", User, false, "route", "POST /webhooks, per user";
            WebhooksChannel webhooks_channel = "30+10/60s token", WebhookChannel, false, "webhook", "Calls with the token of a webhook, per channel";
            WebhooksExecute webhooks_execute = "5+5/2s token", Webhook, false, "webhook", within WebhooksChannel, "Calls with the token of a webhook, per webhook";
            Qr qr = "20+5/60s sliding", Ip, false, "route", "GET /qr, per address";
            Feedback feedback = "5/h fixed; 20/d", User, false, "route", "POST /feedback, per user, whatever came of it; see feedback.rate_limit";
            Telemetry telemetry = "30+5/60s token; 1000/h", Ip, false, "route", "POST /telemetry/*, per address";
            Default default = "30+5/30s sliding", UserRoute, false, "route", "Every other route, per user or address, method and route";
        } }
    };
}
pub(crate) use bucket_rows;
