//! Menus, by ear and by the clock: how soon a key silences the prompt, which keys count, what is
//! said when none does, and how a caller gets from a menu into a conference that runs elsewhere.

use crate::support::keys;
use crate::support::line;
use crate::support::media;
use crate::support::prompts;
use crate::support::server;

use std::time::{Duration, Instant};

use keys::Keys;
use line::Line;
use media::{Law, Packet, level, on_time, power, tone};
use prompts::Prompt;
use server::Config;

/// A prompt that is louder is heard, dBm0 over 20 ms.
const LOUD: f64 = -45.0;

const MENUS: &str = r##"
[[menu]]
name = "long"
prompts = ["menu-main"]
[[menu.choice]]
digits = "55"
app = "hang-up"

[[menu]]
name = "patient"
prompts = ["goodbye"]
barge_in = false
first_digit_seconds = 1
[[menu.choice]]
digits = "2"
app = "play"
prompts = ["menu-announcement"]

[[menu]]
name = "before"
prompts = ["goodbye"]
barge_in = false
[[menu.choice]]
digits = "1"
app = "menu"
menu = "deaf"

[[menu]]
name = "deaf"
prompts = ["digit-7"]
type_ahead = false
first_digit_seconds = 1
retries = 0
[[menu.choice]]
digits = "2"
app = "play"
prompts = ["menu-announcement"]

[[menu]]
name = "strict"
prompts = ["digit-1"]
first_digit_seconds = 1
inter_digit_seconds = 1
retries = 2
[[menu.choice]]
digits = "11"
app = "echo"

[[menu]]
name = "tree"
prompts = ["digit-1"]
[[menu.choice]]
digits = "1"
app = "menu"
menu = "branch"

[[menu]]
name = "branch"
prompts = ["digit-2"]
[[menu.choice]]
digits = "9"
app = "play"
prompts = ["digit-9"]
then = "tree"
[[menu.choice]]
digits = "#"
app = "hang-up"

[[menu]]
name = "rooms"
prompts = ["menu-main"]
[[menu.choice]]
digits = "6XX"
app = "conference"
room = "$0"
"##;

/// One route for each menu.
fn with_routes(names: &[&str]) -> Config {
    names
        .iter()
        .fold(Config::new().tables(MENUS), |config, name| {
            config.route(&format!(
                "user = \"at-{name}\"\napp = \"menu\"\nmenu = \"{name}\""
            ))
        })
}

fn loudness(packet: &Packet) -> f64 {
    let samples: Vec<i16> = packet.payload.iter().map(|c| Law::Mu.decode(*c)).collect();
    power(&samples)
}

#[test]
fn a_key_silences_the_prompt_within_60_ms() {
    on_time(|timing| {
        let server = with_routes(&["long"]).start();
        // Several at once, each in another place of the prompt and of the server's ticks.
        let silences: Vec<(Duration, bool)> = std::thread::scope(|scope| {
            let presses: Vec<_> = (0..8)
                .map(|n| {
                    let server = &server;
                    scope.spawn(move || {
                        let line = Line::dial(server, timing, "at-long");
                        let keys = Keys::new().silence(1000 + 140 * n);
                        let quiet = keys.packets.len();
                        let keys = keys.event('5', 100).silence(400);
                        let sent = line.perform(&keys)[quiet];
                        let heard = line.phone.all();
                        heard.assert_unbroken();
                        let loud = heard.0.iter().filter(|p| loudness(p) > LOUD);
                        let last = loud.map(|p| p.at).max().unwrap();
                        let speaking = last + Duration::from_millis(40) > sent;
                        (last.saturating_duration_since(sent), speaking)
                    })
                })
                .collect();
            presses.into_iter().map(|p| p.join().unwrap()).collect()
        });
        eprintln!("silent after {silences:?}");
        let speaking = silences.iter().filter(|(_, speaking)| *speaking).count();
        assert!(speaking >= 4, "{speaking} pressed while something was said");
        for (silence, _) in &silences {
            assert!(*silence <= Duration::from_millis(60), "{silences:?}");
        }
    });
}

#[test]
fn keys_ahead_count_behind_the_prompt_or_not_at_all() {
    on_time(|timing| {
        let server = with_routes(&["patient", "before"]).start();
        std::thread::scope(|scope| {
            let server = &server;
            scope.spawn(move || {
                let mut line = Line::dial(server, timing, "at-patient");
                line.press("2");
                line.await_bye();
                assert_eq!(line.said(), ["goodbye", "menu-announcement"]);
                // The prompt went on to its end, and nothing was waited for behind it.
                let heard = line.heard();
                let prompt = Prompt::named("goodbye").best(&heard).unwrap();
                assert!(prompt.likeness > 0.95, "{prompt:?}");
                let next = Prompt::named("menu-announcement").best(&heard).unwrap();
                let gap = next.seconds() - prompt.seconds() - prompt.len as f64 / 8000.0;
                assert!((0.0..0.4).contains(&gap), "{gap} s");
            });
            scope.spawn(move || {
                // The 2 comes before the question that it would answer.
                let mut line = Line::dial(server, timing, "at-before");
                line.press("12");
                line.await_bye();
                assert_eq!(line.said(), ["goodbye", "digit-7"]);
                // Within its prompt it would count.
                let mut line = Line::dial(server, timing, "at-before");
                line.press("1");
                line.await_whole("goodbye");
                line.press("2");
                line.await_whole("menu-announcement");
                line.await_bye();
            });
        });
    });
}

