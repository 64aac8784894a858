//! How losses lie in time: bursts and gaps (RFC 3611 §4.7.2), and the burst ratio of the E-model.
//!
//! Sits behind `session::Receiver`, which tells the fate of each packet once, in their order. A lost
//! packet never came; a discarded one came too late to be heard. For the listener both are missing.

use std::time::Duration;

/// So many packets received in a row end a burst: the value that RFC 3611 §4.7.2 recommends.
pub const GMIN: u8 = 16;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was there in time.
    Received,
    /// It never came.
    Lost,
    /// It came, and not in time.
    Discarded,
}

/// Counts over the fates of all packets, in constant memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bursts {
    received: u64,
    lost: u64,
    discarded: u64,
    /// Runs of missing packets, however short.
    missing_runs: u64,
    /// Received since the last missing one.
    run: u64,
    /// From a missing packet to another, never `GMIN` received ones between: a burst, if it has two.
    open: Stretch,
    /// All bursts that are over.
    inside: Stretch,
    burst_count: u64,
    /// All gaps, but for the present run.
    between: Stretch,
    gap_count: u64,
    /// Whether the gap that is under way has a packet.
    in_gap: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stretch {
    packets: u64,
    missing: u64,
}

/// What RFC 3611 §4.7 asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossPattern {
    /// Packets that were received in time.
    pub received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late.
    pub discarded: u64,
    /// Bursts so far.
    pub bursts: u64,
    /// Share of missing packets within bursts, 0 to 1.
    pub burst_density: f32,
    /// Share of missing packets between bursts, 0 to 1.
    pub gap_density: f32,
    /// Mean length of bursts, packets.
    pub burst_packets: f32,
    /// Mean length of gaps, packets.
    pub gap_packets: f32,
    /// Mean length of runs of missing packets against that of random loss at the same rate
    /// (G.107 §7.7 `BurstR`); 1: random or none.
    pub burst_ratio: f32,
}

impl LossPattern {
    /// Share of packets that never came, 0 to 1.
    pub fn loss_rate(&self) -> f32 {
        self.share(self.lost)
    }

    /// Share of packets that came too late, 0 to 1.
    pub fn discard_rate(&self) -> f32 {
        self.share(self.discarded)
    }

    /// Share of packets that the listener misses, 0 to 1.
    pub fn missing_rate(&self) -> f32 {
        self.share(self.lost + self.discarded)
    }

    fn share(&self, part: u64) -> f32 {
        ratio(part, self.received + self.lost + self.discarded)
    }
}

impl Bursts {
    /// Takes the fate of the next packet.
    pub fn push(&mut self, fate: Fate) {
        self.push_many(fate, 1);
    }

    /// The same fate for `count` packets.
    pub fn push_many(&mut self, fate: Fate, count: u64) {
        if count == 0 {
            return;
        }
        match fate {
            Fate::Received => {
                self.received += count;
                self.run += count;
                return;
            }
            Fate::Lost => self.lost += count,
            Fate::Discarded => self.discarded += count,
        }
        if self.run > 0 || self.open.missing == 0 {
            self.missing_runs += 1;
        }
        if self.open.missing == 0 || self.run >= u64::from(GMIN) {
            self.close();
            self.open.packets = count;
        } else {
            self.open.packets += self.run + count;
        }
        self.open.missing += count;
        self.run = 0;
    }

    /// What was open is a burst, or one missing packet in a gap; the run behind it is gap.
    fn close(&mut self) {
        if self.open.missing > 1 {
            self.inside.packets += self.open.packets;
            self.inside.missing += self.open.missing;
            self.burst_count += 1;
            self.in_gap = false;
        } else {
            self.add_gap(self.open);
        }
        self.add_gap(Stretch {
            packets: self.run,
            missing: 0,
        });
        self.open = Stretch::default();
        self.run = 0;
    }

    fn add_gap(&mut self, stretch: Stretch) {
        if stretch.packets == 0 {
            return;
        }
        if !self.in_gap {
            self.in_gap = true;
            self.gap_count += 1;
        }
        self.between.packets += stretch.packets;
        self.between.missing += stretch.missing;
    }

    /// The pattern so far: as if nothing but received packets followed (RFC 3611 §4.7.2).
    pub fn pattern(&self) -> LossPattern {
        let mut all = *self;
        all.close();
        let missing = all.lost + all.discarded;
        let share = ratio(missing, all.received + missing);
        let mut burst_ratio = 1.0;
        if missing > 0 && share < 1.0 {
            burst_ratio = ratio(missing, all.missing_runs) * (1.0 - share);
        }
        LossPattern {
            received: all.received,
            lost: all.lost,
            discarded: all.discarded,
            bursts: all.burst_count,
            burst_density: ratio(all.inside.missing, all.inside.packets),
            gap_density: ratio(all.between.missing, all.between.packets),
            burst_packets: ratio(all.inside.packets, all.burst_count),
            gap_packets: ratio(all.between.packets, all.gap_count),
            // Below 1, loss is more regular than chance: the model knows no benefit of that.
            burst_ratio: burst_ratio.max(1.0),
        }
    }
}

