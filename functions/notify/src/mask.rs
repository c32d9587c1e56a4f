//! Secrets in command lines, masked before anybody reads them: `/pass:***`, `-p ***`, `Bearer ***`.
//!
//! It goes by the names that secrets usually have and rather masks too much. It cannot know every program's
//! way of taking a password: what reaches people may still hold one.

const MASK: &str = "***";

/// What the name of a secret has in it, without `-`, `_` and `.`.
const IN_NAMES: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "credential",
    "authorization",
    "sharedaccess",
    "signature",
    "ntlm",
    "aes128",
    "aes256",
];

/// Names of secrets that are other words' parts, too.
const WHOLE_NAMES: [&str; 10] =
    ["auth", "cookie", "hash", "hashes", "jwt", "key", "pass", "rc4", "sas", "sig"];

/// Names of secrets only with a `-` or `/` before them.
const FLAGS: [&str; 4] = ["p", "pw", "psw", "rp"];

/// Flags whose value is a program in base64, of whatever length.
const ENCODED: [&str; 4] = ["e", "ec", "enc", "encodedcommand"];

/// How well-known keys and tokens begin.
const BEGINNINGS: [&str; 28] = [
    "AKIA",
    "ASIA",
    "AIza",
    "dop_v1_",
    JWT,
    "ghp_",
    "gho_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "npm_",
    "pypi-",
    "rk_live_",
    "shpat_",
    "sk-",
    "sk_live_",
    "whsec_",
    "xapp-",
    "xoxa-",
    "xoxb-",
    "xoxc-",
    "xoxd-",
    "xoxe-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
];

/// A JSON web token has more parts, behind dots.
const JWT: &str = "eyJ";

/// Addresses that are secrets from here on.
const SECRET_ADDRESSES: [&str; 2] = ["hooks.slack.com/services/", "discord.com/api/webhooks/"];

/// Programs that take a password right after a flag: `-phunter2`.
const ATTACHED: [(&str, &[&str]); 17] = [
    ("mysql", &["-p"]),
    ("mysqldump", &["-p"]),
    ("mysqladmin", &["-p"]),
    ("mariadb", &["-p"]),
    ("sshpass", &["-p"]),
    ("7z", &["-p", "-P"]),
    ("7za", &["-p", "-P"]),
    ("7zg", &["-p", "-P"]),
    ("rar", &["-hp", "-HP", "-p", "-P"]),
    ("unrar", &["-hp", "-HP", "-p", "-P"]),
    ("winrar", &["-hp", "-HP", "-p", "-P"]),
    ("psexec", &["-p", "-P"]),
    ("psexec64", &["-p", "-P"]),
    ("sqlcmd", &["-P"]),
    ("osql", &["-P"]),
    ("isql", &["-P"]),
    ("bcp", &["-P"]),
];

/// Programs that take a user and a password right after a flag: `-ubob:hunter2`, `-Ubob%hunter2`.
const ATTACHED_USER: [(&str, &[&str]); 3] =
    [("curl", &["-u", "-U"]), ("smbclient", &["-U"]), ("rpcclient", &["-U"])];

/// Programs that take a password after a flag of their own.
const OWN_FLAGS: [(&str, &str); 5] = [
    ("redis-cli", "-a"),
    ("ldapsearch", "-w"),
    ("ldapmodify", "-w"),
    ("ldapadd", "-w"),
    ("ldapdelete", "-w"),
];

/// Commands that keep a value under a name, which comes first.
const SETTERS: [&str; 2] = ["set", "setx"];

/// Flags for the name of a value that is kept, and for the value: of `reg add` and of PowerShell's cmdlets.
const NAME_AND_VALUE: [(&str, &str); 2] = [("/v", "/d"), ("-name", "-value")];

/// PowerShell's way to make a secret of words, which it takes after this or from a pipe before it.
const SECURE_STRING: &str = "convertto-securestring";

const PRIVATE_KEY: (&str, &str) = ("-----BEGIN", "-----END");

