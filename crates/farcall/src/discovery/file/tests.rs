//! The file as people write it, and as it changes under a running node.

use std::fs::FileTimes;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::tests::{address, node};
use super::*;

/// A file of its own that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("farcall-map-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let scratch = Self(std::env::temp_dir().join(unique));
        scratch.write(text);
        scratch
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }

    fn set_modified(&self, at: SystemTime) {
        let file = File::options().write(true).open(&self.0).unwrap();
        file.set_times(FileTimes::new().set_modified(at)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // a test removes it itself
    }
}

#[tokio::test]
async fn nodes_are_found_in_the_file_in_every_form_people_write() {
    let file = Scratch::new(concat!(
        "# the second rack\n",
        "\n",
        "beta@10.0.0.2 = 10.0.0.2:7000 # a comment\r\n",
        "  \"gamma@rack2\"=\"[fd00::3]:5369\"\n",
        "delta@x = [ \"a:1\" , \"[::1]:2\", ] # both\n",
        "epsilon@::1=[::1]:5369\n",
        "zeta@x = [a:1, [::1]:2]\n",
        "\"odd=name#@x\" = \"a:1\"",
    ));
    let map = FileMap::new(&file.0);
    for (name, wanted) in [
        ("beta@10.0.0.2", vec!["10.0.0.2:7000"]),
        ("gamma@rack2", vec!["[fd00::3]:5369"]),
        ("delta@x", vec!["a:1", "[::1]:2"]),
        ("epsilon@::1", vec!["[::1]:5369"]),
        ("zeta@x", vec!["a:1", "[::1]:2"]),
        ("odd=name#@x", vec!["a:1"]),
    ] {
        let wanted: Vec<Address> = wanted.into_iter().map(address).collect();
        assert_eq!(map.addresses(&node(name)).await.unwrap(), wanted, "{name}");
    }
    assert!(matches!(map.addresses(&node("other@x")).await, Err(DiscoveryError::NotFound { .. })));
    assert_eq!(map.nodes().await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_quoted_file_reads_the_same_as_toml_does() {
    let text = "\"b@h\" = \"h:1\"\n\"c@h\" = \"[::1]:2\"\n";
    let as_toml: BTreeMap<NodeName, Address> = toml::from_str(text).unwrap();
    let ours = parse(text).unwrap();
    assert_eq!(ours.len(), as_toml.len());
    assert!(as_toml.iter().all(|(node, address)| ours[node] == [address.clone()]));
}

#[tokio::test]
async fn a_changed_file_is_read_again_even_if_size_and_second_are_the_same() {
    let file = Scratch::new("b@h = h:1");
    let map = FileMap::new(&file.0);
    assert_eq!(map.addresses(&node("b@h")).await.unwrap(), [address("h:1")]);
    for port in 2..9 {
        file.write(&format!("b@h = h:{port}"));
        assert_eq!(map.addresses(&node("b@h")).await.unwrap(), [address(&format!("h:{port}"))]);
    }
}

#[test]
fn a_file_is_parsed_once_as_long_as_it_does_not_change() {
    let file = Scratch::new("b@h = h:1");
    let written = SystemTime::now() - Duration::from_secs(60);
    file.set_modified(written);
    let map = FileMap::new(&file.0);
    let read = |now| map.shared.table(now).unwrap();
    let first = read(written + Duration::from_secs(60));
    assert!(Arc::ptr_eq(&first, &read(written + Duration::from_secs(61))), "the reading was kept");
    // Another time of change alone is enough, and so is another size.
    file.set_modified(written + Duration::from_secs(1));
    let second = read(written + Duration::from_secs(62));
    assert!(!Arc::ptr_eq(&first, &second));
    file.write("b@h = h:22");
    file.set_modified(written + Duration::from_secs(1));
    assert_eq!(read(written + Duration::from_secs(63))[&node("b@h")], [address("h:22")]);
}

#[test]
fn a_file_changed_just_before_it_was_read_is_read_again() {
    let file = Scratch::new("b@h = h:1");
    let written = SystemTime::now() - Duration::from_secs(60);
    file.set_modified(written);
    let map = FileMap::new(&file.0);
    map.shared.table(written + Duration::from_secs(1)).unwrap();
    // The same size and the same time, as on a file system whose clock ticks every two seconds.
    file.write("b@h = h:2");
    file.set_modified(written);
    let table = map.shared.table(written + Duration::from_secs(1)).unwrap();
    assert_eq!(table[&node("b@h")], [address("h:2")]);
}

#[tokio::test]
async fn a_bad_line_fails_every_lookup_by_its_number_until_it_is_mended() {
    let file = Scratch::new("b@h = h:1\n");
    let map = FileMap::new(&file.0);
    map.addresses(&node("b@h")).await.unwrap();
    file.write("b@h = h:1\nc@h = nonsense\n");
    file.set_modified(SystemTime::now() - Duration::from_secs(60)); // so that the failure is the one kept
    for _ in 0..2 {
        let error = map.addresses(&node("b@h")).await.unwrap_err();
        let DiscoveryError::Failed { asked, reason } = error else { panic!("stale data was used: {error}") };
        assert!(asked.contains("farcall-map"), "{asked}");
        assert!(reason.to_string().starts_with("line 2: \"nonsense\" is no address"), "{reason}");
        assert!(map.nodes().await.is_err());
    }
    file.write("b@h = h:2\n");
    assert_eq!(map.addresses(&node("b@h")).await.unwrap(), [address("h:2")]);
}

#[tokio::test]
async fn a_file_that_is_gone_too_large_or_no_text_is_an_error_and_not_an_unknown_node() {
    let file = Scratch::new("b@h = h:1\n");
    let map = FileMap::new(&file.0);
    map.addresses(&node("b@h")).await.unwrap();
    fs::write(&file.0, vec![b'#'; 1 << 20]).unwrap();
    assert!(matches!(map.addresses(&node("b@h")).await, Err(DiscoveryError::NotFound { .. })));
    fs::write(&file.0, vec![b'#'; (1 << 20) + 1]).unwrap();
    let error = map.addresses(&node("b@h")).await.unwrap_err();
    assert!(error.to_string().ends_with("larger than the limit of 1 MiB"), "{error}");
    fs::write(&file.0, [0xff, 0xfe]).unwrap();
    assert!(matches!(map.addresses(&node("b@h")).await, Err(DiscoveryError::Failed { .. })));
    assert!(FileMap::new(std::env::temp_dir()).nodes().await.is_err(), "a directory is no file");
    fs::remove_file(&file.0).unwrap();
    assert!(matches!(map.addresses(&node("b@h")).await, Err(DiscoveryError::Failed { .. })));
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    for (line, reason) in [
        ("beta = h:1", "no host"),
        ("b@h", "expected `=`"),
        ("b@h h:1", "expected `=`"),
        ("b@h =", "expected an address"),
        ("b@h = []", "expected an address"),
        ("b@h = # h:1", "expected an address"),
        ("b@h = h", "no port"),
        ("b@h = h:1 h:2", "something behind"),
        ("b@h = h:1, h:2", "something behind"),
        ("b@h = [\"h:1\"", "does not end"),
        ("b@h = [\"h:1\"] x", "something behind"),
        ("b@h = \"h:1", "not closed"),
        ("\"b@h = h:1", "not closed"),
        ("[nodes]", "no host"),
        ("= h:1", "expected"),
        ("]", "expected"),
    ] {
        let error = parse(&format!("# one\n{line}\n")).unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(reason), "{line:?}: {error}");
    }
    let twice = parse("b@h = h:1\nb@h = h:2").unwrap_err().to_string();
    assert!(twice.starts_with("line 2: node b@h is already there"), "{twice}");
}
