//! How long reading a playbook and one decision take, each as the median of many, beside a playbook without a policy:
//! what is left there is putting the case into Cedar's terms. Run by `scripts/bench-policy`.
//!
//! It prints times; what they are compared with stands in the same run.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use jiff::Timestamp;
use model::{Alert, DeviceFact, FirstSeen, Mode};
use policy::{Case, Playbook, Surroundings, Texts};
use std::{error::Error, hint::black_box, path::Path, time::Instant};

/// How often each is measured.
const RUNS: usize = 2_001;

const ALERT: &str = r#"{
    "id": "da637472900382838869_1364969609", "title": "Ransomware behaviour", "severity": "High", "status": "New",
    "detection_source": "WindowsDefenderAtp", "category": "Ransomware", "created": "2026-11-20T09:59:00Z",
    "last_event": "2026-11-20T09:58:00Z", "device": {"id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07"},
    "techniques": ["T1486"], "user": {"name": "ada", "domain": "contoso"},
    "evidence": [{"kind": "File", "file_name": "evil.exe", "sha1": "0a0b0c0d"}, {"kind": "Ip", "ip_address": "203.0.113.7"}]
}"#;
const DEVICE: &str = r#"{
    "id": "1e5bc9d7e413ddd7902c2932e418702b84d0cc07", "name": "pc1.contoso.com", "os_platform": "Windows11",
    "tags": ["finance"], "group": "Clients", "onboarding": "Onboarded", "health": "Active"
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "playbook".to_owned());
    let folder = Path::new(&folder);
    let alert: Alert = serde_json::from_str(ALERT)?;
    let device = DeviceFact::Known(serde_json::from_str(DEVICE)?);
    let now: Timestamp = "2026-11-20T10:00:00Z".parse()?;
    let case = Case {
        alert: &alert,
        device: &device,
        first_seen: FirstSeen { at: now, mode: Mode::Enforce },
        environment_mode: Some(Mode::Enforce),
        surroundings: Surroundings::default(),
        now,
    };

    let first = Instant::now();
    let shipped = Playbook::read(folder)?;
    let first = first.elapsed().as_secs_f64() * 1e6;
    let bare = Playbook::parse(&Texts::default())?;
    let decided = median(|| shipped.decide(black_box(&case)).tell);
    let put = median(|| bare.decide(black_box(&case)).tell);
    let read = median(|| Playbook::read(black_box(folder)).is_ok());
    let answer = shipped.decide(&case).answer.as_str();
    let (policies, guarantees) = (shipped.policies().len(), shipped.guarantees().len());
    let lines = [
        format!("a decision ({answer}; {policies} policies, {guarantees} guarantees)  {decided:>9.1} µs"),
        format!("of that, the case in Cedar's terms                  {put:>9.1} µs"),
        format!("reading the playbook, the first time                {first:>9.1} µs"),
        format!("reading the playbook, again                         {read:>9.1} µs"),
    ];
    print(&lines)
}

/// The median time in microseconds.
fn median(mut run: impl FnMut() -> bool) -> f64 {
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(RUNS / 2).copied().unwrap_or_default()
}

fn print(lines: &[String]) -> Result<(), Box<dyn Error>> {
    use std::io::Write;
    let mut out = std::io::stdout();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
