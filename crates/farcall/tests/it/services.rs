//! Services across nodes: who is connected to, who is called, what is told, and restarts that nobody notices. The numbers
//! are those of the predecessor's test cases.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use farcall::NodeBuilder;
use farcall::cluster::NodeFilter;
use farcall::error::{Class, Failure, Rejected};
use farcall::prelude::*;
use farcall::services::{
    CallbackFailure, Casted, Report, ServiceCallbacks, ServiceError, ServiceEvent, ServiceEvents, Services,
};

use crate::fixture::{Add, Counter, Panic, PhoneBook, Sleep, Total, builder, eventually, named, target};

/// Who answers?
#[farcall::message(result = String)]
#[derive(Debug)]
struct Who;

#[derive(RemoteActor)]
#[remote(Who)]
struct Worker(String);

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Who> for Worker {
    type Result = String;
    fn handle(&mut self, _: Who, _: &mut Context<Self>) -> String {
        self.0.clone()
    }
}

/// Looks often, so that nothing has to be waited for.
fn with_rules(rules: &'static [&'static str]) -> impl Fn(&mut Config) {
    move |config: &mut Config| {
        config.services.rules = rules.iter().map(ToString::to_string).collect();
        config.services.world_interval = Duration::from_millis(100);
        config.services.worker_interval = Duration::from_millis(100);
    }
}

/// A node that others can find, and whose worker offers this service.
async fn offering(builder: NodeBuilder, book: &PhoneBook, service: &str) -> Node {
    let node = builder.start().await.unwrap();
    book.enter(&node);
    let worker = Worker(node.name().short().to_owned());
    node.register("worker", worker.start()).unwrap().keep();
    node.register("counter", Counter::default().start()).unwrap().keep();
    node.services().offer(service, "worker").unwrap();
    node
}

/// A node that looks for others by these rules.
async fn asking(book: &PhoneBook, rules: &'static [&'static str]) -> Node {
    let asks = named("asks@127.0.0.1").discovery(book.clone()).configure(with_rules(rules));
    asks.start().await.unwrap()
}

async fn offered_by(services: &Services, service: &str, names: &[&str]) {
    let there =
        || -> Vec<String> { services.nodes(service).iter().map(|node| node.short().to_owned()).collect() };
    eventually(&format!("{service} is offered by {names:?}"), || there() == names).await;
}

async fn next(events: &mut ServiceEvents) -> String {
    let next = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
    match next.expect("nothing happened within five seconds").expect("the node lives").unwrap() {
        ServiceEvent::New { service, node } => format!("+{service} at {}", node.short()),
        ServiceEvent::Lost { service, node } => format!("-{service} at {}", node.short()),
    }
}

/// Cases 182, 203 to 208, 211, 212: by name, and nobody else.
#[actix::test]
async fn a_node_connects_to_those_that_its_rules_want_and_calls_them_by_service() {
    let book = PhoneBook::default();
    let header = offering(builder("web1"), &book, "header").await;
    let _rows = offering(builder("db1"), &book, "rows").await;
    let other = offering(builder("other"), &book, "header").await;
    header.services().offer("unwanted", "worker").unwrap();
    let asks = asking(&book, &["^web[0-9]+$ -> header", "^db -> rows header"]).await;
    let services = asks.services();
    offered_by(services, "header", &["web1"]).await;
    offered_by(services, "rows", &["db1"]).await;
    assert_eq!(services.list(), ["header", "rows"]);
    assert_eq!(services.table().len(), 2);
    assert_eq!(services.call("header", Who).await.unwrap(), "web1");
    assert_eq!(services.call("rows", Who).await.unwrap(), "db1");
    assert!(other.nodes_that(NodeFilter::Connected).is_empty());
    // Connected for another reason it is let be, and not used.
    asks.connect(&target(&other)).await.unwrap();
    assert_eq!(services.nodes("header").len(), 1);
    assert_eq!(asks.nodes().len(), 3);
}

/// Cases 180, 181, 198, 199, 213; and the last node of a service that is lost, which crashed the predecessor's caller.
#[actix::test]
async fn a_service_that_nobody_offers_is_an_error_and_never_a_crash() {
    let book = PhoneBook::default();
    let asks = asking(&book, &["^web -> header"]).await;
    let services = asks.services();
    assert_eq!((services.list(), services.nodes("header")), (vec![], vec![]));
    let none = services.call("header", Who).await.unwrap_err();
    assert_eq!(none.to_string(), "no node serves \"header\": none that is connected offers it");
    assert!(!none.may_have_run());
    let web = offering(builder("web"), &book, "header").await;
    offered_by(services, "header", &["web"]).await;
    web.shutdown().await;
    offered_by(services, "header", &[]).await;
    assert!(matches!(services.call("header", Who).await, Err(ServiceError::NoNode(_))));
    assert!(matches!(services.call_all("header", Who).await, Err(ServiceError::NoNode(_))));
    assert!(matches!(services.cast("header", Who).send(), Err(ServiceError::NoNode(_))));
}

