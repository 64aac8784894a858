//! Numbered places in a worker's tables, each with a count of how often it was used.

/// Hands out places; the least recently freed comes last.
#[derive(Debug)]
pub(super) struct Places {
    free: Vec<u32>,
    generations: Vec<u32>,
    /// The most that may be used at once.
    limit: usize,
    /// Those that are used no more, and are not given back yet.
    ending: usize,
}

impl Places {
    /// So many; the spare ones stand in for those that are not given back yet.
    pub fn new(limit: usize, spare: usize) -> Self {
        let count = limit + spare;
        Self {
            free: (0..count as u32).rev().collect(),
            generations: vec![0; count],
            limit,
            ending: 0,
        }
    }

    /// A free place and its generation.
    pub fn take(&mut self) -> Option<(u32, u32)> {
        if !self.has_free() {
            return None;
        }
        let index = self.free.pop()?;
        Some((index, self.generations[index as usize]))
    }

    /// A place is used no more, and will be given back: another may be taken at once, while there are
    /// spare ones.
    pub fn end(&mut self) {
        self.ending += 1;
    }

    /// The place is free again; what still names it by the old generation is stale.
    pub fn give_back(&mut self, index: u32) {
        if let Some(generation) = self.generations.get_mut(index as usize) {
            *generation = generation.wrapping_add(1);
            self.free.push(index);
            self.ending = self.ending.saturating_sub(1);
        }
    }

    /// Whether there is a free place.
    pub fn has_free(&self) -> bool {
        !self.free.is_empty() && self.in_use() - self.ending < self.limit
    }

    /// Whether there would be one if another ended.
    pub fn has_free_behind(&self) -> bool {
        !self.free.is_empty()
    }

    pub fn in_use(&self) -> usize {
        self.generations.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_makes_room_at_once_and_keeps_its_number_until_it_is_given_back() {
        let mut places = Places::new(2, 1);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        assert!(places.take().is_none() && places.has_free_behind());
        places.end();
        let third = places.take().unwrap();
        assert!(third.0 != first.0 && third.0 != second.0);
        places.end();
        assert!(places.take().is_none(), "no spare one is left");
        assert!(!places.has_free_behind());
        places.give_back(first.0);
        assert_eq!(places.take(), Some((first.0, 1)));
        assert!(places.take().is_none());
        for index in [second.0, third.0, first.0] {
            places.give_back(index);
        }
        assert_eq!((places.in_use(), places.has_free()), (0, true));
    }
}
