//! Lists and single entities: filters, order, paging, expansion, quotas, planted records.

use serde_json::{Value, json};
use simulator::{Alert, ListOrder, Machine, NextLinks, Simulator, World, demo_world, generate};

use crate::{Client, PC, SERVER, code, ids, now, seconds, world};

#[tokio::test]
async fn alerts_come_newest_first_and_without_evidence_unless_asked_for() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (status, list) = client.get("/api/alerts").await;
    assert_eq!(status, 200);
    assert_eq!(ids(&list), ["da1_1", "da1_-2"]);
    assert_eq!(list["@odata.context"], "https://api.securitycenter.microsoft.com/api/$metadata#Alerts");
    assert_eq!(list["value"][0]["evidence"], json!([]));
    let (_, list) = client.get("/api/v1.0/Alerts?$expand=evidence&$top=1").await;
    assert_eq!(list["value"][0]["evidence"][0]["ipAddress"], "192.0.2.1");
    let (_, alert) = client.get("/api/alerts/da1_1").await;
    assert_eq!(alert["evidence"][0]["entityType"], "Ip");
    assert_eq!(simulator.unexpected().len(), 0);
}

#[tokio::test]
async fn documented_filters_work_over_the_wire() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let cases: &[(&str, &[&str])] = &[
        ("alerts?$filter=severity+eq+'High'", &["da1_1"]),
        ("alerts?$filter=lastUpdateTime+lt+2026-03-01T12:00:00.0000000Z", &["da1_-2"]),
        ("alerts?%24filter=status%20eq%20%27New%27&$orderby=lastUpdateTime+asc&$skip=1", &["da1_1"]),
        ("machines?$filter=startswith(computerDnsName,'pc')", &[PC]),
        ("machines?$filter=machineTags/any(tag: tag eq 'vip')", &[PC]),
        ("machines?$filter=id+eq+'fedcba9876543210fedcba9876543210fedcba98'", &[SERVER]),
        ("machines/pc1.contoso.com/alerts", &["da1_1"]),
    ];
    for (path, expected) in cases {
        let (status, list) = client.get(&format!("/api/{path}")).await;
        assert_eq!(status, 200, "{path}: {list}");
        assert_eq!(ids(&list), *expected, "{path}");
    }
}

#[tokio::test]
async fn what_odata_refuses_is_an_error_with_a_reason() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let cases = ["$filter=machineId eq 'x'", "$top=10001", "$search=x", "$filter=severity eq High"];
    for query in cases {
        let (status, body) = client.get(&format!("/api/alerts?{query}")).await;
        assert_eq!((status, code(&body)), (400, "ODataError"), "{query}");
    }
    assert_eq!(simulator.unexpected().len(), cases.len());
    assert_eq!(simulator.violations(), Vec::<String>::new());
    let (status, _) = client.get("/api/alerts?$filter=lastUpdateTime ge '2026-03-01T12:00:00Z'").await;
    assert_eq!(status, 400);
    assert_eq!(simulator.violations(), ["`lastUpdateTime` is compared with a quoted time"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    for path in
        ["alerts/x", "machines/x", "machines/x/alerts", "machineactions/x", "machines?$filter=id eq 'x'"]
    {
        let (status, body) = client.get(&format!("/api/{path}")).await;
        assert_eq!((status, code(&body)), (404, "ResourceNotFound"), "{path}");
    }
    assert_eq!(simulator.unexpected().len(), 0);
    assert_eq!(client.get("/api/indicators").await.0, 404);
    let unexpected = simulator.unexpected();
    assert_eq!((unexpected.len(), unexpected[0].route.as_str()), (1, "unexpected"));
    simulator.clear_journal();
    assert_eq!(simulator.journal().len(), 0);
}

#[tokio::test]
async fn with_top_there_is_no_next_link_and_without_it_there_is() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, page) = client.get("/api/alerts?$top=1").await;
    assert_eq!(page.get("@odata.nextLink"), None);
    simulator.with(|world| world.default_page = 1);
    let (_, page) = client.get("/api/alerts?$filter=status+eq+'New'&$count=true").await;
    assert_eq!((ids(&page), &page["@odata.count"]), (vec!["da1_1"], &json!(2)));
    let link = page["@odata.nextLink"].as_str().unwrap();
    let (_, page) = client.get(link.strip_prefix(&simulator.url()).unwrap()).await;
    assert_eq!(ids(&page), ["da1_-2"]);
    assert_eq!(page.get("@odata.nextLink"), None);
}

#[tokio::test]
async fn a_broken_next_link_leads_back_to_the_start() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    simulator.with(|world| {
        world.default_page = 1;
        world.next_links = NextLinks::Broken;
    });
    let (_, page) = client.get("/api/alerts?$filter=status+eq+'New'").await;
    let link = page["@odata.nextLink"].as_str().unwrap();
    assert!(!link.contains("%24filter"), "{link}");
    let (_, page) = client.get(link.strip_prefix(&simulator.url()).unwrap()).await;
    assert_eq!(ids(&page), ["da1_1"]);
}

