//! What is told, field by field: of things, and of events.

/// Something that is told: its name, and its fields with their types; a type that begins with `?` may
/// be absent.
pub(super) struct Model {
    pub name: &'static str,
    pub about: &'static str,
    pub fields: &'static [(&'static str, &'static str)],
}

const fn model(
    name: &'static str,
    about: &'static str,
    fields: &'static [(&'static str, &'static str)],
) -> Model {
    Model {
        name,
        about,
        fields,
    }
}

/// What every event has.
pub(super) const EVENT: &[(&str, &str)] = &[
    ("type", "string"),
    ("application", "string"),
    ("timestamp", "Date"),
];

/// Things.
pub(super) const THINGS: &[Model] = &[
    model(
        "Application",
        "A program.",
        &[
            ("name", "string"),
            ("channel_ids", "List[string]"),
            ("bridge_ids", "List[string]"),
            ("endpoint_ids", "List[string]"),
            ("device_names", "List[string]"),
            ("events_allowed", "List[object]"),
            ("events_disallowed", "List[object]"),
        ],
    ),
    model(
        "AsteriskInfo",
        "The server.",
        &[
            ("build", "?object"),
            ("system", "?object"),
            ("config", "?object"),
            ("status", "?object"),
        ],
    ),
    model(
        "AsteriskPing",
        "That the server is there.",
        &[
            ("asterisk_id", "string"),
            ("ping", "string"),
            ("timestamp", "string"),
        ],
    ),
    model(
        "Bridge",
        "Channels that are together.",
        &[
            ("id", "string"),
            ("technology", "string"),
            ("bridge_type", "string"),
            ("bridge_class", "string"),
            ("creator", "string"),
            ("name", "string"),
            ("channels", "List[string]"),
            ("creationtime", "Date"),
            ("video_mode", "?string"),
        ],
    ),
    model(
        "CallerID",
        "Who somebody is.",
        &[("name", "string"), ("number", "string")],
    ),
    model(
        "DialplanCEP",
        "What was dialled.",
        &[
            ("context", "string"),
            ("exten", "string"),
            ("priority", "long"),
            ("app_name", "string"),
            ("app_data", "string"),
        ],
    ),
    model(
        "Channel",
        "A call.",
        &[
            ("id", "string"),
            ("name", "string"),
            ("state", "string"),
            ("protocol_id", "string"),
            ("caller", "CallerID"),
            ("connected", "CallerID"),
            ("accountcode", "string"),
            ("dialplan", "DialplanCEP"),
            ("creationtime", "Date"),
            ("language", "string"),
            ("channelvars", "?object"),
        ],
    ),
    model(
        "DeviceState",
        "The state of a device.",
        &[("name", "string"), ("state", "string")],
    ),
    model(
        "Endpoint",
        "A user.",
        &[
            ("technology", "string"),
            ("resource", "string"),
            ("state", "?string"),
            ("channel_ids", "List[string]"),
        ],
    ),
    model(
        "LiveRecording",
        "A recording under way.",
        &[
            ("name", "string"),
            ("format", "string"),
            ("target_uri", "string"),
            ("state", "string"),
            ("duration", "?int"),
            ("cause", "?string"),
        ],
    ),
    model(
        "Playback",
        "Something that is played.",
        &[
            ("id", "string"),
            ("media_uri", "string"),
            ("target_uri", "string"),
            ("language", "?string"),
            ("state", "string"),
        ],
    ),
    model(
        "RTPstat",
        "The figures of a channel's media.",
        &[
            ("channel_uniqueid", "string"),
            ("local_ssrc", "int"),
            ("remote_ssrc", "int"),
            ("txcount", "int"),
            ("rxcount", "int"),
            ("txploss", "int"),
            ("rxploss", "int"),
            ("rxjitter", "?double"),
            ("rtt", "?double"),
        ],
    ),
    model(
        "Sound",
        "A prompt.",
        &[
            ("id", "string"),
            ("text", "?string"),
            ("formats", "List[object]"),
        ],
    ),
    model(
        "StoredRecording",
        "A recording that is there.",
        &[("name", "string"), ("format", "string")],
    ),
    model(
        "TextMessage",
        "A text outside of calls.",
        &[
            ("from", "string"),
            ("to", "string"),
            ("body", "string"),
            ("variables", "?object"),
        ],
    ),
    model(
        "Variable",
        "The value of a variable.",
        &[("value", "string")],
    ),
];

