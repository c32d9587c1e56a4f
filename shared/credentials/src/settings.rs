//! The settings of the connection to a tenant: `DEFENDER_…`, the same in both hosts.
//!
//! Which playbook and which state to use is the host's business.

use crate::{Problems, Secret, SecretStore, Vars};
use model::TenantId;
use std::{net::IpAddr, sync::Arc};
use url::{Host, Url};

/// The field of a kept secret that holds an app's client secret.
const CLIENT_SECRET: &str = "client_secret";

/// The service's clouds. Hosts, audience and portal always change together.
/// Source: Microsoft's "Microsoft Defender for Endpoint for US Government customers" page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    Commercial,
    Gcc,
    GccHigh,
    Dod,
}

impl Cloud {
    fn from_word(word: &str) -> Option<Cloud> {
        match word {
            "commercial" => Some(Cloud::Commercial),
            "gcc" => Some(Cloud::Gcc),
            "gcc-high" => Some(Cloud::GccHigh),
            "dod" => Some(Cloud::Dod),
            _ => None,
        }
    }

    fn api(self) -> &'static str {
        match self {
            Cloud::Commercial => "https://api.security.microsoft.com",
            Cloud::Gcc => "https://api-gcc.securitycenter.microsoft.us",
            Cloud::GccHigh | Cloud::Dod => "https://api-gov.securitycenter.microsoft.us",
        }
    }

    fn login(self) -> &'static str {
        match self {
            Cloud::Commercial | Cloud::Gcc => "https://login.microsoftonline.com",
            Cloud::GccHigh | Cloud::Dod => "https://login.microsoftonline.us",
        }
    }

    /// The token's audience. In the commercial cloud it stays the older name whatever host is called; the
    /// government's is not in Microsoft's pages, and is what Microsoft's own `msticpy` uses.
    fn audience(self) -> &'static str {
        match self {
            Cloud::Commercial => "https://api.securitycenter.microsoft.com",
            Cloud::Gcc | Cloud::GccHigh | Cloud::Dod => self.api(),
        }
    }

    /// Microsoft Graph. Source: Microsoft's "National cloud deployments" page of Graph.
    fn graph(self) -> &'static str {
        match self {
            Cloud::Commercial | Cloud::Gcc => "https://graph.microsoft.com",
            Cloud::GccHigh => "https://graph.microsoft.us",
            Cloud::Dod => "https://dod-graph.microsoft.us",
        }
    }

    /// Where people look at alerts and devices.
    pub fn portal(self) -> &'static str {
        match self {
            Cloud::Commercial | Cloud::Gcc => "https://security.microsoft.com",
            Cloud::GccHigh => "https://security.microsoft.us",
            Cloud::Dod => "https://security.apps.mil",
        }
    }
}

/// Where the service is. Every URL is `https`, or `http` to this machine itself, and has no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    pub api: String,
    pub login: String,
    pub audience: String,
    pub portal: String,
    /// Microsoft Graph's address.
    pub graph: String,
    /// The audience of a token for Graph: its own address in the cloud, whatever address is called.
    pub graph_audience: String,
    /// Whether the API is on this machine: a simulator, never a tenant.
    pub api_is_loopback: bool,
}

/// How an app proves who it is. `Debug` never shows the secret.
#[derive(Debug, Clone)]
pub struct Credential {
    pub client_id: String,
    pub secret: Secret,
}

/// Which of Microsoft's interfaces is asked for something that two of them have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// That of Defender for Endpoint, where devices and machine actions are as well.
    Defender,
    /// Microsoft Graph.
    Graph,
}

impl Api {
    fn from_var(vars: &Vars, name: &str, default: Api, problems: &mut Problems) -> Option<Api> {
        match vars.get(name) {
            None => Some(default),
            Some("defender") => Some(Api::Defender),
            Some("graph") => Some(Api::Graph),
            Some(other) => {
                let other = model::one_line(other, 40);
                problems.add(format!("{name}: `{other}` is neither `defender` nor `graph`"));
                None
            }
        }
    }
}

/// Everything that is needed to talk to one tenant.
#[derive(Debug, Clone)]
pub struct Connection {
    pub tenant: TenantId,
    pub endpoints: Endpoints,
    /// Where alerts are read. `DEFENDER_ALERTS_API`; default: Defender's.
    pub alerts_api: Api,
    /// Where hunting queries are run. `DEFENDER_HUNTING_API`; default: Graph's. Microsoft ends Defender's on 2027-02-01.
    pub hunting_api: Api,
    /// The app that reads.
    pub reader: Credential,
    /// The app that acts, where it is another one.
    pub actor: Option<Credential>,
}

