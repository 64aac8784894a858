//! `/api/v1`, `/metrics`, `/health` and `/ready`: the operations of our own.

mod calls;
mod server;

use super::message::{Method, Scope};
use super::problem::ProblemBody;
use super::table::{Access, Answer, Body, Kind, Operation, Parameter, SchemaOf};

const READ: Access = Access::Key(Scope::Read);
const CONTROL: Access = Access::Key(Scope::Control);

/// The most entries of a list in one answer.
const MAX_PAGE: usize = 1_000;
const PAGE: &[Parameter] = &[
    Parameter {
        name: "limit",
        kind: Kind::Number(1, MAX_PAGE, 100),
        about: "The most entries to tell.",
    },
    Parameter {
        name: "after",
        kind: Kind::Text(200),
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

const fn problem(status: u16, about: &'static str) -> Answer {
    Answer {
        status,
        about,
        body: Body::Problem,
    }
}

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
        query: PAGE,
        body: None,
        answers: &[ok("The calls.", |g| g.subschema_for::<calls::Calls>())],
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
            ok("The call.", |g| g.subschema_for::<calls::CallBody>()),
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
            Answer {
                status: 204,
                about: "It is being hung up; the event `call.ended` tells when it is over.",
                body: Body::None,
            },
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
        body: Some(|g| g.subschema_for::<calls::NewCall>()),
        answers: &[
            Answer {
                status: 201,
                about: "The call has begun; events tell how it goes on.",
                body: Body::Json(|g| g.subschema_for::<calls::CallBody>()),
            },
            problem(400, "A field is wrong: `field` says which."),
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
        answers: &[ok("It does.", |g| g.subschema_for::<server::StatusBody>())],
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
            ok("It does.", |g| g.subschema_for::<server::StatusBody>()),
            problem(503, "It is about to end, or a media thread has."),
        ],
        run: server::ready,
    },
];

/// A call, for an event.
pub(super) fn call_body(
    view: &crate::switch::CallView<'_>,
    state: &super::State,
    now: std::time::Instant,
) -> calls::CallBody {
    calls::CallBody::of(view, state, now)
}
