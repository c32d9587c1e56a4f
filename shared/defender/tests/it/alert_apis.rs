//! Alerts on both of Microsoft's interfaces: whichever is asked, they are the same alerts, read whole.
//!
//! Each test runs on both. What only one of them does, such as an order that can be refused, is in `reads.rs`.

use crate::{APIS, Client, device, noon, one_device, start_asking, stub::Stub, within};
use defender::{AlertPage, ApiError, Next, Portion, TICK, Window, after};
use jiff::{SignedDuration, Timestamp};
use model::{AlertId, EvidenceIdentity, Revision, Severity};
use serde_json::json;
use simulator::{Alert, Evidence, Fault, FaultKind, Machine, RelatedUser, Simulator, World};
use std::collections::BTreeSet;

fn id(text: &str) -> AlertId {
    text.parse().unwrap()
}

fn window(from: Timestamp, to: Timestamp) -> Window {
    Window { from, to }
}

/// The ids of a page, in their order.
fn ids(page: &AlertPage) -> BTreeSet<&str> {
    page.alerts.iter().map(|alert| alert.id.as_str()).collect()
}

/// So many alerts, each `every` after the one before.
fn many(count: u64, every: SignedDuration) -> World {
    (0..count).fold(World::new(noon()).without_quotas(), |world, number| {
        let at = noon() - SignedDuration::from_hours(1) + every * i32::try_from(number).unwrap();
        world.alert(Alert::new(format!("da{number:018}_1"), "", at))
    })
}

/// Reads a window whole by the rule of `after`, and counts the calls.
async fn read_whole(client: &Client, whole: Window, portion: Portion) -> (BTreeSet<String>, usize) {
    let (mut found, mut calls, mut left) = (BTreeSet::new(), 0, vec![whole]);
    let page = async |window, skip| client.reader.alerts(window, skip, portion, within(90)).await.unwrap();
    while let Some(window) = left.pop() {
        let first = page(window, 0).await;
        calls += 1;
        match after(window, &first) {
            Next::Complete => {}
            Next::From(from) => left.push(Window { from, ..window }),
            Next::Parts(one, other) => left.extend([other, one]),
            Next::WithinTick(tick) => {
                let (mut skip, mut more) = (first.returned, first.full);
                while more {
                    let next = page(tick, skip).await;
                    calls += 1;
                    (skip, more) = (skip + next.returned, next.full && next.returned > 0);
                    found.extend(ids(&next).into_iter().map(str::to_owned));
                }
                if tick.to < window.to {
                    left.push(Window { from: tick.to, ..window });
                }
            }
        }
        found.extend(ids(&first).into_iter().map(str::to_owned));
    }
    (found, calls)
}

fn is_well_behaved(simulator: &Simulator) -> bool {
    simulator.violations().is_empty() && simulator.unexpected().is_empty()
}

#[tokio::test]
async fn a_window_begins_with_its_first_tick_and_ends_before_its_last() {
    for api in APIS {
        let (from, to) = (noon() - SignedDuration::from_secs(60), noon());
        let at = |name: &str, at| Alert::new(name, "", noon() - SignedDuration::from_hours(2)).updated(at);
        let world = World::new(noon())
            .alert(at("before", from - TICK))
            .alert(at("first", from))
            .alert(at("last", to - TICK))
            .alert(at("after", to));
        let (simulator, client) = start_asking(api, world).await;
        let page = client.reader.alerts(window(from, to), 0, Portion::Whole, within(90)).await.unwrap();
        assert_eq!(ids(&page), BTreeSet::from(["first", "last"]), "{api}");
        assert!(!page.full && page.returned == 2);
        assert!(is_well_behaved(&simulator), "{api}: {:?}", simulator.violations());
    }
}

#[tokio::test]
async fn a_window_of_many_pages_is_read_whole() {
    for (api, count) in [("defender", 4_500), ("graph", 2_300)] {
        let (simulator, client) = start_asking(api, many(count, SignedDuration::from_millis(700))).await;
        let whole = window(noon() - SignedDuration::from_hours(2), noon());
        let (found, calls) = read_whole(&client, whole, Portion::Whole).await;
        assert_eq!(found.len() as u64, count, "{api}");
        assert!(calls <= 16, "{api}: {calls} calls");
        assert!(is_well_behaved(&simulator), "{api}: {:?}", simulator.violations());
    }
}

