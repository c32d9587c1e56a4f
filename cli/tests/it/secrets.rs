//! Secrets stay where they belong: planted in every setting that can hold one, they are looked for in everything
//! that any command prints, logs or writes, as they are and encoded.

use crate::site::{ALERT, DEVICE, Ended, Site, ago, hunt_file, remote_tools, wait_until, workstation};
use base64::{Engine, engine::general_purpose::STANDARD};
use mail_parser::{MessageParser, MimeHeaders};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use simulator::{Alert, DEFAULT_CLIENT, DEFAULT_ROLES, Evidence, World};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// With signs that an encoding changes, so that an encoded leak is another text.
const CLIENT: &str = "planted~Client+secret/one=&Zq81";
const ACTOR: &str = "planted~Actor+secret/two=&Zq82";
const MAIL: &str = "planted~Mail+password/three=Zq83";
const TOKEN: &str = "planted-Token.four.Zq84";
const COMMAND_LINE: &str = "planted~CommandLine5Zq85";
const ALL: [&str; 5] = [CLIENT, ACTOR, MAIL, TOKEN, COMMAND_LINE];

/// Every simulated token is a JWT, and begins like this.
const JWT: &str = "eyJ";

/// The secret as it is, as in a form or a URL, and as it shows up within base64 wherever it begins.
fn forms(secret: &str) -> Vec<String> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let mut all = vec![
        secret.to_owned(),
        percent.to_ascii_lowercase(),
        percent.replace("%7E", "~").replace("%2D", "-").replace("%2E", "."),
        url_form(secret),
        percent,
    ];
    for before in 0..3 {
        let encoded = STANDARD.encode(format!("{}{secret}", " ".repeat(before)));
        // The first and the last characters also hold what stands beside the secret.
        let own = &encoded[if before == 0 { 0 } else { 4 }..encoded.len() - 4];
        all.push(own.to_owned());
        all.push(own.replace('+', "-").replace('/', "_"));
    }
    all
}

/// As `application/x-www-form-urlencoded` has it.
fn url_form(secret: &str) -> String {
    secret.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                text.push(char::from(byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

#[track_caller]
fn assert_free_of(secrets: &[&str], what: &str, bytes: &[u8]) {
    for secret in secrets {
        for form in forms(secret) {
            let found = bytes.windows(form.len()).position(|window| window == form.as_bytes());
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(120)..bytes.len().min(at + form.len() + 40)];
                panic!("{what} holds `{secret}` as `{form}`: …{}…", String::from_utf8_lossy(around));
            }
        }
    }
}

#[track_caller]
fn assert_silent(what: &str, ended: &Ended) {
    for (stream, text) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        let what = format!("{stream} of `{what}`");
        assert_free_of(&ALL, &what, text.as_bytes());
        assert!(!text.contains(JWT), "a token in {what}: {text}");
    }
}

/// Everything that lies in the site's folder: no secret of a setting anywhere. The state may hold an alert's
/// command line, which is evidence; nothing else may.
#[track_caller]
fn assert_files_are_silent(site: &Site) -> usize {
    let settings = [CLIENT, ACTOR, MAIL, TOKEN];
    let mut seen = 0;
    let mut folders = vec![site.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            seen += 1;
            let bytes = fs::read(&path).unwrap();
            let what = path.display().to_string();
            assert_free_of(&settings, &what, &bytes);
            assert!(
                !bytes.windows(JWT.len() * 5).any(|window| window.starts_with(b"eyJ0eX")),
                "a token in {what}"
            );
            if !path.file_name().unwrap().to_string_lossy().starts_with("cordon.db") {
                assert_free_of(&ALL, &what, &bytes);
            }
            if path.extension().is_some_and(|kind| kind == "eml") {
                assert_free_of(&ALL, &what, &readable(&bytes));
            }
        }
    }
    seen
}

/// The mail as its reader has it: headers and every part, decoded.
fn readable(mail: &[u8]) -> Vec<u8> {
    let mail = MessageParser::default().parse(mail).unwrap();
    let mut text = format!("{:?}\n", mail.headers()).into_bytes();
    for part in &mail.parts {
        text.extend_from_slice(part.contents());
        text.extend_from_slice(part.attachment_name().unwrap_or_default().as_bytes());
    }
    assert!(text.len() > 500, "the mail was read");
    text
}