/// From how many characters on a run of base64 is masked.
const LONG: usize = 40;

/// The text, which is on one line, with its secrets masked.
pub(crate) fn mask(text: &str) -> String {
    mask_within(&mask_private_keys(text), 4)
}

/// A key between its two lines, or what is left of it where the second one was cut off.
fn mask_private_keys(text: &str) -> String {
    let (begins, ends) = PRIVATE_KEY;
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begins) {
        let (inside, next) = after.split_once(ends).unwrap_or((after, ""));
        out.push_str(before);
        if inside.contains("PRIVATE KEY") {
            out.push_str("[masked: a private key]");
            rest = next.split_once("KEY-----").map_or("", |(_, next)| next);
        } else {
            out.push_str(begins);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn mask_within(text: &str, depth: u8) -> String {
    let words = words(text);
    let mut out: Vec<String> = Vec::with_capacity(words.len());
    let mut next = Next::Anything;
    let mut program = Program::Other;
    let mut before = "";
    for word in words {
        if let Some(flag) = flag_of_value(before, word) {
            program = Program::Flag(flag);
            mask_after_flag(&mut out, flag);
        }
        let (masked, after) = match next {
            Next::Anything if word == "=" && is_secret(last_name(before), false) => {
                (word.to_owned(), Next::Secret)
            }
            Next::Secret if is_connective(word) => (word.to_owned(), Next::Secret),
            Next::Secret => (MASK.to_owned(), Next::Anything),
            Next::SecretUnlessFlag if !word.starts_with('-') => (MASK.to_owned(), Next::Anything),
            Next::Encoded => (masked_length(word), Next::Anything),
            Next::UserAndSecret => (mask_after_user(word), Next::Anything),
            // A name alone: `NAME=value` is looked at like everywhere.
            Next::Anything
                if is_setter(before) && !word.contains(['=', ':']) && is_secret(bare(word), false) =>
            {
                (word.to_owned(), Next::Secret)
            }
            Next::Anything | Next::SecretUnlessFlag => mask_word(word, &mut program, depth),
        };
        if matches!(after, Next::SecretUnlessFlag) && before == "|" {
            mask_before_pipe(&mut out);
        }
        out.push(masked);
        next = after;
        before = word;
    }
    mask_keys(&out.join(" "))
}

enum Next {
    Anything,
    Secret,
    /// A flag may come first.
    SecretUnlessFlag,
    /// A program in base64.
    Encoded,
    /// `user:secret` or `user%secret`.
    UserAndSecret,
}

/// What was piped into what comes now.
fn mask_before_pipe(words: &mut [String]) {
    if let [.., piped, _] = words {
        *piped = MASK.to_owned();
    }
}

/// The flag before what is kept under this name, where both say that it is a secret.
fn flag_of_value(before: &str, name: &str) -> Option<&'static str> {
    let flags = NAME_AND_VALUE.iter().find(|(named, _)| before.eq_ignore_ascii_case(named));
    flags.filter(|_| is_secret(bare(name), false)).map(|(_, value)| *value)
}

/// Where the value has come before its name.
fn mask_after_flag(words: &mut [String], flag: &str) {
    let at = words.iter().position(|word| word.eq_ignore_ascii_case(flag));
    if let Some(value) = at.and_then(|at| words.get_mut(at + 1)) {
        *value = MASK.to_owned();
    }
}

fn is_setter(word: &str) -> bool {
    SETTERS.contains(&program_name(bare(word)).as_str())
}

fn bare(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

fn masked_length(word: &str) -> String {
    format!("[masked: {} characters]", word.chars().count())
}

enum Program {
    Other,
    /// The flag before its password.
    Flag(&'static str),
    Attached(&'static [&'static str]),
    AttachedUser(&'static [&'static str]),
    Net,
    /// `net user`, with so many operands seen.
    NetUser(u8),
    /// `net use`, and whether the share was seen.
    NetUse(bool),
}

/// Words as a shell has them: blanks inside quotes separate nothing. A quote without its twin is a character, and so is
/// the first of two before a word, as in `cmd /c ""C:\My program.exe" x"`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        if c == ' ' {
            words.extend(text.get(start..at));
            start = at + 1;
        } else if c == '"' && text.get(at + 1..).is_some_and(begins_word_in_quotes) {
            continue;
        } else if matches!(c, '"' | '\'')
            && let Some(end) = text.get(at + 1..).and_then(|rest| rest.find(c))
        {
            skip_to = at + 1 + end + 1;
        }
    }
    words.extend(text.get(start..));
    words
}

