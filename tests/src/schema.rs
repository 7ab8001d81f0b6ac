//! The published schema of the status: `vrrp-user/dist/status.schema.json`.
//!
//! [`validate`] knows the words of JSON Schema that this schema has, and refuses others. It is stricter than the
//! schema in one way: a field that the schema lacks is a fault, so that none is added without its description.

use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

const PATH: &str = "vrrp-user/dist/status.schema.json";
/// Within the program, as a virtual machine has no sources.
const TEXT: &str = include_str!("../../vrrp-user/dist/status.schema.json");

/// Words that only people read.
const DESCRIBING: [&str; 4] = ["$schema", "$defs", "description", "title"];

/// Checks a status as printed by `vrrpx status --json`.
pub fn validate(status: &Value) -> Result<()> {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let parsed = match SCHEMA.get() {
        Some(parsed) => parsed,
        None => {
            let parsed = serde_json::from_str(TEXT).context(PATH)?;
            SCHEMA.get_or_init(|| parsed)
        }
    };
    check(parsed, parsed, status).context("the status does not follow vrrp-user/dist/status.schema.json")
}

fn check(root: &Value, schema: &Value, value: &Value) -> Result<()> {
    for (word, argument) in schema.as_object().context("a schema is an object")? {
        match word.as_str() {
            word if DESCRIBING.contains(&word) => {}
            "$ref" => {
                let name = argument.as_str().and_then(|it| it.strip_prefix("#/$defs/")).context("$ref")?;
                check(root, &root["$defs"][name], value)?;
            }
            "anyOf" => {
                let schemas = argument.as_array().context("anyOf")?;
                let faults: Vec<_> = schemas.iter().map(|it| check(root, it, value)).collect();
                if faults.iter().all(Result::is_err) {
                    return faults.into_iter().next().context("anyOf")?;
                }
            }
            "type" => {
                let types = argument.as_array().map_or(std::slice::from_ref(argument), Vec::as_slice);
                ensure!(types.iter().any(|it| is(it, value)), "{value} is not of type {argument}");
            }
            "const" => ensure!(argument == value, "{value} is not {argument}"),
            "minimum" => {
                let is_less = value.as_f64().is_some_and(|it| Some(it) < argument.as_f64());
                ensure!(!is_less, "{value} < {argument}");
            }
            "maximum" => {
                let is_more = value.as_f64().is_some_and(|it| Some(it) > argument.as_f64());
                ensure!(!is_more, "{value} > {argument}");
            }
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, argument, item).with_context(|| format!("[{place}]"))?;
                }
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    ensure!(argument.get(name).is_some(), "the schema has no field {name}");
                    check(root, &argument[name.as_str()], field).with_context(|| name.clone())?;
                }
            }
            "required" => {
                for name in argument.as_array().context("required")?.iter().filter(|_| value.is_object()) {
                    let name = name.as_str().context("required")?;
                    ensure!(value.get(name).is_some(), "the field {name} is missing");
                }
            }
            other => bail!("the validator does not know {other}"),
        }
    }
    Ok(())
}

fn is(of: &Value, value: &Value) -> bool {
    match of.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(value: &Value) -> String {
        let schema = json!({
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": {"type": "integer", "minimum": 0, "maximum": 255},
                "b": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]},
                "c": {"type": "array", "items": {"type": ["string", "null"]}}
            },
            "$defs": {"B": {"type": "object", "required": ["x"], "properties": {"x": {"type": "boolean"}}}}
        });
        check(&schema, &schema, value).err().map_or(String::new(), |fault| format!("{fault:#}"))
    }

    #[test]
    fn each_departure_is_a_fault() {
        assert_eq!(fault(&json!({"a": 7, "b": {"x": true}, "c": ["", null]})), "");
        assert_eq!(fault(&json!({"a": 7, "b": null})), "");
        assert_eq!(fault(&json!({"a": 7, "d": 1})), "the schema has no field d");
        assert_eq!(fault(&json!({"b": null})), "the field a is missing");
        assert_eq!(fault(&json!({"a": 256})), "a: 256 > 255");
        assert_eq!(fault(&json!({"a": "7"})), "a: \"7\" is not of type \"integer\"");
        assert_eq!(fault(&json!({"a": 7, "b": {"y": 1}})), "b: the schema has no field y");
        assert_eq!(fault(&json!({"a": 7, "c": [1]})), "c: [0]: 1 is not of type [\"string\",\"null\"]");
        assert_eq!(fault(&json!([])), "[] is not of type \"object\"");
    }
}