#[tokio::test]
async fn an_instant_that_fills_pages_is_read_whole_and_so_is_what_follows_it() {
    for api in APIS {
        for (count, portion) in [(2_300, Portion::Whole), (1_650, Portion::Small)] {
            let mut world = many(count, SignedDuration::ZERO);
            world.alerts.push(Alert::new("later", "", noon() - SignedDuration::from_secs(1)));
            let (simulator, client) = start_asking(api, world).await;
            let whole = window(noon() - SignedDuration::from_hours(1), noon());
            let (found, _) = read_whole(&client, whole, portion).await;
            assert_eq!(found.len() as u64, count + 1, "{api}, {portion:?}");
            assert!(is_well_behaved(&simulator), "{api}: {:?}", simulator.violations());
        }
    }
}

#[tokio::test]
async fn what_graph_cannot_be_brought_to_show_is_an_error_and_not_the_end() {
    let mut world = many(1_700, SignedDuration::ZERO);
    world.next_links = simulator::NextLinks::Broken;
    let (simulator, client) = start_asking("graph", world).await;
    let from = noon() - SignedDuration::from_hours(1);
    let read =
        async |skip| client.reader.alerts(window(from, from + TICK), skip, Portion::Whole, within(90)).await;
    assert_eq!(read(1_000).await.unwrap().returned, 500, "what was asked to be skipped is not counted twice");
    let error = read(1_500).await.unwrap_err();
    assert!(
        matches!(&error, ApiError::Unreadable { why } if why.contains("DEFENDER_ALERTS_API")),
        "{error:?}"
    );
    assert!(is_well_behaved(&simulator), "{:?}", simulator.violations());
}

#[tokio::test]
async fn an_empty_page_of_graph_that_leads_on_is_not_the_end() {
    let all = window(noon() - SignedDuration::from_hours(1), noon());
    let filter = format!(
        "lastUpdateDateTime ge {} and lastUpdateDateTime lt {} and serviceSource eq 'microsoftDefenderForEndpoint'",
        all.from, all.to
    )
    .replace(' ', "%20");
    let link = format!("{{url}}/v1.0/security/alerts_v2?$filter={filter}&$skiptoken=1");
    let empty = |link: &str| json!({"value": [], "@odata.nextLink": link}).to_string();
    let last = json!({"value": [{"id": "b", "serviceSource": "microsoftDefenderForEndpoint"}]}).to_string();
    let read = async |bodies: &[String]| {
        let stub = Stub::saying_in_turn(bodies);
        let client = Client::asking("graph", &stub.url);
        let page = client.reader.alerts(all, 0, Portion::Whole, within(90)).await;
        (page, stub.requests().len())
    };
    let (page, _) = read(&[empty(&link), empty(&link), last]).await;
    let page = page.unwrap();
    assert_eq!((ids(&page), page.returned, page.full), (BTreeSet::from(["b"]), 1, false));
    let (page, _) = read(&[json!({"value": [], "@odata.nextLink": null}).to_string()]).await;
    assert_eq!(page.unwrap().returned, 0);
    // A link that has lost its filter leads to other alerts, and one that never ends to none.
    let lost = "{url}/v1.0/security/alerts_v2?$skiptoken=1";
    for bodies in [[empty(lost)], [empty(&link)]] {
        let (page, requests) = read(&bodies).await;
        assert!(matches!(page, Err(ApiError::Unreadable { .. })), "{page:?}");
        assert!(requests < 30, "{requests}");
    }
}

