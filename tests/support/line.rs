//! A telephone line that the test itself is the phone of: it presses keys as telephone events, says
//! tones, and goes on when it has heard what it waits for.

use std::time::{Duration, Instant};

use super::keys::{Keys, OFFER};
use super::media::{Phone, Timing, Tone};
use super::prompts::{Found, Prompt, said};
use super::server::Server;
use super::sip::{Call, Peer, sdp};

/// The longest that anything takes to be said.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answered call.
#[derive(Debug)]
pub struct Line {
    /// Its signalling.
    pub call: Call,
    /// Its media.
    pub phone: Phone,
    /// What has been waited for ends there, in samples.
    pub from: usize,
}

impl Line {
    /// Dials a user, offering telephone events.
    pub fn dial(server: &Server, timing: &Timing, user: &str) -> Self {
        Self::dial_with(server, timing, user, "0 101", OFFER)
    }

    /// The same with any offer.
    pub fn dial_with(
        server: &Server,
        timing: &Timing,
        user: &str,
        formats: &str,
        lines: &str,
    ) -> Self {
        let phone = Phone::v4(timing);
        let body = sdp(phone.address, formats, lines);
        let call = Call::establish(Peer::udp(server.udp()), user, &body);
        let from = 0;
        Self { call, phone, from }
    }

    /// Presses keys as events, 100 ms each.
    pub fn press(&self, keys: &str) -> Vec<Instant> {
        self.perform(&Keys::events(keys, 100, 100))
    }

    /// Sends this in the place of speech.
    pub fn perform(&self, keys: &Keys) -> Vec<Instant> {
        self.phone.perform(self.call.ok.rtp(), keys.sends())
    }

    /// Says a tone from now on.
    pub fn say(&self, tone: Tone) {
        self.phone.say(self.call.ok.rtp(), tone);
    }

    /// And no longer.
    pub fn hush(&self) {
        self.phone.hush();
    }

    /// What has been heard so far.
    pub fn heard(&self) -> Vec<i16> {
        self.phone.all().samples()
    }

    /// Waits for the first second of a prompt, behind what was waited for before.
    pub fn await_begin(&mut self, name: &str) -> Found {
        self.await_part(&Prompt::named(name).begin(1.0))
    }

    /// Waits until a prompt has been heard whole.
    pub fn await_whole(&mut self, name: &str) -> Found {
        self.await_part(&Prompt::named(name))
    }

    fn await_part(&mut self, prompt: &Prompt) -> Found {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let heard = self.heard();
            if let Some(mut found) = prompt.all(&heard[self.from..]).into_iter().next() {
                found.at += self.from;
                self.from = found.at + found.len;
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{} was not heard in {PATIENCE:?}; these were: {:?}",
                prompt.name,
                self.said()
            );
            // Nothing comes any more where the server has hung up.
            self.phone.wait_for(10, Duration::from_millis(300));
        }
    }

    /// Every prompt that has been heard, in order.
    pub fn said(&self) -> Vec<String> {
        let names = every_prompt();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = said(&self.heard(), &names);
        found.into_iter().map(|f| f.name).collect()
    }

    /// Hangs up.
    pub fn hang_up(&mut self) {
        self.call.hang_up();
    }

    /// Waits until the server hangs up.
    pub fn await_bye(&mut self) {
        self.call.serve("BYE");
    }
}

/// The names of all built-in prompts, but the beep.
pub fn every_prompt() -> Vec<String> {
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/media/prompts.txt");
    let text = std::fs::read_to_string(list).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.split_once('\t')?.0.to_owned()))
        .collect()
}
