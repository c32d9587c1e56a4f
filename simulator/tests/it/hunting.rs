//! Hunting queries: which rows come, in which shape, and the limits of both interfaces.

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::{DEFAULT_CLIENT, DEFAULT_SECRET, Fault, FaultKind, Schema, Simulator, Table, World};

use crate::{Client, PC, code, now, seconds};

const GRAPH: &str = "/v1.0/security/runHuntingQuery";
const DEFENDER: &str = "/api/advancedqueries/run";
const MARKER: &str = "// simulated: rows";

/// A table with two columns.
fn table() -> Table {
    Table::new(MARKER).column("Timestamp", "DateTime").column("FileName", "String")
}

fn file(name: &str) -> Value {
    json!({ "FileName": name })
}

async fn started(table: Table) -> (Simulator, Client, Client) {
    let simulator = Simulator::start(World::new(now()).table(table)).await.unwrap();
    let graph = Client::of_graph(&simulator).await;
    let defender = Client::of(&simulator).await;
    (simulator, graph, defender)
}

/// A query for the window, by seconds before `now`.
fn body(from: i64, to: i64) -> String {
    let at = |back: i64| format!("{:.7}", now() - seconds(back));
    let query = format!(
        "let CordonFrom = datetime({});\nlet CordonTo = datetime({});\n{MARKER}\nT | where Timestamp >= CordonFrom and Timestamp < CordonTo",
        at(from),
        at(to)
    );
    json!({ "Query": query }).to_string()
}

