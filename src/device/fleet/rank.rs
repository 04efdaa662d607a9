//! Which hub should claim a device: rendezvous hashing, which each hub computes alone.

use sha2::{Digest, Sha256};

use super::names::Name;

/// The hubs in the order in which they should claim the devices of an edge. A hub that comes or goes changes the order of
/// the others for no edge.
pub fn ranked<'a>(edge: &Name, hubs: impl IntoIterator<Item = &'a Name>) -> Vec<&'a Name> {
    let mut ranked: Vec<_> = hubs.into_iter().map(|hub| (weight(edge, hub), hub)).collect();
    ranked.sort_by(|a, b| b.cmp(a));
    ranked.dedup();
    ranked.into_iter().map(|(_, hub)| hub).collect()
}

fn weight(edge: &Name, hub: &Name) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(edge.as_str());
    hash.update([0]);
    hash.update(hub.as_str());
    let mut weight = [0; 8];
    weight.copy_from_slice(&hash.finalize()[..8]);
    weight
}

/// Which of so many connections carries the devices of an edge.
pub fn connection_of(edge: &Name, connections: usize) -> usize {
    let hash = Sha256::digest(edge.as_str());
    usize::from(u16::from_be_bytes([hash[0], hash[1]])) % connections.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, number: usize) -> Vec<Name> {
        (0..number)
            .map(|n| Name::new(&format!("{prefix}-{n}")).expect("a name"))
            .collect()
    }

    #[test]
    fn edges_spread_over_hubs_and_a_hub_that_goes_moves_only_its_own() {
        let hubs = names("hub", 4);
        let mut counts = [0; 4];
        for edge in names("edge", 400) {
            let all = ranked(&edge, &hubs);
            assert_eq!(all.len(), 4);
            let first = hubs.iter().position(|hub| hub == all[0]).expect("one of them");
            counts[first] += 1;
            let without_last: Vec<_> = ranked(&edge, &hubs[..3]);
            let expected: Vec<_> = all.into_iter().filter(|hub| **hub != hubs[3]).collect();
            assert_eq!(without_last, expected);
        }
        assert!(
            counts.iter().all(|count| (50..=150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn edges_spread_over_connections() {
        let mut counts = [0; 4];
        for edge in names("edge", 400) {
            counts[connection_of(&edge, 4)] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..=150).contains(count)),
            "{counts:?}"
        );
        assert_eq!(connection_of(&names("a", 1)[0], 0), 0);
    }
}
