//! A page of metrics, put together family by family.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// Names and values of labels; values are anything, and escaped where they are written.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page to be.
#[derive(Debug)]
pub(super) struct Exposition {
    prefix: &'static str,
    /// In the order in which they came up.
    families: Vec<MetricFamily>,
    positions: ahash::AHashMap<String, usize>,
}

impl Exposition {
    /// An empty page. The prefix stands before the names of counters and gauges.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            families: Vec::new(),
            positions: ahash::AHashMap::new(),
        }
    }

    /// Adds a count that only grows. Whole numbers are exact up to 2⁵³, as everywhere in Prometheus.
    pub(super) fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        let mut counter = Counter::default();
        counter.set_value(value as f64);
        let mut metric = labelled(labels);
        metric.set_counter(counter);
        let name = format!("{}_{name}", self.prefix);
        self.add(name, help, MetricType::COUNTER, metric);
    }

    /// Adds counts of what was not above each bound but above the one before it; the count that has no bound
    /// is that of what was above all. `sum` is the sum of everything that was counted.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: Labels<'_>,
        (bounds, counts, sum): (&[u64], &[u64], u64),
    ) {
        let mut so_far = 0;
        let mut buckets = Vec::with_capacity(counts.len());
        let bounds = bounds.iter().map(|bound| *bound as f64);
        // The last count has no bound; whoever encodes the page adds the bucket of everything.
        for (bound, count) in bounds.zip(counts) {
            so_far += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(so_far);
            buckets.push(bucket);
        }
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum as f64);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        let name = format!("{}_{name}", self.prefix);
        self.add(name, help, MetricType::HISTOGRAM, metric);
    }

    /// Adds a number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        self.level(name, help, labels, value as f64);
    }

    /// The same for a fraction.
    pub(super) fn level(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let name = format!("{}_{name}", self.prefix);
        self.absolute(&name, help, labels, value);
    }

    /// Adds a number under a name that the page's prefix does not stand before.
    pub(super) fn absolute(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = labelled(labels);
        metric.set_gauge(gauge);
        self.add(name.to_owned(), help, MetricType::GAUGE, metric);
    }

    fn add(&mut self, name: String, help: &str, kind: MetricType, metric: Metric) {
        let position = *self.positions.entry(name).or_insert_with_key(|name| {
            let mut family = MetricFamily::default();
            family.set_name(name.clone());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            self.families.push(family);
            self.families.len() - 1
        });
        if let Some(family) = self.families.get_mut(position) {
            family.mut_metric().push(metric);
        }
    }

    /// The families.
    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.families
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn whatever_a_label_holds_stays_within_its_quotes() {
        let mut page = Exposition::new("p");
        page.gauge("n", "Help", &[("queue", "a\"b\\c\nd\r{}# ä")], 1);
        page.gauge("n", "Help", &[("queue", "")], 2);
        page.counter("c_total", "Help", &[], u64::MAX);
        page.histogram("h", "Help", &[], (&[10, 20], &[1, 0, 2], 77));
        let text = TextEncoder::new().encode_to_string(&page.finish());
        let lines: Vec<String> = text
            .expect("it is well formed")
            .split('\n')
            .map(str::to_owned)
            .collect();
        let expected = [
            "# HELP p_n Help",
            "# TYPE p_n gauge",
            "p_n{queue=\"a\\\"b\\\\c\\nd\r{}# ä\"} 1",
            "p_n{queue=\"\"} 2",
            "# HELP p_c_total Help",
            "# TYPE p_c_total counter",
            "p_c_total 18446744073709552000",
            "# HELP p_h Help",
            "# TYPE p_h histogram",
            "p_h_bucket{le=\"10\"} 1",
            "p_h_bucket{le=\"20\"} 1",
            "p_h_bucket{le=\"+Inf\"} 3",
            "p_h_sum 77",
            "p_h_count 3",
            "",
        ];
        assert_eq!(lines, expected);
    }
}
