//! The connections of one core, and how one is named.
//!
//! Invariant: a connection keeps its number as long as it lasts, and has a generation that none of those had which were
//! there under the same number before it. Whatever waits for a connection holds a [`ConnectionRef`].

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::connection::{Connection, Host, Hosts};
use crate::runtime::paged::PagedSlab;

/// Names a connection of this core. The number is given again when the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

impl ConnectionId {
    /// No connection.
    pub const NONE: ConnectionId = ConnectionId(u32::MAX);
}

/// Names a connection for longer than it may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionRef {
    pub id: ConnectionId,
    pub generation: u32,
}

#[derive(Default)]
pub struct Connections {
    slab: PagedSlab<Connection>,
    hosts: Hosts,
    last_generation: u32,
}

impl Connections {
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Bytes of the table.
    pub fn table_len(&self) -> usize {
        self.slab.index_end() * PagedSlab::<Connection>::ENTRY_LEN
    }

    /// The host's text, shared with other connections.
    pub fn share_host(&mut self, text: Box<str>, secure: bool) -> Arc<Host> {
        self.hosts.share(text, secure)
    }

    /// Takes a connection in, with a new generation.
    pub fn insert(&mut self, mut connection: Connection) -> ConnectionRef {
        self.last_generation = self.last_generation.wrapping_add(1);
        connection.generation = self.last_generation;
        ConnectionRef {
            id: ConnectionId(self.slab.insert(connection) as u32),
            generation: self.last_generation,
        }
    }

    /// # Panics
    /// When there is none.
    pub fn remove(&mut self, id: ConnectionId) -> Connection {
        self.slab.remove(id.0 as usize)
    }

    pub fn contains(&self, id: ConnectionId) -> bool {
        self.slab.contains(id.0 as usize)
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slab.get(id.0 as usize)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slab.get_mut(id.0 as usize)
    }

    /// The connection that is meant, if it is still there.
    pub fn find(&self, meant: ConnectionRef) -> Option<&Connection> {
        self.get(meant.id).filter(|connection| connection.generation == meant.generation)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slab.iter().map(|(id, connection)| (ConnectionId(id as u32), connection))
    }

    pub fn ids(&self) -> Vec<ConnectionId> {
        self.iter().map(|(id, _)| id).collect()
    }
}

impl Index<ConnectionId> for Connections {
    type Output = Connection;

    fn index(&self, id: ConnectionId) -> &Connection {
        &self.slab[id.0 as usize]
    }
}

impl IndexMut<ConnectionId> for Connections {
    fn index_mut(&mut self, id: ConnectionId) -> &mut Connection {
        &mut self.slab[id.0 as usize]
    }
}
