//! Who may do what in a server and its channels. One engine for REST, gateway and apply.
//!
//! Contract §5: the owner has all, `administrator` gives all, else OR over the roles; then channel overrides: all
//! role denies, role allows, member denies, member allows; a running timeout takes speaking rights away.

use crate::id::{ChannelId, RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::{
    ArchivedChannel, ArchivedMember, ArchivedServer, Grant, channel_kind, override_kind,
};
use crate::store::tables::{CHANNELS, MEMBERS, OVERRIDES, ROLES, SERVERS};

use super::asking::Asking;
use super::error::{Error, Refusal, Result};

macro_rules! permissions {
    ($($constant:ident = $bit:literal $name:literal;)*) => {
        $(pub const $constant: u64 = 1 << $bit;)*
        /// All names in the order of their bits.
        pub const NAMES: &[&str] = &[$($name),*];
        const _: () = { let mut index = 0; $(assert!($bit == index); index += 1;)* assert!(index == 37); };
    };
}

// The bits stand in stored overrides and roles: append, never reorder.
permissions! {
    CHANNELS_VIEW = 0 "channels.view";
    MESSAGES_SEND = 1 "messages.send";
    MESSAGES_READ = 2 "messages.read";
    MESSAGES_EMBED_LINKS = 3 "messages.embed_links";
    MESSAGES_ATTACH_FILES = 4 "messages.attach_files";
    MESSAGES_ADD_REACTIONS = 5 "messages.add_reactions";
    VOICE_CONNECT = 6 "voice.connect";
    VOICE_SPEAK = 7 "voice.speak";
    INVITES_CREATE = 8 "invites.create";
    EVENTS_VIEW = 9 "events.view";
    SERVER_MANAGE = 10 "server.manage";
    SERVER_VIEW_AUDIT_LOG = 11 "server.view_audit_log";
    SERVER_AUTOMOD = 12 "server.automod";
    CHANNELS_MANAGE = 13 "channels.manage";
    ROLES_MANAGE = 14 "roles.manage";
    MEMBERS_KICK = 15 "members.kick";
    MEMBERS_BAN = 16 "members.ban";
    MEMBERS_MANAGE_NICKNAMES = 17 "members.manage_nicknames";
    MEMBERS_MANAGE_ROLES = 18 "members.manage_roles";
    INVITES_MANAGE = 19 "invites.manage";
    EMOJIS_MANAGE = 20 "emojis.manage";
    MESSAGES_MANAGE = 21 "messages.manage";
    MESSAGES_MENTION_EVERYONE = 22 "messages.mention_everyone";
    MESSAGES_USE_EXTERNAL_EMOJIS = 23 "messages.use_external_emojis";
    MESSAGES_BYPASS_SLOWMODE = 24 "messages.bypass_slowmode";
    VOICE_MUTE_MEMBERS = 25 "voice.mute_members";
    VOICE_DEAFEN_MEMBERS = 26 "voice.deafen_members";
    VOICE_MOVE_MEMBERS = 27 "voice.move_members";
    EVENTS_MANAGE = 28 "events.manage";
    TEMPLATES_MANAGE = 29 "templates.manage";
    ONBOARDING_MANAGE = 30 "onboarding.manage";
    ADMINISTRATOR = 31 "administrator";
    BANS_VIEW = 32 "bans.view";
    WEBHOOKS_MANAGE = 33 "webhooks.manage";
    THREADS_CREATE_PUBLIC = 34 "threads.create_public";
    THREADS_CREATE_PRIVATE = 35 "threads.create_private";
    THREADS_MANAGE = 36 "threads.manage";
}

/// Every permission.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// What @everyone of a new server may do.
pub const EVERYONE_DEFAULT: u64 = CHANNELS_VIEW
    | MESSAGES_SEND
    | MESSAGES_READ
    | MESSAGES_EMBED_LINKS
    | MESSAGES_ATTACH_FILES
    | MESSAGES_ADD_REACTIONS
    | VOICE_CONNECT
    | VOICE_SPEAK
    | INVITES_CREATE
    | EVENTS_VIEW;

/// What a running timeout takes away.
const TIMEOUT_MASK: u64 = MESSAGES_SEND
    | MESSAGES_ADD_REACTIONS
    | MESSAGES_ATTACH_FILES
    | MESSAGES_EMBED_LINKS
    | VOICE_SPEAK
    | VOICE_CONNECT;

/// What a participant may do in a direct message or in his notes.
const PRIVATE: u64 = CHANNELS_VIEW
    | MESSAGES_SEND
    | MESSAGES_READ
    | MESSAGES_EMBED_LINKS
    | MESSAGES_ATTACH_FILES
    | MESSAGES_ADD_REACTIONS
    | MESSAGES_USE_EXTERNAL_EMOJIS
    | MESSAGES_BYPASS_SLOWMODE;

/// What a channel can allow and deny: all that is done in one.
pub const OVERRIDABLE: u64 = CHANNELS_VIEW
    | MESSAGES_SEND
    | MESSAGES_READ
    | MESSAGES_EMBED_LINKS
    | MESSAGES_ATTACH_FILES
    | MESSAGES_ADD_REACTIONS
    | MESSAGES_MANAGE
    | MESSAGES_MENTION_EVERYONE
    | MESSAGES_USE_EXTERNAL_EMOJIS
    | MESSAGES_BYPASS_SLOWMODE
    | VOICE_CONNECT
    | VOICE_SPEAK
    | VOICE_MUTE_MEMBERS
    | VOICE_DEAFEN_MEMBERS
    | VOICE_MOVE_MEMBERS
    | INVITES_CREATE
    | CHANNELS_MANAGE
    | WEBHOOKS_MANAGE
    | THREADS_CREATE_PUBLIC
    | THREADS_CREATE_PRIVATE
    | THREADS_MANAGE;

/// The name of a single permission.
pub fn name(permission: u64) -> &'static str {
    debug_assert!(permission.is_power_of_two());
    NAMES[permission.trailing_zeros() as usize]
}

