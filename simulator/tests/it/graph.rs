//! Graph: the same alerts in its shape, comments, incidents, tokens and errors of its own.

use serde_json::{Value, json};
use simulator::{
    Alert, DEFAULT_CLIENT, DEFAULT_GRAPH_ROLES, Evidence, Fault, FaultKind, NextLinks, RelatedUser,
    Simulator, World,
};

use crate::{Client, PC, code, ids, now, seconds, world};

const LIST: &str = "/v1.0/security/alerts_v2";
const ONE: &str = "/v1.0/security/alerts_v2/da1_1";
const COMMENT: &str = r##"{"@odata.type":"#microsoft.graph.security.alertComment","comment":"x"}"##;

async fn started(world: World) -> (Simulator, Client) {
    let simulator = Simulator::start(world).await.unwrap();
    let client = Client::of_graph(&simulator).await;
    (simulator, client)
}

fn writable() -> World {
    world().graph_roles(DEFAULT_CLIENT, &["SecurityAlert.ReadWrite.All"])
}

#[tokio::test]
async fn an_alert_is_the_same_one_in_graphs_words() {
    let mut world = world();
    let user = RelatedUser { user_name: "anna".to_owned(), domain_name: "CONTOSO".to_owned() };
    world.alerts[0].related_user = Some(user);
    world.alerts[0].threat_name = Some("Mimi".to_owned());
    let (simulator, client) = started(world).await;
    let (status, list) = client.get(LIST).await;
    assert_eq!(status, 200);
    assert_eq!(list["@odata.context"], "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2");
    assert_eq!(ids(&list), ["da1_1", "da1_-2"]);
    let alert = &list["value"][0];
    for (name, expected) in [
        ("severity", json!("high")),
        ("status", json!("new")),
        ("classification", json!("unknown")),
        ("incidentId", json!("1126093")),
        ("serviceSource", json!("microsoftDefenderForEndpoint")),
        ("detectionSource", json!("microsoftDefenderForEndpoint")),
        ("category", json!("Execution")),
        ("threatDisplayName", json!("Mimi")),
        ("lastUpdateDateTime", json!("2026-03-01T12:00:00Z")),
        ("resolvedDateTime", json!(null)),
    ] {
        assert_eq!(alert[name], expected, "{name}");
    }
    let evidence = alert["evidence"].as_array().unwrap();
    let kinds: Vec<&str> = evidence
        .iter()
        .map(|piece| piece["@odata.type"].as_str().unwrap().trim_start_matches("#microsoft.graph.security."))
        .collect();
    assert_eq!(kinds, ["deviceEvidence", "ipEvidence", "userEvidence"]);
    assert_eq!(
        (&evidence[0]["mdeDeviceId"], &evidence[0]["detailedRoles"]),
        (&json!(PC), &json!(["Main device"]))
    );
    assert_eq!((&evidence[0]["osPlatform"], &evidence[0]["tags"]), (&json!("Windows11"), &json!(["vip"])));
    assert_eq!(evidence[1]["ipAddress"], "192.0.2.1");
    assert_eq!(evidence[2]["userAccount"]["accountName"], "anna");

    let (status, single) = client.get(ONE).await;
    assert_eq!((status, &single["evidence"]), (200, &alert["evidence"]));
    let (status, error) = client.get("/v1.0/security/alerts_v2/no-such").await;
    assert_eq!((status, code(&error)), (404, "NotFound"));
    assert_eq!((simulator.count("GET alerts"), simulator.count("GET alert")), (1, 2));
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());
}

