//! The demonstration and the hunts that ship: each is answered from a table of its own, with the columns that it asks for.

use std::path::Path;

use serde_json::json;
use simulator::{Simulator, demo_world};

use crate::{Client, now};

/// Each hunt's name and its query, cut out of its file: everything between the first `'''` and the next, or a file of KQL.
fn queries() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../playbook/hunts");
    let mut queries = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        match path.extension().unwrap().to_str().unwrap() {
            "kql" => queries.push((name, text)),
            _ if text.contains("query_file") => {}
            _ => queries.push((name, text.split("'''").nth(1).unwrap().to_owned())),
        }
    }
    queries.sort();
    queries
}

/// The columns of the last `project`.
fn projected(query: &str) -> Vec<&str> {
    let last = query.rsplit("| project ").next().unwrap();
    last.split(',').map(|column| column.split('=').next().unwrap().trim()).collect()
}

#[tokio::test]
async fn every_shipped_hunt_finds_rows_of_its_shape_in_the_demonstration() {
    let simulator = Simulator::start(demo_world(now())).await.unwrap();
    let client = Client::of_graph(&simulator).await;
    let queries = queries();
    assert!(queries.len() >= 3, "{queries:?}");
    for (name, query) in queries {
        let known = simulator.with(|world| {
            let tables = world.tables.iter().filter(|table| query.contains(&table.marker));
            tables.map(|table| table.marker.clone()).collect::<Vec<_>>()
        });
        assert_eq!(known.len(), 1, "{name} is known by {known:?}");
        let lets = "let CordonFrom = datetime(2026-02-28T12:00:00.0000000Z);\nlet CordonTo = datetime(2026-03-01T12:00:00.0000000Z);\nlet CordonAssets = datatable(List: string, Kind: string, Value: string)[];\n";
        let body = json!({ "Query": format!("{lets}{query}") }).to_string();
        let (status, answer) = client.post("/v1.0/security/runHuntingQuery", &body).await;
        assert_eq!(status, 200, "{name}: {answer}");
        let schema = answer["schema"].as_array().unwrap();
        let mut columns: Vec<&str> = schema.iter().map(|column| column["name"].as_str().unwrap()).collect();
        let mut asked = projected(&query);
        columns.sort_unstable();
        asked.sort_unstable();
        assert_eq!(columns, asked, "{name}");
        let rows = answer["results"].as_array().unwrap();
        assert!(!rows.is_empty(), "{name}");
        for (row, column) in rows.iter().flat_map(|row| asked.iter().map(move |column| (row, column))) {
            assert!(!row[*column].is_null(), "{name}: {column} of {row}");
        }
    }
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}
