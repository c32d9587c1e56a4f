//! A folder that gets one `.eml` file per message: for trying out, for tests, and for whoever picks files up.
//!
//! Nothing that the tenant wrote becomes part of a path. Nothing is ever removed.

use crate::letter::Letter;
use lettre::{Address, message::Mailbox};
use ports::Unsent;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// The domain that letters in a folder come from and go to: one that exists nowhere (RFC 2606).
const DOMAIN: &str = "cordon.invalid";

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Folder {
        Folder { path }
    }

    /// Writes the file under a name that is the same for the same message, so that a repeat replaces it.
    pub(super) async fn deliver(&self, letter: &Letter) -> Result<(), Unsent> {
        let address = |user| Address::new(user, DOMAIN).map_err(|error| Unsent::message(error.to_string()));
        let (from, to) = (address("cordon")?, address("people")?);
        let from = Mailbox::new(Some("Cordon".to_owned()), from);
        let message = letter.message(&from, &[Mailbox::new(None, to)]).map_err(Unsent::message)?;
        let (folder, name) = (self.path.clone(), file_name(letter));
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &message.formatted())).await;
        let failed = |why: String| {
            Unsent::channel(format!("the folder `{}` takes no file: {why}", self.path.display()))
        };
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(stopped) => Err(failed(stopped.to_string())),
        }
    }
}

fn file_name(letter: &Letter) -> String {
    format!("{}-{}.eml", letter.occurred_at.strftime("%Y%m%dT%H%M%SZ"), letter.word_of_id())
}

/// All of the file or none of it: whoever watches the folder never sees half a letter.
fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    create_private(folder)?;
    let unfinished = folder.join(format!(".{name}.{}.part", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(name))
}

/// Creates the folder where it does not exist, readable for nobody else. One that exists is left as it is.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