/// The bits that a role's grants give. `*` is everything, `a.*` everything below `a.`; unknown names give nothing.
pub fn bits_of(grants: &[Grant]) -> u64 {
    grants.iter().filter(|grant| grant.allowed).fold(0, |bits, grant| bits | bits_of_name(&grant.name))
}

/// The same of one name.
pub fn bits_of_name(name: &str) -> u64 {
    if name == "*" {
        return ALL;
    }
    let matches = |known: &str| match name.strip_suffix('*') {
        Some(family) => family.ends_with('.') && known.starts_with(family),
        None => known == name,
    };
    NAMES.iter().enumerate().filter(|(_, known)| matches(known)).fold(0, |bits, (bit, _)| bits | 1 << bit)
}

/// `administrator` gives all.
fn resolve(bits: u64) -> u64 {
    if bits & ADMINISTRATOR != 0 { ALL } else { bits }
}

/// A member as the engine sees him.
#[derive(Clone, Copy)]
pub struct Standing<'a> {
    pub asking: Asking<'a>,
    pub server_id: ServerId,
    pub server: &'a ArchivedServer,
    pub member: &'a ArchivedMember,
    /// Server-wide permissions, timeout applied.
    pub permissions: u64,
}

impl Standing<'_> {
    pub fn is_owner(&self) -> bool {
        UserId::from(&self.server.owner_id) == self.asking.who
    }

    pub fn has(&self, permission: u64) -> bool {
        self.permissions & permission == permission
    }

    /// # Errors
    /// 403 naming the permission.
    pub fn require(&self, permission: u64) -> Result<()> {
        if self.has(permission) { Ok(()) } else { Err(Error::missing_permission(name(permission))) }
    }

    /// # Errors
    /// 403 naming the first permission when he has none of them.
    pub fn require_any(&self, permissions: &[u64]) -> Result<()> {
        if permissions.iter().any(|&permission| self.has(permission)) {
            return Ok(());
        }
        Err(Error::missing_permission(name(permissions[0])))
    }

    /// Position of his highest role; the owner stands above all.
    pub fn top_position(&self) -> u64 {
        if self.is_owner() {
            return u64::MAX;
        }
        let positions =
            self.member.role_ids().filter_map(|id| self.asking.read.get(ROLES, (self.server_id, id)));
        positions.map(|role| role.position.to_native()).max().unwrap_or(0)
    }

    /// # Errors
    /// 403 unless he stands strictly above the target (role order, contract §5).
    pub fn require_above(&self, target: &Standing<'_>) -> Result<()> {
        if target.is_owner() {
            return Err(Refusal::OwnerProtected.into());
        }
        if self.top_position() > target.top_position() { Ok(()) } else { Err(Refusal::RoleTooHigh.into()) }
    }

    /// Permissions in one channel of the server.
    pub fn permissions_in(&self, channel_id: ChannelId) -> u64 {
        if self.is_owner() {
            return ALL;
        }
        let Asking { read, at, who } = self.asking;
        let roles: smallvec::SmallVec<[RoleId; 8]> = self.member.role_ids().collect();
        let everyone = RoleId::from(&self.server.everyone_role_id);
        let permissions = with_overrides(read, channel_id, everyone, &roles, Some(who), self.permissions);
        // An override must not give back what a timeout takes.
        apply_timeout(permissions, self.member, at)
    }
}

