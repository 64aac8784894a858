//! Recordings never lie: whole in the normal case, in place where frames are missing, valid
//! after a full disk and after SIGKILL.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use antiphon::audio::MediaTime;
use antiphon::leg::tap::{Tap, TapSettings};
use antiphon::store::recorder::{
    Container, Recorder, RecorderEvent, RecorderSettings, RecordingFormat,
};
use antiphon::wav::Reader;

const TICK: u64 = 160;
const PATIENCE: Duration = Duration::from_secs(20);

fn recorder(settings: RecorderSettings) -> Recorder {
    Recorder::start(settings).expect("thread started")
}

fn tap(recorder: &Recorder, recording: u64) -> Tap {
    let settings = TapSettings {
        recording,
        max_samples: None,
        silence_stop_samples: None,
        start: MediaTime::ZERO,
    };
    Tap::new(settings, recorder.sender())
}

/// The frame of a tick: its number, from 1, in each sample.
fn push(tap: &mut Tap, tick: u64) {
    tap.push(
        &[value(tick); TICK as usize],
        MediaTime::from_millis(tick * 20),
    );
}

fn value(tick: u64) -> i16 {
    (tick % 30_000) as i16 + 1
}

fn event(recorder: &Recorder) -> RecorderEvent {
    recorder
        .events()
        .recv_timeout(PATIENCE)
        .expect("an event in time")
}

fn read(path: &Path) -> Vec<i16> {
    let mut reader = Reader::open(File::open(path).expect("exists")).expect("a valid WAV file");
    assert!(
        !reader.spec().truncated,
        "the header of {} claims more than there is",
        path.display()
    );
    let mut samples = Vec::new();
    while reader.read_mono(&mut samples, 65_536).expect("readable") > 0 {}
    samples
}

/// Holds that `samples` are the ticks in order, with silence in those of `missing`.
fn assert_ticks(samples: &[i16], missing: &[u64]) {
    for (tick, frame) in samples.chunks(TICK as usize).enumerate() {
        let tick = tick as u64;
        let expected = if missing.contains(&tick) {
            0
        } else {
            value(tick)
        };
        assert!(
            frame.iter().all(|s| *s == expected),
            "tick {tick}: {frame:?}"
        );
    }
}

#[test]
fn ticks_that_never_came_are_silence_in_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    let path = recorder
        .open(1, &dir.path().join("2026-01-02/a.wav"), 8000)
        .unwrap();
    let mut tap = tap(&recorder, 1);
    for tick in (0..100).filter(|tick| ![3, 4, 50].contains(tick)) {
        push(&mut tap, tick);
    }
    recorder.close(1, 102 * TICK);
    let (samples, overflow_filled) = (102 * TICK, 5 * TICK);
    let closed = RecorderEvent::Closed {
        id: 1,
        path: path.clone(),
        samples,
        rate: 8000,
        overflow_filled,
    };
    assert_eq!(event(&recorder), closed);
    let samples = read(&path);
    assert_eq!(samples.len() as u64, 102 * TICK);
    assert_ticks(&samples, &[3, 4, 50, 100, 101]);
}

#[test]
fn an_overflow_is_filled_and_the_length_stays() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings {
        frames: 4,
        ..RecorderSettings::default()
    });
    let path = recorder.open(1, &dir.path().join("a.wav"), 8000).unwrap();
    let mut tap = tap(&recorder, 1);
    for tick in 0..500 {
        push(&mut tap, tick);
    }
    assert!(
        tap.overflowed_samples() > 0,
        "nothing overflowed: the test tests nothing"
    );
    recorder.close(1, tap.end_position());
    match event(&recorder) {
        RecorderEvent::Closed {
            samples,
            overflow_filled,
            ..
        } => {
            assert_eq!(
                (samples, overflow_filled),
                (500 * TICK, tap.overflowed_samples())
            );
        }
        other => panic!("{other:?}"),
    }
    for (tick, frame) in read(&path).chunks(TICK as usize).enumerate() {
        let expected = value(tick as u64);
        assert!(
            frame.iter().all(|s| *s == 0) || frame.iter().all(|s| *s == expected),
            "{tick}"
        );
    }
}

