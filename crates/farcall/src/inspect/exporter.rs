//! A page of text for Prometheus, over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Answers `GET /metrics` with what `page` gives, and ends never. To be polled on an actix arbiter, or in another
/// `LocalSet`.
///
/// One request a connection, 16 connections at a time, ten seconds each. There is no encryption and no password: who can
/// connect can read. Bind it to the loopback, or to a network where only Prometheus is.
///
/// # Cancel safety
/// Dropped, it takes no new connections; those that it has get their answers.
pub async fn serve_metrics<F, Fut>(listener: TcpListener, page: F) -> Infallible
where
    F: Fn() -> Fut + 'static,
    Fut: Future<Output = Result<String, String>> + 'static,
{
    let (page, turns) = (std::rc::Rc::new(page), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    loop {
        // Nobody closes it.
        let turn = turns.clone().acquire_owned().await;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                log::error!(target: "farcall", reason = "metrics_accept"; "cannot accept: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let page = page.clone();
        tokio::task::spawn_local(async move {
            let _turn = turn;
            // Whoever takes longer, or breaks off, gets nothing.
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, &*page)).await;
        });
    }
}

const CONNECTIONS_MAX: usize = 16;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Until it is tried again when the system refuses to accept.
const PAUSE: Duration = Duration::from_millis(100);
/// The head of a request; what is longer is refused.
const HEAD_BYTES_MAX: usize = 16 * 1024;

async fn answer<F, Fut>(stream: TcpStream, page: &F) -> Result<(), hyper::Error>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<String, String>>,
{
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => match page().await {
                Ok(text) => response(StatusCode::OK, text, EXPOSITION),
                Err(why) => response(StatusCode::BAD_GATEWAY, why, PLAIN),
            },
            (_, "/metrics") => {
                let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned(), PLAIN);
                refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                refused
            }
            _ => response(StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned(), PLAIN),
        })
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD_BYTES_MAX).serve_connection(TokioIo::new(stream), service).await
}

const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

fn response(status: StatusCode, text: String, kind: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
