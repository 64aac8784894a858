//! The files of rooms' recordings: opened under a name that is free, followed while they are split and
//! closed, and told of in the sidecar.
//!
//! ```text
//! open --> BASE.json (reserves the name) and a file each for mix, rest, tracks
//! RoomFileTable::opened --RecorderEvent: split, closed, failed--> all closed and the log there?
//!   --> Finished::write: the sidecar, or, where nothing was recorded, no files at all
//! ```

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::layout::sanitise;
use super::meeting::{Files, Meeting, MemberTrack, Pause, Piece, Span, VERSION};
use super::recorder::{Container, Recorder, RecorderEvent, RecordingFormat};
use crate::api::rfc3339;
use crate::app::room_record::{RecordFormat, RecordLayout, RoomRecordSettings};
use crate::bridge::{RoomRecording, RoomRecordingSettings};
use crate::switch::{NewTrack, RecordedPause, RecordingLog, RoomRecord};

/// Names that are tried before a recording is refused.
const MAX_TRIES: u32 = 1_000;

/// The files of a recording, open.
#[derive(Clone, Debug)]
pub struct OpenedRoom {
    /// Where all its names begin.
    base: PathBuf,
    /// The sidecar, not complete yet.
    pub sidecar: PathBuf,
    started: SystemTime,
    /// By their handles.
    pub files: Vec<(u64, PathBuf)>,
}

/// What a file is written as.
fn format(settings: &RoomRecordSettings, sparse: bool) -> RecordingFormat {
    let split = settings.split.map(|time| {
        let us = time.as_micros() * u128::from(settings.rate);
        u64::try_from(us / 1_000_000).unwrap_or(u64::MAX)
    });
    RecordingFormat {
        stereo: settings.layout == RecordLayout::Stereo,
        container: match settings.format {
            RecordFormat::Wav => Container::Wav,
            RecordFormat::OggOpus => Container::OggOpus,
        },
        split_samples: split,
        sparse,
        ..RecordingFormat::wav(settings.rate)
    }
}

/// What the media thread is given, for files that are open.
pub fn recording(wanted: &RoomRecord, recorder: &Recorder) -> Box<RoomRecording> {
    let settings = RoomRecordingSettings {
        recording: wanted.recording,
        rate: wanted.settings.rate,
        rest: wanted.rest,
        stereo: wanted.settings.layout == RecordLayout::Stereo,
        max_samples: None,
        silence_stop_samples: None,
    };
    RoomRecording::new(settings, recorder.sender())
}

/// Opens the files of a recording below `directory`. Blocks. Where one cannot be opened, none is.
pub fn open(
    recorder: &Recorder,
    directory: &Path,
    wanted: &RoomRecord,
    now: SystemTime,
) -> Result<OpenedRoom, String> {
    let (base, sidecar) = reserve(&directory.join(name(wanted, now)))?;
    let mut opened = OpenedRoom {
        base,
        sidecar,
        started: now,
        files: Vec::new(),
    };
    let result = open_all(recorder, wanted, &mut opened).and_then(|()| {
        let meeting = opened.meeting(wanted);
        let told = |error: io::Error| format!("{}: {error}", opened.sidecar.display());
        meeting.write(&opened.sidecar).map_err(told)
    });
    if let Err(error) = result {
        for (handle, path) in &opened.files {
            recorder.close(*handle, 0);
            // The writer has it open; what is left is of no use.
            let _ = fs::remove_file(path);
        }
        let _ = fs::remove_file(&opened.sidecar);
        return Err(error);
    }
    Ok(opened)
}

fn open_all(
    recorder: &Recorder,
    wanted: &RoomRecord,
    opened: &mut OpenedRoom,
) -> Result<(), String> {
    let settings = &wanted.settings;
    let mut open = |handle, what: &str, sparse| {
        let path = path(&opened.base, what, settings);
        let path = recorder.open_as(handle, &path, &format(settings, sparse));
        let path = path.map_err(|error| error.to_string())?;
        opened.files.push((handle, path));
        Ok::<_, String>(())
    };
    if settings.layout.has_mix() {
        open(wanted.recording, "", false)?;
    }
    if let Some(rest) = wanted.rest {
        open(rest, "-room", true)?;
    }
    for track in &wanted.tracks {
        open(track.track, &format!("-{}", sanitise(&track.party)), true)?;
    }
    Ok(())
}