fn names<'a>(answer: &'a Value, results: &str) -> Vec<&'a str> {
    answer[results].as_array().unwrap().iter().map(|row| row["FileName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn both_interfaces_answer_with_the_rows_of_the_window_in_their_own_casing() {
    let table = table()
        .row(now() - seconds(3_600), file("first.exe"))
        .row(now() - seconds(60), file("last.exe"))
        .row(now() - seconds(30), file("at the end"));
    let (simulator, graph, defender) = started(table).await;
    let (status, answer) = graph.post(GRAPH, &body(3_600, 30)).await;
    let documented: Value =
        serde_json::from_str(include_str!("../../samples/graph-runhuntingquery-result.json")).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answer["@odata.context"], documented["@odata.context"]);
    assert_eq!(answer["schema"], json!([documented["schema"][0], documented["schema"][1]]));
    assert_eq!(names(&answer, "results"), ["first.exe", "last.exe"]);
    assert_eq!(
        answer["results"][0],
        json!({ "Timestamp": "2026-03-01T11:00:00.0000000Z", "FileName": "first.exe" })
    );

    let (status, answer) = defender.post(DEFENDER, &body(3_600, 60)).await;
    let documented: Value =
        serde_json::from_str(include_str!("../../samples/advancedquery-result.json")).unwrap();
    assert_eq!(status, 200);
    assert_eq!(answer["Schema"][0], documented["Schema"][0]);
    assert_eq!(names(&answer, "Results"), ["first.exe"]);
    assert_eq!(answer.as_object().unwrap().len(), 2);
    assert_eq!((simulator.count("POST runHuntingQuery"), simulator.count("POST advancedqueries")), (1, 1));
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn late_rows_come_when_they_are_visible_and_old_ones_no_more() {
    let table = table()
        .late_row(now() - seconds(60), now() + seconds(600), file("late"))
        .row(now() - SignedDuration::from_hours(24 * 30) + seconds(300), file("old"))
        .row(now() + seconds(60), file("to come"));
    let (simulator, graph, _) = started(table).await;
    let all = json!({ "Query": MARKER }).to_string();
    assert_eq!(names(&graph.post(GRAPH, &all).await.1, "results"), ["old"]);
    assert_eq!(names(&graph.post(GRAPH, &body(120, 0)).await.1, "results"), Vec::<&str>::new());
    simulator.advance(seconds(600));
    assert_eq!(names(&graph.post(GRAPH, &body(120, 0)).await.1, "results"), ["late"]);
    assert_eq!(names(&graph.post(GRAPH, &all).await.1, "results"), ["late", "to come"]);
}

#[tokio::test]
async fn a_query_of_no_table_has_no_rows_and_an_empty_schema() {
    let (_simulator, graph, defender) = started(table()).await;
    let other = r#"{"Query":"DeviceInfo | take 5"}"#;
    let (status, answer) = graph.post(GRAPH, other).await;
    assert_eq!((status, &answer["schema"], &answer["results"]), (200, &json!([]), &json!([])));
    let (_, answer) = defender.post(DEFENDER, other).await;
    assert_eq!(answer, json!({ "Schema": [], "Results": [] }));
}

#[tokio::test]
async fn schemas_change_come_late_or_not_at_all() {
    let row = json!({ "FileName": "a", "Extra": { "b": [1] }, "Unasked": 7 });
    let (simulator, graph, defender) = started(table().row(now() - seconds(1), row)).await;
    simulator.with(|world| {
        let table = world.table_mut(MARKER).unwrap();
        table.columns.push(("Extra".to_owned(), "Object".to_owned()));
        table.columns.push(("Empty".to_owned(), "Int64".to_owned()));
        table.schema = Schema::AfterRows;
        table.older_casing = true;
    });
    let answer = graph.send(GRAPH, Some(&body(60, 0))).await.unwrap().text().await.unwrap();
    assert!(answer.find("\"results\"").unwrap() < answer.find("\"schema\"").unwrap(), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["schema"][2], json!({ "Name": "Extra", "Type": "Object" }));
    let expected = json!({ "Timestamp": "2026-03-01T11:59:59.0000000Z", "FileName": "a", "Extra": { "b": [1] }, "Empty": null });
    assert_eq!(answer["results"], json!([expected]));
    simulator.with(|world| {
        let table = world.table_mut(MARKER).unwrap();
        table.schema = Schema::Absent;
        table.columns.clear();
    });
    let (_, answer) = defender.post(DEFENDER, &body(60, 0)).await;
    assert_eq!(answer.get("Schema"), None);
    assert_eq!(answer["Results"][0]["Unasked"], 7);
    assert_eq!(answer["Results"][0]["Timestamp"], "2026-03-01T11:59:59.0000000Z");
}

#[tokio::test]
async fn a_raw_row_stands_in_the_answer_as_it_is() {
    let lone = r#"{"FileName":"\ud800"}"#;
    let (_simulator, graph, _) =
        started(table().raw_row(now() - seconds(2), lone).row(now() - seconds(1), file("b"))).await;
    let answer = graph.send(GRAPH, Some(&body(60, 0))).await.unwrap().text().await.unwrap();
    assert!(answer.contains(&format!("[{lone},{{\"Timestamp\"")), "{answer}");
}

#[tokio::test]
async fn an_answer_holds_a_hundred_thousand_rows_and_does_not_say_that_there_are_more() {
    let many = table().column("Number", "Int64").many_rows(
        100_500,
        now() - seconds(1_200),
        SignedDuration::from_millis(10),
        "Number",
        file("x"),
    );
    let (simulator, graph, defender) = started(many).await;
    let (status, answer) = graph.post(GRAPH, &body(1_200, 0)).await;
    let rows = answer["results"].as_array().unwrap();
    assert_eq!((status, rows.len(), &rows[99_999]["Number"]), (200, 100_000, &json!(99_999)));
    let (_, answer) = graph.post(GRAPH, &body(1_200, 1_199)).await;
    let numbers: Vec<&Value> =
        answer["results"].as_array().unwrap().iter().map(|row| &row["Number"]).collect();
    assert_eq!((numbers.len(), numbers[99]), (100, &json!(99)), "a row every ten milliseconds");
    assert_eq!(answer["results"][1]["Timestamp"], "2026-03-01T11:40:00.0100000Z");
    simulator.with(|world| world.hunting.rows = 3);
    let (_, answer) = defender.post(DEFENDER, &body(1_200, 0)).await;
    assert_eq!(names(&answer, "Results"), ["x", "x", "x"]);
}

#[tokio::test]
async fn an_answer_that_weighs_too_much_is_refused_by_defender_alone() {
    let (simulator, graph, defender) =
        started(table().row(now() - seconds(1), file(&"x".repeat(2_000)))).await;
    simulator.with(|world| world.hunting.bytes = 1_000);
    let (status, error) = defender.post(DEFENDER, &body(60, 0)).await;
    assert_eq!((status, code(&error)), (400, "BadRequest"));
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("Query execution has exceeded the allowed result size."), "{message}");
    assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
    assert!(simulator.unexpected().is_empty() && simulator.violations().is_empty());
}

