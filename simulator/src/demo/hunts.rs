//! What the demonstration's devices did, as the hunts that ship see it: one table for each hunt of `playbook/hunts`.
//!
//! Rows as the queries would give them, not the events that KQL would make them of. Invented like the rest.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::entities::Machine;
use crate::hunting::Table;

/// The columns of a hunt for processes.
const PROCESS: &[(&str, &str)] = &[
    ("Timestamp", "DateTime"),
    ("DeviceId", "String"),
    ("DeviceName", "String"),
    ("ReportId", "Int64"),
    ("FileName", "String"),
    ("FolderPath", "String"),
    ("SHA1", "String"),
    ("SHA256", "String"),
    ("ProcessId", "Int64"),
    ("ProcessCommandLine", "String"),
    ("InitiatingProcessFileName", "String"),
    ("AccountName", "String"),
    ("AccountDomain", "String"),
];

const MAKER: &[(&str, &str)] = &[("ProcessVersionInfoCompanyName", "String")];

const COPY: &[(&str, &str)] = &[
    ("Timestamp", "DateTime"),
    ("DeviceId", "String"),
    ("DeviceName", "String"),
    ("ReportId", "Int64"),
    ("FileName", "String"),
    ("FolderPath", "String"),
    ("InitiatingProcessFileName", "String"),
    ("InitiatingProcessFolderPath", "String"),
    ("InitiatingProcessSHA256", "String"),
    ("InitiatingProcessId", "Int64"),
    ("InitiatingProcessCommandLine", "String"),
    ("InitiatingProcessParentFileName", "String"),
    ("InitiatingProcessAccountName", "String"),
    ("InitiatingProcessAccountDomain", "String"),
];

const LOGON: &[(&str, &str)] = &[
    ("LastLogon", "DateTime"),
    ("Account", "String"),
    ("Lists", "String"),
    ("DeviceName", "String"),
    ("LogonType", "String"),
    ("Logons", "Int64"),
    ("FirstLogon", "DateTime"),
    ("RemoteIP", "String"),
    ("DeviceId", "String"),
];

/// The tables; each is known by words that stand in its hunt's query alone.
pub(super) fn tables(now: Timestamp, machines: &[Machine; 8]) -> Vec<Table> {
    let [finance, dc, _, _, sales, front, hr, field] = machines;
    let ago =
        |minutes: i64| now - SignedDuration::from_mins(minutes) + SignedDuration::from_nanos(470_031_200);
    let remote = Table::new("ProcessVersionInfoCompanyName has_any (Makers)").columns(PROCESS).columns(MAKER);
    let lsass = Table::new("union ByCommand, ByFile").columns(PROCESS);
    let recovery = Table::new("Win32_ShadowCopy").columns(PROCESS);
    let browsers = Table::new("PreviousFileName in~ (Stores)").columns(COPY);
    let logons = Table::new("DeviceLogonEvents").columns(LOGON);
    vec![
        remote
            .row(
                ago(47),
                made_by(
                    "TeamViewer Germany GmbH",
                    process(
                        front,
                        4_101,
                        "reception",
                        "teamviewer.exe",
                        "C:\\Program Files\\TeamViewer",
                        "\"C:\\Program Files\\TeamViewer\\TeamViewer.exe\"",
                        "explorer.exe",
                    ),
                ),
            )
            .row(
                ago(5),
                made_by(
                    "AnyDesk Software GmbH",
                    process(
                        field,
                        4_102,
                        "carlos.ruiz",
                        "anydesk.exe",
                        "C:\\ProgramData",
                        "\"C:\\ProgramData\\AnyDesk.exe\" --install C:\\ProgramData --silent",
                        "powershell.exe",
                    ),
                ),
            ),
        lsass.row(
            ago(7),
            process(
                hr,
                5_201,
                "björn.åkesson",
                "rundll32.exe",
                "C:\\Windows\\System32",
                "rundll32.exe C:\\windows\\System32\\comsvcs.dll, MiniDump 624 C:\\temp\\l.dmp full",
                "cmd.exe",
            ),
        ),
        recovery
            .row(
                ago(10),
                process(
                    finance,
                    6_301,
                    "anna.meyer",
                    "vssadmin.exe",
                    "C:\\Windows\\System32",
                    "vssadmin.exe delete shadows /all /quiet",
                    "invoice_0226.exe",
                ),
            )
            // The service shows some events late.
            .late_row(
                ago(9),
                ago(2),
                process(
                    finance,
                    6_302,
                    "anna.meyer",
                    "bcdedit.exe",
                    "C:\\Windows\\System32",
                    "bcdedit.exe /set {default} recoveryenabled no",
                    "invoice_0226.exe",
                ),
            ),
        browsers.row(
            ago(21),
            json!({
                "DeviceId": sales.id,
                "DeviceName": sales.computer_dns_name,
                "ReportId": 7_401,
                "FileName": "Login Data",
                "FolderPath": "C:\\Users\\田中太郎\\AppData\\Local\\Temp\\Login Data",
                "InitiatingProcessFileName": "update.exe",
                "InitiatingProcessFolderPath": "C:\\Users\\田中太郎\\AppData\\Local\\Temp\\update.exe",
                "InitiatingProcessSHA256": super::digest("update.exe", 64),
                "InitiatingProcessId": 3_276,
                "InitiatingProcessCommandLine": "update.exe /s",
                "InitiatingProcessParentFileName": "powershell.exe",
                "InitiatingProcessAccountName": "田中太郎",
                "InitiatingProcessAccountDomain": "contoso",
            }),
        ),
        logons.row(
            ago(200),
            json!({
                "LastLogon": format!("{:.7}", ago(200)),
                "Account": "contoso\\svc-sync",
                "Lists": "tier-0",
                "DeviceName": dc.computer_dns_name,
                "LogonType": "RemoteInteractive",
                "Logons": 3,
                "FirstLogon": format!("{:.7}", ago(260)),
                "RemoteIP": "10.2.11.14",
                "DeviceId": dc.id,
            }),
        ),
    ]
}

fn process(
    machine: &Machine,
    report_id: i64,
    user: &str,
    file_name: &str,
    folder: &str,
    command_line: &str,
    parent: &str,
) -> Value {
    json!({
        "DeviceId": machine.id,
        "DeviceName": machine.computer_dns_name,
        "ReportId": report_id,
        "FileName": file_name,
        "FolderPath": format!("{folder}\\{file_name}"),
        "SHA1": super::digest(file_name, 40),
        "SHA256": super::digest(file_name, 64),
        "ProcessId": 3_276,
        "ProcessCommandLine": command_line,
        "InitiatingProcessFileName": parent,
        "AccountName": user,
        "AccountDomain": "contoso",
    })
}

fn made_by(company: &str, mut row: Value) -> Value {
    if let Some(values) = row.as_object_mut() {
        values.insert("ProcessVersionInfoCompanyName".to_owned(), company.into());
    }
    row
}
