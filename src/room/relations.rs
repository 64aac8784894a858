//! Who hears whom, as members know it, and the classes that the bridge mixes by.
//!
//! A member hears another if it wants to, the other lets it, and both are in the same side
//! conversation, or in none. Members that hear the same, each itself left out, share a class. A
//! class costs the bridge one sum, and there are few: what one change too many would need is refused.
//!
//! Only members that some relation names count one by one. All others hear the same, and are heard
//! alike: they are one bit.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::call::CallHandle;

/// Classes of a bridge; the first is that of all who hear what everybody hears.
pub const MAX_CLASSES: usize = 32;

/// Some of the members of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<CallHandle>),
    /// All but these.
    Except(BTreeSet<CallHandle>),
}

impl Scope {
    /// Whether a member is among them.
    pub fn has(&self, member: CallHandle) -> bool {
        match self {
            Scope::All => true,
            Scope::Only(set) => set.contains(&member),
            Scope::Except(set) => !set.contains(&member),
        }
    }

    /// Whether those whom nothing names are.
    fn has_unnamed(&self) -> bool {
        !matches!(self, Scope::Only(_))
    }

    pub(super) fn named(&self) -> impl Iterator<Item = CallHandle> + '_ {
        let set = match self {
            Scope::All => None,
            Scope::Only(set) | Scope::Except(set) => Some(set),
        };
        set.into_iter().flatten().copied()
    }

    fn forget(&mut self, member: CallHandle) -> bool {
        let empty = match self {
            Scope::All => return false,
            Scope::Only(set) => return set.remove(&member),
            Scope::Except(set) => {
                if !set.remove(&member) {
                    return false;
                }
                set.is_empty()
            }
        };
        if empty {
            *self = Scope::All;
        }
        true
    }
}

/// What one member's relations are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    /// Whom it hears.
    pub hears: Scope,
    /// Who hears it.
    pub heard_by: Scope,
    /// Its side conversation; none: it takes part in the room's.
    pub group: Option<String>,
}

impl Relations {
    fn is_plain(&self) -> bool {
        *self == Relations::default()
    }
}

/// Whether `listener` hears `talker`, as far as relations go.
pub fn hears(
    (listener, of_listener): (CallHandle, &Relations),
    (talker, of_talker): (CallHandle, &Relations),
) -> bool {
    listener != talker
        && of_listener.group == of_talker.group
        && of_listener.hears.has(talker)
        && of_talker.heard_by.has(listener)
}

/// Members with relations that are not plain. Those that others name are found through them.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    of: BTreeMap<CallHandle, Relations>,
    /// Who has a class of its own, whatever it hears.
    apart: Option<CallHandle>,
}

impl Table {
    /// Has a member be in a class of its own, and no other. Whether that is new.
    pub fn set_apart(&mut self, member: Option<CallHandle>) -> bool {
        std::mem::replace(&mut self.apart, member) != member
    }

    pub fn get(&self, member: CallHandle) -> Relations {
        self.of.get(&member).cloned().unwrap_or_default()
    }

    pub fn set(&mut self, member: CallHandle, relations: Relations) {
        if relations.is_plain() {
            self.of.remove(&member);
        } else {
            self.of.insert(member, relations);
        }
    }

    /// A member has gone. Whose relations have changed by that; whether anything has.
    pub fn forget(&mut self, member: CallHandle) -> (Vec<CallHandle>, bool) {
        let was_apart = self.apart.take_if(|apart| *apart == member).is_some();
        let was_named = self.of.remove(&member).is_some() || was_apart;
        let mut changed = Vec::new();
        for (&other, relations) in &mut self.of {
            let a = relations.hears.forget(member);
            let b = relations.heard_by.forget(member);
            if a || b {
                changed.push(other);
            }
        }
        self.of.retain(|_, relations| !relations.is_plain());
        let any = was_named || !changed.is_empty();
        (changed, any)
    }
}

/// Which class each member hears by, and which classes hear it.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    /// Members that some relation names.
    named: HashMap<CallHandle, (u8, u32)>,
    /// The classes that hear those whom none names.
    unnamed: u32,
}

impl Default for Classes {
    fn default() -> Self {
        Self {
            named: HashMap::new(),
            unnamed: u32::MAX,
        }
    }
}

/// More classes would be needed than there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// One class while it is being found.
#[derive(Debug)]
struct Class {
    /// Whether it hears those whom nothing names.
    unnamed: bool,
    /// Which of the named it hears.
    set: Set,
    members: Vec<usize>,
}

impl Classes {
    /// How many there are, up to the last that anybody is in.
    pub fn count(&self) -> usize {
        let last = self.named.values().map(|(class, _)| *class).max();
        usize::from(last.unwrap_or(0)) + 1
    }

    /// The class of a member and the classes that hear it.
    pub fn of(&self, member: CallHandle) -> (u8, u32) {
        let named = self.named.get(&member).copied();
        named.unwrap_or((0, self.unnamed))
    }

