//! The cookie file: made on first use, believed only if nobody else could have read or written it.
//!
//! One cookie per line, the first one is the primary, the others are accepted too (rotation). A line is used as it
//! stands, without the white space around it; empty lines are skipped. A file that farcall makes holds 32 random
//! bytes as 64 hexadecimal digits.
//!
//! ```text
//! no file ──▶ write and sync a private file beside it ──▶ hard link it to its place ──▶ read what is there
//!                                                          fails if another was quicker: its cookie counts
//! ```

mod error;

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use farcall_proto::link::handshake::{Cookie, Keyring};
use zeroize::Zeroizing;

pub use error::CookieFileError;

/// The file that keeps a node's cookies.
///
/// These functions block for as long as the file system does; call them when a node starts.
#[derive(Debug)]
pub struct CookieFile;

impl CookieFile {
    /// Where the file is unless configured: `$FARCALL_COOKIE_FILE`, else `$XDG_CONFIG_HOME/farcall/cookie`, else
    /// `$HOME/.config/farcall/cookie`.
    ///
    /// # Errors
    /// [`CookieFileError::NoPlace`] if none of the three variables helps.
    pub fn default_path() -> Result<PathBuf, CookieFileError> {
        default_path_from(|name| env::var_os(name))
    }

    /// The cookies in this file; makes it with a fresh one if it is not there, and its directories with mode 0700.
    ///
    /// Any number of processes may do this at once: all get the same cookie.
    ///
    /// # Errors
    /// [`CookieFileError`]; a file that is there is never changed.
    pub fn load_or_create(path: &Path) -> Result<Keyring, CookieFileError> {
        match Self::load(path) {
            Err(CookieFileError::Missing { .. }) => {
                create(path)?;
                Self::load(path)
            }
            other => other,
        }
    }

    /// The cookies in this file, which must be there.
    ///
    /// # Errors
    /// [`CookieFileError`].
    pub fn load(path: &Path) -> Result<Keyring, CookieFileError> {
        load_as(path, || own_uid().map_err(failed("find out the user of this process for", path)))
    }
}

/// Far above what [`Keyring::COOKIES_MAX`] cookies of [`Cookie::BYTES_MAX`] bytes need.
const FILE_BYTES_MAX: usize = 8 * 1024;

fn default_path_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, CookieFileError> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set("FARCALL_COOKIE_FILE") {
        return Ok(path);
    }
    // The XDG specification has relative paths ignored.
    let config = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let config = config.or_else(|| set("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("farcall/cookie")).ok_or(CookieFileError::NoPlace)
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> CookieFileError + 'a {
    move |source| CookieFileError::Io { doing, path: path.to_owned(), source }
}

fn load_as(
    path: &Path,
    own_uid: impl FnOnce() -> Result<u32, CookieFileError>,
) -> Result<Keyring, CookieFileError> {
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CookieFileError::Missing { path: path.to_owned() });
        }
        other => other.map_err(failed("look at", path))?,
    };
    if named.is_symlink() {
        return Err(CookieFileError::Symlink { path: path.to_owned() });
    }
    // Before opening, because opening a pipe would wait for its other end.
    if !named.is_file() {
        return Err(CookieFileError::NotAFile { path: path.to_owned() });
    }
    // Before opening too, so that a file we may not even open gets the answer that helps.
    check_privacy(path, &named, own_uid()?)?;
    let file = File::open(path).map_err(failed("open", path))?;
    let opened = file.metadata().map_err(failed("look at", path))?;
    // Somebody may have put a link or another file there between the look and the opening.
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        let source = io::Error::other("it was replaced while it was opened");
        return Err(failed("open", path)(source));
    }
    check_privacy(path, &opened, named.uid())?;
    let text = read(path, file)?;
    parse(path, &text)
}

fn check_privacy(path: &Path, metadata: &Metadata, own: u32) -> Result<(), CookieFileError> {
    let (path, mode, owner) = (path.to_owned(), metadata.mode() & 0o7777, metadata.uid());
    if owner != own {
        return Err(CookieFileError::Owner { path, mode, owner, own });
    }
    if mode & 0o077 != 0 {
        return Err(CookieFileError::Mode { path, mode });
    }
    Ok(())
}

/// The user of this process.
///
/// On Linux from the kernel's own account of the process; elsewhere from the owner of a file it makes.
fn own_uid() -> io::Result<u32> {
    match fs::read_to_string("/proc/self/status") {
        Ok(status) => effective_uid(&status).ok_or_else(|| io::Error::other("no Uid in /proc/self/status")),
        Err(_) => {
            let mut number = [0; 8];
            getrandom::fill(&mut number).map_err(io::Error::other)?;
            let path = env::temp_dir().join(format!("farcall-{}", hex(&number).as_str()));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file.metadata()?.uid())
        }
    }
}

