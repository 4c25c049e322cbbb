//! The actors that a connection has met, each at a place that its routes remember.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::batch::Item;
use crate::registry::Registration;

/// What one actor gets from the slice at hand.
pub(super) struct Handler {
    pub(super) registration: Arc<Registration>,
    pub(super) items: Vec<Item>,
    pub(super) bytes: usize,
}

/// A table whose places are used again.
#[derive(Default)]
pub(super) struct Handlers {
    /// A place is empty when its registration is out.
    places: Vec<Option<Handler>>,
    /// The place of each registration in the table, by its id.
    by_id: HashMap<u64, usize>,
    /// The empty places.
    free: Vec<usize>,
    /// The registry's generation when the table was last tidied.
    tidied: u64,
    /// Looking through the table is paid for in advance, by those who ask for places.
    paid: usize,
}

/// Each question pays for a look at so many places: small tables are tidied at every change of the registry, large
/// ones at every so many questions, and a question costs the same in both.
const PAID: usize = 64;

impl Handlers {
    /// Where this actor's messages are gathered.
    pub(super) fn place_of(&mut self, registration: &Arc<Registration>, generation: u64) -> usize {
        self.paid = self.paid.saturating_add(PAID);
        if self.paid >= self.places.len() {
            self.tidy(generation);
        }
        if let Some(place) = self.by_id.get(&registration.id()).copied() {
            // One that was given a version meanwhile has the same id and the same mailbox.
            if let Some(known) = self.get_mut(place) {
                known.registration = registration.clone();
            }
            return place;
        }
        let fresh = Handler { registration: registration.clone(), items: Vec::new(), bytes: 0 };
        // A place whose actor is gone is used again, so that the table does not grow with restarts.
        let free = self.free.pop();
        let place = match free.and_then(|free| self.places.get_mut(free).map(|place| (free, place))) {
            Some((index, place)) => {
                *place = Some(fresh);
                index
            }
            None => {
                self.places.push(Some(fresh));
                self.places.len() - 1
            }
        };
        self.by_id.insert(registration.id(), place);
        place
    }

    /// Lets go of actors whose names are gone, if anything has changed: a connection does not keep them alive.
    pub(super) fn tidy(&mut self, generation: u64) {
        self.paid = 0;
        if std::mem::replace(&mut self.tidied, generation) == generation {
            return;
        }
        for (index, place) in self.places.iter_mut().enumerate() {
            let gone = |old: &mut Handler| {
                old.items.is_empty() && (old.registration.is_out() || !old.registration.is_alive())
            };
            if let Some(old) = place.take_if(gone) {
                self.by_id.remove(&old.registration.id());
                self.free.push(index);
            }
        }
    }

    /// Whether a place still belongs to the registration for which it was given.
    pub(super) fn holds(&self, place: usize, registration: u64) -> bool {
        self.places.get(place).and_then(Option::as_ref).is_some_and(|handler| {
            handler.registration.id() == registration && handler.registration.is_alive()
        })
    }

    /// What is gathered at a place.
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Handler> {
        self.places.get_mut(place)?.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use actix::prelude::{Actor, Addr, Context, System};
    use farcall_proto::link::frame::RequestId;

    use super::*;
    use crate::access::AccessList;
    use crate::batch::{Batch, ItemPayload, Want};
    use crate::registry::{Registry, RegistryLimits};

    struct Anybody;

    impl Actor for Anybody {
        type Context = Context<Self>;
    }

    impl actix::Handler<Batch> for Anybody {
        type Result = ();

        fn handle(&mut self, _: Batch, _: &mut Context<Self>) {}
    }

    struct Table {
        registry: Arc<Registry>,
        handlers: Handlers,
        actor: Addr<Anybody>,
    }

    impl Table {
        fn new() -> Self {
            let limits =
                RegistryLimits { names_max: 1 << 20, mailbox_messages_max: 1000, mailbox_bytes_max: 1000 };
            let registry = Registry::new(AccessList::default(), limits);
            Self { registry, handlers: Handlers::default(), actor: Anybody.start() }
        }

        fn register(&self, name: &str) -> u64 {
            self.registry.insert(name, Vec::new(), self.actor.clone().recipient()).unwrap()
        }

        fn named(&self, name: &str) -> Arc<Registration> {
            self.registry.all().into_iter().find(|found| &*found.name == name).unwrap()
        }

        fn place_of(&mut self, registration: &Arc<Registration>) -> usize {
            self.handlers.place_of(registration, self.registry.generation())
        }
    }

    fn item() -> Item {
        let id = RequestId { slot: 0, generation: 0 };
        let payload = ItemPayload::Whole(bytes::Bytes::new());
        let served = crate::trace::Served::default();
        Item {
            want: Want::Nothing,
            id,
            entry: 0,
            version: 1,
            deadline: None,
            compressed: false,
            payload,
            served,
        }
    }

    fn with_table(test: impl FnOnce(Table)) {
        System::new().block_on(async { test(Table::new()) });
    }

    #[test]
    fn an_actor_keeps_its_place_and_every_actor_has_its_own() {
        with_table(|mut table| {
            for name in ["a", "b", "c"] {
                table.register(name);
            }
            let all = table.registry.all();
            let places: Vec<_> = all.iter().map(|one| table.place_of(one)).collect();
            assert_eq!(places, [0, 1, 2]);
            assert!(all.iter().zip(places).all(|(one, place)| table.place_of(one) == place));
        });
    }

    #[test]
    fn the_place_of_a_name_that_is_gone_is_used_again_and_its_old_routes_do_not_lead_there() {
        with_table(|mut table| {
            let old = table.register("a");
            let first = table.named("a");
            let place = table.place_of(&first);
            assert!(table.handlers.holds(place, old));
            table.registry.remove("a", None);
            let new = table.register("b");
            let second = table.named("b");
            assert_eq!(table.place_of(&second), place);
            assert!(table.handlers.holds(place, new) && !table.handlers.holds(place, old));
            assert_eq!(Arc::strong_count(&first), 1, "the table keeps what is gone");
        });
    }

    #[test]
    fn what_an_actor_has_not_got_yet_keeps_its_place_even_when_its_name_is_gone() {
        with_table(|mut table| {
            table.register("a");
            let a = table.named("a");
            let place = table.place_of(&a);
            table.handlers.get_mut(place).unwrap().items.push(item());
            table.registry.remove("a", None);
            table.register("b");
            let b = table.named("b");
            assert_ne!(table.place_of(&b), place);
        });
    }

    #[test]
    fn a_version_given_later_does_not_cost_the_actor_its_place() {
        with_table(|mut table| {
            let id = table.register("a");
            let bare = table.named("a");
            let place = table.place_of(&bare);
            table.registry.set_version("a", id, "1.0.0").unwrap();
            let versioned = table.named("a");
            assert_eq!(table.place_of(&versioned), place);
            table.handlers.tidy(table.registry.generation() + 1);
            assert!(table.handlers.holds(place, id), "it was taken for gone");
        });
    }

    #[test]
    fn a_hundred_thousand_actors_are_found_without_looking_through_them() {
        with_table(|mut table| {
            for number in 0..100_000 {
                table.register(&number.to_string());
            }
            let all = table.registry.all();
            let begun = std::time::Instant::now();
            let places: Vec<_> = all.iter().map(|one| table.place_of(one)).collect();
            assert_eq!(places, (0..100_000).collect::<Vec<_>>());
            // Looking through them took half a minute.
            assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        });
    }
}
