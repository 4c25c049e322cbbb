//! A real browser without a window, spoken to in its own protocol (CDP) through two pipes.
//!
//! It is asked for by [`Browser::start`]. A machine without Chromium skips what needs it, unless it is CI's, which has to
//! have it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    next: u64,
    /// The page that is open.
    session: String,
    /// What the page complained about.
    pub complaints: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.exists())
}

impl Browser {
    /// None where there is no browser; that is an error in CI.
    pub fn start(folder: &Path) -> Option<Self> {
        let Some(chromium) = chromium() else {
            assert!(std::env::var_os("CI").is_none(), "CI has to have chromium");
            return None;
        };
        let pipes = ["to", "from"].map(|name| folder.join(name));
        for pipe in &pipes {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // It reads what is asked from 3, and writes to 4.
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                      --user-data-dir=\"$1\" --window-size=1280,1600 --remote-debugging-pipe 3<\"$2\" 4>\"$3\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(chromium).arg(folder.join("profile")).args(&pipes);
        command.env("HOME", folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let to = File::options().write(true).open(&pipes[0]).unwrap();
        let from = BufReader::new(File::open(&pipes[1]).unwrap());
        let (session, complaints) = (String::new(), Vec::new());
        let mut browser = Self { child, to, from, next: 1, session, complaints };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.ask("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.ask(domain, json!({}));
        }
        Some(browser)
    }

    /// What the browser answers to one question; what it tells meanwhile is noted.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut question = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            question["sessionId"] = Value::from(self.session.as_str());
        }
        self.to.write_all(format!("{question}\0").as_bytes()).unwrap();
        loop {
            let mut told = Vec::new();
            assert!(self.from.read_until(0, &mut told).unwrap() > 0, "the browser has ended");
            told.pop();
            let told: Value = serde_json::from_slice(&told).unwrap();
            if told["id"] == id {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            let complains = match told["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Log.entryAdded") => told["params"]["entry"]["level"] == "error",
                _ => false,
            };
            if complains {
                self.complaints.push(told["params"].to_string());
            }
        }
    }

    pub fn open(&mut self, url: &str) {
        self.ask("Page.navigate", json!({ "url": url }));
    }

    /// What an expression of the page's own language gives.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let told = self.ask("Runtime.evaluate", asked);
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.value(expression) != Value::Bool(true) {
            let page = self.value("document.body.innerText");
            assert!(Instant::now() < deadline, "waited in vain for {expression}\n{page}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A picture of it.
    pub fn picture(&mut self, file: &Path) -> Vec<u8> {
        let told = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let picture =
            base64::engine::general_purpose::STANDARD.decode(told["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, &picture).unwrap();
        picture
    }
}
