//! The figures of a comparison, as lines, JSON and Markdown.

use serde::Serialize;

use crate::compare::ratio::{Ratio, median};
use crate::compare::round::Broker;
use crate::compare::workload::{Better, Sample};
use crate::report::today;
use crate::wire::Uri;

/// One measure of one workload on both brokers.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    workload: &'static str,
    pub(crate) measure: &'static str,
    unit: &'static str,
    better: Better,
    uris: [Uri; 2],
    /// Round by round, of a and of b.
    pub(crate) values: [Vec<f64>; 2],
}

impl Figure {
    pub(crate) fn new(workload: &'static str, sample: &Sample, brokers: &[Broker<'_>; 2]) -> Self {
        let Sample {
            measure,
            unit,
            better,
            ..
        } = *sample;
        let uris = [brokers[0].uri.clone(), brokers[1].uri.clone()];
        Self {
            workload,
            measure,
            unit,
            better,
            uris,
            values: [Vec::new(), Vec::new()],
        }
    }

    fn medians(&self) -> [String; 2] {
        let text = |values: &Vec<f64>| median(values).map_or("-".to_owned(), number);
        [text(&self.values[0]), text(&self.values[1])]
    }

    fn ratio(&self) -> Option<Ratio> {
        Ratio::of(&self.values[0], &self.values[1])
    }

    fn ratio_text(&self) -> String {
        self.ratio().map_or(
            "-".to_owned(),
            |Ratio {
                 of_medians,
                 least,
                 greatest,
             }| { format!("{of_medians:.2} ({least:.2} to {greatest:.2})") },
        )
    }

    /// The figure as one line for people.
    pub(crate) fn line(&self) -> String {
        let [a, b] = self.medians();
        let name = format!("{}: {}", self.workload, self.measure);
        let ratio = self.ratio_text();
        format!("{name:<48}{a:>12} {b:>12} {:<10}  a/b {ratio}", self.unit)
    }
}

impl Serialize for Figure {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Side<'a> {
            uri: &'a Uri,
            median: Option<f64>,
            rounds: &'a [f64],
        }
        #[derive(Serialize)]
        struct Line<'a> {
            benchmark: &'static str,
            workload: &'static str,
            measure: &'static str,
            unit: &'static str,
            better: Better,
            a: Side<'a>,
            b: Side<'a>,
            ratio: Option<Ratio>,
        }
        let side = |index: usize| {
            let rounds = self.values[index].as_slice();
            Side {
                uri: &self.uris[index],
                median: median(rounds),
                rounds,
            }
        };
        let line = Line {
            benchmark: "compare",
            workload: self.workload,
            measure: self.measure,
            unit: self.unit,
            better: self.better,
            a: side(0),
            b: side(1),
            ratio: self.ratio(),
        };
        line.serialize(serializer)
    }
}

/// All figures of a comparison, and what went wrong in it.
#[derive(Debug)]
pub(crate) struct Table {
    names: [String; 2],
    rounds: usize,
    figures: Vec<Figure>,
    pub(crate) faults: Vec<String>,
}

impl Table {
    pub(crate) fn new(a: &str, b: &str, rounds: usize) -> Self {
        let names = [a.to_owned(), b.to_owned()];
        Self {
            names,
            rounds,
            figures: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// The table as Markdown, with its date and command line, which shows no password.
    pub(crate) fn markdown(&self) -> String {
        let [a, b] = &self.names;
        let date = today();
        let mut text = format!(
            "{date}, medians of {} rounds; in brackets the least and greatest ratio of a round.\n\n\
             | workload | measure | better | {a} | {b} | {a} / {b} |\n\
             | --- | --- | --- | ---: | ---: | --- |\n",
            self.rounds
        );
        for figure in &self.figures {
            let [first, second] = figure.medians();
            let better = match figure.better {
                Better::Higher => "higher",
                Better::Lower => "lower",
            };
            let Figure {
                workload,
                measure,
                unit,
                ..
            } = figure;
            let ratio = figure.ratio_text();
            text += &format!(
                "| {workload} | {measure}, {unit} | {better} | {first} | {second} | {ratio} |\n"
            );
        }
        for fault in &self.faults {
            text += &format!("\nFault: {fault}\n");
        }
        text
    }
}

/// A figure with as many digits as it deserves.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(a: &[f64], b: &[f64]) -> Figure {
        let (first, second): (Uri, Uri) = (
            "amqp://u:pw@h:1".parse().unwrap(),
            "amqp://h:2".parse().unwrap(),
        );
        let brokers = [
            Broker {
                name: "one",
                uri: &first,
                pid: None,
            },
            Broker {
                name: "two",
                uri: &second,
                pid: None,
            },
        ];
        let better = Better::Higher;
        let sample = Sample {
            measure: "consumed",
            unit: "/s",
            better,
            value: 0.0,
        };
        let mut figure = Figure::new("topic", &sample, &brokers);
        figure.values = [a.to_vec(), b.to_vec()];
        figure
    }

    #[test]
    fn the_markdown_has_medians_and_the_ratio_with_its_spread() {
        let mut table = Table::new("one", "two", 3);
        table.push(figure(&[300.0, 200.0, 100.0], &[100.0, 100.0, 50.0]));
        table.faults.push("lost 1".to_owned());
        let text = table.markdown();
        let row = "| topic | consumed, /s | higher | 200 | 100 | 2.00 (2.00 to 3.00) |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.ends_with("\nFault: lost 1\n"), "{text}");
    }

    #[test]
    fn the_json_has_all_rounds_and_no_password() {
        let line = serde_json::to_value(figure(&[4.0], &[2.0])).unwrap();
        assert_eq!(line["a"]["rounds"][0], 4.0);
        assert_eq!(line["ratio"]["of_medians"], 2.0);
        assert_eq!(line["a"]["uri"], "amqp://u@h:1/%2f");
    }

    #[test]
    fn a_figure_without_rounds_has_no_numbers() {
        assert!(figure(&[], &[]).line().contains("a/b -"));
    }
}