/// Frames and closes come by different queues: neither order of arrival may lose a frame.
#[test]
fn a_close_never_overtakes_the_last_frame() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    for id in 0..300 {
        recorder
            .open(id, &dir.path().join(format!("{id}.wav")), 8000)
            .unwrap();
        let mut tap = tap(&recorder, id);
        for tick in 0..7 {
            push(&mut tap, tick);
        }
        recorder.close(id, tap.end_position());
    }
    for _ in 0..300 {
        match event(&recorder) {
            RecorderEvent::Closed {
                path,
                samples,
                overflow_filled,
                ..
            } => {
                assert_eq!((samples, overflow_filled), (7 * TICK, 0), "{path:?}");
                assert_ticks(&read(&path), &[]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    let path = dir.path().join("a.wav");
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(
        recorder.open(1, &path, 8000).unwrap(),
        dir.path().join("a-1.wav")
    );
    assert_eq!(
        recorder.open(2, &path, 8000).unwrap(),
        dir.path().join("a-2.wav")
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    let refused = recorder
        .open(3, Path::new("/proc/no/such.wav"), 8000)
        .unwrap_err()
        .to_string();
    assert!(
        refused.starts_with("cannot create recording /proc/no/such.wav: "),
        "{refused}"
    );
}

#[test]
fn rolls_over_where_a_file_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let settings = RecorderSettings {
        max_file_bytes: 10_000,
        ..RecorderSettings::default()
    };
    let recorder = recorder(settings);
    recorder.open(1, &dir.path().join("a.wav"), 8000).unwrap();
    let mut tap = tap(&recorder, 1);
    for tick in 0..50 {
        push(&mut tap, tick);
    }
    recorder.close(1, tap.end_position());
    let full = dir.path().join("a.wav");
    let path = dir.path().join("a-1.wav");
    let expected = RecorderEvent::RolledOver {
        id: 1,
        full: full.clone(),
        path: path.clone(),
        from: 5000,
    };
    assert_eq!(event(&recorder), expected);
    assert!(matches!(
        event(&recorder),
        RecorderEvent::Closed { samples: 8000, .. }
    ));
    let mut all = read(&full);
    assert_eq!(all.len(), 5000);
    all.extend(read(&path));
    assert_eq!(all.len(), 8000);
    assert_ticks(&all, &[]);
}

#[test]
fn a_split_recording_goes_on_at_the_very_sample() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    let format = RecordingFormat {
        split_samples: Some(5000),
        ..RecordingFormat::wav(8000)
    };
    let path = dir.path().join("a.wav");
    recorder.open_as(1, &path, &format).unwrap();
    let mut tap = tap(&recorder, 1);
    for tick in 0..100 {
        push(&mut tap, tick);
    }
    recorder.close(1, 16_000);
    let mut files = vec![path];
    let whole = loop {
        match event(&recorder) {
            RecorderEvent::RolledOver { full, path, .. } => {
                assert_eq!(files.last(), Some(&full));
                files.push(path);
            }
            RecorderEvent::Closed { samples, .. } => break samples,
            other @ RecorderEvent::Failed { .. } => panic!("{other:?}"),
        }
    };
    assert_eq!((whole, files.len()), (16_000, 4));
    let parts: Vec<Vec<i16>> = files.iter().map(|path| read(path)).collect();
    let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
    assert_eq!(lengths, [5000, 5000, 5000, 1000]);
    assert_ticks(&parts.concat(), &[]);
}

#[test]
fn a_name_is_not_used_again_where_a_complete_file_is_moved_away() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    let format = RecordingFormat {
        split_samples: Some(5000),
        ..RecordingFormat::wav(8000)
    };
    recorder
        .open_as(1, &dir.path().join("a.wav"), &format)
        .unwrap();
    let mut tap = tap(&recorder, 1);
    let mut begun = Vec::new();
    for part in 0..3 {
        for tick in part * 32..(part + 1) * 32 {
            push(&mut tap, tick);
        }
        let RecorderEvent::RolledOver { full, path, .. } = event(&recorder) else {
            panic!("no split");
        };
        std::fs::remove_file(full).unwrap();
        begun.push(path.file_name().unwrap().to_owned());
    }
    assert_eq!(begun, ["a-1.wav", "a-2.wav", "a-3.wav"]);
}

#[test]
fn both_sides_of_a_call_are_two_channels() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    let format = RecordingFormat {
        stereo: true,
        ..RecordingFormat::wav(16_000)
    };
    let path = recorder
        .open_as(1, &dir.path().join("a.wav"), &format)
        .unwrap();
    let mut tap = tap(&recorder, 1).converting(16_000, true);
    for tick in 0..10 {
        // The third is skipped.
        if tick != 2 {
            tap.say(&[100; 320], 16_000, MediaTime::from_millis(tick * 20));
            tap.hear(Some(&[-200; 320]), 16_000);
        }
    }
    recorder.close(1, tap.end_position());
    let RecorderEvent::Closed { samples, .. } = event(&recorder) else {
        panic!("not closed");
    };
    assert_eq!(samples, 3200);
    let mut file = hound::WavReader::open(&path).unwrap();
    assert_eq!(file.spec().channels, 2);
    let all: Vec<i16> = file.samples::<i16>().map(Result::unwrap).collect();
    for (at, pair) in all.chunks(2).enumerate() {
        let expected = if (640..960).contains(&at) {
            [0, 0]
        } else {
            [100, -200]
        };
        assert_eq!(pair, expected, "{at}");
    }
}

