//! What is played and recorded, on a channel or a bridge.

use std::time::Duration;

use serde_json::json;

use super::recordings;
use super::state::{Kind, MAX_TASKS, Target, Task};
use super::{Args, check_name, view};
use crate::api::{Context, Problem, Reply, Response};
use crate::app::{Order, PlayItem, RecordOrder, StopOn, speak};
use crate::dtmf::Digit;
use crate::switch::{ProgramError, Switch};

/// Parts of one playback.
const MAX_MEDIA: usize = 64;
/// The longest recording, and silence in it, that is counted: longer than any file may get, s.
const MAX_RECORD_SECONDS: u64 = 7 * 86_400;
/// Level of tones, dBm0.
const TONE_LEVEL: f32 = -16.0;
/// Our own music: notes, Hz, of this length and level.
const MELODY: [f32; 8] = [392.0, 493.9, 587.3, 493.9, 440.0, 523.3, 659.3, 523.3];
const NOTE: Duration = Duration::from_millis(400);
const MELODY_LEVEL: f32 = -26.0;

/// Has a channel or a bridge do something.
pub(super) fn order(
    switch: &mut Switch,
    target: &Target,
    bridge: Option<crate::switch::BridgeNumber>,
    order: Order,
    now: std::time::Instant,
) -> Result<(), ProgramError> {
    match target {
        Target::Channel(call) => switch.order(*call, order, now),
        Target::Bridge(_) => {
            let bridge = bridge.ok_or(ProgramError::NoBridge)?;
            switch.order_bridge(bridge, order, now)
        }
    }
}

impl Context<'_> {
    /// Has the target of a play or recording do something.
    pub(super) fn order(&mut self, target: &Target, wanted: Order) -> Result<(), ProgramError> {
        let bridge = match target {
            Target::Bridge(id) => self.state.ari.bridges.get(id).map(|bridge| bridge.number),
            Target::Channel(_) => None,
        };
        order(self.switch, target, bridge, wanted, self.now)
    }

    fn add_task(&mut self, target: &Target, kind: Kind) -> Result<u32, Problem> {
        if self.state.ari.tasks.len() >= MAX_TASKS {
            return Err(Problem::later(503, "too much is played and recorded", 5));
        }
        let number = self.state.ari.number();
        let task = Task {
            target: target.clone(),
            target_uri: view::target_uri(target, &self.state.ari),
            kind,
            state: "queued",
            cause: None,
            began: None,
            seconds: None,
            left: None,
        };
        self.state.ari.tasks.insert(number, task);
        Ok(number)
    }
}

/// Plays what a request names; the playback is answered as it is before it begins.
pub(super) fn play(context: &mut Context<'_>, target: &Target) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let media = args.list("media");
    if media.is_empty() {
        return Err(Problem::new(400, "media: this has to be said"));
    }
    let (items, repeat) = items(context, &media)?;
    let named = match context.request.path("playbackId") {
        "" => args.get("playbackId")?,
        id => Some(id.to_owned()),
    };
    let id = match named {
        Some(id) => {
            check_name("playbackId", &id)?;
            id
        }
        None => context.state.ari_name(),
    };
    if context.state.ari.playback(&id).is_some() {
        return Err(Problem::conflict(format!("there is a playback {id:?}")));
    }
    let kind = Kind::Playback {
        id,
        media_uri: media.join(","),
        language: args.get("lang")?.unwrap_or_else(|| "en".to_owned()),
    };
    let number = context.add_task(target, kind)?;
    let body = context.state.ari.tasks.get(&number).map(view::task);
    if let Err(error) = context.order(target, Order::Play(number, items, repeat)) {
        context.state.ari.tasks.remove(&number);
        return Err(error.into());
    }
    Ok(Reply::Now(Response::json_with(201, &body)))
}