/// An alert whose evidence holds a password, in several of the ways in which people pass one.
fn world() -> World {
    let pc = workstation(DEVICE);
    let lines = [
        format!("tool.exe --password {COMMAND_LINE} --all"),
        format!("net use Z: \\\\srv\\share {COMMAND_LINE} /user:bob"),
        format!("sqlcmd -S db -U sa -P {COMMAND_LINE}"),
        format!("curl https://bob:{COMMAND_LINE}@files.example/x"),
        format!("cmd /c \"set PASSWORD={COMMAND_LINE}\""),
    ];
    let evidence = lines.iter().map(|line| Evidence::process(ago(3), "C:\\Temp", "tool.exe", line)).collect();
    let alert = Alert::new(ALERT, "", ago(3)).on(&pc).evidence(evidence);
    World::new(crate::site::now())
        .app(DEFAULT_CLIENT, CLIENT, DEFAULT_ROLES)
        .app("actor", ACTOR, &["Machine.Isolate"])
        .alert(alert)
        .machine(pc)
}

/// Enforcing with two apps, logging everything, with a folder and a mail server that refuses the login.
fn planted(world: World, mail_port: u16) -> Site {
    let mut site = Site::new(world)
        .enforcing()
        .with("DEFENDER_CLIENT_SECRET", CLIENT)
        .with("DEFENDER_ACTOR_CLIENT_ID", "actor")
        .with("DEFENDER_ACTOR_CLIENT_SECRET", ACTOR)
        .with("MAIL_PASSWORD", MAIL)
        .with("RUST_LOG", "trace");
    let playbook = format!(
        "[[channels]]\nname = \"folder\"\nkind = \"folder\"\npath = \"cordon-mail\"\n\
         [[channels]]\nname = \"team\"\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {mail_port}\nsecurity = \"plain\"\n\
         username = \"cordon\"\npassword_env = \"MAIL_PASSWORD\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n"
    );
    site.write_playbook("playbook.toml", &playbook);
    site
}

const EVERY_COMMAND: [&[&str]; 7] = [
    &["run", "--once"],
    &["run", "--once", "--json"],
    &["check"],
    &["check", "--json"],
    &["explain", ALERT],
    &["explain", ALERT, "--json"],
    &["demo"],
];

/// Runs every command and looks at everything. The commands' exit codes.
#[track_caller]
fn every_command_is_silent(site: &Site) -> Vec<i32> {
    let mut codes = Vec::new();
    for arguments in EVERY_COMMAND {
        let ended = site.cordon(arguments);
        assert_silent(&arguments.join(" "), &ended);
        codes.push(ended.code);
    }
    assert_files_are_silent(site);
    codes
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    for leak in [
        format!("client_secret={CLIENT}"),
        format!("client_secret={}", url_form(CLIENT)),
        STANDARD.encode(format!("\0cordon\0{CLIENT}")),
        STANDARD.encode(format!("user:{CLIENT}\n")),
        STANDARD.encode(CLIENT),
        utf8_percent_encode(CLIENT, NON_ALPHANUMERIC).to_string(),
    ] {
        let found = std::panic::catch_unwind(|| assert_free_of(&[CLIENT], "the test", leak.as_bytes()));
        assert!(found.is_err(), "{leak}");
    }
    assert_free_of(&ALL, "the test", b"planted");
}

#[test]
fn no_command_shows_a_secret_when_all_goes_well() {
    let (mail_port, logins) = echoing_mail_server();
    let site = planted(world(), mail_port);
    let life =
        |site: &Site| site.cordon(&["explain", ALERT, "--json"]).json()["cases"][0]["last"]["alert"].clone();
    assert_eq!(every_command_is_silent(&site), [1, 1, 0, 0, 0, 0, 0], "1: the mail server refused the login");
    assert_eq!(site.effects(), ["POST isolate"], "the secrets are good ones");
    assert!(logins.load(Ordering::Relaxed) > 0, "the mail server was given the password");
    assert_eq!(site.mails("cordon-mail").len(), 2);
    let masked =
        site.mails("cordon-mail").iter().any(|mail| String::from_utf8_lossy(&readable(mail)).contains("***"));
    assert!(masked, "the command lines are in the mail, with their passwords masked");
    assert_eq!(
        life(&site)["evidence"].as_array().unwrap().len(),
        5,
        "the evidence is there, but for its command lines"
    );
}