/// The line is `Uid:` with the real, effective, saved and file system user.
fn effective_uid(status: &str) -> Option<u32> {
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Reads into one buffer of fixed size: a growing one would leave copies behind.
fn read(path: &Path, mut file: File) -> Result<Zeroizing<Vec<u8>>, CookieFileError> {
    let mut text = Zeroizing::new(vec![0; FILE_BYTES_MAX + 1]);
    let mut filled = 0;
    while let Some(free) = text.get_mut(filled..).filter(|free| !free.is_empty()) {
        match file.read(free) {
            Ok(0) => {
                text.truncate(filled);
                return Ok(text);
            }
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", path)(error)),
        }
    }
    Err(CookieFileError::TooLong { path: path.to_owned(), limit_bytes: FILE_BYTES_MAX })
}

fn parse(path: &Path, text: &[u8]) -> Result<Keyring, CookieFileError> {
    let mut keyring: Option<Keyring> = None;
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let cookie = Cookie::new(line).map_err(|source| CookieFileError::Line {
            path: path.to_owned(),
            line: index + 1,
            source,
        })?;
        keyring = Some(match keyring {
            None => Keyring::new(cookie),
            Some(keyring) => keyring
                .accepting(cookie)
                .map_err(|source| CookieFileError::TooMany { path: path.to_owned(), source })?,
        });
    }
    keyring.ok_or_else(|| CookieFileError::Empty { path: path.to_owned() })
}

/// Puts a fresh cookie in its place, unless there is one by then.
fn create(path: &Path) -> Result<(), CookieFileError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed("make the directory of", path))?;
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(CookieFileError::Random)?;
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(CookieFileError::Random)?;
    let draft = directory.join(format!(".farcall-cookie-{}", hex(&number).as_str()));
    let placed = write_draft(&draft, &secret).and_then(|()| fs::hard_link(&draft, path));
    // Also after a failure; the draft may not even be there then, and what failed first is what matters.
    let removed = fs::remove_file(&draft);
    match placed {
        Ok(()) => removed.and_then(|()| File::open(directory)?.sync_all()).map_err(failed("create", path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed("create", path)(error)),
    }
}

fn write_draft(draft: &Path, secret: &[u8; 32]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let mut line = hex(secret);
    line.push('\n');
    file.write_all(line.as_bytes())?;
    // On the disk before it gets its name: after a crash there is a whole cookie or none.
    file.sync_all()
}