/// Records under the name that a request gives, once it is sure that this is nobody else's.
pub(super) fn record(context: &mut Context<'_>, target: Target) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let name = args.need("name")?;
    recordings::check_stored(&name)?;
    let format = args.need("format")?;
    if format != "wav" {
        return Err(Problem::new(
            422,
            format!("format: {format:?}; there is only wav"),
        ));
    }
    let stop_on = match args.get("terminateOn")?.as_deref() {
        None | Some("none") => StopOn::Nothing,
        Some("any") => StopOn::Any,
        Some("*") => StopOn::Digit(Digit::STAR),
        Some("#") => StopOn::Digit(Digit::POUND),
        Some(_) => return Err(Problem::new(400, "terminateOn: none, any, * or #")),
    };
    let overwrite = match args.get("ifExists")?.as_deref() {
        None | Some("fail") => false,
        Some("overwrite") => true,
        Some(_) => return Err(Problem::new(400, "ifExists: fail or overwrite")),
    };
    let seconds = |name: &str| Ok::<_, Problem>(length(args.number(name, 0)?));
    let order = RecordOrder {
        name: name.clone(),
        overwrite,
        beep: args.flag("beep")?,
        max: seconds("maxDurationSeconds")?,
        silence: seconds("maxSilenceSeconds")?,
        stop_on,
    };
    let taken = format!("there is a recording {name:?}");
    if context.state.ari.recording(&name).is_some() {
        return Err(Problem::conflict(taken));
    }
    // Whether it can be at all is told before whether there is one.
    if let Target::Channel(call) = &target {
        context.switch.takes_orders(*call)?;
    }
    let kind = Kind::Recording {
        name: name.clone(),
        format,
    };
    let number = context.add_task(&target, kind)?;
    let files = context.edge.recordings();
    let look = move || {
        // An old one stays until the new one is opened.
        if overwrite || !files.exists(&name) {
            Ok(())
        } else {
            Err(Problem::conflict(taken))
        }
    };
    let then = move |looked: Result<(), Problem>, context: &mut Context<'_>| {
        let body = context.state.ari.tasks.get(&number).map(view::task);
        // Its channel is gone where the recording is.
        let there = body.is_some().then_some(()).ok_or(ProgramError::NoCall);
        let begun = looked.and_then(|()| {
            there?;
            Ok(context.order(&target, Order::Record(number, order))?)
        });
        if let Err(error) = begun {
            context.state.ari.tasks.remove(&number);
            return Err(error);
        }
        Ok(Response::json_with(201, &json!(body)))
    };
    Ok(Reply::Look(Box::new(look), Box::new(then)))
}

/// So many seconds; 0: no bound. What is beyond all bounds is the longest that there is.
fn length(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.min(MAX_RECORD_SECONDS)))
}

/// What is heard of these, and how often; 0: until it is stopped.
fn items(context: &Context<'_>, media: &[String]) -> Result<(Vec<PlayItem>, u32), Problem> {
    if media.len() > MAX_MEDIA {
        return Err(Problem::new(
            400,
            format!("media: at most {MAX_MEDIA} parts"),
        ));
    }
    let mut all = Vec::new();
    let mut repeat = 1;
    for uri in media {
        let wrong = |why: &str| Problem::new(400, format!("media: {uri:?}: {why}"));
        let Some((scheme, rest)) = uri.split_once(':') else {
            return Err(wrong("a scheme and a colon come first, such as sound:"));
        };
        match scheme {
            "sound" if rest.starts_with("http://") || rest.starts_with("https://") => {
                all.push(PlayItem::Web(rest.to_owned()));
            }
            "sound" => all.push(sound(context, rest)),
            "recording" => {
                recordings::check_stored(rest)?;
                all.push(PlayItem::File(context.edge.recordings().path(rest)));
            }
            "number" => {
                let number: Option<usize> = rest.parse().ok();
                let number = number.ok_or_else(|| wrong("a whole number, not negative"))?;
                all.extend(speak::number(number));
            }
            "digits" => {
                let digits: Option<Vec<Digit>> = rest.chars().map(Digit::from_char).collect();
                let digits = digits.ok_or_else(|| wrong("0 to 9, *, #, A to D"))?;
                all.extend(digits.into_iter().take(256).map(speak::digit));
            }
            "tone" => {
                let (items, times) = tone(rest).ok_or_else(|| {
                    wrong("ring, busy, dial, congestion, or FREQUENCY/MILLISECONDS")
                })?;
                all.extend(items);
                if media.len() == 1 {
                    repeat = times;
                }
            }
            _ => {
                return Err(wrong(
                    "the scheme is sound, recording, number, digits or tone",
                ));
            }
        }
    }
    Ok((all, repeat))
}

