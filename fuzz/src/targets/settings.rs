//! Settings: an environment file, and what is read out of the variables.

use super::{SECRET, Target, assert_sayable, assert_silent};
use crate::seeds;
use credentials::{Connection, Problems, Vars, checked_url, lookback, mode};
use jiff::SignedDuration;
use model::one_line;

pub(super) const TARGETS: [Target; 1] =
    [Target { name: "env-file", check: env_file, seeds: seeds::env_files, words: &WORDS, cost: 1 }];

const WORDS: [&str; 18] = [
    "DEFENDER_TENANT_ID=",
    "DEFENDER_CLIENT_ID=",
    "DEFENDER_CLOUD=",
    "DEFENDER_API_URL=",
    "DEFENDER_LOGIN_URL=",
    "DEFENDER_ACTOR_CLIENT_ID=",
    "DEFENDER_ACTOR_CLIENT_SECRET=",
    "DEFENDER_SECRET_ID=",
    "CORDON_MODE=",
    "CORDON_LOOKBACK=",
    "http://127.0.0.1:8765",
    "https://[::1]",
    "gcc-high",
    "enforce",
    "30d",
    "export ",
    "\"",
    "P9999999999D",
];

fn env_file(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Vars::parse_file(&text) {
        Ok(found) => {
            assert!(found.len() <= text.lines().count());
            assert!(found.iter().all(|(_, value)| !value.contains('\n')));
            let mut vars: Vars = found.into_iter().collect();
            assert_silent(&format!("{vars:?}"));
            assert_read(&vars);
            let secret = ["DEFENDER_CLIENT_SECRET", "DEFENDER_ACTOR_CLIENT_SECRET"];
            vars.add_defaults(secret.map(|name| (name.to_owned(), SECRET.to_owned())));
            assert_read(&vars);
        }
        Err(error) => assert_sayable(&error, 80),
    }
}

fn assert_read(vars: &Vars) {
    let mut problems = Problems::default();
    let connection = Connection::from_vars(vars, None, &mut problems);
    let _ = mode(vars, &mut problems);
    let lookback = lookback(vars, &mut problems);
    assert!(lookback.is_none_or(|l| l >= SignedDuration::ZERO && l <= SignedDuration::from_hours(30 * 24)));
    // A secret that stands where an id or a URL belongs is quoted as such: see the seeds for where it stands here.
    let is_misplaced = ["DEFENDER_TENANT_ID", "DEFENDER_CLOUD", "CORDON_MODE", "CORDON_LOOKBACK"]
        .iter()
        .any(|name| vars.get(name).is_some_and(|value| one_line(value, usize::MAX).contains(SECRET)));
    for problem in problems.iter() {
        if is_misplaced {
            assert_sayable(&problem.replace(SECRET, ""), 300);
        } else {
            assert_sayable(problem, 300);
        }
    }
    let Some(connection) = connection else { return };
    let endpoints = &connection.endpoints;
    for url in [&endpoints.api, &endpoints.login] {
        assert_eq!(
            checked_url(url).as_ref(),
            Ok(url),
            "what was accepted is accepted as it was written down"
        );
    }
    let is_plain = endpoints.api.starts_with("http://");
    assert!(!is_plain || endpoints.api_is_loopback, "{endpoints:?}");
    let misplaced = [connection.reader.client_id.as_str(), connection.acting().client_id.as_str()];
    let shown = format!("{:?}{:?}", connection.reader.secret, connection.acting().secret);
    assert_silent(&shown);
    if !misplaced.iter().any(|id| id.contains(SECRET)) && !format!("{endpoints:?}").contains(SECRET) {
        assert_silent(&format!("{connection:?}"));
    }
}
