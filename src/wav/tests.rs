use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use super::*;
use crate::codec::g711;

/// A file from its parts: the `fmt ` fields, the size that `data` claims, and the audio.
fn file(tag: u16, channels: u16, rate: u32, bits: u16, claimed: u32, audio: &[u8]) -> Vec<u8> {
    let frame = channels.wrapping_mul(bits / 8);
    let mut out = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend(rate.wrapping_mul(frame.into()).to_le_bytes());
    out.extend(frame.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend(claimed.to_le_bytes());
    out.extend(audio);
    out
}

fn read(bytes: &[u8]) -> Result<(Spec, Vec<i16>), WavError> {
    let mut reader = Reader::open(Cursor::new(bytes))?;
    let mut out = Vec::new();
    while reader.read_mono(&mut out, 7)? > 0 {}
    Ok((*reader.spec(), out))
}

fn error(bytes: &[u8]) -> String {
    read(bytes).expect_err("refused").to_string()
}

#[test]
fn decodes_each_format() {
    let cases: &[(u16, u16, &[u8], &[i16])] = &[
        (1, 8, &[0, 128, 255], &[-32768, 0, 32512]),
        (1, 16, &[1, 0, 0xff, 0x7f, 0, 0x80], &[1, 32767, -32768]),
        (1, 24, &[0xff, 1, 0, 0, 0xff, 0x7f], &[1, 32767]),
        (1, 32, &[0xff, 0xff, 1, 0], &[1]),
        (6, 8, &[0xd5, 0x2a], &[8, -32256]),
        (7, 8, &[0x80, 0xff], &[32124, 0]),
    ];
    for (tag, bits, audio, expected) in cases {
        let (spec, samples) =
            read(&file(*tag, 1, 8000, *bits, audio.len() as u32, audio)).expect("valid");
        assert_eq!(&samples, expected, "format {tag} with {bits} bits");
        assert_eq!(
            (spec.frames, spec.truncated),
            (expected.len() as u64, false)
        );
    }
    let floats: Vec<u8> = [0.5f32, -1.0, 2.0, f32::NAN]
        .iter()
        .flat_map(|f| f.to_le_bytes())
        .collect();
    assert_eq!(
        read(&file(3, 1, 8000, 32, 16, &floats)).expect("valid").1,
        [16384, -32768, 32767, 0]
    );
}

#[test]
fn mixes_stereo_down_by_the_mean() {
    let audio: Vec<u8> = [1000i16, 3000, i16::MAX, i16::MAX]
        .iter()
        .flat_map(|s| s.to_le_bytes())
        .collect();
    let (spec, samples) = read(&file(1, 2, 44_100, 16, 8, &audio)).expect("valid");
    assert_eq!((spec.channels, spec.rate, spec.frames), (2, 44_100, 2));
    assert_eq!(samples, [2000, i16::MAX]);
}

#[test]
fn reads_the_extensible_form_and_odd_chunks() {
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0\xfe\xff\x01\0".to_vec();
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(b"\x01\0\x08\0\x16\0\x08\0\0\0\0\0\x07\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    bytes.extend(b"junk\x01\0\0\0x\0data\x02\0\0\0\x80\xff");
    let (spec, samples) = read(&bytes).expect("valid");
    assert_eq!((spec.format, samples), (Format::Ulaw, vec![32124, 0]));
}

#[test]
fn believes_no_size_beyond_the_file() {
    let (spec, samples) =
        read(&file(1, 1, 8000, 16, 0x7fff_fff0, &[1, 0, 2, 0, 3])).expect("valid");
    assert_eq!(
        (spec.frames, spec.truncated, samples),
        (2, true, vec![1, 2])
    );
    let (spec, samples) = read(&file(1, 1, 8000, 16, u32::MAX, &[1, 0, 2, 0])).expect("valid");
    assert_eq!((spec.truncated, samples), (false, vec![1, 2]));
    assert!(
        read(&file(1, 1, 8000, 16, 0, &[1, 0]))
            .expect("valid")
            .1
            .is_empty()
    );
}

#[test]
fn refuses_with_what_was_found_and_what_is_allowed() {
    let good = file(1, 1, 8000, 16, 4, &[1, 0, 2, 0]);
    let cases = [
        (
            error(b""),
            "not a WAV file: it starts with nothing, expected \"RIFF\" and \"WAVE\"",
        ),
        (
            error(b"ID3\x04rest-of-it"),
            "not a WAV file: it starts with ID3\\x04rest-of-, expected \"RIFF\" and \"WAVE\"",
        ),
        (error(&good[..12]), "the file has no \"fmt \" chunk"),
        (error(&good[..15]), "the file ends within its chunk header"),
        (
            error(&good[..40]),
            "the file ends within its \"fmt \" chunk",
        ),
        (error(&good[..48]), "the file has no \"data\" chunk"),
        (
            error(b"RIFF\0\0\0\0WAVEdata\0\0\0\0"),
            "the file has no \"fmt \" chunk",
        ),
        (
            error(&file(1, 0, 8000, 16, 0, &[])),
            "0 channels, allowed are 1 to 32",
        ),
        (
            error(&file(1, 65535, 8000, 8, 0, &[])),
            "65535 channels, allowed are 1 to 32",
        ),
        (
            error(&file(1, 1, 0, 16, 0, &[])),
            "a sampling rate of 0 Hz, allowed are 1000 to 384000",
        ),
        (
            error(&file(1, 1, u32::MAX, 16, 0, &[])),
            "a sampling rate of 4294967295 Hz, allowed are 1000 to 384000",
        ),
        (
            error(&file(0x55, 2, 44_100, 0, 0, &[])),
            "format 0x0055 with 0 bits per sample, allowed are PCM (8, 16, 24, 32 bits), \
             32-bit float, A-law and u-law (8 bits)",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
    let mut frames = good.clone();
    frames[44] = 9; // the block alignment
    assert_eq!(
        error(&frames),
        "frames of 9 bytes, but its channels and bits make 2"
    );
    let mut many = b"RIFF\0\0\0\0WAVE".to_vec();
    many.extend(b"junk\0\0\0\0".repeat(2000));
    assert_eq!(error(&many), "more than 1000 chunks before the audio");
}

#[test]
fn no_cut_of_a_file_panics() {
    let good = file(1, 2, 8000, 16, 8, &[1, 0, 2, 0, 3, 0, 4, 0]);
    for end in 0..good.len() {
        let _ = read(&good[..end]);
    }
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            if let Ok((_, samples)) = read(&bad) {
                assert!(
                    samples.len() <= 8,
                    "byte {at} as {value}: {} samples",
                    samples.len()
                );
            }
        }
    }
}

#[test]
fn hound_reads_what_we_write_and_we_what_hound_writes() {
    let samples: Vec<i16> = (0..50_000)
        .map(|i| (i * 7919 % 65536 - 32768) as i16)
        .collect();
    let mut writer = Writer::create(Cursor::new(Vec::new()), 8000).expect("header");
    for frame in samples.chunks(160) {
        writer.write(frame).expect("room");
    }
    let ours = writer.finish().expect("finished").into_inner();
    let mut reader = hound::WavReader::new(Cursor::new(&ours)).expect("hound opens it");
    assert_eq!(reader.spec().sample_rate, 8000);
    assert!(
        reader
            .samples::<i16>()
            .map(|s| s.expect("sample"))
            .eq(samples.iter().copied())
    );

    for bits in [8, 16, 24] {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 22_050,
            bits_per_sample: bits,
            sample_format: hound::SampleFormat::Int,
        };
        let mut theirs = Cursor::new(Vec::new());
        let mut hound = hound::WavWriter::new(&mut theirs, spec).expect("header");
        for sample in [3, 3, -100, -100] {
            hound.write_sample(sample << (bits - 8)).expect("written");
        }
        hound.finalize().expect("finished");
        assert_eq!(
            read(theirs.get_ref()).expect("valid").1,
            [3 << 8, -100 << 8],
            "{bits} bits"
        );
    }
}

#[test]
fn the_file_is_valid_after_each_flush() {
    let mut writer = Writer::create(Cursor::new(Vec::new()), 8000).expect("header");
    for count in 1..=100 {
        writer.write(&[count; 160]).expect("room");
        writer.flush().expect("flushed");
        let (spec, samples) = read(writer.output.lock().get_ref()).expect("valid");
        assert_eq!(spec.frames, count as u64 * 160);
        assert_eq!(samples.last(), Some(&count));
    }
}

/// hound writes and reads by now: the bytes themselves say that both are right.
#[test]
fn the_header_is_the_plain_one_from_the_start() {
    let mut expected = *b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\
        \x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0";
    let mut writer = Writer::create(Cursor::new(Vec::new()), 8000).expect("header");
    assert_eq!(writer.output.lock().get_ref(), &expected);
    writer.write(&[0x0102, -2]).expect("room");
    writer.flush().expect("flushed");
    (expected[4], expected[40]) = (0x28, 4);
    assert_eq!(
        writer.finish().expect("finished").into_inner(),
        [&expected[..], b"\x02\x01\xfe\xff"].concat()
    );
}

#[test]
fn no_rate_panics() {
    for rate in [0, 999, 384_001, 1 << 31, u32::MAX] {
        let refused = Writer::create(Cursor::new(Vec::new()), rate).err();
        assert!(
            matches!(refused, Some(WavError::Rate(found)) if found == rate),
            "{rate}: {refused:?}"
        );
    }
}

#[test]
fn a_full_file_refuses_and_stays_whole() {
    let mut writer = Writer::with_limit(Cursor::new(Vec::new()), 8000, 1000).expect("header");
    writer.write(&[1; 480]).expect("room");
    assert_eq!(writer.room(), 20);
    assert!(matches!(writer.write(&[2; 21]), Err(WavError::Full)));
    writer.write(&[2; 20]).expect("room");
    let bytes = writer.finish().expect("finished").into_inner();
    assert_eq!(read(&bytes).expect("valid").1.len(), 500);
}

/// A disk of `room` bytes.
struct SmallDisk {
    file: Cursor<Vec<u8>>,
    room: u64,
}

impl Write for SmallDisk {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let left = self.room.saturating_sub(self.file.position()) as usize;
        if left == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write(&buf[..left.min(buf.len())])
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SmallDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[test]
fn a_full_disk_leaves_a_valid_file() {
    let disk = SmallDisk {
        file: Cursor::new(Vec::new()),
        room: 1001,
    };
    let mut writer = Writer::create(disk, 8000).expect("header");
    writer.write(&[5; 1000]).expect("buffered");
    assert!(matches!(writer.flush(), Err(WavError::Io(_))));
    // 957 bytes of audio went in: 478 whole samples.
    assert_eq!(writer.flushed_samples(), 478);
    let (spec, samples) = read(writer.output.lock().file.get_ref()).expect("valid");
    assert_eq!((spec.truncated, samples), (false, vec![5; 478]));
}

#[test]
fn a_full_disk_loses_nothing_that_it_has_taken() {
    let all: Vec<i16> = (0..6000).collect();
    let disk = |room| SmallDisk {
        file: Cursor::new(Vec::new()),
        room,
    };
    for room in 0..44 {
        assert!(Writer::create(disk(room), 8000).is_err(), "{room}");
    }
    // Full in the middle of samples and between them, in the first block and in the second.
    for room in (44..60).chain(8230..8250) {
        let mut writer = Writer::create(disk(room), 8000).expect("header");
        let _ = writer.write(&all);
        writer.flush().expect_err("no room");
        let fits = (room - 44) / 2;
        assert_eq!(writer.flushed_samples(), fits, "{room}");
        let (spec, samples) = read(writer.output.lock().file.get_ref()).expect("valid");
        assert!(!spec.truncated, "{room}");
        assert_eq!(samples, all[..fits as usize], "{room}");
        // Room again: what was refused follows, once and in its place.
        writer.output.lock().room = 1 << 20;
        let taken = writer.samples();
        let (spec, samples) = read(writer.finish().expect("room").file.get_ref()).expect("valid");
        assert_eq!((spec.frames, spec.truncated), (taken, false), "{room}");
        assert_eq!(samples, all[..taken as usize], "{room}");
    }
}

/// A file that is cut after its opening, read between signals.
struct Cut<'c> {
    file: Cursor<Vec<u8>>,
    end: &'c std::cell::Cell<u64>,
    interrupted: bool,
}

impl Read for Cut<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let left = self.end.get().saturating_sub(self.file.position()) as usize;
        let len = left.min(buf.len()).min(3);
        self.file.read(&mut buf[..len])
    }
}

