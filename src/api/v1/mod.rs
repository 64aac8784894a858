//! `/api/v1`, `/metrics`, `/health` and `/ready`: the operations of our own.

#![allow(clippy::unnecessary_wraps, reason = "the table wants one signature")]

mod bans;
mod calls;
mod events;
mod members;
mod plays;
mod recording;
mod rooms;
mod server;

pub(super) use bans::BanBody;
pub(super) use calls::{CallBody, Figures};
pub(super) use events::topics;
pub(super) use members::{MemberBody, tenths};
pub(super) use plays::PlayBody;

use super::description;
use super::events::{ApiEvent, TYPES};
use super::message::{Method, Scope};
use super::problem::ProblemBody;
use super::table::{Access, Answer, Body, Kind, Operation, Parameter, SchemaOf};

const READ: Access = Access::Key(Scope::Read);
const CONTROL: Access = Access::Key(Scope::Control);
const ADMIN: Access = Access::Key(Scope::Admin);

/// The most entries of a list in one answer.
const MAX_PAGE: usize = 1_000;
/// As many as are told where nothing else is asked for.
const PAGE_SIZE: usize = 100;
const LIMIT: Parameter = Parameter {
    name: "limit",
    kind: Kind::Number(1, MAX_PAGE, PAGE_SIZE),
    about: "The most entries to tell.",
};
const PAGE: &[Parameter] = &[
    LIMIT,
    Parameter {
        name: "after",
        kind: Kind::Text(200),
        about: "Tell those behind this one: `next` of the answer before.",
    },
];

const CALLS: &[Parameter] = &[
    LIMIT,
    Parameter {
        name: "after",
        kind: Kind::CallId,
        about: "Tell those behind this one: `next` of the answer before.",
    },
];

const fn ok(about: &'static str, schema: SchemaOf) -> Answer {
    Answer {
        status: 200,
        about,
        body: Body::Json(schema),
    }
}

const fn done(about: &'static str) -> Answer {
    Answer {
        status: 204,
        about,
        body: Body::None,
    }
}

const fn problem(status: u16, about: &'static str) -> Answer {
    Answer {
        status,
        about,
        body: Body::Problem,
    }
}

const NO_ROOM: Answer = problem(404, "There is no such room.");
const NO_MEMBER: Answer = problem(404, "There is no such room, or no such member in it.");

/// The schema of a problem.
pub(super) const PROBLEM: SchemaOf = |g| g.subschema_for::<ProblemBody<'_>>();