#[test]
fn wrong_then_nothing_then_the_end() {
    on_time(|timing| {
        let server = with_routes(&["strict", "tree"]).start();
        std::thread::scope(|scope| {
            let server = &server;
            scope.spawn(move || {
                let mut line = Line::dial(server, timing, "at-strict");
                line.await_whole("digit-1");
                line.press("9");
                line.await_whole("menu-invalid");
                line.await_whole("digit-1");
                line.await_whole("menu-timeout");
                // Half an answer is a wrong one: its time is that of the next key.
                line.await_whole("digit-1");
                line.press("1");
                line.await_bye();
                let said = line.said();
                assert_eq!(
                    said,
                    [
                        "digit-1",
                        "menu-invalid",
                        "digit-1",
                        "menu-timeout",
                        "digit-1"
                    ]
                );
            });
            scope.spawn(move || {
                // Ahead through two menus, back, and out by a choice that is the terminator too.
                let mut line = Line::dial(server, timing, "at-tree");
                line.press("19");
                line.await_whole("digit-9");
                line.await_whole("digit-1");
                line.press("1");
                line.await_whole("digit-2");
                line.press("#");
                line.await_bye();
                let said = line.said();
                assert!(
                    said.ends_with(&["digit-9", "digit-1", "digit-2"].map(str::to_owned)),
                    "{said:?}"
                );
            });
        });
    });
}

/// When a tone is first heard, of the packets from a moment on.
fn first_heard(line: &Line, from: Instant, hz: f64) -> Option<Duration> {
    let heard = line.phone.all();
    let tone = heard.0.iter().find(|p| {
        let samples: Vec<i16> = p.payload.iter().map(|c| Law::Mu.decode(*c)).collect();
        p.at >= from && level(&samples, hz) > -25.0
    });
    Some(tone?.at.saturating_duration_since(from))
}

#[test]
fn from_a_menu_into_a_conference_wherever_that_is() {
    on_time(|timing| {
        let server = with_routes(&["rooms"]).set("media", "workers", 2).start();
        // One is in each of two rooms; two more come into each from the menu, so that legs of both
        // media threads go to both rooms.
        let tones = [[450, 750, 1050], [650, 950, 1350]];
        let mut there: Vec<Line> = Vec::new();
        for (room, tones) in tones.iter().enumerate() {
            let line = Line::dial(&server, timing, &format!("60{room}"));
            line.say(tone(tones[0]));
            there.push(line);
        }
        let mut callers: Vec<(usize, Line)> = Vec::new();
        for n in 0..4 {
            let mut line = Line::dial(&server, timing, "at-rooms");
            if n == 3 {
                line.await_begin("menu-main");
            }
            callers.push((n, line));
        }
        for (n, line) in &callers {
            let (room, place) = (n % 2, 1 + n / 2);
            let keys = Keys::new()
                .silence(60)
                .event('6', 60)
                .silence(60)
                .event('0', 60)
                .silence(60);
            let before = keys.packets.len();
            let key = char::from(b'0' + room as u8);
            let keys = keys
                .event(key, 60)
                .speech(f64::from(tones[room][place]), 600);
            let sent = line.perform(&keys);
            line.say(tone(tones[room][place]));
            let (pressed, spoken) = (sent[before], sent[before + 5]);
            for other in &tones[room][..place] {
                let first = first_heard(line, pressed, f64::from(*other));
                let first = first.unwrap_or_else(|| panic!("{n} does not hear {other}"));
                eprintln!("caller {n} hears {other} Hz after {first:?}");
                assert!(
                    first <= Duration::from_millis(500),
                    "{other} after {first:?}"
                );
            }
            let own = f64::from(tones[room][place]);
            let heard = first_heard(&there[room], spoken, own);
            let heard = heard.unwrap_or_else(|| panic!("{n} is not heard"));
            eprintln!("caller {n} is heard after {heard:?}");
            assert!(heard <= Duration::from_millis(500), "heard after {heard:?}");
        }
        // Everybody hears everybody else of the room, steadily, and nobody of the other.
        for (room, line) in there
            .iter()
            .enumerate()
            .chain(callers.iter().map(|(n, line)| (n % 2, line)))
        {
            let heard = line.phone.listen(25);
            let own = tones[room]
                .iter()
                .filter(|hz| heard.level(f64::from(**hz)) < -55.0);
            assert_eq!(own.count(), 1, "one's own tone alone is not heard");
            for hz in tones[1 - room] {
                heard.assert_absent(f64::from(hz));
            }
        }
        // What each heard was one stream, through the menu and the move.
        for line in there.iter().chain(callers.iter().map(|(_, line)| line)) {
            line.phone.all().assert_unbroken();
        }
        for line in there
            .iter_mut()
            .chain(callers.iter_mut().map(|(_, line)| line))
        {
            line.hang_up();
        }
    });
}