/// Events, without what all have.
pub(super) const EVENTS: &[Model] = &[
    model(
        "ApplicationReplaced",
        "Another reader has taken the application over.",
        &[],
    ),
    model(
        "BridgeCreated",
        "A bridge is made.",
        &[("bridge", "Bridge")],
    ),
    model(
        "BridgeDestroyed",
        "A bridge is no more.",
        &[("bridge", "Bridge")],
    ),
    model(
        "ChannelCreated",
        "A call begins.",
        &[("channel", "Channel")],
    ),
    model(
        "ChannelDestroyed",
        "A call is over.",
        &[
            ("cause", "int"),
            ("cause_txt", "string"),
            ("channel", "Channel"),
        ],
    ),
    model(
        "ChannelDtmfReceived",
        "A key was pressed.",
        &[
            ("digit", "string"),
            ("duration_ms", "int"),
            ("channel", "Channel"),
        ],
    ),
    model(
        "ChannelEnteredBridge",
        "A channel is in a bridge.",
        &[("bridge", "Bridge"), ("channel", "?Channel")],
    ),
    model(
        "ChannelHangupRequest",
        "The other side has hung up.",
        &[
            ("cause", "?int"),
            ("soft", "?boolean"),
            ("channel", "Channel"),
        ],
    ),
    model(
        "ChannelHold",
        "The other side has put the call on hold.",
        &[("musicclass", "?string"), ("channel", "Channel")],
    ),
    model(
        "ChannelLeftBridge",
        "A channel is in a bridge no more.",
        &[("bridge", "Bridge"), ("channel", "Channel")],
    ),
    model(
        "ChannelStateChange",
        "A call is answered, or rings.",
        &[("channel", "Channel")],
    ),
    model(
        "ChannelTalkingFinished",
        "The other side has ceased to talk.",
        &[("duration", "int"), ("channel", "Channel")],
    ),
    model(
        "ChannelTalkingStarted",
        "The other side begins to talk.",
        &[("channel", "Channel")],
    ),
    model(
        "ChannelUnhold",
        "The other side has taken the call up again.",
        &[("channel", "Channel")],
    ),
    model(
        "ChannelUserevent",
        "What a program tells.",
        &[
            ("eventname", "string"),
            ("channel", "?Channel"),
            ("bridge", "?Bridge"),
            ("endpoint", "?Endpoint"),
            ("userevent", "object"),
        ],
    ),
    model(
        "ChannelVarset",
        "A variable is set.",
        &[
            ("variable", "string"),
            ("value", "string"),
            ("channel", "?Channel"),
        ],
    ),
    model(
        "DeviceStateChanged",
        "A device has another state.",
        &[("device_state", "DeviceState")],
    ),
    model(
        "Dial",
        "How a call that was placed gets on.",
        &[
            ("peer", "Channel"),
            ("dialstatus", "string"),
            ("dialstring", "?string"),
            ("forward", "?string"),
        ],
    ),
    model(
        "PlaybackFinished",
        "What was played is over.",
        &[("playback", "Playback")],
    ),
    model(
        "PlaybackStarted",
        "Something is heard.",
        &[("playback", "Playback")],
    ),
    model(
        "RecordingFailed",
        "A recording broke off.",
        &[("recording", "LiveRecording")],
    ),
    model(
        "RecordingFinished",
        "A recording is over.",
        &[("recording", "LiveRecording")],
    ),
    model(
        "RecordingStarted",
        "A recording begins.",
        &[("recording", "LiveRecording")],
    ),
    model(
        "StasisEnd",
        "A channel is the application's no more.",
        &[("channel", "Channel")],
    ),
    model(
        "StasisStart",
        "A channel is the application's.",
        &[("args", "List[string]"), ("channel", "Channel")],
    ),
    model(
        "TextMessageReceived",
        "A text has come.",
        &[("message", "TextMessage"), ("endpoint", "?Endpoint")],
    ),
];
