//! Where a connection's publishes lead, remembered: finding a route anew costs more than all the rest
//! of a publish.

use ahash::AHashMap;

use crate::engine::Route;

/// Routes that are kept beside the newest, about 200 bytes each. Whoever publishes to more addresses
/// in turn has them looked up.
const ROUTES_MAX: usize = 1024;

/// The routes of a connection's last publishes. All were found in one state of the names, the bindings
/// and the user's rights, and go when that changes.
#[derive(Debug, Default)]
pub(super) struct RouteCache {
    /// Exchange and routing key of the newest, as two short strings.
    address: Vec<u8>,
    route: Route,
    /// Whether the newest holds for every plain message with its address.
    is_reusable: bool,
    others: AHashMap<Vec<u8>, Route>,
    generation: u64,
    rights: u64,
}

impl RouteCache {
    /// The route that was found or remembered last.
    pub(super) const fn route(&self) -> &Route {
        &self.route
    }

    /// Forgets everything unless the state of names and bindings is still `generation`, and that of
    /// the user's rights `rights`.
    pub(super) fn refresh(&mut self, generation: u64, rights: u64) {
        if (self.generation, self.rights) != (generation, rights) {
            self.is_reusable = false;
            self.others = AHashMap::default();
            (self.generation, self.rights) = (generation, rights);
        }
    }

    /// Makes the route of `address` the newest, if it is known.
    pub(super) fn find(&mut self, address: &[u8]) -> bool {
        if self.is_reusable && self.address == address {
            return true;
        }
        let Some((address, route)) = self.others.remove_entry(address) else {
            return false;
        };
        self.replace(address, route, true);
        true
    }

    /// Makes a route the newest. Whether it is reusable, the caller knows.
    pub(super) fn remember(&mut self, address: &[u8], route: Route, is_reusable: bool) {
        self.replace(address.to_vec(), route, is_reusable);
    }

    fn replace(&mut self, address: Vec<u8>, route: Route, is_reusable: bool) {
        let address = std::mem::replace(&mut self.address, address);
        let route = std::mem::replace(&mut self.route, route);
        if std::mem::replace(&mut self.is_reusable, is_reusable) {
            if self.others.len() >= ROUTES_MAX {
                self.others.clear();
            }
            self.others.insert(address, route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: usize) -> RouteCache {
        let mut cache = RouteCache::default();
        cache.refresh(1, 1);
        for number in 0..count {
            cache.remember(number.to_string().as_bytes(), Route::default(), true);
        }
        cache
    }

    #[test]
    fn every_remembered_address_is_found_in_any_order() {
        let mut cache = filled(100);
        for number in (0..100).rev().chain([7, 7, 3]) {
            assert!(cache.find(number.to_string().as_bytes()), "{number}");
        }
        assert!(!cache.find(b"100"));
    }

    #[test]
    fn a_change_of_names_or_rights_forgets_all() {
        for (generation, rights) in [(2, 1), (1, 2)] {
            let mut cache = filled(3);
            cache.refresh(1, 1);
            assert!(cache.find(b"2"));
            cache.refresh(generation, rights);
            for number in 0..3 {
                assert!(!cache.find(number.to_string().as_bytes()), "{number}");
            }
        }
    }

    #[test]
    fn a_route_that_holds_for_one_message_alone_is_never_found() {
        let mut cache = filled(1);
        cache.remember(b"x", Route::default(), false);
        assert!(!cache.find(b"x"));
        assert!(cache.find(b"0"));
        assert!(!cache.find(b"x"));
    }

    #[test]
    fn however_many_addresses_there_are_only_so_many_are_kept() {
        let cache = filled(10 * ROUTES_MAX);
        assert!(cache.others.len() <= ROUTES_MAX);
    }
}
