//! Agreement of `vrrp-user/dist/status.schema.json` with the types of the status and their descriptions.

use std::path::Path;

use serde_json::{Map, Value, json};
use vrrp_user::daemon::status::SCHEMA;

/// The files with structures of the status.
const SOURCES: [&str; 2] = [
    include_str!("../../vrrp-user/src/daemon/status/document.rs"),
    include_str!("../../vrrp-user/src/daemon/status/services.rs"),
];
const PATH: &str = "../vrrp-user/dist/status.schema.json";

#[test]
fn the_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    for reference in made.split("#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schema()["$defs"].get(name).is_some(), "{name} is in none of the files");
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == made, "status.schema.json is behind the types; run with UPDATE_EXPECTED=1");
}

/// The status's own schema, with those of the other types as definitions.
fn schema() -> Value {
    let mut all = structures();
    let Some(Value::Object(mut root)) = all.remove("Status") else { panic!("no type Status") };
    root.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".to_owned(), format!("vrrpx status --json, schema {SCHEMA}").into());
    root.insert("$defs".to_owned(), Value::Object(all));
    root["properties"]["schema"] = json!({
        "const": SCHEMA,
        "description": root["properties"]["schema"]["description"],
    });
    Value::Object(root)
}

/// A schema for each structure of the source that is serialised, by its name.
fn structures() -> Map<String, Value> {
    let mut all = Map::new();
    let (mut about, mut is_shown) = (String::new(), false);
    // Name, description and fields of the structure that is being read.
    let mut open: Option<(String, String, Map<String, Value>)> = None;
    for line in SOURCES.iter().flat_map(|source| source.lines()).map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            about = format!("{about} {text}").trim().replace("`None`", "null").replace('`', "");
            continue;
        }
        if line.starts_with("#[derive(") {
            is_shown = line.contains("Serialize");
        } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|it| it.strip_suffix(" {")) {
            open = is_shown.then(|| (name.to_owned(), std::mem::take(&mut about), Map::new()));
        } else if let (Some((name, text)), Some((.., fields))) =
            (line.strip_prefix("pub ").and_then(|it| it.strip_suffix(',')?.split_once(": ")), &mut open)
        {
            fields.insert(name.to_owned(), described(of(text), &about));
        } else if let Some((name, about, fields)) = open.take_if(|_| line == "}") {
            let required: Vec<&String> = fields.keys().collect();
            let schema = json!({"type": "object", "required": required, "properties": fields});
            all.insert(name, described(schema, &about));
        }
        // An attribute stands between a text and its field.
        if !line.starts_with("#[") {
            about.clear();
        }
    }
    all
}

fn described(mut schema: Value, about: &str) -> Value {
    if !about.is_empty() {
        schema["description"] = about.into();
    }
    schema
}

/// The schema of a Rust type.
fn of(text: &str) -> Value {
    let inner = |kind: &str| text.strip_prefix(kind)?.strip_prefix('<')?.strip_suffix('>');
    if let Some(item) = inner("Vec") {
        return json!({"type": "array", "items": of(item)});
    }
    if let Some(some) = inner("Option") {
        let mut schema = of(some);
        match schema.get("type").cloned() {
            Some(kind) => schema["type"] = json!([kind, "null"]),
            None => schema = json!({"anyOf": [schema, {"type": "null"}]}),
        }
        return schema;
    }
    match text {
        "String" => json!({"type": "string"}),
        "bool" => json!({"type": "boolean"}),
        "f64" => json!({"type": "number"}),
        "u8" => json!({"type": "integer", "minimum": 0, "maximum": u8::MAX}),
        "u16" => json!({"type": "integer", "minimum": 0, "maximum": u16::MAX}),
        "i16" => json!({"type": "integer", "minimum": i16::MIN, "maximum": i16::MAX}),
        "i32" => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
        "u32" | "u64" => json!({"type": "integer", "minimum": 0}),
        name => json!({"$ref": format!("#/$defs/{name}")}),
    }
}
