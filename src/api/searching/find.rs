//! Looking for messages: newest first, only what the one who asks may read now, a slice of work at a time.
//!
//! Every place where he may find something (each of his servers, each private channel) offers its newest message that
//! the index has for all terms; of all offers the newest is looked at in the store: is it there, may he read that channel,
//! is it like that. So rights, deletions and edits are those of the moment, and a page is cut out of what he may see, not
//! out of what there is. Channels that are not in the index yet are read message by message.
//!
//! A slice ends when it has taken its time. Where it ended is a place in the order of messages like any other.

use std::collections::BinaryHeap;
use std::iter::Peekable;
use std::time::{Duration, Instant};

use super::plan::{Plan, Request};
use crate::domain::Asking;
use crate::domain::permission::{Access, CHANNELS_VIEW, MESSAGES_READ, Standing};
use crate::domain::social::dm;
use crate::id::{ChannelId, MessageId, ServerId};
use crate::search::terms::{Term, mark};
use crate::search::{Common, Look, Next};
use crate::store::records::{ArchivedMessage, Message};
use crate::store::side::Damaged;
use crate::store::tables::{CHANNELS, MESSAGES, SERVER_CHANNELS, USER_DMS, USER_GROUPS, USER_SERVERS};
use crate::store::{Read, Scan};

/// Steps over lists until somebody looks at the time: about a millisecond.
const STEPS: usize = 4_096;

/// What a slice may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub candidates: usize,
    pub time: Duration,
}

/// A message that was found.
pub struct Found<'a> {
    pub access: Access<'a>,
    pub message_id: MessageId,
    pub message: &'a ArchivedMessage,
}

/// How a slice has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There are no more.
    All,
    /// As many as were wanted were found.
    Enough,
    /// Nothing else was found among what is not older than this, and older messages were not looked at.
    Before(MessageId),
}

/// The newest messages that are like that, `count` of them at most.
///
/// # Errors
/// When the index is damaged.
pub fn find<'a>(
    asking: Asking<'a>,
    look: &Look<'_>,
    request: &Request,
    count: usize,
    budget: Budget,
) -> Result<(Vec<Found<'a>>, End), Damaged> {
    let Some(plan) = Plan::new(asking.read, request) else { return Ok((Vec::new(), End::All)) };
    let terms = plan.terms();
    let mut search = Search { asking, look, plan: &plan, terms: &terms };
    let mut places = search.places(request);
    let mut heads = BinaryHeap::with_capacity(places.len());
    for (at, place) in places.iter_mut().enumerate() {
        heads.extend(search.advance(place, plan.at_most)?.map(|id| (id, at)));
    }
    let (mut found, mut candidates) = (Vec::new(), 0);
    let until = Instant::now() + budget.time;
    while let Some((id, at)) = heads.pop() {
        if id < plan.at_least {
            break;
        }
        if candidates >= budget.candidates || (candidates > 0 && Instant::now() >= until) {
            return Ok((found, End::Before(MessageId(id.saturating_add(1)))));
        }
        candidates += 1;
        let place = &mut places[at];
        let next = match place.head {
            Head::NotAbove => Some(id),
            _ => {
                found.extend(search.examine(place, MessageId(id)));
                if found.len() >= count {
                    return Ok((found, End::Enough));
                }
                id.checked_sub(1)
            }
        };
        if let Some(next) = next {
            heads.extend(search.advance(place, next)?.map(|id| (id, at)));
        }
    }
    Ok((found, End::All))
}

/// Messages of a channel, newest first.
type Messages<'a> = Peekable<Scan<'a, (ChannelId, MessageId), Message>>;

/// What a place offers.
#[derive(Clone, Copy)]
enum Head {
    /// A message that the index names, by the mark of its channel.
    Marked(u8),
    /// A message of this channel.
    Of(ChannelId),
    /// None that is newer; the index was not asked to the end.
    NotAbove,
}

/// A channel as the one who asks sees it.
struct Seat<'a> {
    channel_id: ChannelId,
    /// `None` as long as nobody has asked; then whether he may read it and it is wanted.
    access: Option<Option<Access<'a>>>,
}

/// A server, or a private channel.
struct Place<'a, 'l> {
    id: u64,
    /// In a server: as what he is there.
    standing: Option<Standing<'a>>,
    /// Its channels, once somebody has asked.
    seats: Option<Vec<Seat<'a>>>,
    common: Option<Common<'l>>,
    /// Channels that are not in the index, from their newest messages on.
    scans: Vec<(ChannelId, Messages<'a>)>,
    head: Head,
}

struct Search<'a, 'l> {
    asking: Asking<'a>,
    look: &'l Look<'l>,
    plan: &'l Plan,
    terms: &'l [Term<'l>],
}

impl<'a, 'l> Search<'a, 'l> {
    /// Where he may find something.
    fn places(&mut self, request: &Request) -> Vec<Place<'a, 'l>> {
        let Asking { read, who, .. } = self.asking;
        if let Some(channel_id) = request.channel_id {
            let access = self.asking.channel(channel_id).ok();
            let server_id = access.and_then(|access| access.channel.server());
            let is_there =
                access.is_some() && (request.server_id.is_none() || request.server_id == server_id);
            let place = server_id.map_or(channel_id.0, |server_id| server_id.0);
            let standing = access.and_then(|access| access.standing);
            return is_there.then(|| self.place(place, standing, Some(channel_id))).into_iter().collect();
        }
        if let Some(server_id) = request.server_id {
            return self.server(server_id).into_iter().collect();
        }
        let servers = read.scan(USER_SERVERS, who).keys().map(|(_, server_id)| server_id);
        let mut places: Vec<_> = servers.filter_map(|server_id| self.server(server_id)).collect();
        let private = read.scan_rev(USER_DMS, who).keys().map(|(_, channel_id)| channel_id);
        let private = private.chain(read.scan_rev(USER_GROUPS, who).keys().map(|(_, channel_id)| channel_id));
        let private = private.chain(dm::channel_of(read, who, who));
        places.extend(private.map(|channel_id| self.place(channel_id.0, None, Some(channel_id))));
        places
    }