#[test]
fn a_track_has_its_recordings_length_and_its_silence_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    for (id, container, name) in [
        (1, Container::Wav, "a.wav"),
        (2, Container::OggOpus, "b.opus"),
    ] {
        let format = RecordingFormat {
            sparse: true,
            container,
            ..RecordingFormat::wav(8000)
        };
        let path = dir.path().join(name);
        recorder.open_as(id, &path, &format).unwrap();
        let mut tap = tap(&recorder, id);
        // It joins after a second, and is heard for half of one.
        for tick in 50..75 {
            push(&mut tap, tick);
        }
        recorder.close(id, 24_000);
        let closed = RecorderEvent::Closed {
            id,
            path: path.clone(),
            samples: 24_000,
            rate: 8000,
            overflow_filled: 0,
        };
        assert_eq!(event(&recorder), closed);
        if container == Container::Wav {
            let samples = read(&path);
            assert_eq!(samples.len(), 24_000);
            assert_eq!(
                (samples[7999], samples[8000], samples[12_000]),
                (0, value(50), 0)
            );
        }
    }
}

#[test]
fn a_stop_closes_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(RecorderSettings::default());
    for id in 0..20 {
        recorder
            .open(id, &dir.path().join(format!("{id}.wav")), 8000)
            .unwrap();
        let mut tap = tap(&recorder, id);
        for tick in 0..10 + id {
            push(&mut tap, tick);
        }
    }
    assert!(recorder.stop(PATIENCE));
    assert_eq!(recorder.events().try_iter().count(), 20);
    for id in 0..20 {
        let samples = read(&dir.path().join(format!("{id}.wav")));
        assert_eq!(samples.len() as u64, (10 + id) * TICK);
        assert_ticks(&samples, &[]);
    }
}

/// As with a disk that does not answer.
#[test]
fn a_writer_that_hangs_holds_a_stop_up_no_longer_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    let hang = move || {
        let _ = held.recv();
    };
    let recorder = Recorder::start_telling(RecorderSettings::default(), hang).unwrap();
    let path = dir.path().join("a.wav");
    recorder.open(1, &path, 8000).unwrap();
    let mut tap = tap(&recorder, 1);
    push(&mut tap, 0);
    recorder.close(1, TICK);
    // It has told of that, and so hangs.
    event(&recorder);
    assert!(!recorder.stop(Duration::from_millis(20)));
    drop(release);
    assert_eq!(read(&path).len() as u64, TICK);
}

