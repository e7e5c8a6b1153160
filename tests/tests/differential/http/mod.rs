//! Generated calls of the HTTP API, made of Leveret and of RabbitMQ one after the other: status, errors, fields and
//! values that do not depend on the moment must be the same.
//!
//! What Leveret does not serve yet is left out: it tells its paths itself, at `/api/leveret/routes`.

mod answer;
mod generate;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use leveret_tests::differences::{ACCEPTED_BY_HTTP, AcceptedByHttp};
use leveret_tests::outcome::text_matches;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use answer::Answer;

pub(crate) use generate::calls;

/// How long answers to a question may differ: RabbitMQ applies policies a little later, and tells of it when it next
/// gathers statistics, which is every 5 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// One request. Names such as `q1`, wherever they stand, become names of the script's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Both brokers' HTTP APIs.
#[derive(Clone, Debug)]
pub(crate) struct Apis {
    leveret: String,
    rabbitmq: String,
    served: Arc<Vec<(String, String)>>,
    agent: ureq::Agent,
}

/// Where two brokers parted.
pub(crate) struct Parting {
    pub(crate) calls: Vec<Call>,
    pub(crate) leveret: Vec<String>,
    pub(crate) rabbitmq: Vec<String>,
}

impl fmt::Display for Parting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.leveret {
            writeln!(formatter, "  Leveret  {line}")?;
        }
        for line in &self.rabbitmq {
            writeln!(formatter, "  RabbitMQ {line}")?;
        }
        for call in &self.calls {
            writeln!(formatter, "{call}")?;
        }
        Ok(())
    }
}

