//! `cordon run` without `--once`: it polls and acts until it is asked to stop.

use crate::site::{DEVICE, Site, ago, many_high, one_high, wait_until, workstation};
use simulator::{Alert, DEFAULT_CLIENT, DEFAULT_SECRET, Fault, FaultKind, World};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Sender, channel},
    time::Duration,
};

/// Asked to stop, it does within a few seconds, and says that all is well.
#[track_caller]
fn stops(run: crate::site::Running) -> String {
    let asked = crate::site::instant();
    run.terminate();
    let ended = run.wait();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    ended.stderr
}

#[test]
fn it_isolates_tells_and_stops_when_asked_to() {
    let site = Site::new(one_high()).enforcing();
    let run = site.start(&["run"]);
    wait_until("the isolation", || site.simulator.with(|world| world.is_isolated(DEVICE)));
    wait_until("both mails", || site.mails("cordon-mail").len() == 2);
    let log = stops(run);
    assert!(log.contains("polled") && log.contains("announced=1"), "{log}");
    assert!(!log.contains('\u{1b}'), "no colours where there is no terminal");
    assert_eq!(site.effects(), ["POST isolate"]);
    // Nothing is left for the next one.
    let summary = site.cordon(&["run", "--once", "--json"]).json();
    assert_eq!((&summary["found"], &summary["enriched"]), (&0.into(), &0.into()));
    site.assert_well_behaved();
}

#[test]
fn an_alert_that_comes_later_is_found_by_the_next_poll() {
    let mut site = Site::new(World::new(crate::site::now())).enforcing();
    site.write_playbook("playbook.toml", "[poll]\ninterval = \"10s\"\n");
    let run = site.start(&["run"]);
    wait_until("the first poll", || site.simulator.count("GET alerts") == 1);
    let pc = workstation(DEVICE);
    site.simulator.with(|world| {
        world.alerts.push(Alert::new("da1_1", "", ago(0)).on(&pc));
        world.machines.push(pc);
    });
    wait_until("the isolation", || site.simulator.with(|world| world.is_isolated(DEVICE)));
    stops(run);
}

#[test]
fn what_it_has_not_done_when_it_is_stopped_the_next_run_does() {
    let site = Site::new(many_high(200)).enforcing().unlimited();
    let run = site.start(&["run"]);
    wait_until("the first isolation", || site.simulator.count("POST isolate") > 0);
    stops(run);
    assert!(site.simulator.count("POST isolate") < 200, "it was stopped in the middle");
    // What was in hand was finished: nothing is invisible for a while, so the next run needs not come twice.
    let ended = site.cordon(&["run", "--once", "--json"]);
    let summary = ended.json();
    ended.well();
    assert_eq!(summary["dead_letters"], 0);
    assert_eq!(site.simulator.count("POST isolate"), 200, "each device once");
    assert_eq!(site.query("SELECT count(*) FROM items WHERE sort LIKE 'case#%'"), 200);
    site.assert_well_behaved();
}

#[test]
fn an_isolation_that_is_being_asked_for_is_heard_before_it_stops() {
    let slowly = FaultKind::ActsThenSlow { millis: 3_000 };
    let site = Site::new(one_high().fault(Fault::once("POST isolate", slowly))).enforcing();
    let run = site.start(&["run"]);
    wait_until("the request", || site.simulator.count("POST isolate") == 1);
    stops(run);
    let cases = "SELECT count(*) FROM items WHERE sort LIKE 'case#%'";
    assert_eq!(site.query(cases), 1, "what came of it is written down");
    let in_hand = "SELECT count(*) FROM messages WHERE in_flight";
    assert_eq!(site.query(in_hand), 0, "nothing has to be waited for");
    let summary = site.cordon(&["run", "--once", "--json"]).json();
    assert_eq!((&summary["found"], &summary["isolations"]["succeeded"]), (&0.into(), &1.into()), "{summary}");
    assert_eq!(site.effects(), ["POST isolate"]);
    assert_eq!(site.mails("cordon-mail").len(), 2, "asked for, and succeeded");
    site.assert_well_behaved();
}

