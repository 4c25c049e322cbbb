//! `farcall web`: the page in a real browser, and who may ask for what.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;

use actix::Actor;
use farcall::{Node, Target};

use crate::browser::Browser;
use crate::fixture::{Add, BETA, Cluster, Counter, command, run};

/// The command, and where it serves the page.
struct Served {
    child: Child,
    url: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it; the nodes in this process go on meanwhile.
async fn serve(cluster: &Cluster, options: &[&str]) -> Served {
    let mut web = command(&cluster.folder);
    web.args(["web", BETA, "--listen", "127.0.0.1:0", "--at", &cluster.address(), "--cookie-file"]);
    web.arg(cluster.cookie_file()).args(options).stdout(Stdio::piped()).stdin(Stdio::null());
    let start = move || {
        let mut child = web.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().next().unwrap_or_default().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Served { child, url }
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Alpha and gamma, which beta asks, and gamma asks alpha.
async fn neighbours(cluster: &Cluster) -> (Node, Node) {
    let any_port = ([127, 0, 0, 1], 0).into();
    let start = async |name: &str| {
        let builder = Node::builder(format!("{name}@127.0.0.1")).listen([any_port]);
        let node = builder.cookie_file(cluster.cookie_file()).start().await.unwrap();
        node.register("counter", Counter { total: cluster.total.clone() }.start()).unwrap().keep();
        node
    };
    (start("alpha").await, start("gamma").await)
}

/// A cluster in which beta was told where the others are.
async fn three(test: &str) -> (Cluster, Node, Node) {
    let mut cluster = Cluster::start(test).await;
    let (alpha, gamma) = neighbours(&cluster).await;
    let builder = Node::builder(BETA).listen([([127, 0, 0, 1], 0).into()]).cookie_file(cluster.cookie_file());
    let builder = builder.node("alpha@127.0.0.1", alpha.listening_on()[0].to_string());
    let node = builder.node("gamma@127.0.0.1", gamma.listening_on()[0].to_string()).start().await.unwrap();
    let counter = Counter { total: cluster.total.clone() }.start();
    node.register("counter", counter).unwrap().version("1.4.0").unwrap().keep();
    let before = std::mem::replace(&mut cluster.node, node);
    before.shutdown().await;
    for peer in [&alpha, &gamma] {
        let target: Target = peer.name().into();
        cluster.node.call(&target, "counter", Add { amount: 0 }).await.unwrap();
    }
    (cluster, alpha, gamma)
}

/// What is answered to a request of a few lines.
async fn http(url: &str, request: String) -> String {
    let at = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let ask = move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[actix::test]
async fn the_page_shows_the_cluster_in_a_browser_and_sends_a_message_from_its_form() {
    let (cluster, alpha, gamma) = three("web_page").await;
    let served = serve(&cluster, &["--write"]).await;
    let (url, folder) = (served.url.clone(), cluster.folder.clone());
    let look = move || {
        let mut browser = Browser::start(&folder)?;
        browser.open(&url);
        browser.wait_for("document.querySelectorAll('#map .node').length === 3");
        browser.wait_for("document.querySelectorAll('#map line.stroke-well').length === 2");
        browser.wait_for("[...document.querySelectorAll('#links td')].some((cell) => cell.textContent === 'alpha@127.0.0.1')");
        // Each of the others is looked at through where beta asks it.
        browser.value(
            "document.querySelector('[data-node=\"beta@127.0.0.1\"]').dispatchEvent(new Event('click'))",
        );
        browser.wait_for("document.querySelector('#title').textContent === 'beta@127.0.0.1'");
        browser
            .wait_for("[...document.querySelector('#message').options].some((one) => one.value === 'Add')");
        browser.value(
            "document.querySelector('#message').value = 'Add'; \
             document.querySelector('#message').dispatchEvent(new Event('change'))",
        );
        assert_eq!(browser.value("document.querySelector('#content').value"), "{\"amount\":0}");
        browser.value("document.querySelector('#content').value = '{\"amount\": 41}'; document.querySelector('#call').click()");
        browser.wait_for("document.querySelector('#answer').textContent.startsWith('41\\n')");
        browser.value("document.querySelector('#content').value = '{\"amount\": \"x\"}'; document.querySelector('#call').click()");
        browser.wait_for("document.querySelector('#answer').textContent.includes('what to do:')");
        browser.wait_for("document.querySelectorAll('#charts path').length === 8");
        let picture = browser.picture(&folder.join("page.png"));
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 20_000, "{} bytes", picture.len());
        // The refused message was told as a status, which is the only thing that the browser notes.
        browser.complaints.retain(|complaint| !complaint.contains("422"));
        assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
        Some(browser)
    };
    let Some(mut browser) = tokio::task::spawn_blocking(look).await.unwrap() else { return };
    assert_eq!(cluster.total.load(Ordering::SeqCst), 41);
    gamma.shutdown().await;
    let after = move || {
        // It was asked by another, so it is missed.
        browser.wait_for("document.querySelectorAll('#map circle.stroke-ill').length === 1");
        browser.wait_for("document.querySelector('#silent').textContent.startsWith('gamma@127.0.0.1: ')");
        browser.wait_for("[...document.querySelectorAll('#events td')].some((cell) => cell.textContent === 'gamma@127.0.0.1')");
    };
    tokio::task::spawn_blocking(after).await.unwrap();
    drop(alpha);
}

#[actix::test]
async fn the_page_is_read_only_unless_asked_and_nobody_else_asks_in_its_name() {
    let cluster = Cluster::start("web_closed").await;
    let served = serve(&cluster, &[]).await;
    let host = served.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let get =
        |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let page = http(&served.url, get("/", &host)).await;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("default-src 'none'"), "{page}");
    assert!(!page.contains("{{"), "everything is filled in");
    let outside = page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
    assert_eq!(outside, "HTTP".matches("http").count(), "nothing is loaded from elsewhere");
    assert!(
        http(&served.url, get("/", "farcall.example")).await.starts_with("HTTP/1.1 403 "),
        "another name"
    );
    assert!(http(&served.url, get("/api/cluster", &host)).await.contains("\"writes\":false"));
    assert!(http(&served.url, get("/secret", &host)).await.starts_with("HTTP/1.1 404 "));
    let body = format!(
        "{{\"node\":\"{BETA}\",\"actor\":\"counter\",\"message\":\"Add\",\"content\":\"{{\\\"amount\\\":1}}\",\"verb\":\"call\"}}"
    );
    let post = |token: &str| {
        format!(
            "POST /api/send HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nx-farcall-token: {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert!(http(&served.url, post("0123")).await.starts_with("HTTP/1.1 403 "));
    let token = page.split("const TOKEN = \"").nth(1).unwrap().split('"').next().unwrap();
    let refused = http(&served.url, post(token)).await;
    assert!(refused.starts_with("HTTP/1.1 422 ") && refused.contains("read_only"), "{refused}");
    assert_eq!(cluster.total.load(Ordering::SeqCst), 0);
}

#[actix::test]
async fn what_hinders_it_is_said_before_a_browser_is_opened() {
    let cluster = Cluster::start("web_taken").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let said = cluster.run(&["web", BETA, "--listen", &at]).await.failed(1);
    assert!(said.contains("cannot listen on") && said.contains("--listen"), "{said}");
    let (gone, cookie) = (cluster.address(), cluster.cookie_file());
    cluster.node.shutdown().await;
    let mut web = command(&cluster.folder);
    web.args(["web", BETA, "--listen", "127.0.0.1:0", "--timeout", "1s", "--at", &gone, "--cookie-file"])
        .arg(cookie);
    let said = run(web, "").await.failed(3);
    assert!(said.contains("beta@127.0.0.1"), "{said}");
}
