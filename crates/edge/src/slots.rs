//! A table of reused places whose ids go stale.

use core::marker::PhantomData;
use wire::SlotId;

/// Holds values in numbered places; a place that is freed gets a new generation, so that an id of
/// its former tenant finds nothing.
///
/// Places are walked in their order, never in hash order: a run replays.
#[derive(Debug)]
pub struct Slots<Id, T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    count_max: usize,
    first_generation: u32,
    id: PhantomData<Id>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<Id: SlotId, T> Slots<Id, T> {
    /// An empty table for at most `count_max` values.
    ///
    /// Generations start at `first_generation`; drawn at random, it keeps ids that outlived a restart
    /// (inside tokens) from finding a stranger.
    #[must_use]
    pub fn new(count_max: usize, first_generation: u32) -> Self {
        Self { places: Vec::new(), free: Vec::new(), count_max, first_generation, id: PhantomData }
    }

    /// How many values the table holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether no further value fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count() >= self.count_max
    }

    /// Changes the cap; values above it stay until they end.
    pub fn set_count_max(&mut self, count_max: usize) {
        self.count_max = count_max;
    }

    /// Puts in what `make` builds from its id; `None` if the table is full.
    pub fn insert_with(&mut self, make: impl FnOnce(Id) -> T) -> Option<Id> {
        if self.is_full() {
            return None;
        }
        let slot = self.free_slot()?;
        let place = &mut self.places[slot as usize];
        let id = Id::new(slot, place.generation);
        place.value = Some(make(id));
        Some(id)
    }

    /// Puts `value` in; `None` if the table is full.
    pub fn insert(&mut self, value: T) -> Option<Id> {
        self.insert_with(|_| value)
    }

    /// The value of `id`, unless it is stale.
    #[must_use]
    pub fn find(&self, id: Id) -> Option<&T> {
        let place = self.places.get(id.slot() as usize)?;
        place.value.as_ref().filter(|_| place.generation == id.generation())
    }

    /// The value of `id` to change, unless it is stale.
    pub fn find_mut(&mut self, id: Id) -> Option<&mut T> {
        let place = self.places.get_mut(id.slot() as usize)?;
        place.value.as_mut().filter(|_| place.generation == id.generation())
    }

    /// Takes the value of `id` out; the id is dead from here on.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.places.get_mut(id.slot() as usize)?;
        if place.generation != id.generation() {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot());
        Some(value)
    }

    /// Takes the value of `id` in hand; the place stays its own until `put_back` or `free`.
    pub fn lift(&mut self, id: Id) -> Option<T> {
        let place = self.places.get_mut(id.slot() as usize)?;
        if place.generation == id.generation() { place.value.take() } else { None }
    }

    /// Puts a lifted value back.
    pub fn put_back(&mut self, id: Id, value: T) {
        let place = self.places.get_mut(id.slot() as usize);
        if let Some(place) = place.filter(|p| p.generation == id.generation()) {
            place.value = Some(value);
        }
    }

    /// Gives the place of a lifted value free.
    pub fn free(&mut self, id: Id) {
        let place = self.places.get_mut(id.slot() as usize);
        if let Some(place) = place.filter(|p| p.generation == id.generation() && p.value.is_none()) {
            place.generation = place.generation.wrapping_add(1);
            self.free.push(id.slot());
        }
    }

    /// The id in this place, if it is taken.
    #[must_use]
    pub fn id_at(&self, slot: u32) -> Option<Id> {
        let place = self.places.get(slot as usize)?;
        place.value.as_ref().map(|_| Id::new(slot, place.generation))
    }

    /// The number of places, taken or free.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Everything, in the order of places.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.places.iter().enumerate().filter_map(|(slot, place)| {
            let value = place.value.as_ref()?;
            Some((Id::new(slot as u32, place.generation), value))
        })
    }

    fn free_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = u32::try_from(self.places.len()).ok()?;
        self.places.push(Place { generation: self.first_generation, value: None });
        Some(slot)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use wire::ExchangeId;

    #[test]
    fn a_stale_id_finds_nothing_and_its_place_is_used_again() {
        let mut slots = Slots::<ExchangeId, &str>::new(2, 7);
        let first = slots.insert("a").unwrap();
        assert_eq!(first, ExchangeId { slot: 0, generation: 7 });
        assert_eq!(slots.remove(first), Some("a"));
        assert_eq!(slots.remove(first), None);
        let second = slots.insert("b").unwrap();
        assert_eq!((second.slot, second.generation), (0, 8));
        assert_eq!(slots.find(first), None);
        assert_eq!(slots.find_mut(second), Some(&mut "b"));
        assert_eq!(slots.id_at(0), Some(second));
    }

    #[test]
    fn a_full_table_takes_nothing_more() {
        let mut slots = Slots::<ExchangeId, u8>::new(1, 0);
        let id = slots.insert(1).unwrap();
        assert_eq!(slots.insert(2), None);
        assert_eq!(slots.count(), 1);
        slots.remove(id);
        assert!(slots.insert(3).is_some());
    }
}