/// A prompt of ours, or a file of the library. Names of ours in folders are found too:
/// `digits/1` is `digit-1`.
fn sound(context: &Context<'_>, name: &str) -> PlayItem {
    let alias = name
        .strip_prefix("digits/")
        .map(|rest| format!("digit-{rest}"));
    let names = [Some(name.to_owned()), alias];
    let known = names
        .into_iter()
        .flatten()
        .find(|n| context.edge.has_prompt(n));
    match known {
        Some(name) => PlayItem::Prompt(name),
        None => PlayItem::Library(name.to_owned()),
    }
}

/// A tone by name, or `HZ/MS`: parts with `+` between them are none that we can make.
fn tone(text: &str) -> Option<(Vec<PlayItem>, u32)> {
    let name = text.split(';').next().unwrap_or_default();
    let (once, name) = match name.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let note = |hz: f32, ms: u64| {
        let length = Duration::from_millis(ms);
        if hz > 0.0 {
            PlayItem::Tone {
                hz,
                level_dbm0: TONE_LEVEL,
                length,
            }
        } else {
            PlayItem::Silence(length)
        }
    };
    // The cadences that most of Europe has (ITU-T E.180).
    let items = match name {
        "dial" => vec![note(425.0, 1000)],
        "ring" => vec![note(425.0, 1000), note(0.0, 4000)],
        "busy" => vec![note(425.0, 500), note(0.0, 500)],
        "congestion" => vec![note(425.0, 250), note(0.0, 250)],
        other => {
            let (hz, ms) = other.split_once('/')?;
            let (hz, ms): (f32, u64) = (hz.parse().ok()?, ms.parse().ok()?);
            let fits =
                (hz == 0.0 || (50.0..=3400.0).contains(&hz)) && (1..=3_600_000).contains(&ms);
            return fits.then(|| (vec![note(hz, ms)], u32::from(once)));
        }
    };
    Some((items, u32::from(once)))
}

/// What is heard on hold.
pub(super) fn music(context: &Context<'_>, class: Option<&str>) -> Vec<PlayItem> {
    match class {
        Some(name) if name != "default" => vec![sound(context, name)],
        _ => melody(),
    }
}

/// Music of our own.
pub(in crate::api) fn melody() -> Vec<PlayItem> {
    let notes = MELODY.iter().map(|&hz| PlayItem::Tone {
        hz,
        level_dbm0: MELODY_LEVEL,
        length: NOTE,
    });
    notes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_in_seconds_is_one_that_can_be_counted_in_samples() {
        assert_eq!(length(0), None);
        assert_eq!(length(60), Some(Duration::from_mins(1)));
        let samples = |seconds| {
            let ms = u64::try_from(length(seconds)?.as_millis()).ok()?;
            ms.checked_mul(48_000)
        };
        let longest = samples(MAX_RECORD_SECONDS);
        assert!(longest.is_some());
        for seconds in [400_000_000_000, u64::MAX / 1000 + 1, u64::MAX] {
            assert_eq!(samples(seconds), longest, "{seconds}");
        }
    }

    #[test]
    fn tones_by_name_and_by_frequency() {
        let (items, repeat) = tone("busy;tonezone=us").unwrap();
        assert_eq!((items.len(), repeat), (2, 0));
        let (items, repeat) = tone("!440/1500").unwrap();
        let note = PlayItem::Tone {
            hz: 440.0,
            level_dbm0: TONE_LEVEL,
            length: Duration::from_millis(1500),
        };
        assert_eq!((&items[..], repeat), (&[note][..], 1));
        for wrong in [
            "",
            "bell",
            "440",
            "440/0",
            "9000/5",
            "350+440/100",
            "NaN/5",
            "440/-5",
        ] {
            assert_eq!(tone(wrong), None, "{wrong}");
        }
    }
}