#[tokio::test]
async fn a_user_that_stands_in_the_evidence_is_not_there_twice() {
    let user = RelatedUser { user_name: "anna".to_owned(), domain_name: "CONTOSO".to_owned() };
    let alert = Alert { related_user: Some(user), ..Alert::new("da5_5", PC, now()) };
    let (_simulator, client) =
        started(World::new(now()).alert(alert.evidence(vec![Evidence::user(now(), "CONTOSO", "anna")])))
            .await;
    let (_, list) = client.get(LIST).await;
    assert_eq!(list["value"][0]["evidence"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn documented_filters_of_graph_work_and_others_are_refused() {
    let (simulator, client) = started(world()).await;
    let cases: &[(&str, &[&str])] = &[
        ("$filter=severity eq 'high'", &["da1_1"]),
        ("$filter=lastUpdateDateTime lt 2026-03-01T12:00:00.0000000Z", &["da1_-2"]),
        (
            "$filter=serviceSource eq 'microsoftDefenderForEndpoint' and lastUpdateDateTime ge 2026-03-01T12:00:00Z",
            &["da1_1"],
        ),
        ("$filter=serviceSource eq 'microsoftDefenderForOffice365'", &[]),
        ("$filter=status ne 'resolved' and createdDateTime le 2026-03-01T11:30:00Z", &["da1_-2"]),
        ("$top=1000&$skip=1", &["da1_-2"]),
    ];
    for (query, expected) in cases {
        let (status, list) = client.get(&format!("{LIST}?{query}")).await;
        assert_eq!((status, ids(&list)), (200, expected.to_vec()), "{query}: {list}");
    }
    let refused = [
        "$top=1001",
        "$skip=501",
        "$orderby=createdDateTime",
        "$select=id",
        "$expand=evidence",
        "$filter=incidentId eq '1126093'",
        "$filter=lastUpdateTime ge 2026-03-01T12:00:00Z",
    ];
    for query in refused {
        let (status, error) = client.get(&format!("{LIST}?{query}")).await;
        assert_eq!((status, code(&error)), (400, "BadRequest"), "{query}");
    }
    assert_eq!(simulator.unexpected().len(), refused.len());
}

#[tokio::test]
async fn links_lead_through_all_of_a_list_even_with_top() {
    let world = (0..7).fold(World::new(now()), |world, number| {
        world.alert(Alert::new(format!("da{number}_1"), PC, now() - seconds(number)))
    });
    let (simulator, client) = started(world).await;
    let mut seen = Vec::new();
    let mut path = format!("{LIST}?$top=3&$filter=status eq 'new'");
    loop {
        let (status, page) = client.get(&path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(link) = page["@odata.nextLink"].as_str() else { break };
        path = link.strip_prefix(&simulator.url()).unwrap().to_owned();
    }
    assert_eq!(seen, ["da0_1", "da1_1", "da2_1", "da3_1", "da4_1", "da5_1", "da6_1"]);
    assert_eq!(simulator.count("GET alerts"), 3);
    simulator.with(|world| world.next_links = NextLinks::Broken);
    let (_, page) = client.get(&format!("{LIST}?$top=3")).await;
    assert!(!page["@odata.nextLink"].as_str().unwrap().contains("%24"));
}

#[tokio::test]
async fn what_is_planted_for_graph_is_served_there_alone() {
    let world = world()
        .raw_alert(json!({"id": "d", "lastUpdateTime": "2026-03-01T13:00:00Z"}))
        .raw_graph_alert(
            json!({"id": "g", "severity": ["high"], "lastUpdateDateTime": "2026-03-01T13:00:00Z"}),
        )
        .raw_graph_alert(json!("no object"));
    let (_simulator, client) = started(world).await;
    let (_, list) = client.get(&format!("{LIST}?$filter=lastUpdateDateTime ge 2026-03-01T12:30:00Z")).await;
    assert_eq!(ids(&list), ["g"]);
    assert_eq!(client.get(LIST).await.1["value"].as_array().unwrap().len(), 4);
    assert_eq!(client.get("/v1.0/security/alerts_v2/g").await.1["severity"], json!(["high"]));
    assert_eq!(client.get("/v1.0/security/alerts_v2/d").await.0, 404);
}

#[tokio::test]
async fn a_comment_stands_on_the_alert_whichever_interface_is_asked() {
    let (simulator, client) = started(writable()).await;
    simulator.advance(seconds(60));
    let (status, comments) = client.post(&format!("{ONE}/comments"), COMMENT).await;
    assert_eq!(status, 200);
    let expected = json!([{
        "comment": "x",
        "createdByDisplayName": DEFAULT_CLIENT,
        "createdDateTime": "2026-03-01T12:01:00Z",
    }]);
    assert_eq!(comments["value"], expected);
    assert_eq!(client.get(ONE).await.1["comments"], expected);
    assert_eq!(client.get(ONE).await.1["lastUpdateDateTime"], "2026-03-01T12:01:00Z");
    let (_, defenders) = Client::of(&simulator).await.get("/api/alerts/da1_1").await;
    assert_eq!(defenders["comments"][0]["comment"], "x");
    assert_eq!(simulator.count("PATCH alert"), 1);
    assert!(simulator.violations().is_empty() && simulator.unexpected().is_empty());

    assert_eq!(client.post(&format!("{ONE}/comments"), COMMENT).await.0, 200);
    assert_eq!(simulator.violations(), ["the same comment posted twice on alert da1_1"]);
    for wrong in ["{}", r#"{"comment":"y"}"#, r#"{"@odata.type":"microsoft.graph.security.alertComment"}"#] {
        assert_eq!(client.post(&format!("{ONE}/comments"), wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(client.post("/v1.0/security/alerts_v2/none/comments", COMMENT).await.0, 404);
    assert_eq!(simulator.with(|world| world.comments_on("da1_1").len()), 2);
}

#[tokio::test]
async fn an_incident_has_its_alerts_where_they_are_asked_for() {
    let mut world = world();
    world.alerts[0].incident_id = Some(7);
    world.alerts[0].status = "Resolved".to_owned();
    let (simulator, client) = started(world).await;
    let (status, incident) = client.get("/v1.0/security/incidents/7?$expand=alerts").await;
    assert_eq!(
        (status, &incident["status"], &incident["severity"]),
        (200, &json!("resolved"), &json!("high"))
    );
    assert_eq!(incident["alerts"][0]["id"], "da1_1");
    assert_eq!(incident["alerts"].as_array().unwrap().len(), 1);
    let (_, bare) = client.get("/v1.0/security/incidents/1126093").await;
    assert_eq!((bare.get("alerts"), &bare["status"]), (None, &json!("active")));
    assert_eq!(client.get("/v1.0/security/incidents/8").await.0, 404);
    assert_eq!(simulator.count("GET incident"), 3);
    assert_eq!(client.get("/v1.0/security/incidents/7?$expand=evidence").await.0, 400);
}

#[tokio::test]
async fn each_interface_wants_a_token_of_its_own_and_shows_the_roles_for_itself_alone() {
    let (simulator, graph) = started(world()).await;
    let defender = Client::of(&simulator).await;
    let (status, error) = defender.get(LIST).await;
    assert_eq!((status, code(&error)), (401, "InvalidAuthenticationToken"));
    assert_eq!(graph.get("/api/alerts").await.0, 401);
    let broken = [
        "a token for `https://api.securitycenter.microsoft.com` used on `GET alerts`",
        "a token for `https://graph.microsoft.com` used on `GET alerts`",
    ];
    assert_eq!(simulator.violations(), broken);
    let error = &error["error"]["innerError"];
    assert_eq!(error["date"], "2026-03-01T12:00:00");
    assert!(error["request-id"].is_string() && error["client-request-id"].is_string());
    let claims = |client: &Client| {
        let payload = client.token.split('.').nth(1).unwrap().to_owned();
        String::from_utf8(base64url_decoded(&payload)).unwrap()
    };
    let roles = |client: &Client| serde_json::from_str::<Value>(&claims(client)).unwrap()["roles"].clone();
    assert_eq!(roles(&graph), json!(DEFAULT_GRAPH_ROLES));
    assert_eq!(roles(&defender), json!(simulator::DEFAULT_ROLES));
}

fn base64url_decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.chars() {
        bits = (bits << 6) | u32::try_from(ALPHABET.find(letter).unwrap()).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).unwrap());
        }
    }
    bytes
}

#[tokio::test]
async fn each_call_of_graph_wants_one_of_its_roles() {
    let (_simulator, client) =
        started(world().graph_roles(DEFAULT_CLIENT, &["ThreatHunting.Read.All"])).await;
    for (path, role) in [
        (LIST, "SecurityAlert.Read.All"),
        (ONE, "SecurityAlert.Read.All"),
        ("/v1.0/security/incidents/1126093", "SecurityIncident.Read.All"),
    ] {
        let (status, error) = client.get(path).await;
        assert_eq!((status, code(&error)), (403, "Forbidden"));
        assert!(error["error"]["message"].as_str().unwrap().contains(role), "{error}");
    }
    let (simulator, client) = started(world().app("writer", "w", &["Alert.ReadWrite.All"])).await;
    let writer = Client::with_scope(&simulator, "writer", "w", crate::GRAPH_SCOPE).await;
    assert_eq!(
        writer.post(&format!("{ONE}/comments"), COMMENT).await.0,
        200,
        "what it may at Defender's API"
    );
    assert_eq!(writer.post("/v1.0/security/runHuntingQuery", r#"{"Query":"T"}"#).await.0, 403);
    let (status, error) = client.post(&format!("{ONE}/comments"), COMMENT).await;
    assert_eq!(status, 403);
    assert!(error["error"]["message"].as_str().unwrap().contains("(SecurityAlert.ReadWrite.All)"), "{error}");
    let (status, error) = client.post("/v1.0/security/runHuntingQuery", r#"{"Query":"T"}"#).await;
    assert_eq!(status, 200, "{error}");
}

#[tokio::test]
async fn faults_quotas_and_impatience_are_those_of_the_same_call_at_defenders_api() {
    let fault = Fault::once("GET alerts", FaultKind::ServerError(503));
    let gone = Fault::once("GET alert", FaultKind::Spurious404);
    let throttle = Fault::once("PATCH alert", FaultKind::Throttle { retry_after: Some(30) });
    let quoted = writable().fault(fault).fault(gone).fault(throttle).quota("GET alerts", 2, 10);
    let (simulator, client) = started(quoted).await;
    let (status, error) = client.get(LIST).await;
    assert_eq!((status, code(&error)), (503, "InternalServerError"));
    assert!(error["error"]["innerError"].is_object(), "{error}");
    assert_eq!(code(&client.get(ONE).await.1), "NotFound");
    assert_eq!(client.get(LIST).await.0, 200);
    assert_eq!(client.get(LIST).await.0, 200);
    let (status, error) = client.get(LIST).await;
    assert_eq!((status, code(&error)), (429, "TooManyRequests"));
    let (status, error) = client.post(&format!("{ONE}/comments"), COMMENT).await;
    assert_eq!((status, code(&error)), (429, "TooManyRequests"));
    assert!(simulator.violations().is_empty());
    client.post(&format!("{ONE}/comments"), COMMENT).await;
    assert_eq!(simulator.violations().len(), 1, "a comment is an effect: its Retry-After counts");
}
