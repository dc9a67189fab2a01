//! Emojis and stickers of servers: random commands, what they must be answered, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};

use plexichat::domain::expression::emoji::{EmojiCreate, EmojiDelete, EmojiRename};
use plexichat::domain::expression::sticker::{StickerCreate, StickerDelete, StickerSend};
use plexichat::domain::permission::{
    EMOJIS_MANAGE, MESSAGES_READ, MESSAGES_USE_EXTERNAL_EMOJIS, SERVER_MANAGE,
};
use plexichat::domain::{Op, Reply, custom_emoji, expression};
use plexichat::id::{EmojiId, ServerId, StickerId};
use plexichat::store::Read;
use plexichat::store::records::{Emoji as EmojiRecord, Picture, Sticker as StickerRecord, picture as format};
use plexichat::store::tables::{
    EMOJI_SERVERS, EMOJIS, STICKER_PACKS, STICKER_SERVERS, STICKER_USES, STICKERS,
};

use super::generate::Generator;
use super::model::*;

/// Emojis of a kind, and stickers, that commands allow.
const COUNT_MAX: u64 = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Emoji {
    server: u64,
    name: String,
    animated: bool,
    deleted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sticker {
    server: u64,
    name: String,
    uses: u64,
    deleted: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Expressions {
    emojis: BTreeMap<u64, Emoji>,
    stickers: BTreeMap<u64, Sticker>,
    /// Servers that have a pack.
    packs: BTreeSet<u64>,
    /// Message and sticker.
    uses: BTreeSet<(u64, u64)>,
}

impl Generator<'_> {
    fn kept_picture(&mut self) -> Picture {
        Picture { hash: [self.random.u8(..6); 32], format: format::GIF, animated: self.random.bool() }
    }

    fn emoji_name(&mut self) -> String {
        format!("emoji_{}", self.random.u32(..5))
    }

    /// An emoji as a reaction names it, mostly one that there is or was.
    pub fn custom_emoji(&mut self, model: &Model) -> String {
        custom_emoji::spelled(EmojiId(self.id(model.expressions.emojis.keys().copied())))
    }

    pub fn expression_command(&mut self, model: &Model) -> (u64, Op) {
        let server = self.server(model);
        let actor = self.insider(model, model.servers.get(&server));
        let server_id = ServerId(server);
        let of_server = model.expressions.emojis.iter().filter(|(_, emoji)| emoji.server == server);
        let emoji_id = EmojiId(self.id(of_server.map(|(id, _)| *id)));
        let sticker_id = StickerId(self.id(model.expressions.stickers.keys().copied()));
        let sticker = model.expressions.stickers.get(&sticker_id.0);
        let op: Op = match self.random.u32(..12) {
            0..=2 => {
                let (name, picture) = (self.emoji_name(), self.kept_picture());
                EmojiCreate { server_id, name, picture, count_max: COUNT_MAX }.into()
            }
            3 | 4 => EmojiRename { server_id, emoji_id, name: self.emoji_name() }.into(),
            5 => EmojiDelete { server_id, emoji_id }.into(),
            6 | 7 => StickerCreate {
                server_id,
                name: self.name(),
                tags: vec![self.name()],
                picture: self.kept_picture(),
                width: 64,
                height: 32,
                count_max: COUNT_MAX,
            }
            .into(),
            8 => {
                let actor =
                    self.insider(model, sticker.and_then(|sticker| model.servers.get(&sticker.server)));
                return (actor, StickerDelete { sticker_id }.into());
            }
            _ => {
                let (actor, channel_id, message_id) = self.spot(model);
                return (actor, StickerSend { sticker_id, channel_id, message_id }.into());
            }
        };
        (actor, op)
    }
}

impl Model {
    fn manages_expressions(&self, actor: u64, server: u64) -> Result<(), Refused> {
        let bits = self.standing(actor, server)?.bits(actor);
        unless(bits & (EMOJIS_MANAGE | SERVER_MANAGE) == 0, FORBIDDEN)
    }

    fn emoji(&self, server: ServerId, id: EmojiId) -> Result<&Emoji, Refused> {
        let emoji = self.expressions.emojis.get(&id.0);
        some(emoji.filter(|emoji| emoji.server == server.0 && !emoji.deleted), MISSING)
    }

    fn sticker(&self, id: StickerId) -> Option<&Sticker> {
        self.expressions.stickers.get(&id.0).filter(|sticker| !sticker.deleted)
    }

    fn has_free(&self, server: u64, name: &str) -> Result<(), Refused> {
        let mut all = self.expressions.emojis.values();
        unless(all.any(|emoji| emoji.server == server && !emoji.deleted && emoji.name == name), CONFLICT)
    }

    pub fn judge_expression(&self, actor: u64, op: &expression::Op) -> Result<Want, Refused> {
        match op {
            expression::Op::EmojiCreate(op) => {
                let server = op.server_id.0;
                self.manages_expressions(actor, server)?;
                self.has_free(server, &op.name)?;
                let is_like = |emoji: &&Emoji| {
                    emoji.server == server && !emoji.deleted && emoji.animated == op.picture.animated
                };
                let count = self.expressions.emojis.values().filter(is_like).count();
                unless(count as u64 >= op.count_max, BAD)?;
                Ok(Want::Emoji)
            }
            expression::Op::EmojiRename(op) => {
                self.manages_expressions(actor, op.server_id.0)?;
                if self.emoji(op.server_id, op.emoji_id)?.name == op.name {
                    return Ok(Want::Changed(false));
                }
                self.has_free(op.server_id.0, &op.name)?;
                Ok(Want::Changed(true))
            }
            expression::Op::EmojiDelete(op) => {
                self.manages_expressions(actor, op.server_id.0)?;
                self.emoji(op.server_id, op.emoji_id)?;
                Ok(Want::Done)
            }
            expression::Op::StickerCreate(op) => {
                let server = op.server_id.0;
                self.manages_expressions(actor, server)?;
                let all = self.expressions.stickers.values();
                let count = all.filter(|sticker| sticker.server == server && !sticker.deleted).count();
                unless(count as u64 >= op.count_max, BAD)?;
                Ok(Want::Sticker)
            }
            expression::Op::StickerDelete(op) => {
                let sticker = some(self.sticker(op.sticker_id), MISSING)?;
                self.manages_expressions(actor, sticker.server)?;
                Ok(Want::Done)
            }
            expression::Op::StickerSend(op) => {
                let Some(sticker) = self.sticker(op.sticker_id) else { return Ok(Want::Changed(false)) };
                self.standing(actor, sticker.server)?;
                let channel = self.channels.get(&op.channel_id.0);
                let is_there = channel.is_some_and(|channel| channel.messages.contains_key(&op.message_id.0));
                let may_read =
                    || self.access(actor, op.channel_id.0).is_ok_and(|(_, have)| have & MESSAGES_READ != 0);
                Ok(Want::Changed(is_there && may_read()))
            }
        }
    }

    /// Whether somebody who may do that in a channel may use an emoji there, which others have used or not.
    pub fn may_use_emoji(
        &self,
        channel: &Channel,
        have: u64,
        emoji: &str,
        is_there: bool,
    ) -> Result<(), Refused> {
        let Some(id) = custom_emoji::named(emoji) else { return Ok(()) };
        let found = self.expressions.emojis.get(&id.0).filter(|emoji| is_there || !emoji.deleted);
        let Some(emoji) = found else { return unless(!is_there, BAD) };
        if channel.server == Some(emoji.server) {
            Ok(())
        } else {
            require(have, MESSAGES_USE_EXTERNAL_EMOJIS)
        }
    }

    pub fn take_expression(&mut self, op: &expression::Op, reply: &Reply) {
        match op {
            expression::Op::EmojiCreate(op) => {
                let Reply::Emoji(id) = reply else { unreachable!() };
                let (server, name, animated) = (op.server_id.0, op.name.clone(), op.picture.animated);
                let emoji = Emoji { server, name, animated, deleted: false };
                assert!(self.expressions.emojis.insert(id.0, emoji).is_none());
            }
            expression::Op::EmojiRename(op) => {
                self.expressions.emojis.get_mut(&op.emoji_id.0).unwrap().name.clone_from(&op.name);
            }
            expression::Op::EmojiDelete(op) => {
                self.expressions.emojis.get_mut(&op.emoji_id.0).unwrap().deleted = true;
            }
            expression::Op::StickerCreate(op) => {
                let Reply::Sticker(id) = reply else { unreachable!() };
                let (server, name) = (op.server_id.0, op.name.clone());
                let sticker = Sticker { server, name, uses: 0, deleted: false };
                assert!(self.expressions.stickers.insert(id.0, sticker).is_none());
                self.expressions.packs.insert(server);
            }
            expression::Op::StickerDelete(op) => {
                self.expressions.stickers.get_mut(&op.sticker_id.0).unwrap().deleted = true;
            }
            expression::Op::StickerSend(op) => {
                if self.expressions.uses.insert((op.message_id.0, op.sticker_id.0)) {
                    self.expressions.stickers.get_mut(&op.sticker_id.0).unwrap().uses += 1;
                }
            }
        }
    }

    /// They go with their server.
    pub fn remove_homeless_expressions(&mut self) {
        let here = |server: &u64| self.servers.contains_key(server);
        self.expressions.emojis.retain(|_, emoji| here(&emoji.server));
        self.expressions.stickers.retain(|_, sticker| here(&sticker.server));
        self.expressions.packs.retain(here);
    }

    pub fn compare_expressions(&self, read: Read<'_>) {
        let stored = read.scan(EMOJIS, ()).map(|((server, id), record)| {
            let EmojiRecord { name, picture, deleted, .. } = EmojiRecord::from(record);
            (id.0, Emoji { server: server.0, name, animated: picture.animated, deleted })
        });
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), self.expressions.emojis, "emojis");
        let stored = read.scan(STICKERS, ()).map(|((server, id), record)| {
            let StickerRecord { name, uses, deleted, .. } = StickerRecord::from(record);
            (id.0, Sticker { server: server.0, name, uses, deleted })
        });
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), self.expressions.stickers, "stickers");
        let servers = read.scan(EMOJI_SERVERS, ()).map(|(id, server)| (id.0, server.id.0.to_native()));
        let want = self.expressions.emojis.iter().map(|(id, emoji)| (*id, emoji.server));
        assert!(servers.eq(want), "EMOJI_SERVERS is the index of EMOJIS");
        let servers = read.scan(STICKER_SERVERS, ()).map(|(id, server)| (id.0, server.id.0.to_native()));
        let want = self.expressions.stickers.iter().map(|(id, sticker)| (*id, sticker.server));
        assert!(servers.eq(want), "STICKER_SERVERS is the index of STICKERS");
        let packs: BTreeSet<_> = read.scan(STICKER_PACKS, ()).map(|(server, _)| server.0).collect();
        assert!(self.expressions.packs.is_subset(&packs), "a server with stickers has a pack");
        let here = |message: u64| {
            let mut channels = self.channels.iter();
            channels.any(|(_, channel)| channel.messages.contains_key(&message))
        };
        let uses = read.scan(STICKER_USES, ()).map(|((message, sticker), _)| (message.0, sticker.0));
        let want = self.expressions.uses.iter().copied().filter(|(message, _)| here(*message));
        assert!(uses.filter(|(message, _)| here(*message)).eq(want), "stickers of messages");
    }
}