#[tokio::test]
async fn a_query_that_runs_for_too_long_is_cut_off_and_a_shorter_window_is_not() {
    let slow = table().takes(seconds(10)).takes_per_hour(seconds(90));
    let (_simulator, graph, defender) = started(slow).await;
    let (status, error) = graph.post(GRAPH, &body(7_200, 0)).await;
    assert_eq!((status, code(&error), &error["error"]["message"]), (504, "UnknownError", &json!("")));
    let (status, answer) = defender.post(DEFENDER, &body(7_200, 0)).await;
    assert_eq!(status, 200, "190 s are too much for Graph alone: {answer}");
    let (status, error) = defender.post(DEFENDER, &body(10_800, 0)).await;
    assert_eq!((status, code(&error)), (504, "GatewayTimeout"));
    assert_eq!(graph.post(GRAPH, &body(3_600, 0)).await.0, 200);
}

#[tokio::test]
async fn a_broken_query_is_refused_in_the_shape_of_its_interface() {
    let message = "'where' operator: Failed to resolve column or scalar expression named 'Colour'";
    let (simulator, graph, defender) = started(table().error(400, message)).await;
    for (client, path) in [(&graph, GRAPH), (&defender, DEFENDER)] {
        let (status, error) = client.post(path, &body(60, 0)).await;
        assert_eq!((status, code(&error), &error["error"]["message"]), (400, "BadRequest", &json!(message)));
        assert_eq!(error["error"].get("innerError").is_some(), path == GRAPH);
    }
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
    simulator.with(|world| world.table_mut(MARKER).unwrap().error = None);
    assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
}

#[tokio::test]
async fn the_forty_sixth_call_in_a_minute_is_refused_for_every_app_of_the_tenant() {
    let world = World::new(now()).app("other", "o", &["AdvancedQuery.Read.All"]);
    let simulator = Simulator::start(world).await.unwrap();
    let clients = [
        Client::of_app(&simulator, "other", "o").await,
        Client::of_app(&simulator, DEFAULT_CLIENT, DEFAULT_SECRET).await,
    ];
    for number in 0..45 {
        assert_eq!(clients[number % 2].post(DEFENDER, &body(60, 0)).await.0, 200);
    }
    simulator.advance(seconds(20));
    for client in &clients {
        let answer = client.send(DEFENDER, Some(&body(60, 0))).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (429, &"40".parse().unwrap())
        );
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(error["error"]["message"], "API calls quota exceeded! maximum allowed 45 per 00:01:00");
    }
    assert!(simulator.violations().is_empty());
    clients[0].post(DEFENDER, &body(60, 0)).await;
    assert_eq!(
        simulator.violations(),
        ["`POST advancedqueries` asked again before its Retry-After had passed (2026-03-01T12:01:00Z)"]
    );
    let graph = Client::of_graph(&simulator).await;
    for _ in 0..45 {
        assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
    }
    let (status, error) = graph.post(GRAPH, &body(60, 0)).await;
    assert_eq!((status, code(&error)), (429, "TooManyRequests"));
}

