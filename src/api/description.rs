//! The description of the API (OpenAPI 3.1), made of the table: it declares what is served.

#![allow(clippy::unnecessary_wraps, reason = "the table wants one signature")]

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::message::{JSON, Response};
use super::problem::{PROBLEM_JSON, title};
use super::table::{Access, Body, Kind, Operation, Parameter, Tree, own_tree};
use super::{Context, Problem, Reply, v1};

/// The page that shows the description; it brings all that it needs.
const PAGE: &str = include_str!("docs.html");
/// A text without control characters.
pub(super) const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// What a page of ours may do: show itself, and ask us.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn show(_: &mut Context<'_>) -> Result<Reply, Problem> {
    Ok(Reply::Now(Response::json(&describe(own_tree()))))
}

pub(super) fn page(_: &mut Context<'_>) -> Result<Reply, Problem> {
    let response = Response::new(200, "text/html; charset=utf-8", PAGE);
    Ok(Reply::Now(
        response.header("Content-Security-Policy", PAGE_POLICY),
    ))
}

/// Schemas of what comes and of what goes: they differ in what may be absent.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    fn definitions(mut self) -> Map<String, Value> {
        // Where a type goes both ways, what may be absent from a request counts: answers have it.
        let mut all = self.answers.take_definitions(true);
        all.extend(self.requests.take_definitions(true));
        all
    }
}

/// The description of a tree.
pub(super) fn describe(tree: &Tree) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in tree.operations {
        let described = one(operation, &mut schemas);
        let methods = paths.entry(operation.path).or_insert_with(|| json!({}));
        methods[operation.method.as_str().to_ascii_lowercase()] = described;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "antiphon",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Calls, rooms and bans of a SIP media server.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "basic": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions(),
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic", "description": "Name and secret of a key." },
                "bearer": { "type": "http", "scheme": "bearer", "description": "The secret of a key, or NAME:SECRET." },
            },
        },
    })
}

fn one(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": answers(operation, schemas),
    });
    let places = operation.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let schema = if name == "address" {
            let kinds = [json!({ "format": "ipv4" }), json!({ "format": "ipv6" })];
            json!({ "type": "string", "anyOf": kinds })
        } else {
            json!({ "type": "string", "minLength": 1 })
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    });
    let parameters: Vec<Value> = places
        .chain(operation.query.iter().map(parameter))
        .collect();
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(schema) = operation.body {
        let schema = schema(&mut schemas.requests);
        described["requestBody"] =
            json!({ "required": true, "content": { JSON: { "schema": schema } } });
    }
    match operation.access {
        Access::Key(scope) => {
            described["description"] = format!("Needs a key of scope {}.", scope.as_str()).into();
        }
        Access::Monitoring => {
            described["description"] =
                "Needs no key from where `http.monitoring` says, else one of scope read.".into();
            described["security"] = json!([{}, { "basic": [] }, { "bearer": [] }]);
        }
    }
    described
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        Kind::Text(most) => {
            json!({ "type": "string", "maxLength": most, "pattern": NO_CONTROLS })
        }
        Kind::CallId => json!({ "type": "string", "pattern": "^[0-9]{1,20}[.][0-9]{1,20}$" }),
        Kind::Number(min, max, default) => {
            json!({ "type": "integer", "minimum": min, "maximum": max, "default": default })
        }
        Kind::Flag => json!({ "type": "boolean", "default": false }),
        Kind::Some(known) => json!({
            "type": "array", "minItems": 1, "items": { "type": "string", "enum": known },
        }),
    };
    let mut described = json!({
        "name": parameter.name, "in": "query", "description": parameter.about, "schema": schema,
    });
    if matches!(parameter.kind, Kind::Some(_)) {
        described["style"] = "form".into();
        described["explode"] = false.into();
    }
    described
}

fn answers(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut all = Map::new();
    let problem = v1::PROBLEM;
    let mut add = |status: u16, about: &str, body: Body| {
        let content = match body {
            Body::None => None,
            Body::Json(schema) => Some((JSON, json!(schema(&mut schemas.answers)))),
            Body::Problem => Some((PROBLEM_JSON, json!(problem(&mut schemas.answers)))),
            Body::Other(kind) => Some((kind, json!({ "type": "string" }))),
        };
        let mut described = json!({ "description": about });
        if let Some((kind, schema)) = content {
            described["content"] = json!({ kind: { "schema": schema } });
        }
        all.entry(status.to_string()).or_insert(described);
    };
    for answer in operation.answers {
        add(answer.status, answer.about, answer.body);
    }
    // What any request may get.
    let mut common = vec![400, 429, 503];
    if operation.body.is_some() {
        common.extend([408, 413, 415]);
    }
    common.extend([401, 403]);
    for status in common {
        add(status, title(status), Body::Problem);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::problem::Format;
    use crate::api::table::Operation;
    use crate::api::table::TREES;

    #[test]
    fn all_that_is_served_is_described_and_each_reference_leads_somewhere() {
        let description = describe(own_tree());
        let mut operations = 0;
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations += 1;
                let served = own_tree()
                    .operations
                    .iter()
                    .find(|o| o.path == path && o.method.as_str().eq_ignore_ascii_case(method));
                assert_eq!(operation["operationId"], served.unwrap().id);
            }
        }
        assert_eq!(operations, own_tree().operations.len());
        let text = description.to_string();
        let references: BTreeSet<&str> = text
            .split("\"$ref\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(references.len() > 5, "{references:?}");
        for reference in references {
            let found = description.pointer(reference.trim_start_matches('#'));
            assert!(found.is_some(), "{reference}");
        }
    }

    #[test]
    fn names_and_paths_are_there_once() {
        for tree in TREES {
            // Swagger names operations within their resource, OpenAPI within the whole.
            let resource = |o: &Operation| o.path.split('/').nth(2).map(str::to_owned);
            let within = |o: &Operation| resource(o).filter(|_| tree.format == Format::Message);
            let ids: BTreeSet<_> = tree.operations.iter().map(|o| (within(o), o.id)).collect();
            assert_eq!(ids.len(), tree.operations.len());
            let paths: BTreeSet<_> = tree.operations.iter().map(|o| format!("{o:?}")).collect();
            assert_eq!(paths.len(), tree.operations.len());
            for operation in tree.operations {
                assert!(operation.path.starts_with(tree.prefix), "{operation:?}");
            }
        }
    }
}
