//! Hunting on both of Microsoft's interfaces: the same rows, and the same words for what goes wrong.

use crate::{APIS, Client, noon, start_asking, stub::Stub, within};
use defender::{ApiError, HuntAnswer, HuntError, MOST_BYTES, MOST_ROWS, Row};
use jiff::SignedDuration;
use serde_json::json;
use simulator::{Fault, FaultKind, Schema, Simulator, Table, World};

const QUERY: &str = "let CordonFrom = datetime(2026-11-20T10:00:00.0000000Z);
let CordonTo = datetime(2026-11-20T12:00:00.0000000Z);
DeviceEvents | where Timestamp >= CordonFrom and Timestamp < CordonTo";

/// A hunt, and the rows that were given before it ended.
async fn hunt(client: &Client, seconds: i64) -> (Result<HuntAnswer, HuntError>, Vec<Row>) {
    let mut rows = Vec::new();
    let answer = client.reader.hunt(QUERY, within(seconds), &mut |row| rows.push(row)).await;
    (answer, rows)
}

fn table() -> Table {
    Table::new("DeviceEvents").column("Timestamp", "DateTime").column("DeviceName", "String")
}

/// A tenant with what a hunt is answered from.
async fn tenant(api: &str, table: Table) -> (Simulator, Client) {
    start_asking(api, World::new(noon()).table(table)).await
}

fn ten_past_ten() -> jiff::Timestamp {
    "2026-11-20T10:10:00.1234567Z".parse().unwrap()
}

fn route(api: &str) -> &'static str {
    if api == "graph" { "POST runHuntingQuery" } else { "POST advancedqueries" }
}

