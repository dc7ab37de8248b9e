//! The description of the API against the routes, the refusals and the answers.

use super::stage::{request, two_customers};
use crate::openapi::DOCUMENT;
use crate::policy::{Access, ROWS};
use crate::problem::Kind;
use crate::query::{LIMIT_DEFAULT, LIMIT_MAX, STATES};
use http::{Method, StatusCode};
use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// What of a value its schema does not describe, or describes and the value lacks.
fn differences(at: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let document = document();
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    if allowed != kind && !allowed.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind)) {
        found.push(format!("{at} is a {kind}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{at} is {value}"));
    }
    let properties = &schema["properties"];
    if kind == "object" && !properties.is_null() {
        found.extend(keys(value).symmetric_difference(&keys(properties)).map(|key| format!("{at}.{key}")));
        found.extend(
            keys(properties)
                .into_iter()
                .filter(|key| {
                    properties[key]["$ref"].is_null()
                        && properties[key]["items"]["$ref"].is_null()
                        && properties[key]["description"].is_null()
                })
                .map(|key| format!("{at}.{key} has no description")),
        );
        for key in keys(value).intersection(&keys(properties)) {
            differences(&format!("{at}.{key}"), &properties[key], &value[key], found);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        differences(&format!("{at}[{index}]"), &schema["items"], item, found);
    }
}

fn answer_schema<'a>(document: &'a Value, path: &str) -> &'a Value {
    &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
}

#[tokio::test]
async fn it_is_served_as_it_is_written() {
    let (stage, _, _) = two_customers();
    let got = stage.send(request(Method::GET, "/openapi.json", None, &[])).await;
    assert_eq!((got.status, got.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(got.body, DOCUMENT);
}

#[test]
fn every_route_and_its_access_are_described() {
    let document = document();
    assert_eq!(keys(&document["paths"]), ROWS.iter().map(|row| row.path).collect());
    for row in ROWS {
        let operation = &document["paths"][row.path]["get"];
        let secured = !operation["security"].as_array().unwrap().is_empty();
        assert_eq!(secured, row.access == Access::Customer, "{}", row.path);
        let placed = row.path.matches('{').count();
        let parameters = operation["parameters"].as_array().unwrap();
        assert_eq!(parameters.iter().filter(|one| one["in"] == "path").count(), placed, "{}", row.path);
    }
}

#[tokio::test]
async fn every_field_of_every_answer_is_described_and_the_other_way_round() {
    let (stage, acme, _) = two_customers();
    let document = document();
    for row in ROWS {
        let path = row.path.replace("{id}", "zeta").replace("{account}", "acme").replace("{name}", "db");
        let path = path.replace("{issuer}", "issuing-1");
        let got = stage.get(&path, &acme).await;
        assert_eq!(got.status, StatusCode::OK, "{path}");
        let described = &document["paths"][row.path]["get"]["responses"]["200"]["content"];
        assert_eq!(keys(described), [got.header("content-type")].into(), "{path}");
        if row.path.starts_with("/pki/crl") {
            assert_eq!(got.body, if row.path == "/pki/crl" { "a list" } else { "an older CA's" });
            continue;
        }
        let mut found = Vec::new();
        differences(row.path, answer_schema(&document, row.path), &got.json(), &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
    let mut found = Vec::new();
    let refused = stage.get("/v1/nodes/none", &acme).await.json();
    differences("problem", &document["components"]["schemas"]["Problem"], &refused, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[tokio::test]
async fn a_field_that_is_not_described_is_found() {
    let (stage, acme, _) = two_customers();
    let document = document();
    let mut got = stage.get("/v1/nodes", &acme).await.json();
    got["nodes"][1]["secret"] = Value::Null;
    got["nodes"][1]["state"] = "lost".into();
    let mut found = Vec::new();
    differences("answer", answer_schema(&document, "/v1/nodes"), &got, &mut found);
    assert_eq!(found, ["answer.nodes[1].secret", "answer.nodes[1].state is \"lost\""]);
}

#[test]
fn words_limits_and_codes_are_those_of_the_code() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(words(&schemas["Node"]["properties"]["state"]["enum"]), STATES);
    let parameters = document["paths"]["/v1/nodes"]["get"]["parameters"].as_array().unwrap();
    let parameter = |name: &str| parameters.iter().find(|one| one["name"] == name).unwrap()["schema"].clone();
    assert_eq!(words(&parameter("state")["enum"]), STATES);
    assert_eq!(
        (&parameter("limit")["maximum"], &parameter("limit")["default"]),
        (&LIMIT_MAX.into(), &LIMIT_DEFAULT.into())
    );
    let kinds = [
        Kind::Invalid,
        Kind::Unauthenticated,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::NotAcceptable,
        Kind::TooLarge,
        Kind::UriTooLong,
        Kind::Unavailable,
        Kind::Internal,
    ];
    assert_eq!(words(&schemas["Problem"]["properties"]["code"]["enum"]), kinds.map(Kind::code));
    let described: BTreeSet<&str> = ROWS
        .iter()
        .flat_map(|row| keys(&document["paths"][row.path]["get"]["responses"]))
        .filter(|status| !["200", "304"].contains(status))
        .collect();
    let statuses: Vec<String> = kinds.iter().map(|kind| kind.status().as_u16().to_string()).collect();
    assert_eq!(described, statuses.iter().map(String::as_str).collect());
}
