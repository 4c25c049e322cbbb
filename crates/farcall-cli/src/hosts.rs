//! `farcall names HOST`: which nodes are on a host, as its port mapper says.

use farcall::discovery::MapperError;
use farcall::{Address, PortMapper};
use serde::Serialize;

use crate::args::Options;
use crate::output::Output;
use crate::report::Report;
use crate::session::{chain, keyring, read};

/// The names, one a line, with their ports. Those of Erlang nodes are among them, if the mapper is epmd.
pub(crate) async fn names(
    host: &str,
    port: Option<u16>,
    options: &Options,
    output: &mut Output,
) -> Result<(), Report> {
    #[derive(Serialize)]
    struct Node<'a> {
        name: &'a str,
        port: u16,
    }
    let port = match port {
        Some(port) => port,
        None => read(options.config.as_deref())?.mapper.port,
    };
    let at = Address::new(host, port).map_err(|error| Report::here("usage", error.to_string(), ""))?;
    let asked = tokio::time::timeout(options.timeout, ask(&at, options)).await;
    let names = asked
        .unwrap_or_else(|_| Err(MapperError::Silent { at: at.clone() }))
        .map_err(|error| no_names(&error))?;
    if output.is_json() {
        return names.iter().try_for_each(|(name, port)| output.document(&Node { name, port: *port }));
    }
    if names.is_empty() {
        return output.line(&format!("the port mapper on {at} knows no nodes"));
    }
    let width = names.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default().max(4);
    output.line(&format!("{:width$}  PORT", "NAME"))?;
    names.iter().try_for_each(|(name, port)| output.line(&format!("{name:width$}  {port}")))
}

/// As anybody; and if it is a node's mapper that does not list for anybody, with the cookie, if there is one.
async fn ask(at: &Address, options: &Options) -> Result<Vec<(String, u16)>, MapperError> {
    let refused = match PortMapper::names(at).await {
        Err(error @ (MapperError::Nonsense { .. } | MapperError::Broken { .. })) => error,
        answered => return answered,
    };
    let cookies = read(options.config.as_deref()).and_then(|mut config| {
        config.cookie_file = options.cookie_file.clone().or(config.cookie_file);
        Ok((keyring(&config)?, config.cluster))
    });
    match cookies {
        Ok((keyring, cluster)) => PortMapper::names_with(at, &keyring, &cluster).await,
        Err(_) => Err(refused),
    }
}

fn no_names(error: &MapperError) -> Report {
    let remedy = match error {
        MapperError::Nobody { .. } => {
            "is a node with mapper.use = \"auto\" running there, or an epmd? A node serves on 127.0.0.1 unless its \
             mapper.listen says more; --port names another port"
        }
        MapperError::Nonsense { .. } | MapperError::NotProved { .. } => {
            "a node lists names for processes of its own host, and for whoever proves the cookie: run the command there, or \
             name the cookie file with --cookie-file; --port names another port"
        }
        _ => "does a firewall let this port through? --port names another port",
    };
    Report { class: "not_sent", exit: 3, ..Report::here("no_names", chain(error), remedy) }
}