/// What a set of roles plus @everyone gives server-wide.
pub fn role_permissions(
    read: Read<'_>,
    server_id: ServerId,
    server: &ArchivedServer,
    roles: impl Iterator<Item = RoleId>,
) -> u64 {
    let everyone = RoleId::from(&server.everyone_role_id);
    let bits = roles.chain([everyone]).filter_map(|id| read.get(ROLES, (server_id, id)));
    resolve(bits.fold(0, |bits, role| bits | role.bits.to_native()))
}

/// Whether a timeout silences a member with these permissions. An administrator cannot be silenced: `administrator`
/// gives all.
fn is_silenced(permissions: u64, member: &ArchivedMember, at: u64) -> bool {
    let running = member.timeout_until.as_ref().is_some_and(|until| until.to_native() > at);
    running && permissions & ADMINISTRATOR == 0
}

fn apply_timeout(permissions: u64, member: &ArchivedMember, at: u64) -> u64 {
    if is_silenced(permissions, member, at) { permissions & !TIMEOUT_MASK } else { permissions }
}

/// Role and member overrides of a channel on top of server-wide permissions.
///
/// `user_id` is `None` for permissions of a set of roles alone.
pub fn with_overrides(
    read: Read<'_>,
    channel_id: ChannelId,
    everyone: RoleId,
    roles: &[RoleId],
    user_id: Option<UserId>,
    permissions: u64,
) -> u64 {
    if permissions & ADMINISTRATOR != 0 {
        return permissions;
    }
    let (mut role_allow, mut role_deny, mut member_allow, mut member_deny) = (0, 0, 0, 0);
    for ((_, kind, target), item) in read.scan(OVERRIDES, channel_id) {
        if kind == override_kind::ROLE && (target == everyone.0 || roles.contains(&RoleId(target))) {
            role_allow |= item.allow.to_native();
            role_deny |= item.deny.to_native();
        } else if kind != override_kind::ROLE && user_id == Some(UserId(target)) {
            member_allow |= item.allow.to_native();
            member_deny |= item.deny.to_native();
        }
    }
    overridden(overridden(permissions, role_allow, role_deny), member_allow, member_deny)
}

/// What an override leaves of permissions: what it allows wins.
pub fn overridden(permissions: u64, allow: u64, deny: u64) -> u64 {
    permissions & !deny | allow
}

/// The overrides of one channel, for whoever asks about many sets of roles.
#[derive(Debug, Default)]
pub struct Overrides {
    /// Role, allowed, denied; sorted.
    roles: Vec<(RoleId, u64, u64)>,
    /// Member, allowed, denied; sorted. They come on top of those of the roles, but for the owner and administrators.
    pub members: Vec<(UserId, u64, u64)>,
}

impl Overrides {
    pub fn of(read: Read<'_>, channel_id: ChannelId) -> Overrides {
        let mut overrides = Overrides::default();
        for ((_, kind, target), item) in read.scan(OVERRIDES, channel_id) {
            let (allow, deny) = (item.allow.to_native(), item.deny.to_native());
            match kind {
                override_kind::ROLE => overrides.roles.push((RoleId(target), allow, deny)),
                _ => overrides.members.push((UserId(target), allow, deny)),
            }
        }
        overrides
    }

    /// As [`with_overrides`] without a member.
    pub fn apply_roles(&self, everyone: RoleId, roles: &[RoleId], permissions: u64) -> u64 {
        if permissions & ADMINISTRATOR != 0 || self.roles.is_empty() {
            return permissions;
        }
        let found = roles.iter().chain([&everyone]).filter_map(|role| {
            let index = self.roles.binary_search_by_key(role, |(role, ..)| *role).ok()?;
            Some(self.roles[index])
        });
        let (allow, deny) = found.fold((0, 0), |(allow, deny), item| (allow | item.1, deny | item.2));
        overridden(permissions, allow, deny)
    }
}

