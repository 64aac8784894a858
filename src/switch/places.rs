//! Numbered places in a worker's tables, each with a count of how often it was used.

/// Hands out places; the least recently freed comes last.
#[derive(Debug)]
pub(super) struct Places {
    free: Vec<u32>,
    generations: Vec<u32>,
}

impl Places {
    pub fn new(count: usize) -> Self {
        Self {
            free: (0..count as u32).rev().collect(),
            generations: vec![0; count],
        }
    }

    /// A free place and its generation.
    pub fn take(&mut self) -> Option<(u32, u32)> {
        let index = self.free.pop()?;
        Some((index, self.generations[index as usize]))
    }

    /// The place is free again; what still names it by the old generation is stale.
    pub fn give_back(&mut self, index: u32) {
        if let Some(generation) = self.generations.get_mut(index as usize) {
            *generation = generation.wrapping_add(1);
            self.free.push(index);
        }
    }

    /// Whether there is a free place.
    pub fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub fn in_use(&self) -> usize {
        self.generations.len() - self.free.len()
    }
}
