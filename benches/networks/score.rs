//! PESQ scores, by a program of Python in an environment that is made once in the target
//! directory.

use std::io::{Error, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// `pesq` needs NumPy and does not say so.
const PESQ: &[&str] = &["pesq==0.0.4", "numpy"];

/// Scores pairs of recordings.
pub struct Judge {
    python: PathBuf,
    folder: PathBuf,
    /// Lines for the program.
    asked: String,
}

impl Judge {
    /// Finds or makes the environment; `None`, with a message, where that cannot be.
    pub fn new() -> Option<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("networks");
        let environment = folder.join("python");
        let python = environment.join("bin/python");
        let judge = Self {
            python,
            folder,
            asked: String::new(),
        };
        if !judge.works() {
            eprintln!("making an environment for {PESQ:?}");
            let made = run(Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment))
                && run(Command::new(&judge.python)
                    .args(["-m", "pip", "install", "-q"])
                    .args(PESQ));
            if !made || !judge.works() {
                eprintln!(
                    "skipped: PESQ is not there; it needs python3-venv, python3-dev and a C \
                     compiler (.ci/setup python3-venv python3-dev gcc), and PyPI"
                );
                return None;
            }
        }
        Some(judge)
    }

    fn works(&self) -> bool {
        run(Command::new(&self.python)
            .args(["-c", "import pesq"])
            .stderr(Stdio::null()))
    }

    /// Takes a pair up: `rate` 8000 is scored as narrowband (P.862.1), 16000 as wideband
    /// (P.862.2).
    pub fn ask(&mut self, rate: u32, reference: &[i16], heard: &[i16]) -> Result<(), hound::Error> {
        let number = self.asked.lines().count();
        let clean = self.folder.join(format!("{number}-reference.wav"));
        let degraded = self.folder.join(format!("{number}-heard.wav"));
        write(&clean, rate, reference)?;
        write(&degraded, rate, heard)?;
        let mode = if rate == 8000 { "nb" } else { "wb" };
        for word in [mode.into(), clean.display().to_string()] {
            self.asked += &word;
            self.asked.push(' ');
        }
        self.asked += &degraded.display().to_string();
        self.asked.push('\n');
        Ok(())
    }

    /// The scores of all pairs, in their order.
    pub fn scores(self) -> std::io::Result<Vec<f32>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/networks/score.py");
        let mut child = Command::new(&self.python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().ok_or(Error::other("no stdin"))?;
        stdin.write_all(self.asked.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let scores: Vec<f32> = text.lines().filter_map(|l| l.parse().ok()).collect();
        if scores.len() == self.asked.lines().count() {
            Ok(scores)
        } else {
            Err(Error::other("score.py has not scored all"))
        }
    }
}

fn run(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

fn write(path: &Path, rate: u32, samples: &[i16]) -> Result<(), hound::Error> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for &sample in samples {
        writer.write_sample(sample)?;
    }
    writer.finalize()
}