/// A user's access to a channel of any kind.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    pub asking: Asking<'a>,
    pub channel_id: ChannelId,
    pub channel: &'a ArchivedChannel,
    /// In a server channel: his standing there.
    pub standing: Option<Standing<'a>>,
    pub permissions: u64,
}

impl Access<'_> {
    /// # Errors
    /// 400 for channels that hold no messages.
    pub fn require_messages(&self) -> Result<()> {
        match self.channel.kind {
            channel_kind::VOICE | channel_kind::STAGE | channel_kind::CATEGORY => {
                let kind = channel_kind::text(self.channel.kind);
                Err(Error::bad_request(format!("A {kind} channel holds no messages")))
            }
            _ => Ok(()),
        }
    }

    pub fn has(&self, permission: u64) -> bool {
        self.permissions & permission == permission
    }

    /// # Errors
    /// 403 naming the permission.
    pub fn require(&self, permission: u64) -> Result<()> {
        if self.has(permission) { Ok(()) } else { Err(Error::missing_permission(name(permission))) }
    }

    /// Whether a timeout silences him there.
    pub fn is_silenced(&self) -> bool {
        self.standing.is_some_and(|standing| is_silenced(self.permissions, standing.member, self.asking.at))
    }

    /// The other side of a direct message.
    pub fn recipient(&self) -> Option<UserId> {
        self.channel.participant_ids().find(|&id| id != self.asking.who)
    }
}

impl<'a> Asking<'a> {
    /// His standing in a server.
    ///
    /// # Errors
    /// 404 when the server does not exist, 403 when he is no member.
    pub fn server(self, server_id: ServerId) -> Result<Standing<'a>> {
        let Asking { read, at, who } = self;
        let server = read.get(SERVERS, server_id).ok_or(Refusal::ServerNotFound)?;
        let member = read.get(MEMBERS, (server_id, who)).ok_or(Refusal::NotMember)?;
        let permissions = if UserId::from(&server.owner_id) == who {
            ALL
        } else {
            apply_timeout(role_permissions(read, server_id, server, member.role_ids()), member, at)
        };
        Ok(Standing { asking: self, server_id, server, member, permissions })
    }

    /// His access to a channel that he may at least view.
    ///
    /// # Errors
    /// 404 when the channel does not exist; 403 for non-members, without `channels.view`, for non-participants.
    pub fn channel(self, channel_id: ChannelId) -> Result<Access<'a>> {
        let channel = self.read.get(CHANNELS, channel_id).ok_or(Refusal::ChannelNotFound)?;
        let Some(server_id) = channel.server() else {
            if channel.participant_ids().any(|id| id == self.who) {
                let (standing, permissions) = (None, PRIVATE);
                return Ok(Access { asking: self, channel_id, channel, standing, permissions });
            }
            return Err(Refusal::NotParticipant.into());
        };
        let standing = self.server(server_id)?;
        let permissions = standing.permissions_in(channel_id);
        let access = Access { asking: self, channel_id, channel, standing: Some(standing), permissions };
        access.require(CHANNELS_VIEW)?;
        Ok(access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(names: &[(&str, bool)]) -> Vec<Grant> {
        names.iter().map(|(name, allowed)| Grant { name: name.to_string(), allowed: *allowed }).collect()
    }

    #[test]
    fn grants_resolve_to_bits() {
        let check =
            |names: &[(&str, bool)], want: u64| assert_eq!(bits_of(&grants(names)), want, "{names:?}");
        check(&[("channels.view", true), ("messages.send", false)], CHANNELS_VIEW);
        check(
            &[("voice.*", true)],
            VOICE_CONNECT | VOICE_SPEAK | VOICE_MUTE_MEMBERS | VOICE_DEAFEN_MEMBERS | VOICE_MOVE_MEMBERS,
        );
        check(&[("*", true)], ALL);
        check(&[("*", false)], 0);
        check(&[("no.such", true), ("channels.vie", true), ("chan*", true)], 0);
    }

    #[test]
    fn thirty_seven_names() {
        assert_eq!(NAMES.len(), 37);
        assert_eq!(name(ADMINISTRATOR), "administrator");
        assert_eq!(ALL.count_ones(), 37);
    }
}