/// Takes letters, each only after two seconds, and says when one has arrived and when it is taken.
fn take_letters_slowly(listener: &TcpListener, said: &Sender<&'static str>) {
    let answer = |stream: &mut TcpStream, words: &str| stream.write_all(words.as_bytes()).unwrap();
    while let Ok((mut stream, _)) = listener.accept() {
        answer(&mut stream, "220 here\r\n");
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut is_letter = false;
        for line in lines.map_while(Result::ok) {
            match line.get(..4).unwrap_or(&line) {
                "." if is_letter => {
                    said.send("arrived").unwrap();
                    std::thread::sleep(Duration::from_secs(2));
                    said.send("taken").unwrap();
                    is_letter = false;
                    answer(&mut stream, "250 taken\r\n");
                }
                _ if is_letter => {}
                "DATA" => {
                    is_letter = true;
                    answer(&mut stream, "354 go on\r\n");
                }
                "QUIT" => answer(&mut stream, "221 bye\r\n"),
                _ => answer(&mut stream, "250 fine\r\n"),
            }
        }
    }
}

#[test]
fn a_mail_that_is_being_sent_is_sent_before_it_stops_and_not_again_after() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, heard) = channel();
    std::thread::spawn(move || take_letters_slowly(&listener, &said));
    let mut site = Site::new(one_high());
    site.write_playbook(
        "playbook.toml",
        &format!(
            "[[channels]]\nname = \"m\"\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\n\
             security = \"plain\"\nfrom = \"cordon@example.com\"\nto = [\"soc@example.com\"]\n"
        ),
    );
    let run = site.start(&["run"]);
    assert_eq!(heard.recv_timeout(Duration::from_secs(60)).unwrap(), "arrived");
    stops(run);
    assert_eq!(heard.try_recv().unwrap(), "taken", "it has waited for the answer");
    assert_eq!(site.query("SELECT count(*) FROM messages"), 0);
    site.cordon(&["run", "--once"]).well();
    heard.try_recv().unwrap_err();
}

#[test]
fn a_service_that_hangs_does_not_keep_it_from_stopping() {
    let hangs = Fault::once("GET alerts", FaultKind::Slow { millis: 600_000 });
    let site = Site::new(one_high().fault(hangs)).enforcing();
    let run = site.start(&["run"]);
    wait_until("the first poll", || site.simulator.count("GET alerts") == 1);
    let asked = crate::site::instant();
    run.terminate();
    let ended = run.wait();
    // What stops services by force grants half a minute at the least.
    assert!(asked.elapsed() < Duration::from_secs(29), "{:?}", asked.elapsed());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("is given up where it stands"), "{}", ended.stderr);
    let summary = site.cordon(&["run", "--once", "--json"]).json();
    assert_eq!(summary["found"], 1, "{summary}");
    assert_eq!(site.effects(), ["POST isolate"]);
    site.assert_well_behaved();
}

#[test]
fn it_stays_when_the_service_fails_and_goes_on_when_it_is_back() {
    let mut site = Site::new(
        one_high().fault(Fault::once("GET alerts", FaultKind::Throttle { retry_after: Some(300) })),
    );
    site.write_playbook(
        "playbook.toml",
        "[poll]\ninterval = \"10s\"\n[[channels]]\nname = \"m\"\nkind = \"folder\"\npath = \"m\"\n",
    );
    let run = site.start(&["run"]);
    run.wait_for_log("a poll did not finish");
    // The service's own rule is that nobody asks before its time; here it is taken back.
    site.simulator.advance(jiff::SignedDuration::from_secs(300));
    wait_until("a mail", || site.mails("m").len() == 1);
    stops(run);
}

#[test]
fn a_refused_secret_is_said_in_the_log_and_not_hammered() {
    let mut site = Site::new(one_high().app(DEFAULT_CLIENT, "another", &["Alert.Read.All"]));
    site.write_playbook("playbook.toml", "[poll]\ninterval = \"10s\"\n");
    assert_ne!(DEFAULT_SECRET, "another");
    let run = site.start(&["run"]);
    run.wait_for_log("the client secret is wrong");
    let log = stops(run);
    assert!(log.contains("AADSTS7000215"), "{log}");
    assert_eq!(site.simulator.count("POST token"), 1);
}

#[test]
fn an_interrupt_stops_it_as_well() {
    let site = Site::new(one_high());
    let run = site.start(&["run"]);
    wait_until("the mail", || site.mails("cordon-mail").len() == 1);
    let sent =
        std::process::Command::new("/bin/sh").args(["-c", &format!("kill -INT {}", run.id())]).status();
    assert!(sent.unwrap().success());
    assert_eq!(run.wait().code, 0);
}
