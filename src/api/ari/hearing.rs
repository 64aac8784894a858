//! What a channel hears, and what is heard of it: digits, muting, hold, music.

use std::time::Duration;

use super::{Args, call, done, media};
use crate::api::{Context, Problem, Reply};
use crate::app::Order;
use crate::dtmf::Digit;
use crate::switch::Muted;

pub(super) fn dtmf(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let digits: Option<Vec<Digit>> = args.need("dtmf")?.chars().map(Digit::from_char).collect();
    let digits = digits.filter(|digits| digits.len() <= 64);
    let digits =
        digits.ok_or_else(|| Problem::new(400, "dtmf: at most 64 of 0 to 9, *, #, A to D"))?;
    let ms = |name, default| Ok::<_, Problem>(Duration::from_millis(args.number(name, default)?));
    let (tone, pause) = (ms("duration", 100)?, ms("between", 100)?);
    let bound = Duration::from_secs(10);
    let order = Order::SendDigits {
        digits,
        tone: tone.clamp(Duration::from_millis(40), bound),
        pause: pause.clamp(Duration::from_millis(40), bound),
    };
    context.switch.order(call, order, context.now)?;
    done()
}

/// What is meant by a direction: what the channel says, what it hears.
fn direction(args: &Args<'_>) -> Result<(bool, bool), Problem> {
    match args.get("direction")?.as_deref() {
        None | Some("both") => Ok((true, true)),
        Some("in") => Ok((true, false)),
        Some("out") => Ok((false, true)),
        Some(_) => Err(Problem::new(400, "direction: in, out or both")),
    }
}

pub(super) fn mute(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_mute(context, true)
}

pub(super) fn unmute(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_mute(context, false)
}

fn change_mute(context: &mut Context<'_>, on: bool) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let (said, heard) = direction(&args)?;
    let before = context.switch.muted(call);
    let muted = Muted {
        said: if said { on } else { before.said },
        heard: if heard { on } else { before.heard },
    };
    context.switch.mute(call, muted, context.now)?;
    done()
}

pub(super) fn hold(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_music(context, |channel| channel.held = true)
}

pub(super) fn unhold(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_music(context, |channel| channel.held = false)
}

pub(super) fn music(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let items = media::music(context, args.get("mohClass")?.as_deref());
    change_music(context, |channel| channel.music = Some(items))
}

pub(super) fn no_music(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_music(context, |channel| channel.music = None)
}

fn change_music(
    context: &mut Context<'_>,
    change: impl FnOnce(&mut super::state::Channel),
) -> Result<Reply, Problem> {
    let call = call(context)?;
    let Some(mut channel) = context.state.ari.channels.get(&call).cloned() else {
        return done();
    };
    change(&mut channel);
    let bridge = context.switch.bridge_of(call);
    let of_bridge = || context.state.ari.holding_music(bridge);
    let items = channel.own_music().or_else(of_bridge);
    context
        .switch
        .order(call, Order::Music(items), context.now)?;
    context.state.ari.channels.insert(call, channel);
    done()
}