    /// The classes for these relations; members that stay alike keep their class where that is
    /// possible.
    pub fn compile(table: &Table, before: &Classes) -> Result<Classes, TooMany> {
        let mut named: BTreeSet<CallHandle> = table.of.keys().copied().collect();
        for relations in table.of.values() {
            named.extend(relations.hears.named());
            named.extend(relations.heard_by.named());
        }
        named.extend(table.apart);
        let named: Vec<CallHandle> = named.into_iter().collect();
        let plain = Relations::default();
        let of: Vec<&Relations> = named
            .iter()
            .map(|member| table.of.get(member).unwrap_or(&plain))
            .collect();
        let classes = find(&named, &of, table.apart)?;
        Ok(number(&named, &classes, before))
    }
}

/// Puts members that hear the same into one class. The first is of those whom nothing names.
fn find<'a>(
    named: &[CallHandle],
    of: &[&'a Relations],
    apart: Option<CallHandle>,
) -> Result<Vec<Class>, TooMany> {
    let open = |r: &Relations| r.group.is_none() && r.heard_by.has_unnamed();
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut number_of = |group: &'a String| {
        let next = names.len();
        *names.entry(group).or_insert(next)
    };
    let groups: Vec<Option<usize>> = of
        .iter()
        .map(|r| r.group.as_ref().map(&mut number_of))
        .collect();
    let common = Set::of(named.len(), |n| open(of[n]));
    // A class is found by what it hears. What it hears of its first member nobody knows before the
    // second one: it is found by either.
    let mut known: HashMap<(bool, Set), usize> = HashMap::new();
    known.insert((true, common.clone()), 0);
    let mut classes = vec![Class {
        unnamed: true,
        set: common,
        members: Vec::new(),
    }];
    for (n, &member) in named.iter().enumerate() {
        let unnamed = of[n].group.is_none() && of[n].hears.has_unnamed();
        let pair = |t: usize| {
            n != t
                && groups[n] == groups[t]
                && of[n].hears.has(named[t])
                && of[t].heard_by.has(member)
        };
        let without = Set::of(named.len(), pair);
        let with = without.with(n);
        let keys = [(unnamed, without), (unnamed, with)];
        // Who fits into the common class stays there: one word less again.
        let is_apart = apart == Some(member);
        let found = keys
            .iter()
            .filter(|_| !is_apart)
            .filter_map(|key| known.get(key).map(|&class| (class, key.1.clone())))
            .min_by_key(|(class, _)| *class);
        if let Some((class, set)) = found {
            let class_of = &mut classes[class];
            if let [first] = class_of.members[..]
                && class > 0
            {
                // Decided now: the other way no longer finds it.
                known.remove(&(class_of.unnamed, set.flipped(first)));
                class_of.set = set;
            }
            class_of.members.push(n);
            continue;
        }
        if classes.len() == MAX_CLASSES {
            return Err(TooMany);
        }
        let class = classes.len();
        // Its own voice is what all others' are: one word less to the bridge.
        let [_, (_, set)] = keys.clone();
        if !is_apart {
            known.extend(keys.map(|key| (key, class)));
        }
        classes.push(Class {
            unnamed,
            set,
            members: vec![n],
        });
    }
    Ok(classes)
}

/// Gives classes their numbers: those that most likely stay what they were.
fn number(named: &[CallHandle], classes: &[Class], before: &Classes) -> Classes {
    let mut free: u32 = !1;
    let mut numbers = vec![0u8; classes.len()];
    for wants_old in [true, false] {
        for (class, number) in classes.iter().zip(&mut numbers).skip(1) {
            if *number != 0 {
                continue;
            }
            let old = |&n: &usize| before.of(named[n]).0;
            let old = class.members.first().map_or(0, old);
            let chosen = if wants_old {
                u32::from(old)
            } else {
                free.trailing_zeros()
            };
            if chosen > 0 && chosen < MAX_CLASSES as u32 && free >> chosen & 1 == 1 {
                *number = chosen as u8;
                free &= !(1 << chosen);
            }
        }
    }
    // A class that nobody is in hears all: one that begins needs no word to most of those it hears.
    let mut unnamed = free | 1;
    let mut of = vec![(0u8, free); named.len()];
    for (class, &number) in classes.iter().zip(&numbers) {
        if class.unnamed {
            unnamed |= 1 << number;
        }
        for (n, (_, voice)) in of.iter_mut().enumerate() {
            *voice |= u32::from(class.set.has(n)) << number;
        }
        for &n in &class.members {
            of[n].0 = number;
        }
    }
    let of = named.iter().copied().zip(of).collect();
    Classes { named: of, unnamed }
}

/// Some of the named members, by their places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn of(count: usize, has: impl Fn(usize) -> bool) -> Self {
        let mut words = vec![0; count.div_ceil(64)];
        for n in (0..count).filter(|&n| has(n)) {
            words[n / 64] |= 1 << (n % 64);
        }
        Self(words)
    }

    fn has(&self, n: usize) -> bool {
        self.0[n / 64] >> (n % 64) & 1 == 1
    }

    fn with(&self, n: usize) -> Self {
        let mut set = self.clone();
        set.0[n / 64] |= 1 << (n % 64);
        set
    }

    fn flipped(&self, n: usize) -> Self {
        let mut set = self.clone();
        set.0[n / 64] ^= 1 << (n % 64);
        set
    }
}
