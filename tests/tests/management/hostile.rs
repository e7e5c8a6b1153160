//! Requests that mean harm (spec 13.14).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::api::{Api, Body, unique};

const PATIENCE: Duration = Duration::from_secs(30);

/// `base64` of guest:guest.
const LOGIN: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

fn raw(api: &Api, parts: &[&[u8]]) -> Result<String> {
    let address = api.base.strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    for part in parts {
        // A broker that has heard enough may hang up.
        if stream.write_all(part).is_err() {
            break;
        }
    }
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while received.len() < 1 << 20 {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&received).into_owned())
}

fn still_answers(api: &Api) -> Result<()> {
    ensure!(
        api.get("/api/overview")?.status == 200,
        "the broker still answers"
    );
    Ok(())
}

/// Spec 10.1.4. Spec 13.14.
#[test]
fn a_body_is_cut_off_where_it_becomes_too_long_whatever_it_claims() -> Result<()> {
    let api = Api::leveret()?;
    let head = |length: &str| {
        format!(
            "PUT /api/queues/%2F/q HTTP/1.1\r\nHost: a\r\n{LOGIN}Connection: close\r\n{length}\r\n\r\n"
        )
    };
    let megabyte = vec![b' '; 1 << 20];
    // Eleven megabytes that are announced, and eleven that come piece by piece.
    let announced = head("Content-Length: 11534336");
    let mut parts = vec![announced.as_bytes()];
    parts.extend(std::iter::repeat_n(megabyte.as_slice(), 11));
    let answer = raw(&api, &parts)?;
    ensure!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let chunked = head("Transfer-Encoding: chunked");
    let mut parts = vec![chunked.as_bytes()];
    for _ in 0..11 {
        parts.extend([&b"100000\r\n"[..], &megabyte, b"\r\n"]);
    }
    parts.push(b"0\r\n\r\n");
    let answer = raw(&api, &parts)?;
    ensure!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    still_answers(&api)
}

/// Spec 13.14.
#[test]
fn ten_thousand_headers_are_refused() -> Result<()> {
    let api = Api::leveret()?;
    let mut request = format!("GET /api/overview HTTP/1.1\r\nHost: a\r\n{LOGIN}");
    for number in 0..10_000 {
        request.push_str(&format!("X-{number}: x\r\n"));
    }
    request.push_str("\r\n");
    let answer = raw(&api, &[request.as_bytes()])?;
    ensure!(!answer.contains("200 OK"), "{answer}");
    still_answers(&api)
}

/// Spec 10.1.6. Spec 13.14.
#[test]
fn queries_cannot_make_the_broker_work_for_ever() -> Result<()> {
    let api = Api::leveret()?;
    let many = "a".repeat(4_000);
    let queries = [
        // Patterns that other engines take exponential time for, or memory.
        "page=1&use_regex=true&name=(a%2B)%2B$".to_owned(),
        "page=1&use_regex=true&name=((a{1,1000}){1,1000}){1,1000}".to_owned(),
        format!("page=1&use_regex=true&name={many}"),
        "page=99999999999999999999999999999999".to_owned(),
        "page=18446744073709551615&page_size=500".to_owned(),
        "lengths_age=9223372036854775807&lengths_incr=1".to_owned(),
        "lengths_age=86400&lengths_incr=-1".to_owned(),
        format!("sort={}", "a.".repeat(2_000)),
        format!("columns={}", "a,".repeat(2_000)),
        "name=%ff%fe".to_owned(),
    ];
    for query in queries {
        let answer = api.get(&format!("/api/queues?{query}"))?;
        ensure!(
            matches!(answer.status, 200 | 400),
            "{query}: {}",
            answer.status
        );
    }
    still_answers(&api)
}