impl Seek for Cut<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[test]
fn a_file_that_shrinks_ends_early_and_signals_do_no_harm() {
    let bytes = file(1, 2, 8000, 16, 12, &[1, 0, 1, 0, 2, 0, 2, 0, 3, 0, 3, 0]);
    let len = bytes.len() as u64;
    for (cut, expected) in [(0, &[1, 2, 3][..]), (1, &[1, 2]), (5, &[1]), (12, &[])] {
        let end = std::cell::Cell::new(len);
        let mut reader = Reader::open(Cut {
            file: Cursor::new(bytes.clone()),
            end: &end,
            interrupted: false,
        })
        .expect("valid");
        end.set(len - cut);
        let mut out = Vec::new();
        assert_eq!(
            reader.read_mono(&mut out, 10).expect("an early end"),
            expected.len()
        );
        assert_eq!(out, expected, "cut by {cut}");
        assert_eq!(reader.read_mono(&mut out, 10).expect("the end"), 0);
    }
}

#[test]
fn companded_files_decode_as_the_codec_does() {
    let all: Vec<u8> = (0..=255).collect();
    let (_, samples) = read(&file(7, 1, 8000, 8, 256, &all)).expect("valid");
    assert!(
        samples
            .iter()
            .zip(&all)
            .all(|(s, c)| *s == g711::ulaw_decode(*c))
    );
}

