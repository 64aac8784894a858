//! How the operations of ARI are written down: once, for routing and for the description.

use crate::api::table::{Access, Answer, Body, Kind, Operation, Parameter, SchemaOf};
use crate::api::{Context, Method, Problem, Reply, Scope};

/// An operation, with what its description needs besides.
#[derive(Clone, Copy)]
pub(super) struct Declared {
    pub operation: Operation,
    /// The class of what is answered: `Channel`, `List[Channel]`, `void`.
    pub returns: &'static str,
    /// Parameters that have to be there.
    pub required: &'static [&'static str],
    /// Parameters that may be lists, with commas.
    pub lists: &'static [&'static str],
    /// The name of the body; none: there is none.
    pub body: Option<&'static str>,
    /// The connection becomes a WebSocket.
    pub upgrades: bool,
}

/// Operations of one kind of thing.
pub(super) struct Resource {
    pub name: &'static str,
    pub about: &'static str,
    pub operations: &'static [Declared],
}

/// Parameters may come in a body as well.
const ANY: SchemaOf = |generator| generator.subschema_for::<serde_json::Value>();

/// Does it.
pub(super) type Run = fn(&mut Context<'_>) -> Result<Reply, Problem>;

/// An operation: GET is for who may look, all else for who may change calls.
pub(super) const fn operation(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    run: Run,
) -> Declared {
    let (scope, body) = match method {
        Method::Get => (Scope::Read, None),
        _ => (Scope::Control, Some(ANY)),
    };
    Declared {
        operation: Operation {
            method,
            path,
            access: Access::Key(scope),
            id,
            tag: "ari",
            summary,
            query: &[],
            body,
            answers: &[],
            run,
        },
        returns: "void",
        required: &[],
        lists: &[],
        body: None,
        upgrades: false,
    }
}

impl Declared {
    pub(super) const fn returns(mut self, class: &'static str) -> Self {
        self.returns = class;
        self
    }

    pub(super) const fn takes(mut self, query: &'static [Parameter]) -> Self {
        self.operation.query = query;
        self
    }

    pub(super) const fn needs(mut self, required: &'static [&'static str]) -> Self {
        self.required = required;
        self
    }

    pub(super) const fn lists(mut self, lists: &'static [&'static str]) -> Self {
        self.lists = lists;
        self
    }

    pub(super) const fn body(mut self, name: &'static str) -> Self {
        self.body = Some(name);
        self
    }

    pub(super) const fn fails(mut self, answers: &'static [Answer]) -> Self {
        self.operation.answers = answers;
        self
    }

    pub(super) const fn upgrades(mut self) -> Self {
        self.upgrades = true;
        self.operation.access = Access::Key(Scope::Control);
        self
    }
}

/// A text.
pub(super) const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Text(4096),
        about,
    }
}

/// A whole number from 0.
pub(super) const fn number(name: &'static str, default: usize, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Number(0, u32::MAX as usize, default),
        about,
    }
}

/// True or false.
pub(super) const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Flag,
        about,
    }
}

/// A failure.
pub(super) const fn failure(status: u16, about: &'static str) -> Answer {
    Answer {
        status,
        about,
        body: Body::Problem,
    }
}
