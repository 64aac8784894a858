//! The cases in `tests/jitter/*.txt`.
//!
//! Each line is a run from an empty playout: letters are events, each group after them a check.
//!
//! ```text
//! P      the next packet arrives        G      a tick is pulled
//! L      the next packet is lost        D      the last packet arrives again
//! H      the next packet is held back   R      the oldest held packet arrives
//! J      the timestamp jumps by 1000 s  S      the sequence jumps by 10,000
//! X      another source begins          M      the next packet bears the marker
//! W      a tick passes at the sender: nothing is sent, the timestamp goes on
//! N      comfort noise at -50 dBov arrives, in the place of a packet
//! =AACS  what the last pulls gave: audio, concealed, silence
//! !name n   a statistic is n
//! # to the end: a comment
//! 50x    all letters of the next word, 50 times
//! !added n   the least depth of the last 50 pulls, ms
//! ```

use std::collections::VecDeque;

use super::*;

#[test]
fn all_files_hold() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jitter");
    let mut cases = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap().trim();
            if !line.is_empty() {
                check(line, &format!("{}:{}", path.display(), number + 1));
                cases += 1;
            }
        }
    }
    assert!(cases > 20, "{cases} cases found");
}

struct Case {
    playout: Playout,
    next: Sent,
    last: Option<Sent>,
    held: VecDeque<Sent>,
    now_us: u64,
    kinds: String,
    depths: Vec<u32>,
}

impl Case {
    fn insert(&mut self, mut sent: Sent) {
        // 3 ms before the tick.
        sent.arrival_us = self.now_us + 17_000;
        let arrival = MediaTime::from_micros(sent.arrival_us);
        self.playout.insert(&sent.packet(), Codec::Pcmu, arrival);
        self.last = Some(sent);
    }

    fn take(&mut self) -> Sent {
        let sent = self.next.clone();
        self.next.seq = sent.seq.wrapping_add(1);
        self.next.timestamp = sent.timestamp.wrapping_add(160);
        self.next.marker = false;
        sent
    }

    fn event(&mut self, letter: char) {
        match letter {
            'P' => {
                let sent = self.take();
                self.insert(sent);
            }
            'L' => drop(self.take()),
            'D' => {
                let sent = self.last.clone().expect("a packet before D");
                self.insert(sent);
            }
            'H' => {
                let sent = self.take();
                self.held.push_back(sent);
            }
            'R' => {
                let sent = self.held.pop_front().expect("a held packet before R");
                self.insert(sent);
            }
            'J' => self.next.timestamp = self.next.timestamp.wrapping_add(8_000_000),
            'S' => self.next.seq = self.next.seq.wrapping_add(10_000),
            'X' => self.next.ssrc += 1,
            'M' => self.next.marker = true,
            'W' => self.next.timestamp = self.next.timestamp.wrapping_add(160),
            'N' => {
                let sent = Sent {
                    payload: vec![50],
                    ..self.take()
                };
                let arrival = MediaTime::from_micros(self.now_us + 17_000);
                self.playout.comfort_noise(&sent.packet(), arrival);
            }
            'G' => {
                self.now_us += TICK_US;
                let mut frame = [0; 160];
                let pulled = self
                    .playout
                    .pull(&mut frame, MediaTime::from_micros(self.now_us));
                self.kinds.push(match pulled {
                    Pulled::Audio => 'A',
                    Pulled::Concealed => 'C',
                    Pulled::Silence => 'S',
                });
                self.depths.push(self.playout.stats().depth_samples);
            }
            other => panic!("unknown event {other}"),
        }
    }

    fn statistic(&self, name: &str) -> u64 {
        let stats = self.playout.stats();
        match name {
            "concealed" => stats.concealed_samples,
            "depth" => u64::from(stats.depth_samples),
            "maxdepth" => u64::from(stats.max_depth_samples),
            "late" => stats.late,
            "duplicates" => stats.duplicates,
            "overflow" => stats.overflow,
            "expanded" => stats.expanded,
            "accelerated" => stats.accelerated,
            "restarts" => stats.restarts,
            "added" => {
                let last = &self.depths[self.depths.len().saturating_sub(50)..];
                u64::from(last.iter().min().copied().unwrap_or(0) / 8)
            }
            other => panic!("unknown statistic {other}"),
        }
    }
}

fn check(line: &str, place: &str) {
    let mut payload = vec![0; 160];
    let pcm: Vec<i16> = (0..160).map(signal).map(|s| s.max(500)).collect();
    Codec::Pcmu.encode(&pcm, &mut payload);
    let next = Sent {
        seq: 65_533,
        timestamp: u32::MAX - 500,
        ssrc: 1,
        marker: false,
        payload,
        arrival_us: 0,
    };
    let mut case = Case {
        playout: Playout::new(PlayoutSettings::default()),
        next,
        last: None,
        held: VecDeque::new(),
        now_us: 1_000_000,
        kinds: String::new(),
        depths: Vec::new(),
    };
    let mut times = 1;
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if let Some(kinds) = word.strip_prefix('=') {
            assert!(
                case.kinds.ends_with(kinds),
                "{place}: {} instead of {kinds}",
                case.kinds
            );
        } else if let Some(name) = word.strip_prefix('!') {
            let expected: u64 = words.next().expect("a number after !name").parse().unwrap();
            assert_eq!(
                case.statistic(name),
                expected,
                "{place}: {name} after ...{}",
                &case.kinds[case.kinds.len().saturating_sub(60)..]
            );
        } else if let Some(number) = word.strip_suffix('x') {
            times = number.parse().unwrap();
        } else {
            for _ in 0..std::mem::replace(&mut times, 1) {
                word.chars().for_each(|letter| case.event(letter));
            }
        }
    }
}
