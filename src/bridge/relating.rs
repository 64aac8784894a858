//! Who hears whom, against a reference that sums everything anew for everybody.

use super::bands::{Path, band_of};
use super::*;

const RATES: [u32; 3] = [8000, 16_000, 48_000];
const PARTIES: usize = 14;
const CLASSES: usize = 5;

/// xorshift64*: the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    fn relation(&mut self) -> Relation {
        let voice = match self.below(4) {
            0 => 0,
            1 => u32::MAX,
            _ => self.next() as u32,
        };
        let ears = match self.below(10) {
            0 => Relation::DEAF,
            // Memory for it may be missing.
            1 => CLASSES as u8,
            _ => self.below(CLASSES) as u8,
        };
        Relation { voice, ears }
    }
}

/// What the reference knows of a party.
#[derive(Clone)]
struct Party {
    owner: u32,
    rate: u32,
    joining: bool,
    leaving: bool,
    relation: Relation,
    was: Relation,
    next: Relation,
    talks: bool,
    said: Vec<i16>,
}

impl Party {
    /// What of sample `i` is in what `class` hears.
    fn part(&self, class: u8, i: usize) -> i32 {
        let n = self.said.len() as i32 / 4;
        let sample = i32::from(self.said[i]);
        let fading = if (i as i32) < n {
            sample * i as i32 / n
        } else {
            sample
        };
        match (
            self.was.is_heard_by(class),
            self.relation.is_heard_by(class),
        ) {
            _ if self.said.iter().all(|s| s.abs() <= IDLE_PEAK) => 0,
            (false, false) => 0,
            (true, true) => sample,
            (false, true) => fading,
            (true, false) => sample - fading,
        }
    }
}

/// Sums everything anew, for each class by itself.
struct Reference {
    parties: Vec<Party>,
    classes: usize,
    paths: Vec<Vec<Path>>,
    used: [[bool; 3]; CLASSES],
    total: Vec<[Vec<i32>; 3]>,
    compared: u64,
    passed_over: u64,
}

impl Reference {
    fn new() -> Self {
        Self {
            parties: Vec::new(),
            classes: 1,
            paths: (0..CLASSES).map(|_| Path::all()).collect(),
            used: [[false; 3]; CLASSES],
            total: Vec::new(),
            compared: 0,
            passed_over: 0,
        }
    }

    fn set_classes(&mut self, classes: usize) {
        for class in self.classes..classes {
            for path in 0..self.paths[0].len() {
                self.paths[class][path].resampler = self.paths[0][path].resampler.clone();
            }
        }
        self.classes = classes;
    }

    /// Moves all relations and phases on, and sums.
    fn tick(&mut self) {
        for party in &mut self.parties {
            party.was = party.relation;
            party.relation = party.next;
            if party.joining {
                party.was = party.relation;
            }
            let n = party.said.len() / 4;
            for i in 0..party.said.len() {
                let sample = i32::from(party.said[i]);
                let (i_, n_) = (i as i32, n as i32);
                party.said[i] = match (party.joining, party.leaving) {
                    (true, _) if i < n => (sample * i_ / n_) as i16,
                    (_, true) if i < n => (sample * (n_ - i_) / n_) as i16,
                    (_, true) => 0,
                    _ => sample as i16,
                };
            }
        }
        self.total.clear();
        for class in 0..self.classes {
            let mut own: [Vec<i32>; 3] = RATES.map(|rate| vec![0; rate as usize / 50]);
            for party in &self.parties {
                let sum = &mut own[band_of(party.rate)];
                for (i, sum) in sum.iter_mut().enumerate() {
                    *sum += party.part(class as u8, i);
                }
            }
            let mut total = own.clone();
            for path in &mut self.paths[class] {
                if !self.parties.iter().any(|p| band_of(p.rate) == path.to) {
                    path.resampler.reset();
                    continue;
                }
                path.add(&own[path.from], true, &mut total[path.to]);
            }
            self.total.push(total);
        }
    }

    /// What of a class a party hears.
    fn mix(&self, party: &Party, class: u8) -> Vec<i32> {
        let frame = party.said.len();
        match self.total.get(usize::from(class)) {
            Some(total) => {
                let total = &total[band_of(party.rate)];
                (0..frame)
                    .map(|i| total[i] - party.part(class, i))
                    .collect()
            }
            None => vec![0; frame],
        }
    }

    /// What a party hears.
    fn heard(&self, party: &Party) -> Vec<i16> {
        let new = self.mix(party, party.relation.ears);
        let old = self.mix(party, party.was.ears);
        let n = new.len() / 4;
        let fade = |i: usize| {
            let (i_, n_) = (i as i32, n as i32);
            let mut sample = new[i];
            if party.was.ears != party.relation.ears && i < n {
                sample = old[i] + (new[i] - old[i]) * i_ / n_;
            }
            match (party.joining, party.leaving) {
                (true, _) if i < n => sample * i_ / n_,
                (_, true) if i < n => sample * (n_ - i_) / n_,
                (_, true) => 0,
                _ => sample,
            }
        };
        (0..new.len()).map(|i| fade(i) as i16).collect()
    }