    fn server(&self, server_id: ServerId) -> Option<Place<'a, 'l>> {
        let standing = self.asking.server(server_id).ok()?;
        Some(self.place(server_id.0, Some(standing), None))
    }

    /// `only`: the one channel that is wanted of it.
    fn place(&self, id: u64, standing: Option<Standing<'a>>, only: Option<ChannelId>) -> Place<'a, 'l> {
        let mut place =
            Place { id, standing, seats: None, common: None, scans: Vec::new(), head: Head::NotAbove };
        if let Some(channel_id) = only {
            place.seats = Some(vec![Seat { channel_id, access: None }]);
        }
        if self.look.is_complete() && !self.plan.names_channels() {
            place.common = self.look.common(self.look.place(id), self.terms);
            return place;
        }
        let read = self.asking.read;
        let channels: Vec<ChannelId> = self.seats(&mut place).iter().map(|seat| seat.channel_id).collect();
        let is_wanted = |channel_id: &ChannelId| self.access(&mut place, *channel_id).is_some();
        let wanted: Vec<ChannelId> = channels.into_iter().filter(is_wanted).collect();
        for channel_id in wanted {
            if self.look.is_built(channel_id) {
                place.common = place.common.or_else(|| self.look.common(self.look.place(id), self.terms));
            } else {
                let before = (channel_id, MessageId(self.plan.at_most.saturating_add(1)));
                let scan = match self.plan.at_most {
                    u64::MAX => read.scan_rev(MESSAGES, channel_id),
                    _ => read.scan_rev_before(MESSAGES, channel_id, before),
                };
                place.scans.push((channel_id, scan.peekable()));
            }
        }
        place
    }

    fn seats<'p>(&self, place: &'p mut Place<'a, 'l>) -> &'p mut Vec<Seat<'a>> {
        let read: Read<'a> = self.asking.read;
        let of_server = || {
            let channels = read.scan(SERVER_CHANNELS, ServerId(place.id)).keys();
            channels.map(|(_, channel_id)| Seat { channel_id, access: None }).collect()
        };
        place.seats.get_or_insert_with(of_server)
    }

    /// His access to a channel of the place, if he may read it and it is wanted.
    fn access(&self, place: &mut Place<'a, 'l>, channel_id: ChannelId) -> Option<Access<'a>> {
        let (standing, asking) = (place.standing, self.asking);
        let seat = self.seats(place).iter_mut().find(|seat| seat.channel_id == channel_id)?;
        *seat.access.get_or_insert_with(|| {
            let channel = asking.read.get(CHANNELS, channel_id)?;
            let access = match standing {
                Some(standing) => {
                    let permissions = standing.permissions_in(channel_id);
                    Access { asking, channel_id, channel, standing: Some(standing), permissions }
                }
                None => asking.channel(channel_id).ok()?,
            };
            let may = access.has(CHANNELS_VIEW | MESSAGES_READ) && self.plan.takes_channel(channel);
            may.then_some(access)
        })
    }

    /// Has a place offer its newest message that is not newer than that.
    fn advance(&self, place: &mut Place<'a, 'l>, at_most: u64) -> Result<Option<u64>, Damaged> {
        let mut newest = None;
        if let Some(common) = &mut place.common {
            match common.at_most(at_most, STEPS)? {
                Next::Found(posting) => newest = Some((posting.id, Head::Marked(posting.mark))),
                Next::NotAbove(id) => newest = Some((id, Head::NotAbove)),
                Next::End => place.common = None,
            }
        }
        for (channel_id, scan) in &mut place.scans {
            while scan.next_if(|((_, id), _)| id.0 > at_most).is_some() {}
            let Some(((_, id), _)) = scan.peek() else { continue };
            // On a par, what the index names is of the other channels, or the same.
            if newest.is_none_or(|(other, _)| id.0 >= other) {
                newest = Some((id.0, Head::Of(*channel_id)));
            }
        }
        Ok(newest.map(|(id, head)| {
            place.head = head;
            id
        }))
    }

    /// The message that a place offers, if it is one that was looked for.
    fn examine(&self, place: &mut Place<'a, 'l>, message_id: MessageId) -> Option<Found<'a>> {
        let channels: smallvec::SmallVec<[ChannelId; 4]> = match place.head {
            Head::NotAbove => return None,
            Head::Of(channel_id) => [channel_id].into_iter().collect(),
            Head::Marked(marked) => {
                let of_mark = self.seats(place).iter().map(|seat| seat.channel_id);
                of_mark.filter(|id| mark(*id) == marked && self.look.is_built(*id)).collect()
            }
        };
        channels.into_iter().find_map(|channel_id| {
            let access = self.access(place, channel_id)?;
            let message = self.asking.read.get(MESSAGES, (channel_id, message_id))?;
            self.plan.takes(message).then_some(Found { access, message_id, message })
        })
    }
}