/// How long so many packets are.
pub fn duration(packets: f32, packet_time: Duration) -> Duration {
    Duration::from_secs_f32((packets * packet_time.as_secs_f32()).clamp(0.0, 1e6))
}

fn ratio(part: u64, whole: u64) -> f32 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 / whole as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// `1` received, `0` lost, `X` discarded: the letters of RFC 3611 §4.7.2.
    fn fates(text: &str) -> Vec<Fate> {
        text.chars()
            .map(|c| match c {
                '1' => Fate::Received,
                '0' => Fate::Lost,
                _ => Fate::Discarded,
            })
            .collect()
    }

    fn pattern(fates: &[Fate]) -> LossPattern {
        let mut bursts = Bursts::default();
        for &fate in fates {
            bursts.push(fate);
        }
        bursts.pattern()
    }

    /// Bursts by the definition: every longest stretch from a missing packet to another without
    /// sixteen received ones in it, of two missing packets at least.
    fn by_definition(fates: &[Fate]) -> Vec<(usize, usize)> {
        let missing: Vec<usize> = (0..fates.len())
            .filter(|&i| fates[i] != Fate::Received)
            .collect();
        let mut found = Vec::new();
        let mut i = 0;
        while i < missing.len() {
            let mut j = i;
            while j + 1 < missing.len() && missing[j + 1] - missing[j] <= usize::from(GMIN) {
                j += 1;
            }
            if j > i {
                found.push((missing[i], missing[j] + 1));
            }
            i = j + 1;
        }
        found
    }

    #[test]
    fn the_example_of_the_rfc() {
        let p = pattern(&fates(
            "11110111111111111111111X111X1011110111111111111111111X111111111",
        ));
        assert_eq!((p.lost, p.discarded, p.bursts), (3, 3, 1));
        // X111X1011110: twelve packets, four of them missing.
        assert!((p.burst_packets - 12.0).abs() < 1e-5, "{p:?}");
        assert!((p.burst_density - 4.0 / 12.0).abs() < 1e-5, "{p:?}");
        // Before it 23 packets, behind it 28, with one missing in each.
        assert!((p.gap_packets - 51.0 / 2.0).abs() < 1e-5, "{p:?}");
        assert!((p.gap_density - 2.0 / 51.0).abs() < 1e-5, "{p:?}");
    }

    #[test]
    fn edges() {
        assert_eq!(pattern(&[]).bursts, 0);
        let clean = pattern(&fates("1111"));
        assert!((clean.gap_packets - 4.0).abs() < 1e-6 && clean.burst_ratio >= 1.0);
        // Sixteen received ones part two losses, fifteen do not.
        assert_eq!(pattern(&fates("01111111111111111011")).bursts, 0);
        assert_eq!(pattern(&fates("0111111111111111011")).bursts, 1);
        let all = pattern(&fates("00000"));
        assert!((all.burst_density - 1.0).abs() < 1e-6 && all.gap_packets < 1e-6);
        // A session that begins with a burst has no gap before it.
        let first = pattern(&fates("0011111111111111111111"));
        assert!((first.gap_packets - 20.0).abs() < 1e-5, "{first:?}");
    }

    #[test]
    fn any_sequence_is_counted_as_the_definition_says() {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..300 {
            let bad = random.random_range(0.0..0.3);
            let fates: Vec<Fate> = (0..random.random_range(1..400))
                .map(|_| match random.random_bool(bad) {
                    false => Fate::Received,
                    true if random.random() => Fate::Lost,
                    true => Fate::Discarded,
                })
                .collect();
            let expected = by_definition(&fates);
            let p = pattern(&fates);
            assert_eq!(p.bursts, expected.len() as u64, "{fates:?}");
            let packets: usize = expected.iter().map(|(a, b)| b - a).sum();
            let missing: usize = expected
                .iter()
                .map(|&(a, b)| fates[a..b].iter().filter(|&&f| f != Fate::Received).count())
                .sum();
            let density = ratio(missing as u64, packets as u64);
            assert!((p.burst_density - density).abs() < 1e-5, "{fates:?}");
            let in_gaps = fates.len() - packets;
            let all = fates.iter().filter(|&&f| f != Fate::Received).count();
            let density = ratio((all - missing) as u64, in_gaps as u64);
            assert!((p.gap_density - density).abs() < 1e-5, "{fates:?}");
        }
    }

    #[test]
    fn the_burst_ratio_is_one_for_random_loss_and_grows_with_runs() {
        let mut random = StdRng::seed_from_u64(3);
        let mut bursts = Bursts::default();
        for _ in 0..200_000 {
            let lost = random.random_bool(0.1);
            bursts.push(if lost { Fate::Lost } else { Fate::Received });
        }
        let ratio = bursts.pattern().burst_ratio;
        assert!((1.0..1.03).contains(&ratio), "{ratio}");
        let mut bursts = Bursts::default();
        for _ in 0..1000 {
            bursts.push_many(Fate::Received, 36);
            bursts.push_many(Fate::Lost, 4);
        }
        // Runs of four where chance makes runs of 1 / 0.9.
        let ratio = bursts.pattern().burst_ratio;
        assert!((ratio - 3.6).abs() < 1e-4, "{ratio}");
    }
}