/// An alert with everything that both interfaces can say.
fn rich(machine: &Machine) -> Alert {
    let at = noon() - SignedDuration::from_secs(90);
    let account = |evidence: Evidence| Evidence {
        user_sid: Some("S-1-5-21-1-2-3-1001".to_owned()),
        user_principal_name: Some("ada@contoso.com".to_owned()),
        ..evidence
    };
    // Graph does not say of these what became of them.
    let without_status = |evidence: Evidence| Evidence { detection_status: None, ..evidence };
    let evidence = vec![
        account(Evidence::user(at, "CONTOSO", "ada")),
        Evidence {
            process_id: Some(3_276),
            parent_process_id: Some(8_420),
            parent_process_file_name: Some("explorer.exe".to_owned()),
            sha1: Some("a".repeat(40)),
            sha256: Some("b".repeat(64)),
            ..Evidence::process(at, "C:\\Windows", "rundll32.exe", "rundll32.exe x.dll,Y")
        },
        Evidence::file(at, "C:\\Users\\Public", "x.dll", "c".repeat(40)),
        without_status(Evidence::ip(at, "198.51.100.7")),
        without_status(Evidence::url(at, "https://x.example/gate")),
        without_status(Evidence::registry(at, "SOFTWARE\\Run", "C:\\x.exe")),
    ];
    let mut alert = Alert::new("rich", "", at).on(machine).evidence(evidence).updated(noon());
    alert.classification = Some("TruePositive".to_owned());
    alert.determination = Some("MultiStagedAttack".to_owned());
    alert.detection_source = Some("WindowsDefenderAv".to_owned());
    alert.threat_family_name = Some("Mimikatz".to_owned());
    alert.threat_name = Some("HackTool:Win32/Mimikatz".to_owned());
    alert.mitre_techniques = vec!["T1003".to_owned(), "T1055.012".to_owned()];
    alert.related_user = Some(RelatedUser { user_name: "ada".to_owned(), domain_name: "CONTOSO".to_owned() });
    alert.last_event_time = Some(noon() - SignedDuration::from_nanos(1_234_500));
    alert
}

#[tokio::test]
async fn an_alert_is_the_same_on_both_and_so_is_its_revision() {
    let machine = Machine::new(device().as_str(), "pc1.contoso.com", "Windows11", noon());
    let bare = Alert::new("bare", "", noon()).on(&machine).severity("UnSpecified").status("InProgress");
    let nowhere = Alert { machine_id: None, ..Alert::new("nowhere", "", noon()) };
    let odd = Alert::new("odd", "pc1", noon()).severity("Dire").status("Resolved");
    let alerts = [rich(&machine), bare, nowhere, odd];
    let world = alerts.into_iter().fold(World::new(noon()).machine(machine), World::alert);
    let simulator = Simulator::start(world).await.unwrap();
    let [defender, graph] = APIS.map(|api| Client::asking(api, &simulator.url()));
    for name in ["rich", "bare", "nowhere", "odd"] {
        let read = async |client: &Client| client.reader.alert(&id(name), within(90)).await.unwrap();
        let (one, other) = (read(&defender).await, read(&graph).await);
        assert_eq!(one, other);
        assert!(one.unreadable.is_empty(), "{:?}", one.unreadable);
        let revision = |alert| Revision::of(alert, &EvidenceIdentity::all(alert));
        assert_eq!(revision(&one), revision(&other));
    }
    let all = window(noon() - SignedDuration::from_hours(1), noon() + TICK);
    for client in [&defender, &graph] {
        let mut page = client.reader.alerts(all, 0, Portion::Whole, within(90)).await.unwrap();
        page.alerts.sort_by(|one, other| one.id.cmp(&other.id));
        let listed = page.alerts.pop().unwrap();
        assert_eq!(listed, defender.reader.alert(&id("rich"), within(90)).await.unwrap());
        assert_eq!((listed.evidence.len(), listed.user.unwrap().name.as_str()), (6, "ada"));
    }
    assert!(is_well_behaved(&simulator), "{:?}", simulator.violations());
}

#[tokio::test]
async fn generated_alerts_have_the_same_revision_on_both() {
    let options = simulator::generate::GenerateOptions {
        alerts: 60,
        devices: 10,
        hostile: true,
        ..simulator::generate::GenerateOptions::new(noon())
    };
    let world = World::new(noon()).generated(simulator::generate::tenant(8, &options));
    let ids: Vec<AlertId> = world.alerts.iter().filter_map(|alert| alert.id.parse().ok()).collect();
    let simulator = Simulator::start(world.without_quotas()).await.unwrap();
    let [defender, graph] = APIS.map(|api| Client::asking(api, &simulator.url()));
    assert!(ids.len() > 30);
    for id in ids {
        let read = async |client: &Client| {
            let alert = client.reader.alert(&id, within(90)).await.unwrap();
            (Revision::of(&alert, &EvidenceIdentity::all(&alert)), alert.detection_source, alert.device)
        };
        assert_eq!(read(&defender).await, read(&graph).await, "{id}");
    }
}