#[test]
fn no_order_and_no_look_at_the_state_shows_a_secret() {
    let (mail_port, _) = echoing_mail_server();
    // A record without an id, which is set aside as it came.
    let record = serde_json::json!({
        "severity": "High", "lastUpdateTime": ago(2), "evidence": [{"processCommandLine": COMMAND_LINE}]
    });
    let site = planted(world().raw_alert(record), mail_port);
    site.cordon(&["run", "--once"]).complains(1, &["`cordon dead-letters`"]);
    for command in [
        &["status"][..],
        &["isolated"],
        &["held"],
        &["limits"],
        &["dead-letters"],
        &["dead-letters", "show", "1"],
        &["pause", "--comment", "drill"],
        &["release", DEVICE, "--comment", "drill"],
        &["isolate", DEVICE, "--comment", "drill"],
        &["resume", "--comment", "drill"],
        &["held", "run", "--all", "--comment", "drill"],
        &["held", "drop", "--all", "--comment", "drill"],
        &["limits", "raise", "--to", "50", "--for", "1h", "--comment", "drill"],
        &["dead-letters", "redrive", "--all"],
    ] {
        for arguments in [command, &[command, &["--json"]].concat()] {
            let ended = site.cordon(arguments);
            assert!([0, 1].contains(&ended.code), "{ended:?}");
            assert_silent(&arguments.join(" "), &ended);
        }
    }
    assert_eq!(site.effects()[..2], ["POST isolate", "POST unisolate"], "the secrets are good ones");
    assert_files_are_silent(&site);
    // The same where a secret is refused, and where nothing answers.
    let refused = planted(world().app("actor", "another", DEFAULT_ROLES), mail_port);
    refused.cordon(&["run", "--once"]);
    for command in [&["status"][..], &["release", DEVICE, "--comment", "drill", "--wait", "1s"]] {
        let ended = refused.cordon(command);
        assert!([0, 1].contains(&ended.code), "{ended:?}");
        assert_silent(&command.join(" "), &ended);
    }
}

/// Runs the hunting commands and looks at everything. Their exit codes.
#[track_caller]
fn hunting_is_silent(site: &mut Site) -> Vec<i32> {
    site.write_playbook("hunts/remote-tools.toml", &hunt_file(""));
    let mut codes = Vec::new();
    for arguments in [
        &["hunt", "remote-tools"][..],
        &["hunt", "remote-tools", "--json"],
        &["hunt", "remote-tools", "--format", "csv"],
        &["run", "--once"],
        &["hunts"],
        &["hunts", "--json"],
        &["check"],
        &["status"],
    ] {
        let ended = site.cordon(arguments);
        assert_silent(&arguments.join(" "), &ended);
        codes.push(ended.code);
    }
    assert_files_are_silent(site);
    codes
}

#[test]
fn hunting_shows_no_secret_whether_all_goes_well_or_a_secret_is_refused() {
    let (mail_port, _) = echoing_mail_server();
    let row = serde_json::json!({
        "DeviceId": DEVICE, "DeviceName": "pc1.contoso.com", "ReportId": 1, "FileName": "remoting.exe"
    });
    let world = world().table(remote_tools().row(ago(5), row));
    for api in ["graph", "defender"] {
        let mut good = planted(world.clone(), mail_port).with("DEFENDER_HUNTING_API", api);
        let codes = hunting_is_silent(&mut good);
        assert_eq!(codes[..3], [0; 3], "the secrets are good ones");
        assert_eq!(codes[4..6], [0; 2], "the hunt has come to its end");
        let refused = world.clone().app(DEFAULT_CLIENT, "another", DEFAULT_ROLES);
        let mut refused = planted(refused, mail_port).with("DEFENDER_HUNTING_API", api);
        assert_eq!(hunting_is_silent(&mut refused)[..4], [2; 4]);
    }
}

#[test]
fn a_hunting_service_that_says_back_what_it_was_sent_is_not_quoted() {
    let granted =
        serde_json::json!({"token_type": "Bearer", "expires_in": 3_599, "access_token": TOKEN}).to_string();
    for form in ECHOES {
        for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "429 Too Many Requests"] {
            let granted = granted.clone();
            let url = http_server(move |request| match request.contains("/oauth2/") {
                true => answer("200 OK", "application/json", &granted),
                false => form(request, status),
            });
            let mut site = planted(world(), 1).with("DEFENDER_LOGIN_URL", &url).with("GRAPH_API_URL", &url);
            site.write_playbook("hunts/remote-tools.toml", &hunt_file(""));
            let ended = site.cordon(&["hunt", "remote-tools"]);
            assert!([0, 1, 2].contains(&ended.code), "{ended:?}");
            assert_silent("hunt", &ended);
            assert_files_are_silent(&site);
        }
    }
}