/// Opens the file of one more track. Blocks.
pub fn open_track(
    recorder: &Recorder,
    base: &Path,
    settings: &RoomRecordSettings,
    track: &NewTrack,
) -> Result<PathBuf, String> {
    let path = path(base, &format!("-{}", sanitise(&track.party)), settings);
    let opened = recorder.open_as(track.track, &path, &format(settings, true));
    opened.map_err(|error| error.to_string())
}

fn path(base: &Path, what: &str, settings: &RoomRecordSettings) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!("{what}.{}", settings.format.ending()));
    name.into()
}

/// The name of a recording below the directory of recordings, by UTC.
fn name(wanted: &RoomRecord, now: SystemTime) -> String {
    let now = rfc3339(now);
    let (date, time) = now.split_once('T').unwrap_or_default();
    let time: String = time.split('.').next().unwrap_or_default().replace(':', "");
    let pattern = &wanted.settings.name;
    pattern.fill(&sanitise(&wanted.room), date, &time)
}

/// Makes the sidecar, whose name no other recording has then: `NAME.json`, `NAME-2.json` and so on.
fn reserve(wanted: &Path) -> Result<(PathBuf, PathBuf), String> {
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    if let Some(directory) = wanted.parent() {
        fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    }
    for attempt in 1..=MAX_TRIES {
        let mut base = wanted.as_os_str().to_owned();
        if attempt > 1 {
            base.push(format!("-{attempt}"));
        }
        let mut sidecar = base.clone();
        sidecar.push(".json");
        let (base, sidecar) = (PathBuf::from(base), PathBuf::from(sidecar));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&sidecar)
        {
            Ok(_) => return Ok((base, sidecar)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&sidecar, error)),
        }
    }
    Err(format!(
        "{}: {MAX_TRIES} recordings of this name",
        wanted.display()
    ))
}

impl OpenedRoom {
    /// The sidecar as it is from the start on: what there is if nobody can write another.
    fn meeting(&self, wanted: &RoomRecord) -> Meeting {
        let files = |handle| {
            let files = self.files.iter().filter(|(known, _)| *known == handle);
            let files = files.map(|(_, path)| piece(path, 0));
            Files {
                files: files.collect(),
            }
        };
        let tracks = wanted.tracks.iter().map(|track| MemberTrack {
            member: track.party.clone(),
            files: files(track.track),
            present: Vec::new(),
            muted: Vec::new(),
        });
        Meeting {
            version: VERSION,
            room: wanted.room.clone(),
            started: rfc3339(self.started),
            rate: wanted.settings.rate,
            samples: 0,
            incomplete: true,
            left: None,
            mix: files(wanted.recording),
            rest: wanted.rest.map(files),
            tracks: tracks.collect(),
            pauses: Vec::new(),
        }
    }
}

fn piece(path: &Path, from: u64) -> Piece {
    let name = path.file_name().unwrap_or_default();
    Piece {
        file: name.to_string_lossy().into_owned(),
        from,
    }
}

#[derive(Debug)]
struct Entry {
    base: PathBuf,
    sidecar: PathBuf,
    settings: RoomRecordSettings,
    started: SystemTime,
    /// Files that are being written; those of tracks that are being opened.
    open: HashSet<u64>,
    opening: usize,
    /// All files by their handle, with where each begins.
    pieces: BTreeMap<u64, Vec<(PathBuf, u64)>>,
    log: Option<Box<RecordingLog>>,
}

/// What an event of the recorder means for a room's recording.
#[derive(Debug)]
pub enum RoomFileEvent {
    /// A file is complete, and another follows.
    Split {
        /// Its handle.
        handle: u64,
        /// The one that is complete.
        full: PathBuf,
        /// The one that follows.
        file: PathBuf,
    },
    /// A file is closed.
    Closed,
    /// A file cannot be written on: which, and why.
    Failed {
        /// Its handle.
        handle: u64,
        /// The file and why.
        error: String,
    },
}

/// All recordings of rooms that have files open.
#[derive(Debug, Default)]
pub struct RoomFileTable {
    all: HashMap<u64, Entry>,
    /// Which recording the handle of a file belongs to.
    owners: HashMap<u64, u64>,
}

