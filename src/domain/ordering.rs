//! The order of channels and of roles: one way of moving, one way of numbering.
//!
//! Invariant: whatever was moved, added or removed, positions are consecutive afterwards, so a position is a place in
//! the list. Stores of earlier versions may have gaps until the next change.

/// Single events that one reorder causes at most. Above it one event names all new positions: what one request costs
/// every session must not grow with the number of channels or roles.
pub const EVENTS_MAX: usize = 16;

/// Position and id of things in their order.
pub type Order<I> = Vec<(u64, I)>;

/// Moves a thing to the place of the one that has the wanted position, which gives way; beyond all others to the end.
/// Returns its place, counted from 0.
pub fn place<I: Copy + PartialEq>(order: &mut Order<I>, id: I, wanted: u64) -> usize {
    let from = order.iter().position(|entry| entry.1 == id).expect("only what is in the order is moved");
    let (position, _) = order.remove(from);
    let stays_before = |entry: &(u64, I)| entry.0 < wanted || entry.0 == wanted && position < wanted;
    let place = order.iter().take_while(|entry| stays_before(entry)).count();
    order.insert(place, (position, id));
    place
}

/// Those whose position is another in consecutive numbering, with the new one.
pub fn renumbered<I: Copy>(order: &[(u64, I)], first: u64) -> impl Iterator<Item = (u64, I)> {
    let numbered = (first..).zip(order);
    numbered.filter(|(position, entry)| *position != entry.0).map(|(position, entry)| (position, entry.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(order: &[(u64, char)]) -> String {
        order.iter().map(|entry| entry.1).collect()
    }

    #[test]
    fn a_move_ends_where_it_was_asked_to() {
        for (from, wanted) in (0..5).flat_map(|from| (0..8).map(move |wanted| (from, wanted))) {
            let mut order: Order<char> = (0..).zip("abcde".chars()).collect();
            let id = order[from].1;
            let place = place(&mut order, id, wanted);
            assert_eq!(place as u64, wanted.min(4), "{id} to {wanted}");
            assert_eq!(order[place].1, id);
            let rest: String = names(&order).chars().filter(|&other| other != id).collect();
            assert_eq!(rest, "abcde".replace(id, ""), "the others keep their order");
        }
    }

    #[test]
    fn gaps_do_not_lead_astray() {
        let check = |id: char, wanted: u64, want: &str| {
            let mut order: Order<char> = vec![(0, 'a'), (1, 'b'), (3, 'c'), (7, 'd')];
            place(&mut order, id, wanted);
            assert_eq!(names(&order), want, "{id} to {wanted}");
        };
        // Where c stands; between b and c; to the end; to the front.
        check('d', 3, "abdc");
        check('d', 2, "abdc");
        check('a', 3, "bcad");
        check('a', 2, "bacd");
        check('b', 7, "acdb");
        check('b', 99, "acdb");
        check('c', 3, "abcd");
        check('c', 0, "cabd");
    }

    #[test]
    fn only_what_changes_is_numbered_anew() {
        let order = [(0, 'a'), (2, 'b'), (3, 'c')];
        assert_eq!(renumbered(&order, 0).collect::<Vec<_>>(), [(1, 'b'), (2, 'c')]);
        assert_eq!(renumbered(&order, 1).collect::<Vec<_>>(), [(1, 'a')]);
    }
}