#[test]
fn no_command_shows_a_secret_that_is_refused() {
    let (mail_port, _) = echoing_mail_server();
    let refused =
        world().app(DEFAULT_CLIENT, "another", DEFAULT_ROLES).app("actor", "another", DEFAULT_ROLES);
    assert_eq!(every_command_is_silent(&planted(refused, mail_port)), [2, 2, 2, 2, 1, 1, 0]);
    let refused = world().app("actor", "another", DEFAULT_ROLES);
    assert_eq!(every_command_is_silent(&planted(refused, mail_port)), [1, 1, 2, 2, 0, 0, 0]);
}

#[test]
fn no_command_shows_a_secret_when_the_settings_are_wrong() {
    let mut site = planted(world(), 1);
    for (name, value) in [
        ("DEFENDER_TENANT_ID", "contoso".to_owned()),
        ("DEFENDER_API_URL", format!("https://user:{TOKEN}@example.com")),
        ("DEFENDER_LOGIN_URL", format!("https://{TOKEN}@example.com/{TOKEN}")),
        ("DEFENDER_CERTIFICATE", "app.pem".to_owned()),
        ("CORDON_LOOKBACK", "soon".to_owned()),
    ] {
        site.set(name, &value);
        assert_eq!(every_command_is_silent(&site)[..4], [2; 4], "{name}");
    }
}

#[test]
fn a_settings_file_is_not_quoted() {
    let elsewhere = tempfile::TempDir::new().unwrap();
    let file = elsewhere.path().join("settings.env");
    let path = file.to_str().unwrap();
    let mut site = planted(world(), 1);
    site.unset("DEFENDER_CLIENT_SECRET");
    for (text, code) in [
        (format!("DEFENDER_CLIENT_SECRET='{CLIENT}'\n"), 0),
        (format!("DEFENDER_CLIENT_SECRET: {CLIENT}\n"), 2),
        (format!("{CLIENT}\n"), 2),
        (format!("A=1\n\"{TOKEN}\"\n"), 2),
    ] {
        fs::write(&file, text).unwrap();
        let ended = site.cordon(&["--env-file", path, "check"]);
        assert_eq!(ended.code, code, "{ended:?}");
        assert_silent("--env-file … check", &ended);
    }
    assert_files_are_silent(&site);
}

#[test]
fn a_sign_in_service_that_says_back_what_it_was_sent_is_not_quoted() {
    for form in ECHOES {
        let url = http_server(move |request| form(request, "400 Bad Request"));
        let site = planted(world(), 1).with("DEFENDER_LOGIN_URL", &url);
        for arguments in [&["check"][..], &["check", "--json"]] {
            let ended = site.cordon(arguments);
            assert!([1, 2].contains(&ended.code), "{ended:?}");
            assert_silent("check", &ended);
        }
        assert_files_are_silent(&site);
    }
}

#[test]
fn an_api_that_says_back_what_it_was_sent_is_not_quoted() {
    let granted =
        serde_json::json!({"token_type": "Bearer", "expires_in": 3_599, "access_token": TOKEN}).to_string();
    let [as_sign_in, _, _, as_json, as_page] = ECHOES;
    let site = |form: fn(&str, &str) -> String, status: &'static str| {
        let granted = granted.clone();
        let url = http_server(move |request| match request.starts_with("POST") {
            true => answer("200 OK", "application/json", &granted),
            false => form(request, status),
        });
        planted(world(), 1).with("DEFENDER_LOGIN_URL", &url).with("DEFENDER_API_URL", &url)
    };
    let statuses = ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "500 Internal Server Error"];
    let all = [as_sign_in, as_json, as_page].map(|form| statuses.map(|status| site(form, status)));
    let sites: Vec<&Site> = all.iter().flatten().collect();
    for command in [&["run", "--once"][..], &["check"]] {
        // Some answers are asked for again after a while: all at the same time.
        let runs: Vec<_> = sites.iter().map(|site| site.start(command)).collect();
        for (site, run) in sites.iter().zip(runs) {
            let ended = run.wait();
            assert!([1, 2].contains(&ended.code), "{ended:?}");
            assert_silent(&command.join(" "), &ended);
            assert_files_are_silent(site);
        }
    }
}

