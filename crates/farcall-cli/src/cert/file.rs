//! Files, read up to a bound and written as a whole or not at all.
//!
//! ```text
//! a draft beside each file, with its final mode from the start ──▶ all of them synced ──▶ each gets its name
//!                                                                                        refused if the name is taken
//! ```

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::pem::hex;
use super::wrong;
use crate::report::Report;

/// The longest file that is read; a long chain or list is far shorter.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// What is in a file, which may be a key: it is wiped when it is dropped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Report> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    // Before opening, because opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(wrong(path, "not a regular file", "name a PEM file"));
    }
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if length > BYTES_MAX {
        let what = format!("longer than {BYTES_MAX} bytes");
        return Err(wrong(path, what, "name a PEM file; certificates are shorter"));
    }
    let opened = File::open(path).and_then(|file| read_whole(file, length));
    opened.map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Report {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "name a file that is there",
        ErrorKind::PermissionDenied => "run this as the user whose file it is",
        _ => "",
    };
    wrong(path, format!("cannot be read: {error}"), remedy)
}

/// Reads into one buffer of fixed size: a growing one would leave copies of a key behind.
fn read_whole(mut file: File, length: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(vec![0; length + 1]);
    let mut filled = 0;
    while let Some(free) = content.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read(free) {
            Ok(0) => {
                content.truncate(filled);
                return Ok(content);
            }
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("it grew while it was read"))
}

/// A file to be written.
pub(crate) struct NewFile<'a> {
    pub(crate) path: &'a Path,
    pub(crate) content: &'a [u8],
    pub(crate) mode: Mode,
}

/// Who may read a new file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Everybody,
    Owner,
}

/// What becomes of a file that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Kept,
    Replaced,
}

impl From<bool> for Existing {
    /// What `--force` says.
    fn from(force: bool) -> Self {
        if force { Self::Replaced } else { Self::Kept }
    }
}

/// Puts files in their places. If one cannot be written, none is; if a name is taken, those before it are taken back.
pub(crate) fn place(files: &[NewFile<'_>], existing: Existing) -> Result<(), Report> {
    for file in files {
        if existing == Existing::Kept && file.path.symlink_metadata().is_ok() {
            return Err(taken(file.path));
        }
    }
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    for file in files {
        drafts.push(Draft::write(file)?);
    }
    for (index, draft) in drafts.iter().enumerate() {
        let Err(error) = draft.settle(existing) else { continue };
        if existing == Existing::Kept {
            for earlier in drafts.iter().take(index) {
                // It was ours, made a moment ago; what failed first is what matters.
                let _ = fs::remove_file(earlier.target);
            }
        }
        return Err(match error.kind() {
            ErrorKind::AlreadyExists => taken(draft.target),
            _ => unwritable(draft.target, &error),
        });
    }
    Ok(())
}

fn taken(path: &Path) -> Report {
    let remedy = "it stays as it is; move it away, name another --dir, or replace it with --force";
    Report::here("exists", format!("{} is there already", path.display()), remedy)
}

fn unwritable(path: &Path, error: &io::Error) -> Report {
    wrong(path, format!("cannot be written: {error}"), "name a folder that you may write to with --dir")
}

/// A file before it has its name; removed when it is dropped.
struct Draft<'a> {
    path: PathBuf,
    target: &'a Path,
}

impl<'a> Draft<'a> {
    fn write(file: &NewFile<'a>) -> Result<Self, Report> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| {
            Report::here("random", format!("no random bytes for the name of a draft: {error}"), "")
        })?;
        let path = file.path.with_file_name(format!(".farcall-draft-{}", hex(&number)));
        let mode = match file.mode {
            Mode::Everybody => 0o644,
            Mode::Owner => 0o600,
        };
        let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        let mut opened = opened.map_err(|error| unwritable(file.path, &error))?;
        let draft = Self { path, target: file.path };
        // What the umask took away from a public file is given back; a private one has had its mode from the start.
        let written = opened
            .set_permissions(Permissions::from_mode(mode))
            .and_then(|()| opened.write_all(file.content))
            // On the disk before it gets its name: after a crash there is a whole file or none.
            .and_then(|()| opened.sync_all());
        written.map(|()| draft).map_err(|error| unwritable(file.path, &error))
    }

    fn settle(&self, existing: Existing) -> io::Result<()> {
        match existing {
            // A link, unlike a renaming, fails if the name is taken.
            Existing::Kept => fs::hard_link(&self.path, self.target)?,
            Existing::Replaced => fs::rename(&self.path, self.target)?,
        }
        match self.target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // After a renaming it is not there any more.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// An empty folder, gone when the test is.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let mut number = [0; 8];
            getrandom::fill(&mut number).unwrap();
            let path = std::env::temp_dir().join(format!("farcall-cert-{}", hex(&number)));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn files_have_their_modes_and_no_draft_is_left() {
        let folder = Scratch::new();
        let (public, private) = (folder.0.join("public"), folder.0.join("private"));
        let files = [
            NewFile { path: &public, content: b"p", mode: Mode::Everybody },
            NewFile { path: &private, content: b"q", mode: Mode::Owner },
        ];
        place(&files, Existing::Kept).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&public), mode(&private)), (0o644, 0o600));
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
        assert_eq!(
            (read(&public).unwrap().as_slice(), read(&private).unwrap().as_slice()),
            (&b"p"[..], &b"q"[..])
        );
    }

    #[test]
    fn a_name_that_is_taken_leaves_everything_as_it_was_unless_forced() {
        let folder = Scratch::new();
        let (first, second) = (folder.0.join("first"), folder.0.join("second"));
        fs::write(&second, "old").unwrap();
        let files = [&first, &second].map(|path| NewFile { path, content: b"new", mode: Mode::Owner });
        let said = place(&files, Existing::Kept).unwrap_err();
        assert!(
            said.message.contains("second is there already") && said.remedy.contains("--force"),
            "{said:?}"
        );
        assert!(!first.exists());
        assert_eq!(fs::read(&second).unwrap(), b"old");
        place(&files, Existing::Replaced).unwrap();
        assert_eq!(
            (fs::read(&first).unwrap(), fs::read(&second).unwrap()),
            (b"new".to_vec(), b"new".to_vec())
        );
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_or_too_long_is_not_read() {
        let folder = Scratch::new();
        assert!(read(&folder.0).unwrap_err().message.contains("not a regular file"));
        assert!(read(&folder.0.join("none")).unwrap_err().message.contains("cannot be read"));
        let long = folder.0.join("long");
        fs::write(&long, vec![b'x'; BYTES_MAX]).unwrap();
        assert_eq!(read(&long).unwrap().len(), BYTES_MAX);
        fs::write(&long, vec![b'x'; BYTES_MAX + 1]).unwrap();
        assert!(read(&long).unwrap_err().message.contains("longer than 1048576 bytes"));
    }
}
