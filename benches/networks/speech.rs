//! Speech to send: sentences in several languages and voices by espeak-ng, level and rate by sox.

use std::io::{Error, Write};
use std::process::{Command, Stdio};

/// What one sample lasts: PESQ wants 8 s, with silence at both ends (ITU-T P.862.3 §8).
pub const SAMPLE_S: usize = 8;

/// Voice and text, spoken once each.
const SENTENCES: &[(&str, &str)] = &[
    (
        "en-us+m3",
        "The harbour was quiet before the storm came in. Nobody had asked the captain why.",
    ),
    (
        "en-us+f2",
        "She counted eleven letters on the table. Most of them had never been opened.",
    ),
    (
        "en-gb+m1",
        "A narrow road leads up to the old mill. From there you can see the sea.",
    ),
    (
        "de+f4",
        "Der Zug nach Norden fährt heute später. Bitte warten Sie auf dem anderen Bahnsteig.",
    ),
    (
        "fr+m7",
        "Le marché ouvre chaque matin avant l'aube. On y trouve du poisson et des fleurs.",
    ),
    (
        "en-gb+f5",
        "Please put seven heavy boxes into the cellar. The green ones can stay where they are.",
    ),
    (
        "es+m4",
        "Mañana por la tarde llegan los invitados. Todavía falta preparar la habitación grande.",
    ),
    (
        "it+f3",
        "Il treno parte dal secondo binario. Il viaggio dura quasi due ore e mezza.",
    ),
];

/// How many samples there are.
pub fn count() -> usize {
    SENTENCES.len()
}

/// Whether the programs are there; says which is not.
pub fn is_possible() -> bool {
    ["espeak-ng", "sox"].iter().all(|program| {
        let there = Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok();
        if !there {
            eprintln!("skipped: {program} is not installed (.ci/setup espeak-ng sox)");
        }
        there
    })
}

/// The `n`-th sample at `rate` Hz: [`SAMPLE_S`] long, half a second of silence first.
pub fn sample(n: usize, rate: u32) -> std::io::Result<Vec<i16>> {
    let (voice, text) = SENTENCES[n];
    let mut espeak = Command::new("espeak-ng")
        .args(["-v", voice, "-s", "150", "--stdin", "--stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    espeak
        .stdin
        .take()
        .ok_or(Error::other("no stdin"))?
        .write_all(text.as_bytes())?;
    let spoken = espeak.wait_with_output()?.stdout;
    let pcm = sox(
        "-t wav --ignore-length -",
        &spoken,
        &format!("-t raw -r {rate} -e signed -b 16 -c 1 - gain -n -9 pad 0.5 0"),
    )?;
    let mut samples = from_bytes(&pcm);
    samples.resize(SAMPLE_S * rate as usize, 0);
    Ok(samples)
}

/// The same at another rate.
pub fn resampled(samples: &[i16], from: u32, to: u32) -> std::io::Result<Vec<i16>> {
    if from == to {
        return Ok(samples.to_vec());
    }
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let pcm = sox(
        &format!("-t raw -r {from} -e signed -b 16 -c 1 -"),
        &bytes,
        &format!("-t raw -r {to} -e signed -b 16 -c 1 -"),
    )?;
    Ok(from_bytes(&pcm))
}

fn from_bytes(bytes: &[u8]) -> Vec<i16> {
    bytes
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect()
}

/// `-D`: no dither, the same in each run.
fn sox(input: &str, bytes: &[u8], output: &str) -> std::io::Result<Vec<u8>> {
    let mut sox = Command::new("sox")
        .args(["-V1", "-D"])
        .args(input.split(' '))
        .args(output.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = sox.stdin.take().ok_or(Error::other("no stdin"))?;
    let written = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes));
        sox.wait_with_output()
    })?;
    Ok(written.stdout)
}