    /// Holds what the bridge lets each hear against what it is to.
    fn compare(&mut self, bridge: &Bridge, tick: usize) {
        let mut used = [[false; 3]; CLASSES];
        for (port, party) in self.parties.iter().enumerate() {
            assert_eq!(bridge.owner(port), Some(party.owner));
            let band = band_of(party.rate);
            let ears = party.relation.ears.min(party.was.ears);
            let known = |class: u8| {
                self.used
                    .get(usize::from(class))
                    .is_none_or(|used| used[band])
            };
            for class in [party.relation, party.was, party.next] {
                if let Some(used) = used.get_mut(usize::from(class.ears)) {
                    used[band] = true;
                }
            }
            if !known(party.relation.ears) || !known(party.was.ears) {
                // The first tick of a class in a band: what others said before is left out there.
                self.passed_over += 1;
                continue;
            }
            let (Tx::Common(heard) | Tx::Own(heard)) = bridge.tx(port).unwrap();
            let expected = self.heard(party);
            assert!(
                heard == expected,
                "tick {tick}, port {port}, class {ears}: {:?} for {:?}",
                heard.iter().zip(&expected).position(|(a, b)| a != b),
                (party.joining, party.leaving, party.was, party.relation)
            );
            self.compared += 1;
        }
        self.used = used;
    }

    /// Behind a tick: who has joined, who has left.
    fn settle(&mut self, bridge: &mut Bridge) {
        let mut port = 0;
        while port < self.parties.len() {
            self.parties[port].joining = false;
            if self.parties[port].leaving {
                assert!(bridge.has_left(port));
                bridge.remove(port);
                self.parties.swap_remove(port);
            } else {
                port += 1;
            }
        }
    }
}

/// One random change.
fn change(random: &mut Random, reference: &mut Reference, bridge: &mut Bridge, owner: u32) {
    let port = random.below(PARTIES);
    match (random.below(20), port < reference.parties.len()) {
        (0..5, false) => {
            let relation = random.relation();
            let rate = RATES[random.below(3)];
            let port = Port::new(owner, rate).with_relation(relation);
            bridge.join(Box::new(port)).unwrap();
            reference.parties.push(Party {
                owner,
                rate,
                joining: true,
                leaving: false,
                relation,
                was: relation,
                next: relation,
                talks: true,
                said: Vec::new(),
            });
        }
        (0..2, true) => {
            let party = &mut reference.parties[port];
            if !party.joining {
                bridge.leave(port);
                party.leaving = true;
            }
        }
        (2..14, true) => {
            let relation = random.relation();
            bridge.relate(port, relation);
            reference.parties[port].next = relation;
        }
        (14..17, true) => reference.parties[port].talks ^= true,
        (17, true) if !reference.parties[port].leaving => {
            let party = &mut reference.parties[port];
            let rate = RATES[random.below(3)];
            party.joining |= rate != party.rate;
            party.rate = rate;
            bridge.set_rate(port, rate, &mut PortMemory::new(rate));
        }
        (18, _) if random.below(8) == 0 => {
            let classes = 1 + random.below(CLASSES);
            bridge.set_classes(Classes::new(classes));
            reference.set_classes(classes);
        }
        _ => {}
    }
}

#[test]
fn everybody_hears_exactly_whom_it_is_to_hear() {
    let mut random = Random(9);
    let mut reference = Reference::new();
    let mut bridge = Bridge::new(PARTIES);
    bridge.set_classes(Classes::new(CLASSES));
    reference.set_classes(CLASSES);
    let mut owner = 0;
    for tick in 0..1700 {
        for _ in 0..6 {
            owner += 1;
            change(&mut random, &mut reference, &mut bridge, owner);
        }
        for (port, party) in reference.parties.iter_mut().enumerate() {
            let frame = party.rate as usize / 50;
            let loud = if party.talks { 1200 } else { 17 };
            party.said = (0..frame)
                .map(|_| (random.below(loud) as i32 - loud as i32 / 2) as i16)
                .collect();
            bridge.say(port, &party.said);
        }
        reference.tick();
        bridge.mix();
        reference.compare(&bridge, tick);
        reference.settle(&mut bridge);
    }
    let Reference {
        compared,
        passed_over,
        ..
    } = reference;
    assert!(
        compared > 8000 && passed_over < compared / 5,
        "{compared} frames compared, {passed_over} not"
    );
}