/// Cases 214, 215, 223.
#[actix::test]
async fn what_comes_and_goes_is_told_once_and_the_table_is_changed_before() {
    let book = PhoneBook::default();
    let web = offering(builder("web"), &book, "header").await;
    let asks = asking(&book, &["^web -> header nav"]).await;
    let services = asks.services();
    offered_by(services, "header", &["web"]).await;
    let mut events = services.subscribe();
    assert_eq!(next(&mut events).await, "+header at web");
    web.services().offer("nav", "worker").unwrap();
    web.services().offer("nav", "worker").unwrap();
    web.services().offer("unwanted", "worker").unwrap();
    assert_eq!(next(&mut events).await, "+nav at web");
    web.services().withdraw("header", "worker").unwrap();
    assert_eq!(next(&mut events).await, "-header at web");
    assert_eq!(services.list(), ["nav"]);
    web.services().withdraw("nav", "worker").unwrap();
    let begun = Instant::now();
    web.unregister("worker");
    assert_eq!(next(&mut events).await, "-nav at web");
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert!(web.services().withdraw("nav", "worker").is_err());
}

/// Cases 183 to 187.
#[actix::test]
async fn all_that_offer_a_service_answer_in_the_order_of_their_names() {
    let book = PhoneBook::default();
    for name in ["web2", "web1", "web3"] {
        let node = offering(builder(name), &book, "header").await;
        node.services().offer("count", "counter").unwrap();
    }
    let asks = asking(&book, &["^web -> header count"]).await;
    let services = asks.services();
    offered_by(services, "header", &["web1", "web2", "web3"]).await;
    offered_by(services, "count", &["web1", "web2", "web3"]).await;
    let same = services.call_all("count", Add { amount: 2 }).await.unwrap().report();
    assert_eq!(same, Some(Report::Uniform(Ok(2))));
    let all = services.call_all("header", Who).await.unwrap();
    let answers: Vec<_> = all.0.iter().map(|(_, answer)| answer.as_ref().unwrap().as_str()).collect();
    assert_eq!(answers, ["web1", "web2", "web3"]);
    assert!(matches!(all.report(), Some(Report::NonUniform(answers)) if answers.len() == 3));
    let two = services.call_all("header", Who).matching("^web[12]$").unwrap().await.unwrap();
    assert_eq!(two.0.len(), 2);
    let none = services.call_all("header", Who).matching("none").unwrap().await.unwrap_err();
    assert!(matches!(none, ServiceError::NoNode(_)));
}

/// Cases 172 to 176, 188: in order, whatever each takes, and no longer than the slowest may.
#[actix::test]
async fn several_calls_at_once_answer_in_their_order_and_late_ones_do_not_delay_others() {
    let book = PhoneBook::default();
    let web = offering(builder("web"), &book, "header").await;
    web.services().offer("slow", "counter").unwrap();
    let asks =
        named("asks@127.0.0.1").discovery(book.clone()).configure(with_rules(&["^web -> header slow"]));
    let asks =
        asks.configure(|config| config.call_timeout = Duration::from_millis(200)).start().await.unwrap();
    let services = asks.services();
    offered_by(services, "slow", &["web"]).await;
    let begun = Instant::now();
    let calls = [30, 1, 5_000, 20, 5_000, 2].map(|ms| ("slow".to_owned(), Sleep { ms }));
    let answers = services.call_each(calls).await;
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    let shown = answers.iter().map(|answer| answer.as_ref().map_or(0, |ms| *ms)).collect::<Vec<_>>();
    assert_eq!(shown, [30, 1, 0, 20, 0, 2]);
    let Err(ServiceError::Call(late)) = &answers[2] else { panic!() };
    assert_eq!(late.class(), Class::Unknown);
    let unknown = services.call_each([("nobody".to_owned(), Who), ("header".to_owned(), Who)]).await;
    assert!(unknown[0].is_err() && unknown[1].is_ok());
}