impl Connection {
    /// Reads `DEFENDER_…`. What is missing or malformed is added to `problems`, all of it. `store`: where a
    /// `DEFENDER_SECRET_ID` is looked up; a host without one takes no such setting.
    pub fn from_vars(
        vars: &Vars,
        store: Option<&Arc<dyn SecretStore>>,
        problems: &mut Problems,
    ) -> Option<Connection> {
        let tenant = tenant(vars, problems);
        let client_id = required(vars, "DEFENDER_CLIENT_ID", problems).map(str::to_owned);
        let secret = secret(vars, store, "DEFENDER_", true, problems);
        let actor_id = vars.get("DEFENDER_ACTOR_CLIENT_ID").map(str::to_owned);
        let actor_secret = secret_of_actor(vars, store, actor_id.is_some(), problems);
        let endpoints = Endpoints::from_vars(vars, problems);
        let alerts_api = Api::from_var(vars, "DEFENDER_ALERTS_API", Api::Defender, problems);
        let hunting_api = Api::from_var(vars, "DEFENDER_HUNTING_API", Api::Graph, problems);

        let actor = actor_id.zip(actor_secret).map(|(client_id, secret)| Credential { client_id, secret });
        let reader = Credential { client_id: client_id?, secret: secret? };
        Some(Connection {
            tenant: tenant?,
            endpoints: endpoints?,
            alerts_api: alerts_api?,
            hunting_api: hunting_api?,
            reader,
            actor,
        })
    }

    /// The app that acts: its own, or else the one that reads.
    pub fn acting(&self) -> &Credential {
        self.actor.as_ref().unwrap_or(&self.reader)
    }
}

/// Reads `DEFENDER_TENANT_ID`.
pub fn tenant(vars: &Vars, problems: &mut Problems) -> Option<TenantId> {
    match required(vars, "DEFENDER_TENANT_ID", problems)?.parse() {
        Ok(tenant) => Some(tenant),
        Err(error) => {
            problems.add(format!("DEFENDER_TENANT_ID: {error}"));
            None
        }
    }
}

fn required<'v>(vars: &'v Vars, name: &str, problems: &mut Problems) -> Option<&'v str> {
    let value = vars.get(name);
    if value.is_none() {
        problems.add(format!("{name} is not set"));
    }
    value
}

fn secret_of_actor(
    vars: &Vars,
    store: Option<&Arc<dyn SecretStore>>,
    has_client_id: bool,
    problems: &mut Problems,
) -> Option<Secret> {
    let secret = secret(vars, store, "DEFENDER_ACTOR_", has_client_id, problems);
    if secret.is_some() && !has_client_id {
        problems.add("DEFENDER_ACTOR_CLIENT_ID is not set, though its credential is");
    }
    secret
}

/// The one credential under this prefix. Exactly one kind may be set; kinds that are not built yet say so.
fn secret(
    vars: &Vars,
    store: Option<&Arc<dyn SecretStore>>,
    prefix: &str,
    needed: bool,
    problems: &mut Problems,
) -> Option<Secret> {
    let kinds =
        ["CLIENT_SECRET", "SECRET_ID", "CERTIFICATE", "FEDERATION"].map(|kind| format!("{prefix}{kind}"));
    let [client_secret, secret_id, not_built @ ..] = &kinds;
    let set: Vec<&str> = kinds.iter().map(String::as_str).filter(|name| vars.get(name).is_some()).collect();
    if set.len() > 1 {
        problems.add(format!("{}: set exactly one of them", set.join(", ")));
        return None;
    }
    let usable = if store.is_some() { secret_id } else { client_secret };
    if let Some(name) = not_built.iter().find(|name| vars.get(name).is_some()) {
        problems.add(format!("{name}: this kind of credential is not built yet; use {usable}"));
        return None;
    }
    if store.is_some() && vars.get(client_secret).is_some() {
        problems
            .add(format!("{client_secret}: here secrets are kept in Secrets Manager only; use {secret_id}"));
        return None;
    }
    if let Some(id) = vars.get(secret_id) {
        if store.is_none() {
            problems
                .add(format!("{secret_id}: only the AWS host reads Secrets Manager; use {client_secret}"));
        }
        return store.map(|store| Secret::kept(store.clone(), id, CLIENT_SECRET));
    }
    let secret = vars.secret(client_secret).map(Secret::given);
    if secret.is_none() && needed {
        problems.add(format!("{usable} is not set (the client secret of the app registration)"));
    }
    secret
}

