//! Whose processes may register: the system says whose they are.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::fixture::{Host, Process, ask};

/// Nobody's number: a user without rights.
const NOBODY: u32 = 65_534;

/// This binary as that user; none if we are not root, or it may not even read the binary.
fn as_nobody() -> Option<Command> {
    let own = std::env::current_exe().unwrap();
    let command = || {
        let mut command = Command::new(&own);
        command.uid(NOBODY).gid(NOBODY);
        command
    };
    let can = command().arg("--list").stdout(Stdio::null()).status().is_ok_and(|ended| ended.success());
    if !can {
        eprintln!("skipped: a process of another user takes root, and a folder that it may read");
    }
    can.then(command)
}

#[actix::test]
async fn a_process_of_another_user_registers_by_the_cookie_and_not_without_it() {
    let Some(command) = as_nobody() else { return };
    let host = Host::with_ports(4);
    let alpha = host.start("alpha").await.unwrap();
    let refused = Process::run(command, &host, "mallory", 2).err().unwrap();
    assert!(refused.contains("of another user"), "{refused}");
    assert_eq!(host.names().await, ["alpha"]);
    let _friend = Process::run(as_nobody().unwrap(), &host, "friend", 1).unwrap();
    assert_eq!(host.names().await, ["alpha", "friend"]);
    assert_eq!(ask(&alpha, "friend").await.unwrap(), "friend");
}

#[actix::test]
async fn root_proves_the_cookie_at_the_mapper_of_a_user() {
    let Some(command) = as_nobody() else { return };
    let host = Host::with_ports(4);
    let _users = Process::run(command, &host, "users", 1).unwrap();
    // The mapper would believe root; root does not believe a socket of somebody else's, and asks on the port.
    let alpha = host.start("alpha").await.unwrap();
    assert_eq!(host.names().await, ["alpha", "users"]);
    let other = host.builder("other").cookie(crate::fixture::cookie(2)).start().await.unwrap_err();
    assert!(other.to_string().contains("of another user"), "{other}");
    drop(alpha);
}
