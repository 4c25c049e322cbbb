//! What a node counts, through the `metrics` facade, for whatever exporter the program has installed.

use std::collections::HashSet;

use metrics::{Key, Label, Level, Metadata, SharedString, Unit};

use super::NodeView;
use super::prometheus::{Family, Kind, Sample, families};

/// Series that one publisher ever makes: a facade has no way to take one back.
pub const SERIES_MAX: usize = 16_384;

/// Hands the numbers of a node to the `metrics` facade, again and again.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    known: HashSet<Key>,
    described: HashSet<String>,
    left_out: u64,
}

impl Publisher {
    /// Hands over a view.
    pub(crate) fn publish(&mut self, view: &NodeView) {
        for family in families(view) {
            self.describe(&family);
            for sample in family.samples {
                self.sample(&family.name, family.kind, sample);
            }
        }
        let node = Label::new("node", view.node.clone());
        #[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
        let left_out = self.left_out as f64;
        let key = Key::from_parts("farcall_series_left_out", vec![node]);
        metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(left_out));
    }

    fn describe(&mut self, family: &Family) {
        if !self.described.insert(family.name.clone()) {
            return;
        }
        let (name, help): (SharedString, SharedString) =
            (family.name.clone().into(), family.help.clone().into());
        let unit = match family.name.as_str() {
            name if name.contains("_seconds") => Some(Unit::Seconds),
            name if name.contains("_bytes") => Some(Unit::Bytes),
            _ => None,
        };
        metrics::with_recorder(|recorder| match family.kind {
            Kind::Counter | Kind::Histogram => recorder.describe_counter(name.into(), unit, help),
            Kind::Gauge => recorder.describe_gauge(name.into(), unit, help),
        });
    }

    fn sample(&mut self, family: &str, kind: Kind, Sample { suffix, labels, value }: Sample) {
        let labels: Vec<_> = labels.into_iter().map(|(label, text)| Label::new(label, text)).collect();
        let key = Key::from_parts(format!("{family}{suffix}"), labels);
        if !self.known.contains(&key) {
            if self.known.len() >= SERIES_MAX {
                self.left_out += 1;
                return;
            }
            self.known.insert(key.clone());
        }
        metrics::with_recorder(|recorder| match kind {
            // The sum of times is the only one that is no whole number.
            Kind::Histogram if suffix == "_sum" => recorder.register_gauge(&key, &METADATA).set(value),
            Kind::Counter | Kind::Histogram => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it was a count"
                )]
                recorder.register_counter(&key, &METADATA).absolute(value as u64);
            }
            Kind::Gauge => recorder.register_gauge(&key, &METADATA).set(value),
        });
    }
}

static METADATA: Metadata<'static> = Metadata::new("farcall", Level::INFO, Some(module_path!()));

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, KeyName, Recorder};
    use parking_lot::Mutex;

    use super::super::tests::{actor, link, view};
    use super::*;

    /// What was handed over, by its name and labels.
    #[derive(Default)]
    struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

    struct Place(Arc<Mutex<BTreeMap<String, f64>>>, String);

    impl Place {
        fn put(&self, value: f64) {
            self.0.lock().insert(self.1.clone(), value);
        }
    }

    impl CounterFn for Place {
        fn increment(&self, _: u64) {
            unreachable!("counts are handed over as they stand");
        }
        fn absolute(&self, value: u64) {
            self.put(u32::try_from(value).unwrap().into());
        }
    }

    impl GaugeFn for Place {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, value: f64) {
            self.put(value);
        }
    }

    impl Kept {
        fn place(&self, key: &Key) -> Arc<Place> {
            let labels: Vec<_> = key.labels().skip(1).map(Label::value).collect();
            Arc::new(Place(
                self.0.clone(),
                format!("{} {}", key.name(), labels.join(" ")).trim_end().to_owned(),
            ))
        }
    }

    impl Recorder for Kept {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(self.place(key))
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::from_arc(self.place(key))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_facade_gets_the_numbers_of_the_page_under_the_same_names() {
        let (kept, mut publisher) = (Kept::default(), Publisher::default());
        metrics::with_local_recorder(&kept, || {
            publisher.publish(&view(1_500_000, vec![link("beta@h", 1, 7)], vec![actor("counter", 3)]));
            publisher.publish(&view(2_500_000, vec![link("beta@h", 1, 9)], vec![actor("counter", 3)]));
        });
        let kept = kept.0.lock();
        for (name, value) in [
            ("farcall_uptime_seconds", 2.5),
            ("farcall_link_messages_out_total beta@h out 0", 9.0),
            ("farcall_actor_handled_total counter", 3.0),
            ("farcall_actor_errors_total counter busy", 2.0),
            ("farcall_actor_seconds_bucket counter 0.000016", 3.0),
            ("farcall_actor_seconds_bucket counter +Inf", 3.0),
            ("farcall_series_left_out", 0.0),
        ] {
            assert_eq!(kept.get(name), Some(&value), "{name} in {kept:?}");
        }
    }

    #[test]
    fn however_many_actors_come_and_go_the_series_are_bounded_and_what_is_left_out_is_counted() {
        let (kept, mut publisher) = (Kept::default(), Publisher::default());
        metrics::with_local_recorder(&kept, || {
            for round in 0..40 {
                let actors = (0..200).map(|n| actor(&format!("{round} {n}"), n + 1)).collect();
                publisher.publish(&view(1, Vec::new(), actors));
            }
        });
        let kept = kept.0.lock();
        assert_eq!(kept.len(), SERIES_MAX + 1);
        assert!(kept.get("farcall_series_left_out").is_some_and(|left_out| *left_out > 0.0));
    }
}
