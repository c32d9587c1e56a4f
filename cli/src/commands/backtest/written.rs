//! The files that a backtest writes. Each is written beside its place and moved there when it is whole: what stood there
//! stays until then, and none takes the place of a file that is read.

use crate::Ending;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A file that is being written. Dropped before it is finished it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Written {
    option: &'static str,
    file: BufWriter<File>,
    place: PathBuf,
    /// Where it is until it is whole; none for what is no file, as `/dev/stdout` is none.
    partial: Option<PathBuf>,
}

impl Written {
    /// Begins what `option` asks for.
    pub(super) fn create(option: &'static str, path: &Path) -> Result<Written, Ending> {
        let place = place(path);
        let is_other = fs::metadata(&place).is_ok_and(|data| !data.is_file());
        let partial = (!is_other).then(|| beside(&place));
        let file = File::create(partial.as_ref().unwrap_or(&place));
        let file = BufWriter::new(file.map_err(|error| failed(option, path, &error))?);
        Ok(Written { option, file, place, partial })
    }

    /// Puts it in its place.
    pub(super) fn finish(mut self) -> Result<(), Ending> {
        let moved = self.file.flush().and_then(|()| match &self.partial {
            Some(partial) => fs::rename(partial, &self.place),
            None => Ok(()),
        });
        moved.map_err(|error| failed(self.option, &self.place, &error))
    }

    /// Writes all of it and puts it in its place.
    pub(super) fn fill(mut self, text: &str) -> Result<(), Ending> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| failed(self.option, &self.place, &error))?;
        self.finish()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Where it was finished there is none any more.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Refuses options that name one file twice. `read` and `written`: each with its option.
pub(super) fn refuse_one_file_for_two(
    read: &[(&str, &Path)],
    written: &[(&str, &Path)],
) -> Result<(), Ending> {
    let mut seen: Vec<(&str, PathBuf)> = read.iter().map(|(option, path)| (*option, place(path))).collect();
    for (option, path) in written {
        let own = place(path);
        if let Some((other, _)) = seen.iter().find(|(_, place)| *place == own && keeps(place)) {
            return Err(Ending::settings(format!(
                "{option}: {} is the file of {other}; name another",
                path.display()
            )));
        }
        seen.push((option, own));
    }
    Ok(())
}

/// Whether what is written there stays: not in `/dev/null`.
fn keeps(place: &Path) -> bool {
    fs::metadata(place).map_or(true, |data| data.is_file())
}

/// The file's one path, whether it exists or not.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn beside(place: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    place.with_file_name(name)
}

fn failed(option: &str, path: &Path, error: &io::Error) -> Ending {
    Ending::settings(format!("{option}: {} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn listing(folder: &TempDir) -> Vec<OsString> {
        let mut names: Vec<OsString> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_stood_there_stays_until_the_new_one_is_whole() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("page.html");
        fs::write(&path, "old").unwrap();
        let mut torn = Written::create("--html", &path).unwrap();
        torn.write_all(b"half a").unwrap();
        drop(torn);
        assert_eq!((fs::read_to_string(&path).unwrap(), listing(&folder).len()), ("old".to_owned(), 1));
        Written::create("--html", &path).unwrap().fill("new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap(), listing(&folder).len()), ("new".to_owned(), 1));
    }

    #[test]
    fn one_file_by_two_names_is_one_file() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let (there, again) = (folder.path().join("a"), folder.path().join("sub/../a"));
        let refused = || refuse_one_file_for_two(&[("--file", &there)], &[("--html", &again)]);
        assert!(refused().is_err(), "before it exists");
        fs::write(&there, "x").unwrap();
        assert!(refused().is_err());
        let other = folder.path().join("b");
        assert!(refuse_one_file_for_two(&[("--file", &there)], &[("--html", &other)]).is_ok());
        let (null, own) = (Path::new("/dev/null"), [("--html", Path::new("/dev/null"))]);
        assert!(refuse_one_file_for_two(&[("--file", null)], &own).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn behind_a_link_the_file_is_written_and_what_is_no_file_is_written_where_it_is() {
        let folder = TempDir::new().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        Written::create("--html", &link).unwrap().fill("new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        let null = Written::create("--html", Path::new("/dev/null")).unwrap();
        assert!(null.partial.is_none());
        null.fill("nothing").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