/// Spec 13.14.
#[test]
fn deep_json_and_tables_are_refused() -> Result<()> {
    let api = Api::leveret()?;
    for depth in [101, 127, 128, 10_000, 1_000_000] {
        let nested = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let body = format!("{{\"arguments\":{nested}}}");
        let answer = api.ask("PUT", "/api/queues/%2F/deep", Body::Text(&body))?;
        ensure!(answer.status == 400, "{depth}: {}", answer.status);
    }
    still_answers(&api)
}

/// Spec 13.14.
#[test]
fn paths_lead_to_names_and_to_nothing_else() -> Result<()> {
    let api = Api::leveret()?;
    for path in [
        "/api/queues/%2F/..%2F..%2Fetc%2Fpasswd",
        "/api/queues/..%2F../q",
        "/api/queues/%2F/%00",
        "/api/queues/%2F/%ff",
        "/api/queues/%252F/q",
        "/api/../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/api/nodes/..%2F..",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{LOGIN}Connection: close\r\n\r\n");
        let answer = raw(&api, &[request.as_bytes()])?;
        ensure!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    still_answers(&api)
}

/// Spec 13.13.
#[test]
fn names_that_are_markup_come_back_as_data() -> Result<()> {
    let api = Api::leveret()?;
    let name = "%3Cimg%20src%3Dx%20onerror%3D%22alert(1)%22%3E%0A%E2%80%AE";
    let path = format!("/api/queues/%2F/{name}");
    assert_eq!(api.ask("PUT", &path, Body::Text("{}"))?.status, 201);
    let shown = api.get(&path)?;
    let expected = "<img src=x onerror=\"alert(1)\">\n\u{202e}";
    assert_eq!(shown.json()?["name"], expected);
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{LOGIN}Connection: close\r\n\r\n");
    let answer = raw(&api, &[request.as_bytes()])?.to_lowercase();
    ensure!(
        answer.contains("content-type: application/json"),
        "{answer}"
    );
    ensure!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    ensure!(
        answer.contains("content-security-policy: default-src 'self'"),
        "{answer}"
    );
    // A scraper's page has one sample in a line.
    let metrics = format!("{}/metrics/per-object", api.metrics_base()?);
    let page = api.send("GET", &metrics, Body::Nothing, &[])?.text;
    ensure!(page.contains("onerror=\\\"alert(1)\\\">\\n"), "{page}");
    Ok(())
}

/// Spec 10.1.7.
#[test]
fn pages_of_other_sites_cannot_change_anything() -> Result<()> {
    let api = Api::leveret()?;
    let url = format!("{}/api/queues/%2F/{}", api.base, unique());
    let own = api.base.clone();
    for (headers, status) in [
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("sec-fetch-site", "cross-site")], 403),
        (vec![("origin", own.as_str())], 201),
    ] {
        let answer = api.send("PUT", &url, Body::Text("{}"), &headers)?;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
    }
    // Nothing is ever shared with other sites, either.
    let address = api.base.strip_prefix("http://").context("an address")?;
    let request = format!(
        "GET /api/overview HTTP/1.1\r\nHost: {address}\r\n{LOGIN}Origin: http://evil.example\r\n\
         Connection: close\r\n\r\n"
    );
    let answer = raw(&api, &[request.as_bytes()])?.to_lowercase();
    ensure!(answer.starts_with("http/1.1 200"), "{answer}");
    ensure!(!answer.contains("access-control-allow"), "{answer}");
    Ok(())
}

/// Spec 13.5.
#[test]
fn a_name_too_long_for_amqp_is_refused() -> Result<()> {
    let api = Api::leveret()?;
    let name = "q".repeat(256);
    for kind in ["queues", "exchanges"] {
        let path = format!("/api/{kind}/%2F/{name}");
        let answer = api.ask("PUT", &path, Body::Text("{}"))?;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    let path = "/api/bindings/%2F/e/amq.topic/e/amq.fanout";
    let body = json!({ "routing_key": "k".repeat(256) }).to_string();
    assert_eq!(api.ask("POST", path, Body::Text(&body))?.status, 400);
    Ok(())
}