fn begins_word_in_quotes(rest: &str) -> bool {
    rest.strip_prefix('"').and_then(|rest| rest.chars().next()).is_some_and(|c| c.is_alphanumeric())
}

/// What may stand between a secret's name and the secret.
fn is_connective(word: &str) -> bool {
    let word = bare(word);
    matches!(word, "=" | ":" | "")
        || ["bearer", "basic", "negotiate", "digest"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

fn mask_word(word: &str, program: &mut Program, depth: u8) -> (String, Next) {
    let bare = bare(word);
    if let Some(kept) = kept_by_program(bare, program) {
        return (format!("{kept}{MASK}"), Next::Anything);
    }
    if depth > 0
        && let Some((quote, inner)) = quoted(word)
        && inner.contains(' ')
    {
        return (format!("{quote}{}{quote}", mask_within(inner, depth - 1)), Next::Anything);
    }
    if bare.eq_ignore_ascii_case("bearer") {
        return (word.to_owned(), Next::Secret);
    }
    if let Some(at) = bare.to_ascii_lowercase().find(SECURE_STRING) {
        let (made, of) = bare.split_at(at + SECURE_STRING.len());
        if of.is_empty() {
            *program = Program::Flag("-String");
            return (word.to_owned(), Next::SecretUnlessFlag);
        }
        return (format!("{made}{MASK}"), Next::Anything);
    }
    if matches!(program, Program::Flag(flag) if bare.eq_ignore_ascii_case(flag)) {
        return (word.to_owned(), Next::Secret);
    }
    if let Some(flag) = bare.strip_prefix(['-', '/']) {
        let flag = flag.trim_start_matches('-');
        if let Some((flag, user)) = flag.split_once('=')
            && is_for_user(flag)
        {
            let name = bare.get(..bare.len() - user.len()).unwrap_or_default();
            return (format!("{name}{}", mask_after_user(user)), Next::Anything);
        }
        if flag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            if is_secret(flag, true) {
                return (word.to_owned(), Next::Secret);
            }
            if ENCODED.iter().any(|name| flag.eq_ignore_ascii_case(name)) {
                return (word.to_owned(), Next::Encoded);
            }
            if is_for_user(flag) {
                return (word.to_owned(), Next::UserAndSecret);
            }
        }
    }
    let (masked, open) = mask_assignments(&mask_userinfo(word));
    (masked, if open { Next::Secret } else { Next::Anything })
}

fn quoted(word: &str) -> Option<(char, &str)> {
    ['"', '\''].into_iter().find_map(|quote| Some((quote, word.strip_prefix(quote)?.strip_suffix(quote)?)))
}

fn is_for_user(flag: &str) -> bool {
    ["u", "user"].iter().any(|name| flag.eq_ignore_ascii_case(name))
}

/// The name of a program without its folder and its extension, in small letters.
fn program_name(word: &str) -> String {
    let base = word.rsplit(['\\', '/']).next().unwrap_or_default().to_ascii_lowercase();
    base.strip_suffix(".exe").map(str::to_owned).unwrap_or(base)
}

/// Where this word is a secret by its place on the command line of the program that was named before: what of it stays.
fn kept_by_program<'w>(word: &'w str, program: &mut Program) -> Option<&'w str> {
    let base = program_name(word);
    if let Some(named) = program_named(&base) {
        *program = named;
        return None;
    }
    let is_operand = !word.starts_with('/');
    match program {
        Program::Other | Program::Flag(_) => None,
        Program::Attached(flags) => attached(word, flags),
        Program::AttachedUser(flags) => {
            let user = attached(word, flags)?.len();
            let end = word.get(user..)?.find([':', '%'])?;
            word.get(..=user + end)
        }
        Program::Net => {
            *program = match base.as_str() {
                "user" => Program::NetUser(0),
                "use" => Program::NetUse(false),
                _ => Program::Other,
            };
            None
        }
        Program::NetUser(seen) if is_operand => {
            *seen = seen.saturating_add(1);
            (*seen == 2 && word != "*").then_some("")
        }
        Program::NetUse(share) if is_operand => {
            let is_secret = *share && word != "*";
            *share = word.starts_with("\\\\");
            is_secret.then_some("")
        }
        Program::NetUser(_) | Program::NetUse(_) => None,
    }
}