#[tokio::test]
async fn an_alert_that_is_not_there_is_not_found_when_asked_twice() {
    for api in APIS {
        let (simulator, client) = start_asking(api, one_device(Vec::new())).await;
        let error = client.reader.alert(&id("b"), within(90)).await.unwrap_err();
        assert!(matches!(error, ApiError::NotFound(_)), "{api}: {error:?}");
        assert_eq!(simulator.count("GET alert"), 2, "{api}");
        let error = client.reader.comments_on(&id("b"), within(90)).await.unwrap_err();
        assert!(matches!(error, ApiError::NotFound(_)), "{api}: {error:?}");
    }
}

#[tokio::test]
async fn a_comment_is_written_where_alerts_are_read_and_read_again_there() {
    for (api, path) in [("defender", "/api/alerts/a"), ("graph", "/v1.0/security/alerts_v2/a/comments")] {
        let client_id = simulator::DEFAULT_CLIENT;
        let world = one_device(Vec::new())
            .app(client_id, simulator::DEFAULT_SECRET, &["Alert.ReadWrite.All"])
            .graph_roles(client_id, &["SecurityAlert.ReadWrite.All"]);
        let (simulator, client) = start_asking(api, world).await;
        for text in ["looked at it\nnothing", "[cordon:x] à propos"] {
            client.responder.comment(&id("a"), text, noon()).await.unwrap();
        }
        let comments = client.reader.comments_on(&id("a"), within(90)).await.unwrap();
        assert_eq!(comments, ["looked at it\nnothing", "[cordon:x] à propos"], "{api}");
        let journal = simulator.journal();
        assert!(journal.iter().any(|entry| entry.route == "PATCH alert" && entry.path == path), "{api}");
        assert!(is_well_behaved(&simulator), "{api}: {:?}", simulator.violations());
        assert_eq!(client.calls.all()["PATCH alert"], 2);
    }
}

#[tokio::test]
async fn a_comment_is_written_once_whatever_goes_wrong() {
    for api in APIS {
        for kind in FaultKind::all() {
            let world = one_device(vec![Fault::once("PATCH alert", kind.clone()).always()])
                .app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, &["Alert.ReadWrite.All"])
                .graph_roles(simulator::DEFAULT_CLIENT, &["SecurityAlert.ReadWrite.All"]);
            let (simulator, client) = start_asking(api, world).await;
            let _ = client.responder.comment(&id("a"), "x", noon()).await;
            assert_eq!(simulator.count("PATCH alert"), 1, "{kind:?} on {api}");
        }
    }
}

#[tokio::test]
async fn the_alerts_of_an_incident_are_found() {
    for api in APIS {
        let of = |name: &str, incident| Alert { incident_id: Some(incident), ..Alert::new(name, "", noon()) };
        let world = World::new(noon()).alert(of("b", 7)).alert(of("c", 7)).alert(of("d", 8));
        let (simulator, client) = start_asking(api, world).await;
        let found = client.reader.alerts_of_incident(7, within(90)).await.unwrap();
        let found: BTreeSet<&str> = found.iter().map(|alert| alert.id.as_str()).collect();
        assert_eq!(found, BTreeSet::from(["b", "c"]), "{api}");
        let missing = client.reader.alerts_of_incident(9, within(90)).await;
        match api {
            "graph" => assert!(matches!(missing, Err(ApiError::NotFound(_))), "{missing:?}"),
            _ => assert_eq!(missing, Ok(Vec::new()), "{api}"),
        }
        assert!(is_well_behaved(&simulator), "{api}: {:?}", simulator.violations());
    }
}

#[tokio::test]
async fn a_malformed_record_is_set_aside_and_a_malformed_field_named() {
    for api in APIS {
        let time = if api == "graph" { "lastUpdateDateTime" } else { "lastUpdateTime" };
        let at = (noon() - SignedDuration::from_secs(60)).to_string();
        let planted = [
            json!({"id": 5, time: at, "serviceSource": "microsoftDefenderForEndpoint"}),
            json!({"id": "b", time: at, "severity": 7, "title": "T", "serviceSource": "microsoftDefenderForEndpoint"}),
        ];
        let world = planted.into_iter().fold(one_device(Vec::new()), |world, record| {
            if api == "graph" { world.raw_graph_alert(record) } else { world.raw_alert(record) }
        });
        let (_simulator, client) = start_asking(api, world).await;
        let all = window(noon() - SignedDuration::from_hours(1), noon() + TICK);
        let page = client.reader.alerts(all, 0, Portion::Whole, within(90)).await.unwrap();
        let problems: Vec<&str> =
            page.alerts.iter().flat_map(|alert| alert.unreadable.iter().map(String::as_str)).collect();
        assert_eq!(ids(&page), BTreeSet::from(["a", "b"]), "{api}");
        assert_eq!((page.unreadable.len(), page.returned), (1, 3), "{api}");
        assert!(problems.len() == 1 && problems[0].starts_with("severity: "), "{api}: {problems:?}");
    }
}

