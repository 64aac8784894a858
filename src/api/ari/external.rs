//! `POST /ari/channels/externalMedia`: a channel whose other side is an address.

use serde_json::json;

use super::declare::{failure, text};
use super::{Args, channels, check_name, reserve_channel, snoop};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Problem, Reply, Response};
use crate::app::StasisSpec;
use crate::codec::Codec;
use crate::sip::uri::Uri;
use crate::switch::ExternalMedia;

pub(super) const PARAMETERS: &[Parameter] = &[
    text("app", "The application that the channel is in."),
    text("appArgs", "What that is told, with commas."),
    text("external_host", "HOST:PORT, where RTP goes and comes from."),
    text("format", "ulaw, alaw, g722, opus, slin or slin16."),
    text("encapsulation", "rtp."),
    text("transport", "udp."),
    text("connection_type", "client."),
    text("direction", "both."),
    text("data", "Not used."),
    text("channelId", "The name that the channel gets."),
];
pub(super) const FAILS: &[Answer] = &[
    failure(400, "A parameter is wrong or missing."),
    failure(403, "The configuration does not let media go there."),
    failure(409, "There is a channel of this name."),
    failure(502, "There is no way to the address."),
    failure(
        503,
        "There are as many channels as there may be, or no ports.",
    ),
];

/// What a format is, by RFC 3551's payload types, or by those that applications know it under.
fn media(format: &str) -> Option<ExternalMedia> {
    let (codec, payload_type) = match format {
        "ulaw" => (Codec::Pcmu, 0),
        "alaw" => (Codec::Pcma, 8),
        "g722" => (Codec::G722, 9),
        "slin" => (Codec::L16Narrow, 11),
        "slin16" => (Codec::L16Wide, 118),
        "opus" => (Codec::Opus, 107),
        _ => return None,
    };
    Some(ExternalMedia {
        codec,
        payload_type,
    })
}

/// The address that is named, as a URI: names are looked for as those of SIP are.
fn address(host: &str) -> Result<Uri, Problem> {
    let wrong = || Problem::new(400, "external_host: HOST:PORT, such as 127.0.0.1:6000");
    let (name, port) = host.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.:[]".contains(c));
    if port == 0 || name.is_empty() || name.contains(odd) {
        return Err(wrong());
    }
    format!("sip:{name}:{port};transport=udp")
        .parse()
        .map_err(|_| wrong())
}

pub(super) fn run(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let app = args.need("app")?;
    check_name("app", &app)?;
    let host = args.need("external_host")?;
    let uri = address(&host)?;
    let format = args.need("format")?;
    let media = media(&format).ok_or_else(|| {
        let why = "ulaw, alaw, g722, opus, slin or slin16";
        Problem::new(400, format!("format: {format:?}: {why}"))
    })?;
    for (name, only) in [
        ("encapsulation", "rtp"),
        ("transport", "udp"),
        ("connection_type", "client"),
        ("direction", "both"),
    ] {
        if args.get(name)?.is_some_and(|said| said != only) {
            return Err(Problem::new(400, format!("{name}: only {only} is served")));
        }
    }
    let variables = args.variables()?;
    let spec = StasisSpec {
        app: app.clone(),
        args: args.list("appArgs"),
        otherwise: None,
    };
    let id = args.get("channelId")?;
    if let Some(id) = &id {
        reserve_channel(context, id)?;
    }
    let then = move |path: Result<crate::sip::transport::Flow, Problem>,
                     context: &mut Context<'_>| {
        if let Some(id) = &id {
            context.state.ari.reserved.remove(id);
        }
        let path = path?;
        let call = context
            .switch
            .external_media(media, path, spec, context.now)?;
        let name = format!("UnicastRTP/{}-{:08x}", path.remote, call.0);
        snoop::adopt(context, call, id, name, app);
        if let Some(channel) = context.state.ari.channels.get_mut(&call) {
            channel.variables.extend(variables);
        }
        // Its ports are asked for, and known once that is carried out.
        let settled = move |context: &mut Context<'_>| {
            let no_ports = || Problem::later(503, "there are no RTP ports", 5);
            let (ip, port) = context.switch.media_address(call).ok_or_else(no_ports)?;
            let known = [
                ("UNICASTRTP_LOCAL_ADDRESS", ip.to_string()),
                ("UNICASTRTP_LOCAL_PORT", port.to_string()),
            ];
            let told = known.clone();
            if let Some(channel) = context.state.ari.channels.get_mut(&call) {
                let known = known.map(|(name, value)| (name.to_owned(), value));
                channel.variables.extend(known);
            }
            let mut body = channels::shown(context, call);
            for (name, value) in told {
                body["channelvars"][name] = json!(value);
            }
            Ok(Response::json(&body))
        };
        Ok(Reply::Settled(Box::new(settled)))
    };
    Ok(Reply::LocateMedia(Box::new(uri), Box::new(then)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port() {
        for (host, uri) in [
            ("127.0.0.1:6000", "sip:127.0.0.1:6000;transport=udp"),
            ("[::1]:6000", "sip:[::1]:6000;transport=udp"),
            ("media.example:1", "sip:media.example:1;transport=udp"),
        ] {
            assert_eq!(address(host).unwrap().to_string(), uri);
        }
        for wrong in [
            "",
            "127.0.0.1",
            ":5",
            "a:0",
            "a:65536",
            "a b:5",
            "a;x=1:5",
            "u@a:5",
            "a:-1",
        ] {
            assert_eq!(address(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
