//! The description that clients of ARI build themselves from (Swagger 1.1), made of the table of
//! operations: what it declares is what is served.

use serde_json::{Map, Value, json};

use super::declare::{Declared, Resource, failure, operation};
use super::models::{EVENT, EVENTS, Model, THINGS};
use super::{RESOURCES, told};
use crate::api::table::Kind;
use crate::api::{Context, Method, Problem, Reply};

/// The version of the interface whose names these are.
const API_VERSION: &str = "8.0.0";
const SWAGGER_VERSION: &str = "1.1";

pub(super) const RESOURCE: Resource = Resource {
    name: "api-docs",
    about: "This description.",
    operations: &[
        operation(
            Method::Get,
            "/ari/api-docs/resources.json",
            "resources",
            "What there is to ask about.",
            listing,
        ),
        operation(
            Method::Get,
            "/ari/api-docs/{name}",
            "declaration",
            "What can be asked.",
            declaration,
        )
        .fails(&[failure(404, "There is no such description.")]),
    ],
};

/// Where a client that has got here finds the rest.
fn base(context: &Context<'_>) -> String {
    let host = context.request.host.as_deref().unwrap_or("localhost");
    let scheme = if context.request.secure {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{host}/ari")
}

/// What is described: all but the description.
fn resources() -> impl Iterator<Item = &'static Resource> {
    RESOURCES
        .iter()
        .filter(|resource| resource.name != RESOURCE.name)
}

fn listing(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let apis: Vec<Value> = resources()
        .map(|resource| {
            json!({
                "path": format!("/api-docs/{}.{{format}}", resource.name),
                "description": resource.about,
            })
        })
        .collect();
    told(&json!({
        "apiVersion": API_VERSION,
        "swaggerVersion": SWAGGER_VERSION,
        "basePath": base(context),
        "apis": apis,
    }))
}

fn declaration(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let asked = context.request.path("name");
    let name = asked.strip_suffix(".json").unwrap_or(asked);
    let resource = resources().find(|resource| resource.name == name);
    let resource = resource.ok_or_else(|| Problem::not_found("description", asked))?;
    told(&declared(resource, &base(context)))
}

/// The declaration of one resource.
fn declared(resource: &Resource, base: &str) -> Value {
    let mut paths: Vec<(&str, Vec<Value>)> = Vec::new();
    for declared in resource.operations {
        let path = declared.operation.path;
        let path = path.strip_prefix("/ari").unwrap_or(path);
        let body = described(declared);
        match paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, operations)) => operations.push(body),
            None => paths.push((path, vec![body])),
        }
    }
    let apis: Vec<Value> = paths
        .into_iter()
        .map(|(path, operations)| {
            json!({"path": path, "description": resource.about, "operations": operations})
        })
        .collect();
    let mut models: Map<String, Value> = THINGS
        .iter()
        .map(|m| (m.name.to_owned(), thing(m)))
        .collect();
    if resource.name == "events" {
        models.extend(EVENTS.iter().map(|m| (m.name.to_owned(), event(m))));
        let names: Vec<&str> = EVENTS.iter().map(|model| model.name).collect();
        let mut message = described_model("Message", "Something that happens.", EVENT, &[]);
        message["subTypes"] = json!(names);
        message["discriminator"] = json!("type");
        models.insert("Message".to_owned(), message);
    }
    json!({
        "apiVersion": API_VERSION,
        "swaggerVersion": SWAGGER_VERSION,
        "basePath": base,
        "resourcePath": format!("/api-docs/{}.{{format}}", resource.name),
        "apis": apis,
        "models": models,
    })
}