/// Records on the disk at `small`, which fills up, and in `roomy`, which does not.
fn fill_up(small: &Path, roomy: &Path) {
    let recorder = recorder(RecorderSettings::default());
    let small = recorder
        .open(1, &small.join("small.wav"), 8000)
        .expect("created");
    let roomy = recorder
        .open(2, &roomy.join("roomy.wav"), 8000)
        .expect("created");
    let (mut first, mut second) = (tap(&recorder, 1), tap(&recorder, 2));
    for tick in 0..1000 {
        push(&mut first, tick);
        if tick < 50 {
            push(&mut second, tick);
        }
    }
    let samples = match event(&recorder) {
        RecorderEvent::Failed {
            id: 1,
            path,
            error,
            samples,
            ..
        } => {
            assert_eq!(path, small);
            assert!(
                error.contains("space") || error.contains("too large"),
                "{error}"
            );
            samples
        }
        other => panic!("{other:?}"),
    };
    assert!(samples > 50 * TICK && samples < 1000 * TICK, "{samples}");
    let kept = read(&small);
    assert_eq!(kept.len() as u64, samples);
    assert_ticks(&kept, &[]);
    // The other one goes on, and the close of the failed one says nothing more.
    recorder.close(1, first.end_position());
    recorder.close(2, second.end_position());
    assert!(matches!(
        event(&recorder),
        RecorderEvent::Closed {
            id: 2,
            samples: 8000,
            ..
        }
    ));
    assert_ticks(&read(&roomy), &[]);
    drop(recorder);
}

/// A tmpfs, unmounted when dropped.
struct Tmpfs(PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_that_recording_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("tiny");
    std::fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"])
        .arg(&mount)
        .output()
        .expect("mount(8) runs");
    if mounted.status.success() {
        let tmpfs = Tmpfs(mount);
        fill_up(&tmpfs.0, dir.path());
    } else {
        // Without the right to mount, a limit on the size of files stands in for the disk;
        // `a_file_size_limit_ends_that_recording_alone` tests just that.
        let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
        eprintln!(
            "no tmpfs could be mounted ({}): file size limit instead",
            why.trim()
        );
        fill_up_under_a_limit(dir.path());
    }
}

#[test]
fn a_file_size_limit_ends_that_recording_alone() {
    fill_up_under_a_limit(tempfile::tempdir().unwrap().path());
}

const LIMITED: &str = "RECORDER_TEST_LIMITED_DIRECTORY";
const KILLED: &str = "RECORDER_TEST_KILLED_DIRECTORY";

/// Runs `child_under_a_limit` in a process whose files end at 128 blocks.
fn fill_up_under_a_limit(dir: &Path) {
    let script =
        r#"trap '' XFSZ; ulimit -f 128; exec "$0" --exact child_under_a_limit --nocapture"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("known"))
        .env(LIMITED, dir)
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("limit was reached"),
        "the child has not run: {text}"
    );
}

/// Not a test of its own: the body of `fill_up_under_a_limit`.
#[test]
fn child_under_a_limit() {
    if let Some(dir) = std::env::var_os(LIMITED) {
        fill_up(Path::new(&dir), Path::new(&dir));
        println!("limit was reached");
    }
}

#[test]
fn a_killed_process_leaves_all_but_the_last_second() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_to_be_killed", "--nocapture"])
        .env(KILLED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let last = lines
        .map_while(Result::ok)
        .filter_map(|line| {
            line.strip_prefix("tick ")
                .and_then(|n| n.parse::<u64>().ok())
        })
        .find(|tick| *tick >= 125);
    child.kill().expect("SIGKILL");
    child.wait().unwrap();
    let recorded = (last.expect("the child has run") + 1) * TICK;
    let samples = read(&dir.path().join("killed.wav"));
    assert!(
        samples.len() as u64 + 8000 >= recorded,
        "{} of {recorded}",
        samples.len()
    );
    assert_ticks(&samples, &[]);
}

/// Not a test of its own: records in real time until it is killed.
#[test]
fn child_to_be_killed() {
    let Some(dir) = std::env::var_os(KILLED) else {
        return;
    };
    let recorder = recorder(RecorderSettings::default());
    recorder
        .open(1, &Path::new(&dir).join("killed.wav"), 8000)
        .unwrap();
    let mut tap = tap(&recorder, 1);
    // Bounded, should the parent vanish.
    for tick in 0..1500 {
        push(&mut tap, tick);
        println!("tick {tick}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
