//! The schema is written for people and read by machines in another form: both say the same.

use cedar_policy::SchemaFragment;
use std::path::Path;

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