#[tokio::test]
async fn fifteen_hundred_calls_an_hour_are_all_at_defenders() {
    let simulator = Simulator::start(World::new(now())).await.unwrap();
    let mut client = Client::of(&simulator).await;
    let mut graph = Client::of_graph(&simulator).await;
    for minute in 0..34 {
        for _ in 0..45 {
            graph.post(GRAPH, r#"{"Query":"T"}"#).await;
            let (status, error) = client.post(DEFENDER, r#"{"Query":"T"}"#).await;
            if minute == 33 && status == 429 {
                let message = error["error"]["message"].as_str().unwrap();
                assert_eq!(message, "API calls quota exceeded! maximum allowed 1500 per 01:00:00");
                assert_eq!(simulator.count("POST advancedqueries"), 1_501);
                assert_eq!(graph.post(GRAPH, r#"{"Query":"T"}"#).await.0, 200);
                return;
            }
            assert_eq!(status, 200);
        }
        simulator.advance(seconds(60));
        if minute % 20 == 19 {
            client = Client::of(&simulator).await;
            graph = Client::of_graph(&simulator).await;
        }
    }
    panic!("no call was refused");
}

#[tokio::test]
async fn the_time_that_queries_run_is_limited_by_the_hour_and_at_graph_by_the_quarter() {
    let (simulator, graph, defender) = started(table().takes(seconds(150))).await;
    for _ in 0..4 {
        assert_eq!(defender.post(DEFENDER, &body(60, 0)).await.0, 200);
        assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
        simulator.advance(seconds(60));
    }
    let refused = async |client: &Client, path: &str| {
        let answer = client.send(path, Some(&body(60, 0))).await.unwrap();
        assert_eq!(answer.status(), 429);
        let wait: i64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (wait, error["error"]["message"].as_str().unwrap().to_owned())
    };
    let (wait, why) = refused(&defender, DEFENDER).await;
    assert_eq!(
        (wait, why.as_str()),
        (3_360, "Running time quota exceeded! maximum allowed 00:10:00 per 01:00:00")
    );
    let (wait, why) = refused(&graph, GRAPH).await;
    assert!(wait == 11 * 60 && why.ends_with("You can run queries again in 11 minutes."), "{wait} {why}");
    simulator.advance(seconds(wait));
    assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
    simulator.advance(seconds(3_360 - wait));
    let defender = Client::of(&simulator).await;
    assert_eq!(defender.post(DEFENDER, &body(60, 0)).await.0, 200);
    assert!(simulator.violations().is_empty());
}

#[tokio::test]
async fn what_a_correct_client_never_sends_is_refused_and_noted() {
    let (simulator, graph, defender) = started(table()).await;
    let unresolved = format!("{MARKER}\nT | where Timestamp >= CordonFrom");
    let no_lists = format!("{MARKER}\nCordonAssets | take 1");
    let no_time = format!("let CordonFrom = datetime(yesterday);\n{MARKER}");
    let violating = [
        r#"{"query":"T"}"#.to_owned(),
        json!({ "Query": unresolved }).to_string(),
        json!({ "Query": no_time }).to_string(),
        json!({ "Query": no_lists }).to_string(),
    ];
    for wrong in &violating {
        assert_eq!(defender.post(DEFENDER, wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(simulator.violations().len(), violating.len());
    for wrong in ["{}", r#"{"Query":" "}"#, "no json"] {
        assert_eq!(graph.post(GRAPH, wrong).await.0, 400, "{wrong}");
    }
    assert_eq!((simulator.violations().len(), simulator.unexpected().len()), (4, 7));
    let umlaut = r#"{"Query":"T | where Name == 'ü'"}"#;
    assert_eq!(defender.post(DEFENDER, umlaut).await.0, 200);
    assert_eq!(graph.post(GRAPH, umlaut).await.0, 400, "Graph wants to be told the letters' encoding");
}

#[tokio::test]
async fn roles_and_faults_of_hunting_are_those_of_its_own_call() {
    let world = World::new(now())
        .app(DEFAULT_CLIENT, DEFAULT_SECRET, &["Alert.Read.All"])
        .graph_roles(DEFAULT_CLIENT, &["SecurityAlert.Read.All"]);
    let simulator = Simulator::start(world).await.unwrap();
    let (graph, defender) = (Client::of_graph(&simulator).await, Client::of(&simulator).await);
    for (client, path, role) in
        [(&graph, GRAPH, "(ThreatHunting.Read.All)"), (&defender, DEFENDER, "(AdvancedQuery.Read.All)")]
    {
        let (status, error) = client.post(path, &body(60, 0)).await;
        assert_eq!(status, 403);
        assert!(error["error"]["message"].as_str().unwrap().contains(role), "{error}");
    }
    let (simulator, graph, _) = started(table().row(now() - seconds(1), json!({ "DeviceId": PC }))).await;
    let truncated = Fault::once("POST runHuntingQuery", FaultKind::TruncatedBody);
    simulator.with(|world| world.faults.push(truncated));
    let answer = graph.send(GRAPH, Some(&body(60, 0))).await.unwrap();
    answer.bytes().await.unwrap_err();
    assert_eq!(graph.post(GRAPH, &body(60, 0)).await.0, 200);
}