#[tokio::test]
async fn a_quota_a_rejected_token_and_a_missing_role_are_told_apart() {
    for (api, role) in [("defender", "Alert.Read.All"), ("graph", "SecurityAlert.Read.All")] {
        let throttle = Fault::once("GET alert", FaultKind::Throttle { retry_after: Some(17) });
        let (simulator, client) = start_asking(api, one_device(vec![throttle])).await;
        client.reader.alert(&id("a"), within(90)).await.unwrap();
        let waited = client.waited();
        assert!(waited.len() == 1 && waited[0] >= SignedDuration::from_secs(17), "{api}: {waited:?}");
        simulator.with(World::revoke_tokens);
        client.reader.alert(&id("a"), within(90)).await.unwrap();
        assert_eq!((simulator.count("POST token"), simulator.count("GET alert")), (2, 4), "{api}");

        let world = one_device(Vec::new())
            .app(simulator::DEFAULT_CLIENT, simulator::DEFAULT_SECRET, &["Machine.Read.All"])
            .graph_roles(simulator::DEFAULT_CLIENT, &["ThreatHunting.Read.All"]);
        let (simulator, client) = start_asking(api, world).await;
        let error = client.reader.alert(&id("a"), within(90)).await.unwrap_err();
        let ApiError::Forbidden(answer) = &error else { panic!("{api}: {error:?}") };
        assert!(answer.message.contains(role), "{api}: {answer}");
        assert!(!answer.target.is_empty(), "{api}: nothing to quote to Microsoft's support");
        assert_eq!(simulator.count("GET alert"), 1, "{api}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_only_where_it_is_used() {
    let scopes = |simulator: &Simulator| -> Vec<bool> {
        let journal = simulator.journal();
        let tokens = journal.iter().filter(|entry| entry.route == "POST token");
        tokens.map(|entry| entry.body.contains("graph.microsoft.com")).collect()
    };
    let (simulator, client) = start_asking("defender", one_device(Vec::new())).await;
    client.reader.alert(&id("a"), within(90)).await.unwrap();
    client.reader.machine(&device(), within(90)).await.unwrap();
    assert_eq!(scopes(&simulator), [false]);
    let (simulator, client) = start_asking("graph", one_device(Vec::new())).await;
    client.reader.alert(&id("a"), within(90)).await.unwrap();
    assert_eq!(scopes(&simulator), [true]);
    client.reader.machine(&device(), within(90)).await.unwrap();
    assert_eq!(scopes(&simulator), [true, false]);
    let roles = client.reader.graph_roles(within(90)).await.unwrap().unwrap();
    assert!(roles.contains(&"SecurityAlert.Read.All".to_owned()), "{roles:?}");
    let roles = client.reader.roles(within(90)).await.unwrap().unwrap();
    assert!(roles.contains(&"Alert.Read.All".to_owned()), "{roles:?}");
    assert_eq!(scopes(&simulator).len(), 2, "both were there already");
}

#[tokio::test]
async fn the_clock_is_that_of_the_interface_that_has_the_alerts() {
    for api in APIS {
        let (_simulator, client) = start_asking(api, one_device(Vec::new())).await;
        assert_eq!(client.reader.service_ahead(), None, "{api}");
        client.reader.alert(&id("a"), within(90)).await.unwrap();
        assert!(client.reader.service_ahead().is_some(), "{api}");
    }
}

#[tokio::test]
async fn a_word_that_came_later_than_the_interface_is_told_on_graph_too() {
    let mut alert = Alert::new("b", device().as_str(), noon());
    alert.detection_source = Some("MicrosoftDefenderForServers".to_owned());
    let (_simulator, client) = start_asking("graph", one_device(Vec::new()).alert(alert)).await;
    let read = client.reader.alert(&id("b"), within(90)).await.unwrap();
    assert_eq!(read.detection_source.as_deref(), Some("microsoftDefenderForServers"));
    assert_eq!((read.severity, read.unreadable.len()), (Some(Severity::High), 0));
}