/// Lower-case hexadecimal digits, with room for a line end so that no copy is left by growing.
fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len() + 1));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;

    use farcall_proto::link::handshake::KeyId;

    use super::*;

    /// A directory of its own for each test, gone when the test is.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let mut number = [0; 8];
            getrandom::fill(&mut number).unwrap();
            let path = env::temp_dir().join(format!("farcall-cookie-{}", hex(&number).as_str()));
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            Self(path)
        }

        fn path(&self) -> PathBuf {
            self.0.join("cookie")
        }

        fn with(text: &[u8], mode: u32) -> Self {
            let place = Self::new();
            fs::write(place.path(), text).unwrap();
            fs::set_permissions(place.path(), fs::Permissions::from_mode(mode)).unwrap();
            place
        }

        /// What is said of this file, checked to name it.
        fn refusal(&self) -> CookieFileError {
            let error = CookieFile::load_or_create(&self.path()).unwrap_err();
            assert!(error.to_string().contains(self.path().to_str().unwrap()), "{error}");
            error
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn id(keyring: &Keyring) -> KeyId {
        keyring.primary().key_id()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    const TEXT: &[u8] = b"sixteen letters and more\n";

    #[test]
    fn the_first_use_makes_a_private_file_and_later_uses_read_it() {
        let place = Place::new();
        let path = place.0.join("config/farcall/cookie");
        let made = CookieFile::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), mode(&path)), (65, 0o600));
        assert!(text.trim_end().chars().all(|c| c.is_ascii_hexdigit()), "not shown, it is a secret");
        assert_eq!((mode(&place.0.join("config")), mode(&place.0.join("config/farcall"))), (0o700, 0o700));
        assert_eq!(id(&made), id(&CookieFile::load_or_create(&path).unwrap()));
        assert_eq!(id(&made), Cookie::new(text.trim_end().as_bytes()).unwrap().key_id());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");

        let other = Place::new();
        assert_ne!(id(&made), id(&CookieFile::load_or_create(&other.path()).unwrap()));
    }

    #[test]
    fn many_that_make_it_at_once_agree_on_one_cookie() {
        for _ in 0..20 {
            let place = Place::new();
            let path = place.0.join("new/cookie");
            let start = Barrier::new(8);
            let ids: Vec<KeyId> = std::thread::scope(|scope| {
                let make = || {
                    start.wait();
                    id(&CookieFile::load_or_create(&path).unwrap())
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
            assert_eq!(fs::read_dir(place.0.join("new")).unwrap().count(), 1, "no draft is left");
        }
    }

    #[test]
    fn a_file_made_by_another_in_the_meantime_stays_and_counts() {
        let place = Place::with(TEXT, 0o600);
        create(&place.path()).unwrap();
        assert_eq!(fs::read(place.path()).unwrap(), TEXT);
    }

    #[test]
    fn a_file_that_others_can_use_is_refused_with_its_mode_and_the_remedy() {
        for bits in [0o644, 0o640, 0o620, 0o604, 0o602, 0o610, 0o601, 0o666] {
            let place = Place::with(TEXT, bits);
            let text = place.refusal().to_string();
            assert!(text.contains(&format!("{bits:04o}")), "{text}");
            assert!(text.contains(&format!("chmod 600 {}", place.path().display())), "{text}");
            assert_eq!(mode(&place.path()), bits, "it is not repaired behind its owner's back");
        }
        for bits in [0o600, 0o400, 0o700] {
            CookieFile::load(&Place::with(TEXT, bits).path()).unwrap();
        }
    }

    #[test]
    fn a_symbolic_link_is_refused_wherever_it_leads() {
        let place = Place::new();
        let real = place.0.join("real");
        symlink(&real, place.path()).unwrap();
        assert!(matches!(place.refusal(), CookieFileError::Symlink { .. }));
        assert!(!real.exists(), "nothing is made through it");
        fs::write(&real, TEXT).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(place.refusal(), CookieFileError::Symlink { .. }));
        CookieFile::load(&real).unwrap();
    }

    #[test]
    fn a_directory_is_refused() {
        let place = Place::new();
        fs::create_dir(place.path()).unwrap();
        assert!(matches!(place.refusal(), CookieFileError::NotAFile { .. }));
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let place = Place::with(TEXT, 0o600);
        let owner = fs::metadata(place.path()).unwrap().uid();
        let error = load_as(&place.path(), || Ok(owner + 1)).unwrap_err();
        assert!(
            matches!(error, CookieFileError::Owner { owner: o, own, .. } if o == owner && own == owner + 1)
        );
        load_as(&place.path(), || Ok(owner)).unwrap();
    }

    #[test]
    fn the_user_of_the_process_is_the_effective_one() {
        let place = Place::with(TEXT, 0o600);
        assert_eq!(own_uid().unwrap(), fs::metadata(place.path()).unwrap().uid());
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t1001\t1002\t1003\nGid:\t7\t7\t7\t7\n"), Some(1001));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }

    #[test]
    fn an_empty_short_or_endless_file_is_refused_and_left_as_it_is() {
        for text in [&b""[..], b"\n", b" \r\n\n"] {
            let place = Place::with(text, 0o600);
            assert!(matches!(place.refusal(), CookieFileError::Empty { .. }));
            assert_eq!(fs::read(place.path()).unwrap(), text);
        }
        for (text, bad) in [(&b"fifteen letters\n"[..], 1), (b"sixteen letters!\n\nshort\n", 3)] {
            let error = Place::with(text, 0o600).refusal();
            assert!(matches!(error, CookieFileError::Line { line, .. } if line == bad), "{error:?}");
        }
        let error = Place::with(&[b'x'; FILE_BYTES_MAX + 1], 0o600).refusal();
        assert!(matches!(error, CookieFileError::TooLong { .. }));
        let error = Place::with(&TEXT.repeat(5), 0o600).refusal();
        assert!(matches!(error, CookieFileError::TooMany { .. }));
    }

    #[test]
    fn the_first_line_is_the_primary_cookie_and_the_others_are_accepted() {
        let place = Place::with(b"\n  the new cookie, 2026 \r\nthe old cookie, 2025\n", 0o600);
        let ids: Vec<KeyId> =
            CookieFile::load(&place.path()).unwrap().cookies().map(Cookie::key_id).collect();
        let expected = [&b"the new cookie, 2026"[..], b"the old cookie, 2025"];
        assert_eq!(ids, expected.map(|text| Cookie::new(text).unwrap().key_id()));
    }

    #[test]
    fn an_error_never_shows_what_is_in_the_file() {
        let place = Place::with(b"hunter2\n", 0o600);
        let error = place.refusal();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn the_place_comes_from_the_first_variable_that_says_one() {
        let place = |set: &[(&str, &str)]| {
            default_path_from(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
            .map(|path| path.display().to_string())
        };
        let all = [("FARCALL_COOKIE_FILE", "/run/cookie"), ("XDG_CONFIG_HOME", "/xdg"), ("HOME", "/home/me")];
        assert_eq!(place(&all).unwrap(), "/run/cookie");
        assert_eq!(place(&all[1..]).unwrap(), "/xdg/farcall/cookie");
        assert_eq!(place(&all[2..]).unwrap(), "/home/me/.config/farcall/cookie");
        let useless =
            [("FARCALL_COOKIE_FILE", ""), ("XDG_CONFIG_HOME", "not/absolute"), ("HOME", "/home/me")];
        assert_eq!(place(&useless).unwrap(), "/home/me/.config/farcall/cookie");
        assert!(matches!(place(&[]), Err(CookieFileError::NoPlace)));
    }
}