#[tokio::test]
async fn the_order_can_be_turned_shuffled_or_deaf_to_orderby() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    simulator.with(|world| world.list_order = ListOrder::OldestFirst);
    assert_eq!(ids(&client.get("/api/alerts").await.1), ["da1_-2", "da1_1"]);
    let path = "/api/alerts?$orderby=lastUpdateTime desc";
    assert_eq!(ids(&client.get(path).await.1), ["da1_1", "da1_-2"]);
    simulator.with(|world| world.honours_orderby = false);
    assert_eq!(ids(&client.get(path).await.1), ["da1_-2", "da1_1"]);
    simulator.with(|world| world.list_order = ListOrder::Shuffled(3));
    let once = client.get("/api/alerts").await.1;
    assert_eq!(ids(&once), ids(&client.get("/api/alerts").await.1));
}

#[tokio::test]
async fn select_leaves_only_what_it_names() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, list) = client.get("/api/alerts?$select=id,severity&$top=1").await;
    assert_eq!(list["value"], json!([{"id": "da1_1", "severity": "High"}]));
}

#[tokio::test]
async fn an_alert_that_is_visible_late_is_not_there_before() {
    let late = Alert::new("da9_9", PC, now() - seconds(60)).visible_at(now() + seconds(30));
    let simulator = Simulator::start(world().alert(late)).await.unwrap();
    let client = Client::of(&simulator).await;
    assert_eq!(client.get("/api/alerts").await.1["value"].as_array().unwrap().len(), 2);
    assert_eq!(client.get("/api/alerts/da9_9").await.0, 404);
    simulator.advance(seconds(30));
    assert_eq!(ids(&client.get("/api/alerts").await.1), ["da1_1", "da9_9", "da1_-2"]);
}

#[tokio::test]
async fn planted_records_are_served_as_they_stand_and_filtered_by_what_is_readable() {
    let world = world()
        .raw_alert(json!({"id": 7, "severity": ["High"], "lastUpdateTime": "2026-03-01T13:00:00Z"}))
        .raw_alert(json!("not even an object"))
        .raw_machine(json!({"id": PC, "osPlatform": 11}));
    let simulator = Simulator::start(world).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, list) = client.get("/api/alerts?$filter=lastUpdateTime ge 2026-03-01T12:30:00Z").await;
    assert_eq!(
        list["value"],
        json!([{"id": 7, "severity": ["High"], "lastUpdateTime": "2026-03-01T13:00:00Z"}])
    );
    assert_eq!(client.get("/api/alerts").await.1["value"].as_array().unwrap().len(), 4);
    let (_, machine) = client.get(&format!("/api/machines/{PC}")).await;
    assert_eq!(machine["osPlatform"], 11);
    assert_eq!(client.get("/api/machines").await.1["value"].as_array().unwrap().len(), 2);
    assert_eq!(client.isolate(PC).await.0, 201);
}

#[tokio::test]
async fn the_hundred_and_first_call_in_a_minute_is_refused_in_both_known_shapes() {
    let simulator = Simulator::start(world()).await.unwrap();
    let client = Client::of(&simulator).await;
    for _ in 0..100 {
        assert_eq!(client.get("/api/alerts?$top=1").await.0, 200);
    }
    simulator.advance(seconds(20));
    let mut codes = Vec::new();
    for _ in 0..2 {
        let response = client.send("/api/alerts", None).await.unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "40");
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        assert_eq!(message, "API calls quota exceeded! maximum allowed 100 per 00:01:00");
        codes.push(code(&body).to_owned());
    }
    assert_eq!(codes, ["429", "TooManyRequests"]);
    assert_eq!(client.get("/api/machines").await.0, 200);
    simulator.advance(seconds(40));
    assert_eq!(client.get("/api/alerts").await.0, 200);
    simulator.with(|world| world.quotas = false);
    for _ in 0..101 {
        assert_eq!(client.get("/api/alerts?$top=1").await.0, 200);
    }
}

#[tokio::test]
async fn the_demo_is_served_whole() {
    let simulator = Simulator::start(demo_world(now())).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, list) = client.get("/api/alerts?$expand=evidence").await;
    assert_eq!(list["value"].as_array().unwrap().len(), 10);
    assert_eq!(client.get("/api/machines").await.1["value"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn ten_thousand_generated_alerts_are_listed_in_pages_without_loss() {
    let options = generate::GenerateOptions {
        alerts: 10_000,
        devices: 2_000,
        hostile: true,
        ..generate::GenerateOptions::new(now())
    };
    let world = World::new(now()).generated(generate::tenant(7, &options));
    let simulator = Simulator::start(world).await.unwrap();
    let client = Client::of(&simulator).await;
    let mut seen = std::collections::BTreeSet::new();
    for page in 0..5 {
        let path = format!(
            "/api/alerts?$top=2000&$skip={}&$expand=evidence&$orderby=lastUpdateTime asc",
            page * 2_000
        );
        let (_, list) = client.get(&path).await;
        seen.extend(ids(&list).into_iter().map(str::to_owned));
    }
    assert_eq!(seen.len(), 10_000);
}

#[tokio::test]
async fn a_machine_prints_its_group_as_a_number_and_no_state_of_the_simulators() {
    let simulator = Simulator::start(world().machine(Machine::new("m", "m", "Linux", now()))).await.unwrap();
    let client = Client::of(&simulator).await;
    let (_, machine) = client.get("/api/machines/m").await;
    assert_eq!(machine["rbacGroupId"], 140);
    for own in ["behaviour", "pace", "onlineSince", "canBeIsolated"] {
        assert_eq!(machine.get(own), None);
    }
}