/// Cases 179, 191.
#[actix::test]
async fn of_casts_so_many_run_as_was_asked() {
    let book = PhoneBook::default();
    let web = offering(builder("web"), &book, "header").await;
    web.services().offer("count", "counter").unwrap();
    let asks = asking(&book, &["^web -> count"]).await;
    let services = asks.services();
    offered_by(services, "count", &["web"]).await;
    let cast = |percentage| services.cast("count", Add { amount: 1 }).percentage(percentage).send().unwrap();
    assert!((0..100).all(|_| cast(0) == Casted::NotExecuted));
    assert!((0..100).all(|_| cast(100) == Casted::Sent(web.name().clone())));
    let half = (0..1_000).filter(|_| cast(50) != Casted::NotExecuted).count();
    assert!((350..650).contains(&half), "{half}");
    assert_eq!(services.call("count", Total).await.unwrap(), 100 + half as u64);
}

/// Cases 192, 202: what fails at the far end is that call's failure, in its own words.
#[actix::test]
async fn failures_of_a_call_are_told_in_their_class() {
    let book = PhoneBook::default();
    let web = offering(builder("web"), &book, "header").await;
    web.services().offer("count", "counter").unwrap();
    let asks = asking(&book, &["^web -> header count"]).await;
    let services = asks.services();
    offered_by(services, "count", &["web"]).await;
    let late = services.call("count", Sleep { ms: 5_000 }).timeout(Duration::from_millis(5)).await;
    let Err(ServiceError::Call(late)) = late else { panic!("{late:?}") };
    assert!(["timeout", "deadline_before_write", "expired"].contains(&late.reason()), "{late}");
    let Err(ServiceError::Call(undefined)) = services.call("header", Total).await else { panic!() };
    assert!(matches!(undefined.failure(), Failure::Rejected(Rejected::NoSuchMessage)), "{undefined}");
    let Err(ServiceError::Call(panicked)) = services.call("count", Panic).await else { panic!() };
    assert!(panicked.may_have_run());
    assert!(services.call("header", Who).await.is_ok());
}

/// What callbacks were told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl ServiceCallbacks for Heard {
    fn new_resource(&self, service: &str, node: &NodeName) {
        self.note(format!("new {service} {}", node.short()));
    }
    fn lost_resource(&self, service: &str, node: &NodeName) {
        self.note(format!("lost {service} {}", node.short()));
    }
    fn measure(&self, service: &str, message: &str, took: Duration) {
        assert!(took < Duration::from_secs(1));
        self.note(format!("measure {service} {message}"));
    }
    fn success(&self, service: &str, _: &str) {
        self.note(format!("success {service}"));
    }
    fn failure(&self, service: &str, _: &str, why: CallbackFailure<'_>) {
        let why = match why {
            CallbackFailure::Transport(error) => error.to_string().contains("panic").to_string(),
            CallbackFailure::Application => "application".to_owned(),
            _ => "no node".to_owned(),
        };
        self.note(format!("failure {service} {why}"));
    }
}

/// Cases 190, 221 to 223.
#[actix::test]
async fn callbacks_hear_of_calls_and_tell_failures_of_the_application_from_those_of_transport() {
    let book = PhoneBook::default();
    let asks = asking(&book, &["^web -> count"]).await;
    let (services, heard) = (asks.services(), Heard::default());
    services.set_callbacks(heard.clone());
    let web = offering(builder("web"), &book, "header").await;
    web.services().offer("count", "counter").unwrap();
    offered_by(services, "count", &["web"]).await;
    eventually("new is told", || heard.0.lock().unwrap().len() == 1).await;
    assert_eq!(heard.take(), ["new count web"]);
    services.call("count", Total).await.unwrap();
    assert_eq!(heard.take(), ["measure count Total", "success count"]);
    services.call("count", Total).failed_if(|total| *total == 0).await.unwrap();
    assert_eq!(heard.take(), ["measure count Total", "failure count application"]);
    services.call("nobody", Total).await.unwrap_err();
    assert_eq!(heard.take(), ["measure nobody Total", "failure nobody no node"]);
    services.call("count", Panic).await.unwrap_err();
    eventually("lost is told", || heard.0.lock().unwrap().len() == 3).await;
    let mut last = heard.take();
    last.sort();
    assert_eq!(last, ["failure count true", "lost count web", "measure count Panic"]);
}

/// Cases 196, 200, 201, 214: set_node_down, and same host first is shown by the rules' own tests.
#[actix::test]
async fn a_node_that_is_set_aside_gets_no_calls_until_it_is_taken_back_or_starts_again() {
    let book = PhoneBook::default();
    let web1 = offering(builder("web1"), &book, "header").await;
    offering(builder("web2"), &book, "header").await;
    let asks = asking(&book, &["^web -> header"]).await;
    let services = asks.services();
    offered_by(services, "header", &["web1", "web2"]).await;
    services.set_aside(web1.name());
    for _ in 0..50 {
        assert_eq!(services.call("header", Who).await.unwrap(), "web2");
    }
    assert!(services.take_back(web1.name()) && !services.take_back(web1.name()));
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 2 {
        seen.insert(services.call("header", Who).await.unwrap());
    }
}