fn program_named(base: &str) -> Option<Program> {
    let of = |table: &[(&str, &'static [&'static str])]| {
        table.iter().find(|(name, _)| *name == base).map(|(_, flags)| *flags)
    };
    if matches!(base, "net" | "net1") {
        return Some(Program::Net);
    }
    let attached = of(&ATTACHED).map(Program::Attached);
    attached
        .or_else(|| of(&ATTACHED_USER).map(Program::AttachedUser))
        .or_else(|| own_flag(base).map(Program::Flag))
}

/// The flag at the beginning of a word that holds more than it.
fn attached<'w>(word: &'w str, flags: &[&str]) -> Option<&'w str> {
    let flag = flags.iter().find(|flag| word.len() > flag.len() && word.starts_with(**flag))?;
    word.get(..flag.len())
}

fn own_flag(program: &str) -> Option<&'static str> {
    OWN_FLAGS.iter().find(|(name, _)| *name == program).map(|(_, flag)| *flag)
}

fn is_secret(name: &str, is_flag: bool) -> bool {
    let name: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    IN_NAMES.iter().any(|part| name.contains(part))
        || WHOLE_NAMES.contains(&name.as_str())
        || (name.ends_with("pass") && name != "bypass")
        || (is_flag && FLAGS.contains(&name.as_str()))
}

/// `user:secret` as curl takes it, `user%secret` as Samba does.
fn mask_after_user(word: &str) -> String {
    match word.find([':', '%']).and_then(|at| word.get(..=at)) {
        Some(user) if !word.contains("://") => format!("{user}{MASK}"),
        Some(_) | None => mask_userinfo(word),
    }
}

/// `scheme://user:secret@host`, and `domain/user:secret@host` as Impacket takes it.
fn mask_userinfo(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return match word.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, secret)), host)) if user.len() > 1 && !secret.starts_with(['\\', '/']) => {
                format!("{user}:{MASK}@{host}")
            }
            Some(_) | None => word.to_owned(),
        };
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
        Some((Some((user, _)), host)) => format!("{scheme}://{user}:{MASK}@{host}{path}"),
        Some((None, _)) | None => word.to_owned(),
    }
}

/// The name that a text ends with, such as `password` in `{"password"`.
fn last_name(text: &str) -> &str {
    let text = text.trim_end_matches(['"', '\'', '\\', ']', '}']);
    text.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).next().unwrap_or_default()
}

/// Masks every `name=value` and `name:value` whose name is a secret's. Also says whether the last of them has no
/// value yet, so that the next word is it.
fn mask_assignments(word: &str) -> (String, bool) {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['=', ':']) {
        let (head, tail) = rest.split_at(at);
        let (sign, value) = tail.split_at(1);
        out.push_str(head);
        out.push_str(sign);
        rest = value;
        let name = last_name(head);
        let is_flag = name.starts_with('-') || head.ends_with(&format!("/{name}"));
        if !is_secret(name, is_flag) || value.starts_with("//") {
            continue;
        }
        if value.trim_matches(['"', '\'', '\\']).is_empty() {
            return (format!("{out}{value}"), true);
        }
        let (before, length) = value_of(value);
        out.push_str(before);
        out.push_str(MASK);
        rest = value.get(before.len() + length..).unwrap_or_default();
    }
    out.push_str(rest);
    (out, false)
}

