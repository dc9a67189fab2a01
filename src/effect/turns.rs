//! Whose turn it is in a lane.
//!
//! Invariant: nobody waits for others' storms. Networks take turns, and within a network its accounts. When too many
//! jobs wait, the newest of whoever has most of them waiting makes room.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::runtime::network::Network;

/// Whose job it is, for sharing out the turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The widest, of which there are few.
    network: Network,
    account: u64,
}

impl Source {
    /// `account` is an id, or whatever else names the account that is meant.
    pub fn new(address: IpAddr, account: u64) -> Source {
        Source { network: Network::widest(address), account }
    }
}

/// Jobs that wait, by whose they are. Both lists are short: nobody has an entry without a job, and the lane's
/// `queue_len_max` bounds those.
pub(super) struct Turns<J> {
    networks: VecDeque<Waiters<J>>,
    len: usize,
}

struct Waiters<J> {
    network: Network,
    accounts: VecDeque<(u64, VecDeque<J>)>,
    len: usize,
}

impl<J> Default for Turns<J> {
    fn default() -> Self {
        Turns { networks: VecDeque::new(), len: 0 }
    }
}

impl<J> Turns<J> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, source: Source, job: J) {
        self.len += 1;
        let Source { network, account } = source;
        let place = self.networks.iter().position(|known| known.network == network);
        let place = place.unwrap_or_else(|| {
            self.networks.push_back(Waiters { network, accounts: VecDeque::new(), len: 0 });
            self.networks.len() - 1
        });
        let waiters = &mut self.networks[place];
        waiters.len += 1;
        match waiters.accounts.iter_mut().find(|(known, _)| *known == account) {
            Some((_, jobs)) => jobs.push_back(job),
            None => waiters.accounts.push_back((account, VecDeque::from([job]))),
        }
    }

    /// The job whose turn it is.
    pub(super) fn pop(&mut self) -> Option<J> {
        let mut waiters = self.networks.pop_front()?;
        let (account, mut jobs) = waiters.accounts.pop_front()?;
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            waiters.accounts.push_back((account, jobs));
        }
        waiters.len -= 1;
        self.len -= 1;
        if waiters.len > 0 {
            self.networks.push_back(waiters);
        }
        job
    }

    /// The newest job of whoever has most of them; of equals, of the one who came last.
    pub(super) fn pop_surplus(&mut self) -> Option<J> {
        let most = (0..self.networks.len()).max_by_key(|place| self.networks[*place].len)?;
        let waiters = &mut self.networks[most];
        let account = (0..waiters.accounts.len()).max_by_key(|place| waiters.accounts[*place].1.len())?;
        let jobs = &mut waiters.accounts[account].1;
        let job = jobs.pop_back();
        if jobs.is_empty() {
            waiters.accounts.remove(account);
        }
        waiters.len -= 1;
        self.len -= 1;
        if waiters.len == 0 {
            self.networks.remove(most);
        }
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: u8, account: u64) -> Source {
        Source::new([10, 0, 0, address].into(), account)
    }

    /// The order in which jobs of these addresses and accounts get their turns; a job is its own source.
    fn order(jobs: &[(u8, u64)]) -> Vec<(u8, u64)> {
        let mut turns = Turns::default();
        jobs.iter().for_each(|job| turns.push(source(job.0, job.1), *job));
        std::iter::from_fn(|| turns.pop()).collect()
    }

    #[test]
    fn addresses_take_turns_and_so_do_accounts_of_an_address() {
        let storm = [(1, 1); 40];
        let others = [(2, 2), (3, 3), (1, 4)];
        let order = order(&[&storm[..], &others[..]].concat());
        assert_eq!(order[..5], [(1, 1), (2, 2), (3, 3), (1, 4), (1, 1)]);
        assert_eq!(order.len(), 43);
    }

    #[test]
    fn one_address_with_many_accounts_gets_one_turn_in_a_round() {
        let storm: Vec<(u8, u64)> = (0..40).map(|account| (1, account)).collect();
        assert_eq!(
            order(&[&storm[..], &[(2, 77), (2, 77)]].concat())[..4],
            [(1, 0), (2, 77), (1, 1), (2, 77)]
        );
    }

    #[test]
    fn the_newest_job_of_whoever_has_most_makes_room() {
        let mut turns = Turns::default();
        for job in 0..6 {
            turns.push(source(1, job / 4), job);
        }
        turns.push(source(2, 9), 100);
        assert_eq!(turns.pop_surplus(), Some(3), "address 1 has six, its account 0 four of them");
        for _ in 0..4 {
            turns.pop_surplus();
        }
        assert_eq!((turns.len, turns.pop_surplus()), (2, Some(100)), "of equals the one who came last");
        assert_eq!((turns.pop(), turns.pop(), turns.len), (Some(0), None, 0));
    }

    #[test]
    fn an_ipv6_client_is_its_widest_network() {
        let of = |text: &str| Source::new(text.parse().unwrap(), 1);
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:2:2::"));
    }
}
