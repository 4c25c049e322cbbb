//! names and describe.

use serde_json::{Value, json};

use crate::fixture::{BETA, Cluster};

#[actix::test]
async fn names_lists_the_actors_with_what_they_accept() {
    let cluster = Cluster::start("names").await;
    let shown = cluster.run(&["names", BETA]).await.ok();
    let expected = "NAME     VERSION  MESSAGES\n\
                    counter  1.4.0    Add, Total, Mirror, Sleep, Panic, Count, Hide\n";
    assert_eq!(shown, expected);
    let shown: Value = serde_json::from_str(&cluster.run(&["names", BETA, "--json"]).await.ok()).unwrap();
    assert_eq!(
        (&shown["name"], &shown["version"], &shown["messages"][1]),
        (&json!("counter"), &json!("1.4.0"), &json!("Total"))
    );
}

#[actix::test]
async fn a_node_without_actors_says_so() {
    let cluster = Cluster::start("no_names").await;
    assert!(cluster.node.unregister("counter"));
    assert_eq!(cluster.run(&["names", BETA]).await.ok(), "beta@127.0.0.1 exposes no actors\n");
    assert_eq!(cluster.run(&["names", BETA, "--json"]).await.ok(), "");
}

#[actix::test]
async fn describe_shows_layouts_and_examples_that_can_be_copied() {
    let cluster = Cluster::start("describe").await;
    let shown = cluster.run(&["describe", BETA, "counter"]).await.ok();
    assert!(shown.starts_with("beta@127.0.0.1  (farcall "), "{shown}");
    for part in [
        "\ncounter  version 1.4.0\n",
        "\n  Add -> u64\n      struct Add {\n          amount: u64,\n      }\n",
        "\n  Count -> stream of u64\n",
        "          Circle { radius: f64 },\n",
        "          number: opaque std::num::NonZeroU8,\n",
    ] {
        assert!(shown.contains(part), "{part:?} is missing:\n{shown}");
    }
    let examples: Vec<&str> =
        shown.lines().filter_map(|line| line.trim().strip_prefix("farcall call ")).collect();
    assert_eq!(examples.len(), 7);
    for example in examples.iter().filter(|example| !example.contains("Panic") && !example.contains("Hide")) {
        let words: Vec<&str> = example.splitn(4, ' ').map(|word| word.trim_matches('\'')).collect();
        cluster.run(&[&["call"], words.as_slice()].concat()).await.ok();
    }
}

#[actix::test]
async fn describe_for_programs_has_the_layouts_and_an_example() {
    let cluster = Cluster::start("describe_json").await;
    let shown = cluster.run(&["describe", BETA, "--json"]).await.ok();
    assert_eq!(shown.lines().count(), 1);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["node"], &shown["actors"][0]["name"]), (&json!(BETA), &json!("counter")));
    let add = &shown["actors"][0]["messages"][0];
    assert_eq!((&add["name"], &add["version"], &add["stream"]), (&json!("Add"), &json!(1), &json!(false)));
    assert_eq!(add["definitions"], json!(["struct Add {\n    amount: u64,\n}"]));
    assert_eq!((&add["result"], &add["example"]), (&json!("u64"), &json!(r#"{"amount":0}"#)));
    assert_eq!(add["request_schema"]["ty"]["Struct"][0]["name"], "amount");
    assert_eq!(add["fingerprint"].as_str().unwrap().len(), 16);
}