/// All of them.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::Get,
        path: "/api/v1/calls",
        access: READ,
        id: "listCalls",
        tag: "calls",
        summary: "The calls that are not over, in the order in which they began.",
        query: CALLS,
        body: None,
        answers: &[ok(
            "The calls.",
            schemars::SchemaGenerator::subschema_for::<calls::Calls>,
        )],
        run: calls::list,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/calls/{id}",
        access: READ,
        id: "showCall",
        tag: "calls",
        summary: "A call, with the figures of its media as they are now.",
        query: &[],
        body: None,
        answers: &[
            ok(
                "The call.",
                schemars::SchemaGenerator::subschema_for::<calls::CallBody>,
            ),
            problem(404, "There is no such call, or no longer."),
        ],
        run: calls::show,
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/calls/{id}",
        access: CONTROL,
        id: "hangUp",
        tag: "calls",
        summary: "Hangs up a call.",
        query: &[],
        body: None,
        answers: &[
            done("It is being hung up; the event `call.ended` tells when it is over."),
            problem(404, "There is no such call, or no longer."),
        ],
        run: calls::hang_up,
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/calls",
        access: CONTROL,
        id: "placeCall",
        tag: "calls",
        summary: "Calls somebody, and connects who answers with an application.",
        query: &[],
        body: Some(schemars::SchemaGenerator::subschema_for::<calls::NewCall>),
        answers: &[
            Answer {
                status: 201,
                about: "The call has begun; events tell how it goes on.",
                body: Body::Json(schemars::SchemaGenerator::subschema_for::<calls::CallBody>),
            },
            problem(400, "A field is wrong: `field` says which."),
            problem(404, "There is no such prompt, or no route for the number."),
            problem(502, "There is no way to whom is to be called."),
            problem(
                503,
                "There are as many calls as there may be, or the server is about to end.",
            ),
        ],
        run: calls::place,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/server",
        access: READ,
        id: "showServer",
        tag: "server",
        summary: "Version, uptime and counts.",
        query: &[],
        body: None,
        answers: &[ok("The server.", |g| {
            g.subschema_for::<server::ServerBody>()
        })],
        run: server::show,
    },
    Operation {
        method: Method::Get,
        path: "/health",
        access: Access::Monitoring,
        id: "health",
        tag: "monitoring",
        summary: "Whether the server lives: it answers.",
        query: &[],
        body: None,
        answers: &[ok(
            "It does.",
            schemars::SchemaGenerator::subschema_for::<server::StatusBody>,
        )],
        run: server::health,
    },
    Operation {
        method: Method::Get,
        path: "/ready",
        access: Access::Monitoring,
        id: "ready",
        tag: "monitoring",
        summary: "Whether the server takes calls.",
        query: &[],
        body: None,
        answers: &[
            ok(
                "It does.",
                schemars::SchemaGenerator::subschema_for::<server::StatusBody>,
            ),
            problem(503, "It is about to end, or a media thread has."),
        ],
        run: server::ready,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/rooms",
        access: READ,
        id: "listRooms",
        tag: "rooms",
        summary: "The rooms with anybody in them, by name.",
        query: PAGE,
        body: None,
        answers: &[ok(
            "The rooms.",
            schemars::SchemaGenerator::subschema_for::<rooms::Rooms>,
        )],
        run: rooms::list,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/rooms/{room}",
        access: READ,
        id: "showRoom",
        tag: "rooms",
        summary: "A room, and who is in it.",
        query: &[],
        body: None,
        answers: &[
            ok(
                "The room.",
                schemars::SchemaGenerator::subschema_for::<rooms::RoomWithMembers>,
            ),
            problem(404, "There is no such room."),
        ],
        run: rooms::show,
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/rooms/{room}",
        access: CONTROL,
        id: "changeRoom",
        tag: "rooms",
        summary: "Changes a room: the fields that are there.",
        query: &[],
        body: Some(schemars::SchemaGenerator::subschema_for::<rooms::RoomChange>),
        answers: &[
            ok(
                "The room.",
                schemars::SchemaGenerator::subschema_for::<rooms::RoomWithMembers>,
            ),
            NO_ROOM,
        ],
        run: rooms::change,
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/rooms/{room}",
        access: CONTROL,
        id: "endRoom",
        tag: "rooms",
        summary: "Ends a room: its members are told so, and hung up.",
        query: &[],
        body: None,
        answers: &[done("It ends."), NO_ROOM],
        run: rooms::end,
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/rooms/{room}/calls",
        access: CONTROL,
        id: "inviteToRoom",
        tag: "rooms",
        summary: "Calls somebody from a room, and asks them to join.",
        query: &[],
        body: Some(schemars::SchemaGenerator::subschema_for::<rooms::Invitation>),
        answers: &[
            Answer {
                status: 202,
                about: "It is being tried; events tell how it goes on.",
                body: Body::None,
            },
            NO_ROOM,
            problem(503, "As many calls as may be are being placed by rooms."),
        ],
        run: rooms::invite,
    },
    recording::SHOW,
    recording::START,
    recording::PAUSE,
    recording::RESUME,
    recording::STOP,
    Operation {
        method: Method::Post,
        path: "/api/v1/rooms/{room}/members/{call}",
        access: CONTROL,
        id: "changeMember",
        tag: "rooms",
        summary: "Changes a member of a room: the fields that are there.",
        query: &[],
        body: Some(schemars::SchemaGenerator::subschema_for::<members::MemberChange>),
        answers: &[
            ok(
                "The member.",
                schemars::SchemaGenerator::subschema_for::<MemberBody>,
            ),
            NO_MEMBER,
            problem(
                409,
                "The room would need more different mixes than it may have.",
            ),
        ],
        run: members::change,
    },
    Operation {
        method: Method::Post,
        path: "/api/v1/rooms/{room}/members/{call}/move",
        access: CONTROL,
        id: "moveMember",
        tag: "rooms",
        summary: "Moves a member to another room.",
        query: &[],
        body: Some(schemars::SchemaGenerator::subschema_for::<members::MemberMove>),
        answers: &[
            done("It is on its way."),
            NO_MEMBER,
            problem(409, "The other room has as many members as it may."),
        ],
        run: members::move_to,
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/rooms/{room}/members/{call}",
        access: CONTROL,
        id: "kickMember",
        tag: "rooms",
        summary: "Takes a member out of a room: it is told so, and hung up.",
        query: &[],
        body: None,
        answers: &[done("It goes."), NO_MEMBER],
        run: members::kick,
    },
    plays::LIST,
    plays::START,
    plays::SHOW,
    plays::CHANGE,
    plays::STOP,
    Operation {
        method: Method::Get,
        path: "/api/v1/bans",
        access: READ,
        id: "listBans",
        tag: "bans",
        summary: "The bans that hold.",
        query: &[LIMIT],
        body: None,
        answers: &[ok(
            "The bans.",
            schemars::SchemaGenerator::subschema_for::<bans::Bans>,
        )],
        run: bans::list,
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/bans",
        access: ADMIN,
        id: "clearBans",
        tag: "bans",
        summary: "Ends all bans.",
        query: &[],
        body: None,
        answers: &[ok("How many there were.", |g| {
            g.subschema_for::<bans::Lifted>()
        })],
        run: bans::clear,
    },
    Operation {
        method: Method::Delete,
        path: "/api/v1/bans/{address}",
        access: ADMIN,
        id: "liftBan",
        tag: "bans",
        summary: "Ends the bans of a source, and forgets what was held against it.",
        query: &[],
        body: None,
        answers: &[done("They are over."), problem(404, "It is not banned.")],
        run: bans::lift,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/events",
        access: READ,
        id: "readEvents",
        tag: "events",
        summary: "Tells what happens, by WebSocket: one JSON object in each text message.",
        query: &[
            Parameter {
                name: "types",
                kind: Kind::Some(TYPES),
                about: "Tell these alone.",
            },
            Parameter {
                name: "talkers",
                kind: Kind::Flag,
                about: "Tell who talks in rooms too (`room.talkers`): every 100 ms while anybody does.",
            },
            Parameter {
                name: "digits",
                kind: Kind::Flag,
                about: "Tell digits too, which may be part of a PIN; needs scope control.",
            },
        ],
        body: None,
        answers: &[
            Answer {
                status: 101,
                about: "It begins. Messages are of this type. Who leaves more than 1024 events or 1 MiB \
                        unread is cut off with close code 4008; code 4009: events were lost; 1001: the \
                        server ends.",
                body: Body::Json(schemars::SchemaGenerator::subschema_for::<ApiEvent<'_>>),
            },
            problem(426, "This is no handshake of a WebSocket."),
        ],
        run: events::subscribe,
    },
    Operation {
        method: Method::Get,
        path: "/metrics",
        access: Access::Monitoring,
        id: "metrics",
        tag: "monitoring",
        summary: "Figures as Prometheus reads them (text format 0.0.4).",
        query: &[],
        body: None,
        answers: &[Answer {
            status: 200,
            about: "The figures.",
            body: Body::Other("text/plain"),
        }],
        run: server::metrics,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/openapi.json",
        access: READ,
        id: "describe",
        tag: "description",
        summary: "This description (OpenAPI 3.1).",
        query: &[],
        body: None,
        answers: &[ok("The description.", |g| {
            g.subschema_for::<serde_json::Map<String, serde_json::Value>>()
        })],
        run: description::show,
    },
    Operation {
        method: Method::Get,
        path: "/api/v1/docs",
        access: READ,
        id: "browse",
        tag: "description",
        summary: "This description as a page for people.",
        query: &[],
        body: None,
        answers: &[Answer {
            status: 200,
            about: "The page.",
            body: Body::Other("text/html"),
        }],
        run: description::page,
    },
];
