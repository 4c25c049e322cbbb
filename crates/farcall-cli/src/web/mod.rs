//! `farcall web`: the live view as one page for a browser. Nothing is loaded from anywhere else.
//!
//! ```text
//! GET  /             the page, with a nonce for its script and a token for its requests
//! GET  /api/cluster  the node and those that it leads to, as they are now          looks.rs
//! POST /api/describe what a node lets others call                                  send.rs
//! POST /api/send     a message to an actor, with --write                           send.rs
//! ```
//! It is meant for the machine it runs on. Whoever is let in by address sees everything, so names other than
//! `localhost` are refused as hosts: another site cannot have its own name lead here.

mod looks;
mod send;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use farcall::NodeName;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::args::{Options, Web};
use crate::output::Output;
use crate::report::Report;
use looks::Watch;

/// What the page is made of.
const PAGE: &str = include_str!("page.html");
/// Stands in the page where the nonce and the token go.
const NONCE: &str = "{{nonce}}";
const TOKEN: &str = "{{token}}";
/// The header in which the page gives its token back.
const TOKEN_HEADER: &str = "x-farcall-token";

/// Browsers open six connections each.
const CONNECTIONS_MAX: usize = 64;
/// The largest message that can be typed into the page.
const BODY_BYTES_MAX: usize = 4 << 20;
/// A head of a request that is not there by then will not come.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What every request is answered from.
struct Site {
    watch: Watch,
    /// What the page has to give back, so that no other site can ask in its name.
    token: String,
    nonce: String,
    listen: SocketAddr,
    writes: bool,
}

/// Serves it until it is ended.
pub(crate) async fn web(args: &Web, output: &mut Output) -> Result<(), Report> {
    let Web { node, listen, write, options } = args;
    let remedy = "choose another address with --listen; port 0 takes any free one";
    let failed =
        |error: std::io::Error| Report::here("listen", format!("cannot listen on {listen}: {error}"), remedy);
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let listen = listener.local_addr().map_err(failed)?;
    let watch = Watch::new(node, options);
    // Whatever hinders it, like a cookie that is wrong here, is said before a browser is opened.
    watch.first().await?;
    let (token, nonce) = (secret()?, secret()?);
    let site = Rc::new(Site { watch, token, nonce, listen, writes: *write });
    output.line(&format!("http://{listen}/ shows {node}; end it with Ctrl-C"))?;
    if !listen.ip().is_loopback() {
        output.line("whoever can connect to that address can look, and nothing is encrypted")?;
    }
    let turns = std::sync::Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let turn = turns.clone().acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let site = site.clone();
        actix_rt::spawn(async move {
            let _turn = turn;
            let service = service_fn(|request| {
                let site = site.clone();
                async move { Ok::<_, Infallible>(site.answer(request).await) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(64 * 1024);
            // A browser that breaks off has seen enough.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Something that nobody can guess, in hexadecimal.
fn secret() -> Result<String, Report> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Report::here("random", format!("the system gives no random numbers: {error}"), "")
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

type Answer = Response<Full<Bytes>>;

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if !self.is_our_host(&request) {
            return text(StatusCode::FORBIDDEN, "this is not the host that the page is served on");
        }
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, "/") => self.page(),
            (Method::GET, "/api/cluster") => json(StatusCode::OK, &*self.watch.cluster(self.writes).await),
            (Method::POST, "/api/describe" | "/api/send") => {
                let asked = request.headers().get(TOKEN_HEADER).map(HeaderValue::as_bytes);
                if asked != Some(self.token.as_bytes()) {
                    return text(StatusCode::FORBIDDEN, "reload the page: its token is not of this run");
                }
                self.post(request).await
            }
            (_, "/" | "/api/cluster" | "/api/describe" | "/api/send") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
            }
            _ => text(StatusCode::NOT_FOUND, "the page is at /"),
        }
    }

    /// A name that somebody else gave this address would make the page theirs.
    fn is_our_host(&self, request: &Request<Incoming>) -> bool {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let port = self.listen.port();
        host == format!("localhost:{port}")
            || host.parse::<SocketAddr>().is_ok_and(|host| {
                host.port() == port && (self.listen.ip().is_unspecified() || host.ip() == self.listen.ip())
            })
    }

    fn page(&self) -> Answer {
        let page = PAGE.replace(NONCE, &self.nonce).replace(TOKEN, &self.token);
        let mut answer = text(StatusCode::OK, &page);
        let policy = format!(
            "default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{0}'; script-src 'nonce-{0}'; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            self.nonce
        );
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    async fn post(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large for the page");
        };
        let body = body.to_bytes();
        let done = match path.as_str() {
            "/api/describe" => send::describe(&self.watch, &body).await,
            _ if self.writes => send::send(&self.watch, &body).await,
            _ => {
                Err(Report::here("read_only", "the page is read-only", "start it with `farcall web --write`"))
            }
        };
        match done {
            Ok(value) => json(StatusCode::OK, &value),
            Err(report) => json(StatusCode::UNPROCESSABLE_ENTITY, &Refused { error: report }),
        }
    }
}

#[derive(Serialize)]
struct Refused {
    error: Report,
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(document) => {
            let mut answer = text(status, &document);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            answer
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, text: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The node of a request, if it names one.
fn node_of(name: &str) -> Result<NodeName, Report> {
    name.parse().map_err(|error| Report::here("usage", format!("{name}: {error}"), ""))
}

/// How a node is reached that another one led to.
fn without_place(options: &Options) -> Options {
    Options { at: None, ..options.clone() }
}