impl RoomFileTable {
    /// The files of a recording are open.
    pub fn opened(&mut self, wanted: &RoomRecord, opened: &OpenedRoom) {
        let number = wanted.recording;
        let mut entry = Entry {
            base: opened.base.clone(),
            sidecar: opened.sidecar.clone(),
            settings: wanted.settings.clone(),
            started: opened.started,
            open: HashSet::new(),
            opening: 0,
            pieces: BTreeMap::new(),
            log: None,
        };
        for (handle, path) in &opened.files {
            entry.open.insert(*handle);
            entry.pieces.insert(*handle, vec![(path.clone(), 0)]);
            self.owners.insert(*handle, number);
        }
        self.all.insert(number, entry);
    }

    /// The file of one more track is to be opened: where, and how. None: its recording is over.
    pub fn opening(&mut self, recording: u64) -> Option<(PathBuf, RoomRecordSettings)> {
        let entry = self.all.get_mut(&recording)?;
        entry.opening += 1;
        Some((entry.base.clone(), entry.settings.clone()))
    }

    /// It is open, or cannot be. What that finishes, if it does.
    pub fn track_opened(
        &mut self,
        (recording, track): (u64, u64),
        path: Option<&Path>,
    ) -> Option<Finished> {
        let entry = self.all.get_mut(&recording)?;
        entry.opening -= 1;
        if let Some(path) = path {
            entry.open.insert(track);
            entry.pieces.insert(track, vec![(path.to_owned(), 0)]);
            self.owners.insert(track, recording);
        }
        self.finished(recording)
    }

    /// Who was recorded when, in a recording that is over. What that finishes, if it does.
    pub fn ended(&mut self, log: Box<RecordingLog>) -> Option<Finished> {
        let number = log.recording;
        self.all.get_mut(&number)?.log = Some(log);
        self.finished(number)
    }

    /// Something became of a file. None: it is none of a room's recording.
    pub fn heard(&mut self, event: &RecorderEvent) -> Option<(RoomFileEvent, Option<Finished>)> {
        let (RecorderEvent::Closed { id, .. }
        | RecorderEvent::RolledOver { id, .. }
        | RecorderEvent::Failed { id, .. }) = event;
        let (handle, number) = (*id, *self.owners.get(id)?);
        let entry = self.all.get_mut(&number)?;
        let what = match event {
            RecorderEvent::RolledOver {
                full, path, from, ..
            } => {
                let pieces = entry.pieces.entry(handle).or_default();
                pieces.push((path.clone(), *from));
                let (full, file) = (full.clone(), path.clone());
                let split = RoomFileEvent::Split { handle, full, file };
                return Some((split, None));
            }
            RecorderEvent::Closed { .. } => RoomFileEvent::Closed,
            RecorderEvent::Failed { path, error, .. } => RoomFileEvent::Failed {
                handle,
                error: format!("{}: {error}", path.display()),
            },
        };
        entry.open.remove(&handle);
        self.owners.remove(&handle);
        Some((what, self.finished(number)))
    }

    fn finished(&mut self, number: u64) -> Option<Finished> {
        let entry = self.all.get(&number)?;
        if !entry.open.is_empty() || entry.opening > 0 || entry.log.is_none() {
            return None;
        }
        let entry = self.all.remove(&number)?;
        let log = entry.log?;
        let paths = entry.pieces.values().flatten();
        Some(Finished {
            recording: number,
            files: paths.map(|(path, _)| path.clone()).collect(),
            meeting: meeting(&log, &entry.pieces, entry.started),
            sidecar: entry.sidecar,
        })
    }
}

fn meeting(
    log: &RecordingLog,
    pieces: &BTreeMap<u64, Vec<(PathBuf, u64)>>,
    started: SystemTime,
) -> Meeting {
    let files = |handle: u64| {
        let pieces = pieces.get(&handle).into_iter().flatten();
        Files {
            files: pieces.map(|(path, from)| piece(path, *from)).collect(),
        }
    };
    let spans = |spans: &[(u64, u64)]| {
        let spans = spans.iter().map(|&(from, to)| Span { from, to });
        spans.collect::<Vec<Span>>()
    };
    let tracks = log.members.iter().map(|member| MemberTrack {
        member: member.party.clone(),
        files: member.track.map(files).unwrap_or_default(),
        present: spans(&member.present),
        muted: spans(&member.muted),
    });
    let pauses = log.pauses.iter().map(|pause| match *pause {
        RecordedPause::LeftOut { at, time } => Pause::LeftOut {
            at,
            seconds: time.as_millis() as f64 / 1000.0,
        },
        RecordedPause::Silence { at, to } => Pause::Silence { at, to },
    });
    Meeting {
        version: VERSION,
        room: log.room.clone(),
        started: rfc3339(started),
        rate: log.rate,
        samples: log.samples,
        incomplete: false,
        left: log.left.clone(),
        mix: files(log.recording),
        rest: log.rest.map(files),
        tracks: tracks.collect(),
        pauses: pauses.collect(),
    }
}