/// Case 195, 209, 219: what is not there is tried again, and another discovery names other nodes.
#[actix::test]
async fn a_node_that_comes_later_is_found() {
    let book = PhoneBook::default();
    let nowhere = ([127, 0, 0, 1], 1).into();
    book.put("web@127.0.0.1".parse().unwrap(), nowhere);
    let asks = asking(&book, &["^web -> header"]).await;
    let services = asks.services();
    eventually("it was tried", || asks.metrics().dials_failed > 0).await;
    let _web = offering(builder("web"), &book, "header").await;
    services.look_now();
    offered_by(services, "header", &["web"]).await;
}

/// Cases 216 to 219.
#[actix::test]
async fn hosts_are_those_that_are_configured_or_in_a_file_and_may_be_replaced() {
    let book = PhoneBook::default();
    let asks = asking(&book, &["^web -> header"]).await;
    // Without the port mapper there is no host to ask by default.
    assert_eq!(asks.services().hosts(), Vec::<String>::new());
    asks.services().set_hosts(vec!["one".into()]);
    assert_eq!(asks.services().hosts(), ["one"]);
    let mapped = |config: &mut Config| {
        config.mapper.mode = farcall::config::MapperUse::Auto;
        config.services.rules = vec!["^web -> header".into()];
    };
    // It is not called, so it registers nowhere; it looks on its own host.
    let looks = named("looks@127.0.0.1").configure(mapped).start().await.unwrap();
    assert_eq!(looks.services().hosts(), ["127.0.0.1"]);
    let file = std::env::temp_dir().join(format!("farcall-hosts-{}", looks.incarnation().0));
    std::fs::write(&file, "# ours\n one \n\ntwo # the second\n").unwrap();
    let (from_file, read) = (file.clone(), with_rules(&["^web -> header"]));
    let configure = move |config: &mut Config| {
        read(config);
        config.services.hosts_file = Some(from_file);
        config.services.hosts_interval = Duration::from_millis(100);
    };
    let reads = named("reads@127.0.0.1").configure(configure).start().await.unwrap();
    eventually("the file is read", || reads.services().hosts() == ["one", "two"]).await;
    std::fs::write(&file, "three\n").unwrap();
    eventually("it is read again", || reads.services().hosts() == ["three"]).await;
    std::fs::remove_file(&file).unwrap();
    eventually("what cannot be read changes nothing", || reads.services().hosts() == ["three"]).await;
}

/// F50, F52: every call is answered, whoever restarts meanwhile.
#[actix::test]
async fn a_rolling_restart_of_all_three_nodes_loses_no_call() {
    let book = PhoneBook::default();
    let names = ["work1", "work2", "work3"];
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(offering(builder(name), &book, "work").await);
    }
    let asks = asking(&book, &["^work -> work"]).await;
    let services = asks.services().clone();
    offered_by(&services, "work", &names).await;
    let (done, answered) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0_u32)));
    let calling = {
        let (services, done, answered) = (services.clone(), done.clone(), answered.clone());
        actix_rt::spawn(async move {
            let (mut calls, mut tick) = (Vec::new(), tokio::time::interval(Duration::from_millis(1)));
            while !done.get() {
                tick.tick().await;
                let (services, answered) = (services.clone(), answered.clone());
                calls.push(actix_rt::spawn(async move {
                    let answer = services.call("work", Who).await;
                    answered.set(answered.get() + 1);
                    answer
                }));
            }
            futures::future::join_all(calls).await
        })
    };
    let some_more = async |than: u32| eventually("calls are answered", || answered.get() > than).await;
    for (place, name) in names.iter().enumerate() {
        some_more(answered.get() + 50).await;
        let before = nodes[place].incarnation();
        assert!(nodes[place].shutdown().await);
        nodes[place] = offering(builder(name), &book, "work").await;
        let again = || asks.peer(nodes[place].name()).is_some_and(|peer| peer.incarnation != before);
        eventually("its next start is connected", again).await;
        offered_by(&services, "work", &names).await;
    }
    some_more(answered.get() + 50).await;
    done.set(true);
    let answers = calling.await.unwrap();
    let failed: Vec<_> = answers.into_iter().filter_map(|answer| answer.unwrap().err()).collect();
    assert!(failed.is_empty(), "{} of {} failed: {}", failed.len(), answered.get(), failed[0]);
}