impl Apis {
    /// Asks Leveret what it serves.
    pub(crate) fn open(leveret: &str, rabbitmq: &str) -> Result<Self> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut apis = Self {
            leveret: leveret.to_owned(),
            rabbitmq: rabbitmq.to_owned(),
            served: Arc::new(Vec::new()),
            agent,
        };
        let routes = apis.ask(leveret, &Call::get("/api/leveret/routes"), "")?;
        let Some(Value::Array(routes)) = routes.body else {
            return Ok(apis);
        };
        let text = |route: &Value, key: &str| route[key].as_str().unwrap_or_default().to_owned();
        let served = routes
            .iter()
            .map(|route| (text(route, "method"), text(route, "path")));
        apis.served = Arc::new(served.collect());
        Ok(apis)
    }

    /// How many methods of paths there are to compare.
    pub(crate) fn served(&self) -> usize {
        self.served.len()
    }

    fn serves(&self, call: &Call) -> bool {
        let path = call.path.split('?').next().unwrap_or_default();
        self.served.iter().any(|(method, template)| {
            let segments = (path.split('/'), template.split('/'));
            let count = (segments.0.clone().count(), segments.1.clone().count());
            let fit = |(part, wanted): (&str, &str)| part == wanted || wanted.starts_with('{');
            *method == call.method && count.0 == count.1 && segments.0.zip(segments.1).all(fit)
        })
    }

    fn ask(&self, base: &str, call: &Call, prefix: &str) -> Result<Answer> {
        let (login, host) = login(base)?;
        let uri = format!("http://{host}{}", with_names(prefix, &call.path));
        let request = ureq::http::Request::builder()
            .method(call.method.as_str())
            .uri(uri)
            .header("authorization", login)
            .header("content-type", "application/json");
        let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
        let request = request.body(with_names(prefix, &body))?;
        let answer = self.agent.run(request).with_context(|| call.to_string())?;
        Answer::read(answer, prefix).with_context(|| call.to_string())
    }

    /// Makes all calls of both; how they parted, if they did.
    pub(crate) fn play(&self, calls: &[Call]) -> Result<Option<Parting>> {
        let prefix = format!("differential-{:012x}-", rand::random::<u64>() >> 16);
        let outcome = self.play_as(&prefix, calls);
        for base in [&self.leveret, &self.rabbitmq] {
            for call in calls.iter().rev() {
                if let Some(undo) = generate::undo(call)
                    && (*base == self.rabbitmq || self.serves(&undo))
                {
                    self.ask(base, &undo, &prefix)?;
                }
            }
        }
        outcome
    }

    fn play_as(&self, prefix: &str, calls: &[Call]) -> Result<Option<Parting>> {
        for (number, call) in calls.iter().enumerate() {
            if !self.serves(call) {
                continue;
            }
            let Some((leveret, rabbitmq)) = self.compare(call, prefix)? else {
                continue;
            };
            let parting = Parting {
                calls: calls[..=number].to_vec(),
                leveret,
                rabbitmq,
            };
            if !is_accepted(call, &parting) {
                return Ok(Some(parting));
            }
            // After two answers to a question the brokers are still in the same state.
            if call.method != "GET" {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// What only Leveret and what only RabbitMQ answers; `None` if they come to agree.
    fn compare(&self, call: &Call, prefix: &str) -> Result<Option<(Vec<String>, Vec<String>)>> {
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            let lines = these.iter().filter(|line| !those.contains(line));
            lines.cloned().collect()
        };
        let begin = Instant::now();
        loop {
            let leveret = self.ask(&self.leveret, call, prefix)?.lines();
            let rabbitmq = self.ask(&self.rabbitmq, call, prefix)?.lines();
            if leveret == rabbitmq {
                return Ok(None);
            }
            let parting = Parting {
                calls: Vec::new(),
                leveret: only(&leveret, &rabbitmq),
                rabbitmq: only(&rabbitmq, &leveret),
            };
            let may_change = call.method == "GET" && !is_accepted(call, &parting);
            if !may_change || begin.elapsed() >= PATIENCE {
                return Ok(Some((parting.leveret, parting.rabbitmq)));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Leaves calls out for as long as the rest still parts at the same one.
    pub(crate) fn shrink(&self, mut parting: Parting) -> Parting {
        let mut place = 0;
        while place + 1 < parting.calls.len() {
            let mut fewer = parting.calls.clone();
            fewer.remove(place);
            match self.play(&fewer) {
                Ok(Some(smaller)) if smaller.calls.last() == parting.calls.last() => {
                    parting = smaller;
                }
                Ok(_) | Err(_) => place += 1,
            }
        }
        parting
    }
}

fn is_accepted(call: &Call, parting: &Parting) -> bool {
    ACCEPTED_BY_HTTP
        .iter()
        .any(|accepted| accepts(accepted, call, parting))
}

fn accepts(accepted: &AcceptedByHttp, call: &Call, parting: &Parting) -> bool {
    let tells = |lines: &[String], pattern: &str| {
        pattern.is_empty() || lines.iter().any(|line| text_matches(pattern, line))
    };
    text_matches(accepted.call, &format!("{} {}", call.method, call.path))
        && tells(&parting.leveret, accepted.leveret)
        && tells(&parting.rabbitmq, accepted.rabbitmq)
}

impl Call {
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path, None)
    }

    pub(crate) fn new(method: &str, path: &str, body: Option<Value>) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            body,
        }
    }
}

/// The authorization header and the host of `http://user:password@host:port`.
fn login(base: &str) -> Result<(String, String)> {
    let rest = base.strip_prefix("http://").context("no http address")?;
    let (login, host) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
    ensure!(login == "guest:guest", "another user than guest");
    Ok(("Basic Z3Vlc3Q6Z3Vlc3Q=".to_owned(), host.to_owned()))
}

/// A text in which the script's names are those of one run.
fn with_names(prefix: &str, text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut result = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        if generate::is_own_name(word) {
            result.push_str(prefix);
        }
        result.push_str(word);
        let next = more.chars().next().map_or(0, char::len_utf8);
        result.push_str(&more[..next]);
        rest = &more[next..];
    }
    result
}
