//! The schema is written for people and read by machines in another form: both say the same. What attributes there are
//! is read from the latter, for tests that must leave none out.

use cedar_policy::SchemaFragment;
use std::{collections::BTreeSet, path::Path};

#[test]
fn the_schema_as_json_says_what_the_one_for_people_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = std::fs::read_to_string(folder.join("schema.cedarschema")).unwrap();
    let (fragment, _) = SchemaFragment::from_cedarschema_str(&text).unwrap();
    let expected = fragment.to_json_value().unwrap();
    let shipped = std::fs::read_to_string(folder.join("schema.json")).unwrap();
    let shipped: serde_json::Value = serde_json::from_str(&shipped).unwrap_or_default();
    if shipped != expected {
        let fresh = std::env::temp_dir().join("schema.json");
        std::fs::write(&fresh, format!("{expected:#}\n")).unwrap();
        panic!("shared/policy/src/schema.json is not up to date: put {} in its place", fresh.display());
    }
}

/// An attribute: its name as policies write it, its type, and whether it may be missing.
pub(crate) type Attribute = (String, String, bool);

/// Every attribute of the schema. A record's own attributes follow it.
pub(crate) fn attributes() -> BTreeSet<Attribute> {
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema.json"));
    let schema: serde_json::Value = serde_json::from_str(&schema.unwrap()).unwrap();
    let mut all = BTreeSet::new();
    // The first name of each path is that of Cordon's namespace, which is empty.
    let part = |path: &str| schema.pointer(path).unwrap();
    let common = part("//commonTypes");
    gather(common, "resource", part("//entityTypes/Alert/shape"), &mut all);
    gather(common, "context", part("//commonTypes/Circumstances"), &mut all);
    all
}

fn gather(common: &serde_json::Value, of: &str, record: &serde_json::Value, all: &mut BTreeSet<Attribute>) {
    let word =
        |of: &serde_json::Value, key: &str| of.get(key).and_then(|word| word.as_str().map(str::to_owned));
    for (name, attribute) in record.get("attributes").and_then(|all| all.as_object()).unwrap() {
        let path = format!("{of}.{name}");
        let may_be_missing = attribute.get("required").and_then(|needed| needed.as_bool()) == Some(false);
        let type_name = word(attribute, "name").unwrap_or_default();
        let named = common.get(&type_name).unwrap_or(attribute);
        let said = match word(attribute, "type").as_deref().unwrap() {
            _ if word(named, "type").as_deref() == Some("Record") => {
                gather(common, &path, named, all);
                "record"
            }
            "Set" => "Set<String>",
            _ => &type_name,
        };
        all.insert((path, said.to_owned(), may_be_missing));
    }
}