/// A recording whose files are all closed.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which.
    pub recording: u64,
    /// Its files.
    pub files: Vec<PathBuf>,
    /// What tells who is in them.
    pub sidecar: PathBuf,
    meeting: Meeting,
}

impl Finished {
    /// Writes the sidecar; where nothing was recorded, all goes. Blocks.
    pub fn write(&mut self) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        if self.meeting.samples > 0 {
            let written = self.meeting.write(&self.sidecar);
            return written.map_err(|error| failed(&self.sidecar, error));
        }
        let files = std::mem::take(&mut self.files);
        for path in files.iter().chain([&self.sidecar]) {
            fs::remove_file(path).map_err(|error| failed(path, error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::app::room_record::NamePattern;
    use crate::store::recorder::RecorderSettings;

    fn wanted(recording: u64) -> RoomRecord {
        RoomRecord {
            recording,
            room: "../600".to_owned(),
            settings: RoomRecordSettings {
                layout: RecordLayout::MixAndTracks,
                name: NamePattern::parse("{date}/{room}").unwrap(),
                ..RoomRecordSettings::default()
            },
            rest: Some(recording + 1),
            tracks: vec![NewTrack {
                recording,
                track: recording + 2,
                party: "../alice".to_owned(),
            }],
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory.join("2009-02-13")).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        let names = names.into_iter().map(|name| name.into_string().unwrap());
        names.collect()
    }

    #[test]
    fn what_is_there_from_the_start_is_told_and_an_empty_recording_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(RecorderSettings::default()).unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(1_234_567_890);
        let first = open(&recorder, directory.path(), &wanted(10), now).unwrap();
        let told: Meeting = serde_json::from_slice(&fs::read(&first.sidecar).unwrap()).unwrap();
        assert!(told.incomplete);
        assert_eq!(told.mix.files[0].file, "___600.wav");
        assert_eq!(told.tracks[0].files.files[0].file, "___600-___alice.wav");
        let kept = [
            "___600-___alice.wav",
            "___600-room.wav",
            "___600.json",
            "___600.wav",
        ];
        assert_eq!(names(directory.path()), kept);
        // A second one of that name does not touch it, and goes when nothing comes.
        let second = open(&recorder, directory.path(), &wanted(20), now).unwrap();
        assert_eq!(names(directory.path()).len(), 8);
        let mut table = RoomFileTable::default();
        table.opened(&wanted(20), &second);
        let log = RecordingLog {
            recording: 20,
            ..RecordingLog::default()
        };
        assert!(table.ended(Box::new(log)).is_none(), "nothing is closed");
        let mut finished = None;
        for (handle, _) in &second.files {
            assert!(finished.is_none());
            recorder.close(*handle, 0);
            let event = recorder.events().recv_timeout(Duration::from_secs(10));
            finished = table.heard(&event.unwrap()).unwrap().1;
        }
        let mut finished = finished.unwrap();
        finished.write().unwrap();
        assert!(finished.files.is_empty());
        assert_eq!(names(directory.path()), kept);
    }

    #[test]
    fn where_one_file_cannot_be_opened_none_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::start(RecorderSettings::default()).unwrap();
        assert!(recorder.stop(crate::store::recorder::STOP_TIME));
        let now = UNIX_EPOCH + Duration::from_secs(1_234_567_890);
        let error = open(&recorder, directory.path(), &wanted(10), now).unwrap_err();
        assert!(error.contains("stopped"), "{error}");
        let left = names(directory.path());
        assert!(!left.contains(&"___600.json".to_owned()), "{left:?}");
    }
}
