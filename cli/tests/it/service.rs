//! A service that refuses, is not there, or is something else: the sentence and the exit code.

use crate::site::{ALERT, Ended, Site, one_high};
use simulator::{DEFAULT_CLIENT, DEFAULT_ROLES, DEFAULT_SECRET, Fault, FaultKind};
use std::{net::TcpListener, time::Duration};

/// One sentence, with this code and these words.
#[track_caller]
fn one_sentence(ended: &Ended, code: i32, words: &[&str]) {
    ended.complains(code, words);
    assert_eq!(ended.stderr.lines().count(), 1, "one sentence: {}", ended.stderr);
}

fn once(site: &Site) -> Ended {
    site.cordon(&["run", "--once", "--json"])
}

#[test]
fn a_refused_secret_is_named_and_not_tried_again() {
    let site = Site::new(one_high()).with("DEFENDER_CLIENT_SECRET", "wrong");
    for command in [&["run", "--once", "--json"][..], &["check"]] {
        site.simulator.clear_journal();
        let ended = site.cordon(command);
        one_sentence(&ended, 2, &["DEFENDER_CLIENT_SECRET", "AADSTS7000215", "the client secret is wrong"]);
        let asked: Vec<String> = site.simulator.journal().into_iter().map(|entry| entry.route).collect();
        assert_eq!(asked, ["POST token"], "{command:?}");
    }
}

#[test]
fn what_was_refused_at_sign_in_is_named_by_its_setting() {
    let other = "99999999-2222-3333-4444-555555555555";
    for (name, value, code) in [
        ("DEFENDER_TENANT_ID", other, "AADSTS90002"),
        ("DEFENDER_CLIENT_ID", other, "AADSTS700016"),
        ("DEFENDER_AUDIENCE", "https://nothing.example", "AADSTS500011"),
    ] {
        let site = Site::new(one_high()).with(name, value);
        for command in [&["run", "--once", "--json"][..], &["check"]] {
            let ended = site.cordon(command);
            one_sentence(&ended, 2, &[name, code]);
            assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
        }
    }
}

#[test]
fn a_token_for_another_service_is_not_blamed_on_the_secret() {
    let site = Site::new(one_high()).with("DEFENDER_AUDIENCE", "https://graph.microsoft.com");
    let ended = once(&site);
    one_sentence(&ended, 2, &["DEFENDER_AUDIENCE", "401"]);
    assert!(!ended.stderr.contains("SECRET"), "{}", ended.stderr);
}

#[test]
fn a_missing_role_is_named() {
    let site = Site::new(one_high().app(DEFAULT_CLIENT, DEFAULT_SECRET, &["Machine.Read.All"]));
    let ended = once(&site);
    one_sentence(&ended, 2, &["DEFENDER_CLIENT_ID", "Alert.Read.All", "admin consent"]);
}

#[test]
fn a_service_that_is_not_there_is_one_sentence_in_bounded_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (login, api) = ("DEFENDER_LOGIN_URL", "DEFENDER_API_URL");
    let sites = [login, api].map(|name| Site::new(one_high()).with(name, &url));
    let [no_login, no_api] = sites.each_ref().map(|site| site.start(&["run", "--once", "--json"]));
    for (run, words) in
        [(no_login, ["no token from 127.0.0.1", "cannot be reached"]), (no_api, [&url, "cannot be reached"])]
    {
        let ended = run.wait();
        one_sentence(&ended, 1, &words);
        assert_eq!(ended.json()["found"], 0);
        assert!(ended.took < Duration::from_secs(60), "{:?}", ended.took);
    }
    one_sentence(&sites[0].cordon(&["check"]), 1, &[login, "cannot be reached"]);
}

#[test]
fn what_a_failed_poll_missed_is_found_by_the_next() {
    let site = Site::new(
        one_high().fault(Fault::once("GET alerts", FaultKind::Throttle { retry_after: Some(600) })),
    );
    one_sentence(&once(&site), 1, &["the poll did not finish"]);
    site.simulator.advance(jiff::SignedDuration::from_secs(601));
    let ended = once(&site);
    assert_eq!(ended.json()["found"], 1);
    ended.well();
}

#[test]
fn a_passing_trouble_is_nobodys_business() {
    for kind in [
        FaultKind::ServerError(503),
        FaultKind::Reset,
        FaultKind::TruncatedBody,
        FaultKind::NotJson,
        FaultKind::WrongContentType,
        FaultKind::Throttle { retry_after: Some(1) },
    ] {
        let site = Site::new(one_high().fault(Fault::once("GET alerts", kind.clone())));
        let ended = once(&site);
        assert_eq!(ended.json()["found"], 1, "{kind:?}");
        ended.well();
    }
}

#[test]
fn a_web_page_in_place_of_the_service_is_said_to_be_none_of_its_answers() {
    let (api, login) = ("GET alerts", "POST token");
    let page = |route| Fault::once(route, FaultKind::WrongContentType).always();
    let sites = [api, login].map(|route| Site::new(one_high().fault(page(route))));
    let [api, login] = sites.each_ref().map(|site| site.start(&["run", "--once", "--json"]));
    for (run, words) in
        [(api, ["not JSON", "proxy"]), (login, ["no token from 127.0.0.1", "not a token response"])]
    {
        let ended = run.wait();
        one_sentence(&ended, 1, &words);
        let of_the_page = ["<html", "Sign in", "DOCTYPE"];
        assert!(!of_the_page.iter().any(|text| ended.stderr.contains(text)), "{}", ended.stderr);
    }
}

#[test]
fn a_used_up_quota_is_said_with_its_end() {
    let throttled = FaultKind::Throttle { retry_after: Some(600) };
    let site = Site::new(one_high().fault(Fault::once("GET alerts", throttled).always()));
    let ended = once(&site);
    one_sentence(&ended, 1, &["the poll did not finish", "quota", "600 s"]);
    assert_eq!(site.simulator.count("GET alerts"), 1, "it is left alone until then");
}

#[test]
fn an_app_that_acts_and_is_refused_leaves_the_work_for_later_and_says_so() {
    let site = Site::new(one_high())
        .enforcing()
        .with("DEFENDER_ACTOR_CLIENT_ID", DEFAULT_CLIENT)
        .with("DEFENDER_ACTOR_CLIENT_SECRET", "wrong");
    let ended = once(&site);
    ended.complains(1, &["work is left"]);
    assert_eq!(ended.json()["isolations"]["requested"], 0);
    assert_eq!(site.simulator.count("POST isolate"), 0);
    assert_eq!(site.simulator.count("POST token"), 2, "a refused secret is not tried again");
}

#[test]
fn an_app_that_lacks_the_role_to_isolate_is_not_taken_for_done() {
    let roles: Vec<&str> = DEFAULT_ROLES.iter().copied().filter(|role| *role != "Machine.Isolate").collect();
    let site = Site::new(one_high().app(DEFAULT_CLIENT, DEFAULT_SECRET, &roles)).enforcing();
    let ended = once(&site);
    let summary = ended.json();
    assert_eq!(summary["isolations"]["succeeded"], 0);
    assert_eq!(summary["isolations"]["failed"], 1, "{summary}");
    ended.complains(1, &["1 isolations did not succeed"]);
    let told = site.cordon(&["explain", ALERT]).well();
    assert!(told.contains("403"), "{told}");
}