impl Endpoints {
    /// Reads `DEFENDER_CLOUD` and the URLs that override it.
    pub fn from_vars(vars: &Vars, problems: &mut Problems) -> Option<Endpoints> {
        endpoints(vars, problems)
    }
}

fn endpoints(vars: &Vars, problems: &mut Problems) -> Option<Endpoints> {
    let word = vars.get("DEFENDER_CLOUD").unwrap_or("commercial");
    let cloud = Cloud::from_word(word);
    if cloud.is_none() {
        problems.add(format!(
            "DEFENDER_CLOUD: `{}` is none of `commercial`, `gcc`, `gcc-high`, `dod`",
            model::one_line(word, 40)
        ));
    }
    let cloud_or_default = cloud.unwrap_or(Cloud::Commercial);
    let mut url = |name: &str, default: &str| match checked_url(vars.get(name).unwrap_or(default)) {
        Ok(url) => Some(url),
        Err(why) => {
            problems.add(format!("{name}: {why}"));
            None
        }
    };
    let api = url("DEFENDER_API_URL", cloud_or_default.api());
    let login = url("DEFENDER_LOGIN_URL", cloud_or_default.login());
    let graph = url("GRAPH_API_URL", cloud_or_default.graph());
    let audience = vars.get("DEFENDER_AUDIENCE").unwrap_or(cloud_or_default.audience());
    let cloud = cloud?;
    let api = api?;
    Some(Endpoints {
        api_is_loopback: is_loopback(&api),
        api,
        login: login?,
        audience: audience.trim_end_matches('/').to_owned(),
        portal: cloud.portal().to_owned(),
        graph: graph?,
        graph_audience: cloud.graph().to_owned(),
    })
}

/// A URL that may carry secrets: `https`, or `http` to this machine itself. Returned without a trailing slash.
pub fn checked_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or password in it is refused".to_owned());
    }
    match url.scheme() {
        "https" => {}
        "http" if has_loopback_host(&url) => {}
        "http" => {
            return Err("`http://` is accepted for this machine only (127.0.0.1, ::1, localhost)".to_owned());
        }
        other => return Err(format!("`{}:` is not `https:`", model::one_line(other, 20))),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment has no place here".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a URL is of this machine itself.
pub fn is_loopback(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| has_loopback_host(&url))
}