/// What opens the value, and how many bytes after that belong to it.
fn value_of(value: &str) -> (&str, usize) {
    let inner = value.trim_start_matches(['"', '\'', '\\']);
    let opening = value.get(..value.len() - inner.len()).unwrap_or_default();
    let end = match opening.chars().last() {
        Some(quote) => inner.find([quote, '\\']).filter(|_| quote != '\\').or_else(|| inner.find(quote)),
        None => inner.find([';', '&', ',', '|', '"', '\'', ')', '}']),
    };
    (opening, end.unwrap_or(inner.len()))
}

/// Masks what is a key by its looks: well-known beginnings, and long runs of base64.
fn mask_keys(text: &str) -> String {
    let in_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let in_token = |c: char| in_run(c) || c == '.';
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (run, mut after) = rest.split_at(rest.find(|c| !in_run(c)).unwrap_or(rest.len()));
        let key = BEGINNINGS.iter().filter_map(|start| run.find(start).map(|at| (at, *start))).min();
        match key {
            Some((at, beginning)) if run.len() - at >= 16 => {
                out.push_str(run.get(..at).unwrap_or_default());
                out.push_str(MASK);
                if beginning == JWT {
                    after = after.trim_start_matches(in_token);
                }
            }
            Some(_) | None if is_long_key(run) => out.push_str(&masked_length(run)),
            Some(_) | None => out.push_str(run),
        }
        let other = after.find(in_run).unwrap_or(after.len());
        let (between, next) = after.split_at(other);
        out.push_str(between);
        rest = next;
    }
    mask_addresses(&out)
}

/// Masks the end of an address that is a secret: whoever has it may write there.
fn mask_addresses(text: &str) -> String {
    let mut out = text.to_owned();
    for address in SECRET_ADDRESSES {
        let Some(at) = out.find(address).map(|at| at + address.len()) else { continue };
        let tail = out.get(at..).unwrap_or_default();
        let end = tail.find([' ', '"', '\'']).unwrap_or(tail.len());
        out = format!("{}{MASK}{}", out.get(..at).unwrap_or_default(), tail.get(end..).unwrap_or_default());
    }
    out
}

