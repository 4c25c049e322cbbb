//! Looks after the certificate of a node while it runs: says ahead of time that it ends, and reads new files on SIGHUP,
//! that of the cookies among them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use farcall_proto::link::handshake::{Cookie, KeyIds};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::cookie::{CookieFile, CookieFileError};
use crate::tls::{Tls, TlsError, span};

/// How often the end of the certificate is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Between two warnings: as often as somebody reads logs.
const WARN_EVERY: u32 = 24;

/// Begins to look after the certificates of a node, until it shuts down.
pub(super) fn certificates(context: &Arc<Context>) {
    let weak = Arc::downgrade(context);
    actix_rt::spawn(watch_end(weak.clone()));
    let has_files = context.cookie_file.is_some() || context.tls.as_ref().is_some_and(Tls::is_from_files);
    if context.config.tls.reload_on_sighup && has_files {
        // Before the node has started: from then on the signal must not end the process.
        match signal(SignalKind::hangup()) {
            Ok(hangups) => drop(actix_rt::spawn(reload_on_sighup(weak, hangups))),
            Err(error) => log::error!(
                target: "farcall", node:% = context.name; "a SIGHUP will not reload TLS files: {error}"
            ),
        }
    }
}

async fn watch_end(context: Weak<Context>) {
    let (mut told, mut looks) = (None, 0);
    while let Some(context) = context.upgrade() {
        let end = context.tls.as_ref().and_then(|tls| End::of(tls, context.config.tls.expiry_warning));
        // At once when it gets worse, and then again and again.
        if end.is_some() && (end != told || looks % WARN_EVERY == 0) {
            warn_of_end(&context);
            looks = 0;
        }
        told = end;
        looks += 1;
        tokio::select! {
            () = context.drained() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What has to be said of the end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Soon,
    Over,
}

impl End {
    fn of(tls: &Tls, soon: Duration) -> Option<Self> {
        match tls.expires_in()? {
            Duration::ZERO => Some(Self::Over),
            left => (left <= soon).then_some(Self::Soon),
        }
    }
}

/// Says when the certificate ends, if that is soon.
fn warn_of_end(context: &Context) {
    let Some(tls) = &context.tls else { return };
    match End::of(tls, context.config.tls.expiry_warning) {
        Some(End::Over) => log::error!(
            target: "farcall", node:% = context.name;
            "the certificate has ended: peers refuse new connections. `farcall cert node` makes a new one"
        ),
        Some(End::Soon) => {
            let left = tls.expires_in().unwrap_or_default();
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            log::warn!(target: "farcall", node:% = context.name; "the certificate ends in {}", span(seconds));
        }
        None => {}
    }
}

async fn reload_on_sighup(weak: Weak<Context>, mut hangups: tokio::signal::unix::Signal) {
    loop {
        let Some(context) = weak.upgrade() else { return };
        tokio::select! {
            () = context.drained() => return,
            received = hangups.recv() => if received.is_none() { return },
        }
        // An error is in the log; what was read before stays in use.
        if context.tls.as_ref().is_some_and(Tls::is_from_files) {
            let _ = reload(&context).await;
        }
        if context.cookie_file.is_some() {
            let _ = reload_cookies(&context).await;
        }
    }
}

/// Reads the files of TLS again, away from the arbiter.
pub(super) async fn reload(context: &Arc<Context>) -> Result<(), TlsError> {
    let own = context.clone();
    let read = move || match &own.tls {
        Some(tls) => tls.reload(),
        None => Err(TlsError::NoFiles("does not use TLS")),
    };
    let result = match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(_) => Err(TlsError::NoFiles("is being torn down")),
    };
    match &result {
        Ok(()) => {
            log::info!(target: "farcall", node:% = context.name; "TLS files are read again");
            warn_of_end(context);
        }
        Err(error) => log::error!(
            target: "farcall", node:% = context.name; "TLS files are not used, the old ones stay: {error}"
        ),
    }
    result
}

/// Reads the cookie file again, away from the arbiter.
pub(super) async fn reload_cookies(context: &Context) -> Result<(), CookieFileError> {
    let path = context.cookie_file.clone().ok_or(CookieFileError::NoFile)?;
    let read = tokio::task::spawn_blocking(move || CookieFile::load(&path)).await;
    match read.unwrap_or(Err(CookieFileError::NoFile)) {
        Ok(keyring) => {
            let ids = KeyIds(keyring.cookies().map(Cookie::key_id).collect());
            log::info!(target: "farcall", node:% = context.name, keys:% = ids; "the cookie file is read again");
            context.set_keyring(keyring);
            Ok(())
        }
        Err(error) => {
            log::error!(
                target: "farcall", node:% = context.name;
                "the cookie file is not used, the old cookies stay: {error}"
            );
            Err(error)
        }
    }
}
