//! Three real telephones in one conference: each hears the others, at their level and without a
//! gap, and not itself; and the tone of one who leaves ends.

use crate::support::baresip;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::time::Duration;

use baresip::{Baresip, Phone, Source};
use pacing::Watch;

const TONES: [f64; 3] = [450.0, 1050.0, 1850.0];
/// Peak of each tone: three of them stay far below the limiter.
const AMPLITUDE: f64 = 0.1;
/// How long all three are in the room.
const TOGETHER: Duration = Duration::from_secs(4);
/// How long two of them go on.
const AFTERWARDS: Duration = Duration::from_secs(2);

#[test]
fn three_phones_hear_each_other_and_not_themselves() {
    pacing::in_time(|watch| conference(watch, "PCMU"));
}

#[test]
fn the_same_with_a_law() {
    pacing::in_time(|watch| conference(watch, "PCMA"));
}

fn conference(watch: &Watch, codec: &str) -> Result<(), String> {
    let server = server::Config::new().start();
    let mut phones: Vec<Baresip> = Vec::new();
    for (n, hz) in TONES.into_iter().enumerate() {
        let name = format!("phone{n}");
        let source = Source::Tone(hz, AMPLITUDE);
        let phone = Phone::new(&name, server.udp(), source).codec(codec).start();
        watch.add(phone.pid());
        phones.push(phone);
    }
    for phone in &mut phones {
        phone.dial("600");
    }
    // Time in the call is what is tested; nobody tells of it.
    std::thread::sleep(TOGETHER);
    phones[2].hang_up();
    std::thread::sleep(AFTERWARDS);
    phones[0].hang_up();
    phones[1].hang_up();
    server.wait_log_count(" ended ", 3);
    let heard: Vec<Vec<i16>> = phones.into_iter().map(Baresip::heard).collect();
    check(&heard)
}

fn check(heard: &[Vec<i16>]) -> Result<(), String> {
    let expected = tone::db(AMPLITUDE);
    let mut runs = [[0.0; 3]; 3];
    for (n, samples) in heard.iter().enumerate() {
        for (m, hz) in TONES.into_iter().enumerate() {
            let what = format!("phone {n} hears phone {m}");
            if n == m {
                tone::check_absent(samples, hz, expected - 40.0, &what)?;
                continue;
            }
            let run = tone::longest_run(samples, hz, expected, 3.0);
            runs[n][m] = tone::seconds(run.len());
            // Without the first and the last frame, in which it starts and ends.
            let inner = run.start + tone::FRAME
                ..run
                    .end
                    .saturating_sub(tone::FRAME)
                    .max(run.start + tone::FRAME);
            tone::check_steady(&samples[inner], hz, expected, &what)?;
            let behind = &samples[(run.end + 10 * tone::FRAME).min(samples.len())..];
            if m == 2 && behind.len() < tone::RATE {
                return Err(format!(
                    "{what}: it has left, and only {} samples follow",
                    behind.len()
                ));
            }
            tone::check_absent(
                behind,
                hz,
                expected - 40.0,
                &format!("{what}, which has left"),
            )?;
        }
    }
    let (together, afterwards) = (TOGETHER.as_secs_f64(), AFTERWARDS.as_secs_f64());
    for (n, m, seconds) in [
        (0, 1, together + afterwards),
        (1, 0, together + afterwards),
        (0, 2, together),
        (1, 2, together),
        (2, 0, together),
        (2, 1, together),
    ] {
        // Setting up and hanging up takes its time, and sound its way: 0.2 s at each end.
        if (runs[n][m] - seconds).abs() > 0.4 {
            return Err(format!(
                "phone {n} heard phone {m} for {:.2} s of {seconds} s",
                runs[n][m]
            ));
        }
    }
    Ok(())
}