/// Tells how much is read.
struct Counted<'a> {
    file: Cursor<&'a [u8]>,
    read: &'a std::cell::Cell<usize>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buf)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[test]
fn a_frame_is_gone_to_without_reading_what_is_before_it() {
    let frames: Vec<i16> = (0..100_000).map(|n| (n % 30_000) as i16).collect();
    let audio: Vec<u8> = frames
        .iter()
        .flat_map(|s| [s.to_le_bytes(), s.to_le_bytes()].concat())
        .collect();
    let bytes = file(1, 2, 8000, 16, audio.len() as u32, &audio);
    for frame in [0, 1, 50_000, 99_998, 100_000, 200_000] {
        let read = std::cell::Cell::new(0);
        let input = Counted {
            file: Cursor::new(&bytes[..]),
            read: &read,
        };
        let mut reader = Reader::open_at(input, frame as u64).expect("valid");
        assert_eq!(reader.spec().frames, 100_000, "all that the file has");
        let mut out = Vec::new();
        while reader.read_mono(&mut out, 1000).expect("valid") > 0 {}
        let rest = &frames[frame.min(frames.len())..];
        assert_eq!(out, rest, "from {frame}");
        let header = bytes.len() - audio.len();
        assert!(
            read.get() <= 4 * rest.len() + 2 * header,
            "{} bytes read from {frame}",
            read.get()
        );
    }
}