fn is_long_key(run: &str) -> bool {
    let mixed = |part: &str| {
        part.len() >= LONG
            && part.bytes().any(|b| b.is_ascii_digit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    let three_kinds = run.bytes().any(|b| b.is_ascii_digit())
        && run.bytes().any(|b| b.is_ascii_lowercase())
        && run.bytes().any(|b| b.is_ascii_uppercase());
    run.split('/').any(mixed) || (run.len() >= LONG && three_kinds && !run.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let cases = [
            ("sqlcmd -S db -U sa -P hunter2", "sqlcmd -S db -U sa -P ***"),
            ("x password=hunter2 y", "x password=*** y"),
            ("x --password hunter2", "x --password ***"),
            ("x --db-password='hunter2 hunter2' y", "x --db-password='***' y"),
            ("cmdkey /add:srv /user:bob /pass:hunter2", "cmdkey /add:srv /user:bob /pass:***"),
            ("schtasks /create /ru bob /rp hunter2", "schtasks /create /ru bob /rp ***"),
            ("net user bob hunter2 /add", "net user bob *** /add"),
            (
                "net1.exe use Z: \\\\srv\\share hunter2 /user:bob",
                "net1.exe use Z: \\\\srv\\share *** /user:bob",
            ),
            ("cmd /c \"net user bob hunter2 /add\"", "cmd /c \"net user bob *** /add\""),
            ("curl -u bob:hunter2 https://x", "curl -u bob:*** https://x"),
            ("curl https://bob:hunter2@x/y", "curl https://bob:***@x/y"),
            ("curl -H \"Authorization: Bearer hunter2\"", "curl -H \"Authorization: Bearer ***\""),
            ("curl -H 'X-Api-Key: hunter2'", "curl -H 'X-Api-Key: ***'"),
            ("curl https://x/?a=1&token=hunter2&b=2", "curl https://x/?a=1&token=***&b=2"),
            ("x {\"password\":\"hunter2\",\"a\":1}", "x {\"password\":\"***\",\"a\":1}"),
            ("rar a -hphunter2 out.rar C:\\data", "rar a -hp*** out.rar C:\\data"),
            ("mysql -uroot -phunter2", "mysql -uroot -p***"),
            (
                "\"C:\\Program Files\\7-Zip\\7z.exe\" a -phunter2 x.7z",
                "\"C:\\Program Files\\7-Zip\\7z.exe\" a -p*** x.7z",
            ),
            (
                "\"C:\\Program Files\\WinRAR\\rar.exe\" a -HPhunter2 x",
                "\"C:\\Program Files\\WinRAR\\rar.exe\" a -HP*** x",
            ),
            (
                "\"C:\\Program Files\\MySQL\\mysql.exe\" -uroot -phunter2",
                "\"C:\\Program Files\\MySQL\\mysql.exe\" -uroot -p***",
            ),
            ("7z a \"-phunter2 x\" x.7z", "7z a -p*** x.7z"),
            (
                "cmd /c \"\"C:\\Program Files\\7-Zip\\7z.exe\" a -phunter2 x.7z\"",
                "cmd /c \"\"C:\\Program Files\\7-Zip\\7z.exe\" a -p*** x.7z\"",
            ),
            ("net user bob \"hunter2 x\" /add", "net user bob *** /add"),
            ("curl --user=bob:hunter2 x", "curl --user=bob:*** x"),
            ("curl -ubob:hunter2 x", "curl -ubob:*** x"),
            ("smbclient -Ubob%hunter2 x", "smbclient -Ubob%*** x"),
            (
                "$c=New-Object X('bob',(ConvertTo-SecureString 'hunter2' -Force))",
                "$c=New-Object X('bob',(ConvertTo-SecureString *** -Force))",
            ),
            ("(ConvertTo-SecureString('hunter2'))", "(ConvertTo-SecureString***"),
            ("x \"(ConvertTo-SecureString 'hunter2' -Force)\"", "x \"(ConvertTo-SecureString *** -Force)\""),
            ("$pass = 'hunter2'; $pwd='hunter2'", "$pass = *** $pwd='***'"),
            (
                "reg add HKLM\\x /v DefaultPassword /t REG_SZ /d hunter2 /f",
                "reg add HKLM\\x /v DefaultPassword /t REG_SZ /d *** /f",
            ),
            (
                "reg add HKLM\\x /d hunter2 /v \"DefaultPassword\" /f",
                "reg add HKLM\\x /d *** /v \"DefaultPassword\" /f",
            ),
            (
                "Set-ItemProperty x -Name DefaultPassword -Value hunter2",
                "Set-ItemProperty x -Name DefaultPassword -Value ***",
            ),
            ("secretsdump.py -hashes :hunter2 bob@srv", "secretsdump.py -hashes *** bob@srv"),
            ("setx API_KEY hunter2 /m", "setx API_KEY *** /m"),
            ("cmd /c \"set PASSWORD=hunter2\"", "cmd /c \"set PASSWORD=***\""),
            ("set \"PASSWORD=hunter2\"", "set \"PASSWORD=***\""),
            ("set password:hunter2", "set password:***"),
            (
                "aws configure set aws_secret_access_key hunter2",
                "aws configure set aws_secret_access_key ***",
            ),
            ("sqlcmd -S db -Usa -Phunter2", "sqlcmd -S db -Usa -P***"),
            ("psexec \\\\srv -u bob -phunter2 cmd", "psexec \\\\srv -u bob -p*** cmd"),
            ("smbclient -U bob%hunter2", "smbclient -U bob%***"),
            ("x AKIAIOSFODNN7EXAMPLE y", "x *** y"),
            ("Server=db;User Id=sa;Password=hunter2;", "Server=db;User Id=sa;Password=***;"),
            (
                "mimikatz sekurlsa::pth /ntlm:cc36cf7a8514893efccd332446158b1a",
                "mimikatz sekurlsa::pth /ntlm:***",
            ),
            ("$env:PGPASSWORD = 'hunter2'", "$env:PGPASSWORD = ***"),
            ("sshpass -p hunter2 ssh bob@srv", "sshpass -p *** ssh bob@srv"),
            ("sshpass -phunter2 ssh srv", "sshpass -p*** ssh srv"),
            ("PsExec64.exe \\\\srv -u bob -p hunter2 cmd", "PsExec64.exe \\\\srv -u bob -p *** cmd"),
            ("certutil -f -p hunter2 -importpfx x.pfx", "certutil -f -p *** -importpfx x.pfx"),
            ("az login --service-principal -u app -p hunter2", "az login --service-principal -u app -p ***"),
            ("redis-cli -h db -a hunter2 get x", "redis-cli -h db -a *** get x"),
            ("ldapsearch -D cn=bob -w hunter2 x", "ldapsearch -D cn=bob -w *** x"),
            ("psexec.py contoso/bob:hunter2@srv cmd", "psexec.py contoso/bob:***@srv cmd"),
            (
                "ConvertTo-SecureString 'hunter2 x' -AsPlainText -Force",
                "ConvertTo-SecureString *** -AsPlainText -Force",
            ),
            (
                "(ConvertTo-SecureString -AsPlainText -String hunter2 -Force)",
                "(ConvertTo-SecureString -AsPlainText -String *** -Force)",
            ),
            (
                "$x = 'hunter2' | ConvertTo-SecureString -AsPlainText",
                "$x = *** | ConvertTo-SecureString -AsPlainText",
            ),
            ("powershell -enc aHVudGVyMg==", "powershell -enc [masked: 12 characters]"),
            ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.c2lnbmF0dXJl y", "x *** y"),
            (
                "curl https://hooks.slack.com/services/T0/B0/hunter2 -d x",
                "curl https://hooks.slack.com/services/*** -d x",
            ),
            (
                "echo -----BEGIN RSA PRIVATE KEY----- hunter2 -----END RSA PRIVATE KEY----- > x",
                "echo [masked: a private key] > x",
            ),
            ("echo -----BEGIN PRIVATE KEY----- hunter2", "echo [masked: a private key]"),
            (
                "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=hunter2==;EndpointSuffix=y",
                "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=***;EndpointSuffix=y",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(mask(text), expected);
        }
    }

    #[test]
    fn long_base64_is_masked_with_its_length() {
        let blob = "SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAIABOAGUAdAAuAFcAZQBiAEMAbABpAGUAbgB0ACkA";
        assert_eq!(
            mask(&format!("powershell -enc {blob}")),
            format!("powershell -enc [masked: {} characters]", blob.len())
        );
    }

    #[test]
    fn what_is_no_secret_stays_as_it_is() {
        for text in [
            "C:\\Windows\\System32\\cmd.exe /c whoami /all",
            "powershell.exe -ExecutionPolicy Bypass -File C:\\x.ps1",
            "-----BEGIN CERTIFICATE----- x -----END CERTIFICATE-----",
            "copy C:\\a@b D:\\",
            "powershell -w hidden -nop",
            "don't stop \"now\"",
            "/usr/share/lib/python3/dist-packages/something/very/long/indeed.py",
            "p:\\folder\\file",
            "reg add HKCU\\x /v Updater /d C:\\x.exe /f",
            "\"C:\\Program Files\\x y\\z.exe\" -path x",
            "curl -u bob https://x",
            "setx PATH C:\\x",
            "",
        ] {
            assert_eq!(mask(text), text);
        }
    }
}