#[tokio::test]
async fn rows_come_with_their_types_and_what_lies_within_them() {
    for api in APIS {
        for schema in [Schema::BeforeRows, Schema::AfterRows] {
            let rows = table()
                .column("ReportId", "Int64")
                .column("IsAdmin", "SByte")
                .column("Fields", "Object")
                .column("AdditionalFields", "String")
                .schema(schema)
                .row(
                    ten_past_ten(),
                    json!({
                        "DeviceName": "pc1", "ReportId": "4711", "IsAdmin": 1, "Fields": {"A": [1, 2]},
                        "AdditionalFields": r#"{"Tool":"x","Port":443}"#,
                    }),
                )
                .row(ten_past_ten(), json!({"AdditionalFields": r#"{"Tool":"#}));
            let (simulator, client) = tenant(api, rows).await;
            let (answer, rows) = hunt(&client, 200).await;
            let answer = answer.unwrap();
            assert_eq!((answer.rows, answer.unreadable, answer.columns.len()), (2, 0, 6), "{api}");
            assert_eq!(
                (answer.columns[0].name.as_str(), answer.columns[0].kind.as_str()),
                ("Timestamp", "DateTime")
            );
            let [row, broken] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(row.time("Timestamp"), Some(ten_past_ten()));
            assert_eq!(row.text("Timestamp").as_deref(), Some("2026-11-20T10:10:00.1234567Z"));
            let texts = ["DeviceName", "ReportId", "IsAdmin", "Fields.A", "AdditionalFields.Port", "Nothing"]
                .map(|column| row.text(column).unwrap_or_default());
            assert_eq!(texts, ["pc1", "4711", "true", "[1,2]", "443", ""], "{api}");
            assert_eq!((broken.text("AdditionalFields.Tool"), broken.text("DeviceName")), (None, None));
            assert!(simulator.violations().is_empty(), "{:?}", simulator.violations());
            assert_eq!((simulator.count(route(api)), client.calls.all()[route(api)]), (1, 1));
        }
    }
}

#[tokio::test]
async fn an_answer_may_have_no_schema_or_one_in_the_older_spelling() {
    for api in APIS {
        let row = json!({"DeviceName": "pc1"});
        let (_simulator, client) =
            tenant(api, table().schema(Schema::Absent).row(ten_past_ten(), row.clone())).await;
        let (answer, rows) = hunt(&client, 200).await;
        let columns = answer.unwrap().columns;
        let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!((names, rows.len()), (vec!["DeviceName", "Timestamp"], 1), "{api}");
        assert!(columns.iter().all(|column| column.kind.is_empty()));

        let (_simulator, client) = tenant(api, table().older_casing().row(ten_past_ten(), row)).await;
        assert_eq!(hunt(&client, 200).await.0.unwrap().columns[1].kind, "String", "{api}");
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_counted_and_its_neighbours_are_given() {
    for api in APIS {
        let raws = [r#"{"DeviceName":"half \ud83d"}"#, "7", r#"{"DeviceName":"last"}"#];
        let rows = raws.into_iter().fold(table(), |table, raw| table.raw_row(ten_past_ten(), raw));
        let (_simulator, client) = tenant(api, rows).await;
        let (answer, rows) = hunt(&client, 200).await;
        let answer = answer.unwrap();
        assert_eq!((answer.rows, answer.unreadable), (3, 1), "{api}");
        let names: Vec<String> = rows.iter().filter_map(|row| row.text("DeviceName")).collect();
        assert_eq!(names, ["half \u{fffd}", "last"], "{api}");
    }
}

#[tokio::test]
async fn as_many_rows_as_there_can_be_are_given_and_are_too_much() {
    for api in APIS {
        let from = ten_past_ten();
        let many = |count| table().many_rows(count, from, SignedDuration::ZERO, "DeviceName", json!({}));
        let most = u32::try_from(MOST_ROWS).unwrap();
        let (_simulator, client) = tenant(api, many(most + 5)).await;
        let (answer, rows) = hunt(&client, 200).await;
        assert!(matches!(answer, Err(HuntError::TooMuch { .. })), "{api}: {answer:?}");
        assert_eq!(rows.len(), MOST_ROWS, "{api}");
        let (_simulator, client) = tenant(api, many(most - 1)).await;
        assert_eq!(hunt(&client, 200).await.0.unwrap().rows, MOST_ROWS - 1, "{api}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    for api in APIS {
        const ALL: usize = 1 << 30;
        let stub = Stub::blank(ALL);
        let client = Client::asking(api, &stub.url);
        let (answer, rows) = hunt(&client, 200).await;
        assert!(matches!(&answer, Err(HuntError::TooMuch { why }) if why.contains("16 MB")), "{answer:?}");
        assert!(rows.is_empty());
        // What the sockets hold has been sent and not been read.
        assert!(stub.sent() < MOST_BYTES + 32 * 1024 * 1024, "{api}: {} of {ALL} bytes", stub.sent());
    }
}

#[tokio::test]
async fn a_query_that_asks_for_too_much_is_told_from_one_that_is_wrong() {
    for api in APIS {
        let size = "Query execution has exceeded the allowed result size. Optimize your query by limiting the number of results and try again";
        for (status, message) in [(400, size), (400, "Query exceeded the timeout period.")] {
            let (simulator, client) = tenant(api, table().error(status, message)).await;
            let (answer, _) = hunt(&client, 200).await;
            assert!(
                matches!(answer, Err(HuntError::TooMuch { .. })),
                "{api}, {status} {message}: {answer:?}"
            );
            assert_eq!(simulator.count(route(api)), 1, "it is not asked again");
        }
        let wrong = "'where' operator: Failed to resolve column or scalar expression named 'Timeout'";
        let (simulator, client) = tenant(api, table().error(400, wrong)).await;
        let (answer, _) = hunt(&client, 200).await;
        assert!(
            matches!(&answer, Err(HuntError::Broken(said)) if said.message == wrong),
            "{api}: {answer:?}"
        );
        assert_eq!(simulator.count(route(api)), 1);
    }
}

#[tokio::test]
async fn a_query_that_is_not_answered_in_time_took_too_long() {
    for api in APIS {
        let (_simulator, client) = tenant(api, table().takes(SignedDuration::from_secs(201))).await;
        assert!(matches!(hunt(&client, 200).await.0, Err(HuntError::TookTooLong { .. })), "{api}");

        let slow = Fault::once(route(api), FaultKind::Slow { millis: 5_000 });
        let (simulator, client) = start_asking(api, World::new(noon()).table(table()).fault(slow)).await;
        let (answer, _) = hunt(&client, 1).await;
        assert!(
            matches!(&answer, Err(HuntError::TookTooLong { why }) if why.contains("1 s")),
            "{api}: {answer:?}"
        );
        assert_eq!(simulator.count(route(api)), 1);
    }
}

fn rests(answer: Result<HuntAnswer, HuntError>) -> i64 {
    match answer {
        Err(HuntError::UsedUp { retry_after, .. }) => retry_after.as_secs(),
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_quota_says_how_long_nothing_is_to_be_asked() {
    for api in APIS {
        for (retry_after, seconds) in [(Some(17), 17), (None, 60)] {
            let throttle = Fault::once(route(api), FaultKind::Throttle { retry_after });
            let world = World::new(noon()).table(table()).fault(throttle);
            let (simulator, client) = start_asking(api, world).await;
            let rest = rests(hunt(&client, 200).await.0);
            // Without a header the message may name the window of the simulator's own quota.
            assert!(rest == seconds || retry_after.is_none() && rest == 3_600, "{api}: {rest}");
            assert_eq!((simulator.count(route(api)), client.waited().len()), (1, 0), "{api}");
        }
        let (_simulator, client) =
            tenant(api, table().error(429, "API calls quota exceeded! maximum allowed 1500 per 01:00:00"))
                .await;
        assert_eq!(rests(hunt(&client, 200).await.0), 3_600, "{api}");
    }
}

#[tokio::test]
async fn the_time_that_queries_may_run_is_a_quota_too() {
    for (api, least) in [("defender", 3_000), ("graph", 1)] {
        let (simulator, client) = tenant(api, table().takes(SignedDuration::from_secs(170))).await;
        simulator.with(|world| world.hunting.graph_cycle = SignedDuration::from_mins(10));
        for _ in 0..4 {
            hunt(&client, 200).await.0.unwrap();
        }
        let (answer, _) = hunt(&client, 200).await;
        assert!(rests(answer.clone()) >= least, "{api}: {answer:?}");
        assert!(!answer.unwrap_err().to_string().contains("does not say"), "{api}");
    }
}

#[tokio::test]
async fn what_is_not_about_the_query_is_told_so_and_not_tried_again() {
    for (api, role) in [("defender", "AdvancedQuery.Read.All"), ("graph", "ThreatHunting.Read.All")] {
        let world = World::new(noon())
            .app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, &["Alert.Read.All"])
            .graph_roles(simulator::DEFAULT_CLIENT, &["SecurityAlert.Read.All"])
            .table(table());
        let (simulator, client) = start_asking(api, world).await;
        let (answer, _) = hunt(&client, 200).await;
        assert!(
            matches!(&answer, Err(HuntError::Api(ApiError::Forbidden(said))) if said.message.contains(role)),
            "{api}: {answer:?}"
        );
        assert_eq!(simulator.count(route(api)), 1);

        for kind in [
            FaultKind::ServerError(503),
            FaultKind::Reset,
            FaultKind::ResetAfter,
            FaultKind::TruncatedBody,
            FaultKind::WrongContentType,
            FaultKind::NotJson,
            FaultKind::EmptyBody,
        ] {
            let rows = table().row(ten_past_ten(), json!({"DeviceName": "pc1"}));
            let world = World::new(noon()).table(rows).fault(Fault::once(route(api), kind.clone()));
            let (simulator, client) = start_asking(api, world).await;
            let (answer, rows) = hunt(&client, 200).await;
            assert!(
                matches!(answer, Err(HuntError::Api(ApiError::Unavailable { .. }))),
                "{kind:?} on {api}: {answer:?}"
            );
            assert_eq!(
                (rows.len(), simulator.count(route(api)), client.waited().len()),
                (0, 1, 0),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    for api in APIS {
        let (simulator, client) = tenant(api, table().row(ten_past_ten(), json!({}))).await;
        hunt(&client, 200).await.0.unwrap();
        simulator.with(World::revoke_tokens);
        assert_eq!(hunt(&client, 200).await.0.unwrap().rows, 1, "{api}");
        assert_eq!((simulator.count("POST token"), simulator.count(route(api))), (2, 3), "{api}");
    }
}

#[tokio::test]
async fn a_query_with_letters_of_any_alphabet_arrives() {
    for api in APIS {
        let word = "DeviceEvents // données, 数据";
        let mut rows = table().row(ten_past_ten(), json!({}));
        rows.marker = word.to_owned();
        let (simulator, client) = tenant(api, rows).await;
        let answer = client.reader.hunt(word, within(200), &mut |_| {}).await.unwrap();
        assert_eq!(answer.rows, 1, "{api}");
        assert!(simulator.violations().is_empty(), "{:?}", simulator.violations());
    }
}

#[tokio::test]
async fn a_hunt_leaves_the_clock_alone() {
    let (_simulator, client) = tenant("graph", table()).await;
    hunt(&client, 200).await.0.unwrap();
    assert_eq!(client.reader.service_ahead(), None);
}