fn has_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Connection, Vec<String>> {
        let vars: Vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut problems = Problems::default();
        let connection = Connection::from_vars(&vars, None, &mut problems);
        if problems.is_empty() {
            Ok(connection.unwrap())
        } else {
            Err(problems.iter().map(str::to_owned).collect())
        }
    }

    const GOOD: [(&str, &str); 3] = [
        ("DEFENDER_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
        ("DEFENDER_CLIENT_ID", "app"),
        ("DEFENDER_CLIENT_SECRET", "hunter2"),
    ];

    fn with(more: &[(&'static str, &'static str)]) -> Result<Connection, Vec<String>> {
        let mut vars = GOOD.to_vec();
        vars.extend_from_slice(more);
        read(&vars)
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let problems =
            read(&[("DEFENDER_CLOUD", "moon"), ("DEFENDER_API_URL", "http://example.com")]).unwrap_err();
        for name in ["TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "CLOUD", "API_URL"] {
            assert!(
                problems.iter().any(|p| p.starts_with(&format!("DEFENDER_{name}"))),
                "{name} in {problems:?}"
            );
        }
    }

    #[test]
    fn each_cloud_changes_login_audience_api_portal_and_graph_together() {
        let cases = [
            (
                "commercial",
                "api.security.microsoft.com",
                "login.microsoftonline.com",
                "https://api.securitycenter.microsoft.com",
                "security.microsoft.com",
                "graph.microsoft.com",
            ),
            (
                "gcc",
                "api-gcc.securitycenter.microsoft.us",
                "login.microsoftonline.com",
                "https://api-gcc.securitycenter.microsoft.us",
                "security.microsoft.com",
                "graph.microsoft.com",
            ),
            (
                "gcc-high",
                "api-gov.securitycenter.microsoft.us",
                "login.microsoftonline.us",
                "https://api-gov.securitycenter.microsoft.us",
                "security.microsoft.us",
                "graph.microsoft.us",
            ),
            (
                "dod",
                "api-gov.securitycenter.microsoft.us",
                "login.microsoftonline.us",
                "https://api-gov.securitycenter.microsoft.us",
                "security.apps.mil",
                "dod-graph.microsoft.us",
            ),
        ];
        for (cloud, api, login, audience, portal, graph) in cases {
            let endpoints = with(&[("DEFENDER_CLOUD", cloud)]).unwrap().endpoints;
            assert_eq!(endpoints.api, format!("https://{api}"));
            assert_eq!(endpoints.login, format!("https://{login}"));
            assert_eq!(endpoints.audience, audience);
            assert_eq!(endpoints.portal, format!("https://{portal}"));
            assert_eq!(endpoints.graph, format!("https://{graph}"));
            assert_eq!(endpoints.graph_audience, endpoints.graph);
            assert!(!endpoints.api_is_loopback);
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in [
            "http://127.0.0.1:8765",
            "http://localhost:1/",
            "http://[::1]:9",
            "https://eu.api.security.microsoft.com",
        ] {
            assert!(checked_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "https://u:p@example.com",
            "x",
        ] {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_credential_that_is_not_built_yet_says_so() {
        let [tenant, client, _] = GOOD;
        let problems = read(&[tenant, client, ("DEFENDER_FEDERATION", "aws")]).unwrap_err();
        assert!(problems[0].contains("not built yet"), "{problems:?}");
        let problems = with(&[("DEFENDER_SECRET_ID", "x")]).unwrap_err();
        assert!(problems[0].contains("exactly one"), "{problems:?}");
        let problems = read(&[tenant, client, ("DEFENDER_SECRET_ID", "x")]).unwrap_err();
        assert!(problems[0].contains("AWS host"), "{problems:?}");
    }

    #[test]
    fn the_acting_app_is_its_own_or_the_reading_one() {
        assert_eq!(with(&[]).unwrap().acting().client_id, "app");
        let both =
            with(&[("DEFENDER_ACTOR_CLIENT_ID", "actor"), ("DEFENDER_ACTOR_CLIENT_SECRET", "s")]).unwrap();
        assert_eq!(both.acting().client_id, "actor");
        assert!(with(&[("DEFENDER_ACTOR_CLIENT_ID", "actor")]).is_err());
        assert!(with(&[("DEFENDER_ACTOR_CLIENT_SECRET", "s")]).is_err());
    }

    #[test]
    fn alerts_are_defenders_and_hunting_is_graphs_unless_the_settings_say_otherwise() {
        let apis = |more: &[(&'static str, &'static str)]| {
            let connection = with(more).unwrap();
            (connection.alerts_api, connection.hunting_api)
        };
        assert_eq!(apis(&[]), (Api::Defender, Api::Graph));
        let other_way = [("DEFENDER_ALERTS_API", "graph"), ("DEFENDER_HUNTING_API", "defender")];
        assert_eq!(apis(&other_way), (Api::Graph, Api::Defender));
        for name in ["DEFENDER_ALERTS_API", "DEFENDER_HUNTING_API"] {
            for wrong in ["Graph", "both", "https://graph.microsoft.com"] {
                let problems = with(&[(name, wrong)]).unwrap_err();
                assert_eq!(problems, [format!("{name}: `{wrong}` is neither `defender` nor `graph`")]);
            }
        }
    }

    #[test]
    fn another_address_of_graph_leaves_the_tokens_audience_alone() {
        let endpoints = with(&[("GRAPH_API_URL", "http://127.0.0.1:8765/")]).unwrap().endpoints;
        assert_eq!(endpoints.graph, "http://127.0.0.1:8765");
        assert_eq!(endpoints.graph_audience, "https://graph.microsoft.com");
        let problems = with(&[("GRAPH_API_URL", "http://graph.example")]).unwrap_err();
        assert!(problems[0].starts_with("GRAPH_API_URL: `http://`"), "{problems:?}");
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        assert!(!format!("{:?}", with(&[]).unwrap()).contains("hunter2"));
    }
}
