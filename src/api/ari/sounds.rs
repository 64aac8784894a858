//! `/ari/sounds`: prompts.

use serde_json::{Value, json};

use super::declare::{Resource, failure, operation};
use super::told;
use crate::api::{Context, Method, Problem, Reply};

pub(super) const RESOURCE: Resource = Resource {
    name: "sounds",
    about: "Prompts that can be played by name.",
    operations: &[
        operation(Method::Get, "/ari/sounds", "list", "All of them.", list).returns("List[Sound]"),
        operation(
            Method::Get,
            "/ari/sounds/{soundId}",
            "get",
            "One of them.",
            show,
        )
        .returns("Sound")
        .fails(&[failure(404, "There is no such sound.")]),
    ],
};

fn body(name: &str) -> Value {
    json!({"id": name, "text": name, "formats": [{"language": "en", "format": "wav"}]})
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let names = context.edge.prompts();
    let all: Vec<Value> = names.iter().map(|name| body(name)).collect();
    told(&json!(all))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let id = context.request.path("soundId");
    if !context.edge.has_prompt(id) {
        return Err(Problem::not_found("sound", id));
    }
    told(&body(id))
}