fn described(declared: &Declared) -> Value {
    let operation = &declared.operation;
    let mut parameters = Vec::new();
    for part in operation.path.split('/') {
        if let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            parameters.push(json!({
                "name": name,
                "description": "Which.",
                "paramType": "path",
                "required": true,
                "allowMultiple": false,
                "dataType": "string",
            }));
        }
    }
    for parameter in operation.query {
        let mut body = json!({
            "name": parameter.name,
            "description": parameter.about,
            "paramType": "query",
            "required": declared.required.contains(&parameter.name),
            "allowMultiple": declared.lists.contains(&parameter.name),
            "dataType": "string",
        });
        match parameter.kind {
            Kind::Number(_, _, default) => {
                body["dataType"] = json!("int");
                body["defaultValue"] = json!(default);
            }
            Kind::Flag => {
                body["dataType"] = json!("boolean");
                body["defaultValue"] = json!(false);
            }
            Kind::Text(_) | Kind::Some(_) | Kind::CallId => {}
        }
        parameters.push(body);
    }
    if let Some(name) = declared.body {
        parameters.push(json!({
            "name": name,
            "description": "An object in the body.",
            "paramType": "body",
            "required": false,
            "allowMultiple": false,
            "dataType": "containers",
        }));
    }
    let errors = operation
        .answers
        .iter()
        .filter(|answer| answer.status >= 400);
    let errors: Vec<Value> = errors
        .map(|answer| json!({"code": answer.status, "reason": answer.about}))
        .collect();
    let mut body = json!({
        "httpMethod": operation.method.as_str(),
        "summary": operation.summary,
        "nickname": operation.id,
        "responseClass": declared.returns,
        "parameters": parameters,
        "errorResponses": errors,
    });
    if declared.upgrades {
        body["upgrade"] = json!("websocket");
        body["websocketProtocol"] = json!("ari");
    }
    body
}

fn thing(model: &Model) -> Value {
    described_model(model.name, model.about, &[], model.fields)
}

fn event(model: &Model) -> Value {
    described_model(model.name, model.about, EVENT, model.fields)
}

fn described_model(
    name: &str,
    about: &str,
    common: &[(&str, &str)],
    own: &[(&str, &str)],
) -> Value {
    let fields = common.iter().chain(own);
    let fields: Map<String, Value> = fields
        .map(|(name, kind)| {
            let required = !kind.starts_with('?');
            let kind = kind.trim_start_matches('?');
            (
                (*name).to_owned(),
                json!({"type": kind, "required": required}),
            )
        })
        .collect();
    json!({"id": name, "description": about, "properties": fields})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_parameters_are_those_that_there_are() {
        let known = |class: &str| {
            let inner = class
                .strip_prefix("List[")
                .and_then(|c| c.strip_suffix(']'));
            let name = inner.unwrap_or(class);
            matches!(name, "void" | "binary" | "Message") || THINGS.iter().any(|m| m.name == name)
        };
        for resource in resources() {
            let mut ids = std::collections::BTreeSet::new();
            for declared in resource.operations {
                let operation = &declared.operation;
                let of = format!("{} {}", resource.name, operation.id);
                assert!(ids.insert(operation.id), "{of}");
                assert!(known(declared.returns), "{of}: {}", declared.returns);
                assert!(
                    operation
                        .path
                        .starts_with(&format!("/ari/{}", resource.name)),
                    "{of}"
                );
                for name in declared.required.iter().chain(declared.lists) {
                    assert!(
                        operation.query.iter().any(|p| p.name == *name),
                        "{of}: {name}"
                    );
                }
            }
        }
    }

    #[test]
    fn fields_have_types_that_are_described() {
        let plain = [
            "string",
            "Date",
            "int",
            "long",
            "double",
            "boolean",
            "object",
            "List[string]",
            "List[object]",
        ];
        for model in THINGS.iter().chain(EVENTS) {
            for (field, kind) in model.fields {
                let kind = kind.trim_start_matches('?');
                let known = plain.contains(&kind) || THINGS.iter().any(|m| m.name == kind);
                assert!(known, "{}.{field}: {kind}", model.name);
            }
        }
    }
}