/// Ways of saying a request back: as Entra's error, as the API's, with the secret as the error's own name, as text
/// with good JSON's type, and as a page.
const ECHOES: [fn(&str, &str) -> String; 5] = [
    |request, status| {
        let words = serde_json::json!({"error": "invalid_client", "error_description": request, "error_codes": [7_000_215]});
        answer(status, "application/json", &words.to_string())
    },
    |request, status| {
        let words = serde_json::json!({"error": {"code": "Bad", "message": secretive(request), "target": secretive(request)}});
        answer(status, "application/json", &words.to_string())
    },
    |_, status| answer(status, "application/json", &serde_json::json!({"error": CLIENT}).to_string()),
    |request, _| answer("200 OK", "application/json", request),
    |request, status| answer(status, "text/html", &format!("<html><body><pre>{request}</pre></body></html>")),
];

/// The line of a request that holds the secret.
fn secretive(request: &str) -> &str {
    let holds = |line: &&str| line.starts_with("authorization: ") || line.contains("client_secret=");
    request.lines().find(holds).expect("every request holds a secret")
}

#[test]
fn a_mail_server_that_says_back_what_it_was_sent_is_not_quoted() {
    let (mail_port, logins) = echoing_mail_server();
    let site = planted(world(), mail_port);
    let ended = site.cordon(&["run", "--once"]);
    ended.complains(1, &["attempts to tell people failed", "MAIL_PASSWORD"]);
    assert_silent("run --once", &ended);
    assert!(logins.load(Ordering::Relaxed) > 0);
}

#[test]
fn the_process_table_and_the_log_of_a_running_cordon_show_none() {
    let (mail_port, _) = echoing_mail_server();
    let site = planted(world(), mail_port);
    let run = site.start(&["run"]);
    wait_until("both mails", || site.mails("cordon-mail").len() == 2);
    assert!(assert_files_are_silent(&site) > 5, "the state, its log, its lock, the playbook and the mails");
    let shown = Path::new("/proc").join(run.id().to_string()).join("cmdline");
    if let Ok(shown) = fs::read(shown) {
        assert!(shown.ends_with(b"cordon\0run\0"), "{}", String::from_utf8_lossy(&shown));
        assert_free_of(&ALL, "the process table", &shown);
    }
    run.terminate();
    let ended = run.wait();
    assert!(ended.stderr.contains("TRACE") && ended.stderr.contains("DEBUG"), "everything was logged");
    assert_silent("run", &ended);
    assert_files_are_silent(&site);
}

/// Answers every request with what `respond` makes of it: its head and its body, in full.
fn http_server(respond: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let respond = Arc::new(respond);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let respond = Arc::clone(&respond);
            // A client that hangs up is no failure of the test's.
            std::thread::spawn(move || serve(stream, &*respond).ok());
        }
    });
    url
}

fn serve(mut stream: TcpStream, respond: &dyn Fn(&str) -> String) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut request, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            request.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        request.push_str(&String::from_utf8_lossy(&body));
        stream.write_all(respond(&request).as_bytes())?;
    }
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A mail server that refuses every login and says back what it was sent, as it was and decoded. Its port, and how
/// many logins there were.
fn echoing_mail_server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let logins = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&logins);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is no failure of the test's.
            converse(stream, &counted).ok();
        }
    });
    (port, logins)
}

fn converse(mut stream: TcpStream, logins: &AtomicUsize) -> std::io::Result<()> {
    let reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 here\r\n")?;
    for line in reader.lines() {
        let line = line?;
        let answer = match line.get(..4) {
            Some("EHLO") => "250-here\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
            Some("AUTH") => {
                logins.fetch_add(1, Ordering::Relaxed);
                let sent = line.split(' ').next_back().unwrap_or_default();
                let decoded = STANDARD.decode(sent).unwrap_or_default();
                let decoded = String::from_utf8_lossy(&decoded).replace('\0', " ");
                format!("535-no: {line}\r\n535 no: {decoded}\r\n")
            }
            Some("QUIT") => "221 bye\r\n".to_owned(),
            _ => "250 fine\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}
