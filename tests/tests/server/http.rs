//! The HTTP API: who may ask, what is answered, and what it bears.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leveret_tests::raw::method;
use leveret_tests::raw::value::Table;
use serde_json::{Value, json};

use super::process::{ANY_PORTS, PATIENCE, Server, command};

/// An answer: status, headers, body.
struct Answer {
    status: u16,
    challenge: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| self.body.clone())
    }
}

/// `base64` of guest:guest and of guest:wrong.
const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";
const WRONG: &str = "Basic Z3Vlc3Q6d3Jvbmc=";

fn ask(server: &Server, method: &str, path: &str, login: Option<&str>) -> Result<Answer> {
    send(server, method, path, login, &[])
}

fn send(
    server: &Server,
    method: &str,
    path: &str,
    login: Option<&str>,
    body: &[u8],
) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(server.url(path)?);
    if let Some(login) = login {
        request = request.header("authorization", login);
    }
    let mut response = agent.run(request.body(body)?)?;
    let challenge = response.headers().get("www-authenticate");
    Ok(Answer {
        status: response.status().as_u16(),
        challenge: challenge
            .and_then(|text| text.to_str().ok())
            .map(str::to_owned),
        body: response.body_mut().read_to_string()?,
    })
}

/// A server with one option set.
fn server_with(option: &str) -> Result<Server> {
    let directory = tempfile::tempdir()?;
    let mut command = command(directory.path());
    command
        .args(ANY_PORTS)
        .args(["--in-memory", "--set", option]);
    Server::start(command)
}

/// Spec 11.1.
#[test]
fn an_alarm_fails_the_health_checks_that_ask_for_it() -> Result<()> {
    let server = server_with("vm_memory_high_watermark.absolute=1")?;
    let overview = ask(&server, "GET", "/api/overview", Some(GUEST))?.json()?;
    let alarms = json!([{ "node": overview["node"], "resource": "memory" }]);
    for (check, place) in [
        ("alarms", "in the cluster"),
        ("local-alarms", "on the node"),
    ] {
        let path = format!("/api/health/checks/{check}");
        let answer = ask(&server, "GET", &path, Some(GUEST))?;
        let reason = format!("There are alarms in effect {place}");
        let expected = json!({ "status": "failed", "reason": reason, "alarms": alarms });
        assert_eq!((answer.status, answer.json()?), (503, expected), "{check}");
    }
    let path = "/api/health/checks/is-in-service";
    assert_eq!(ask(&server, "GET", path, Some(GUEST))?.status, 200);
    Ok(())
}

#[test]
fn health_checks_answer_as_rabbitmq_answers() -> Result<()> {
    let server = Server::in_memory()?;
    let port = server.amqp.context("it listens")?.port();
    let http = server.management.context("it listens")?.port();
    let ok = json!({ "status": "ok" });
    let protocols = ["amqp", "http"];
    let checks = [
        ("alarms".to_owned(), 200, ok.clone()),
        ("local-alarms".to_owned(), 200, ok.clone()),
        ("virtual-hosts".to_owned(), 200, ok.clone()),
        ("ready-to-serve-clients".to_owned(), 200, ok.clone()),
        ("is-in-service".to_owned(), 200, ok.clone()),
        ("metadata-store/initialized".to_owned(), 200, ok),
        (
            "node-is-quorum-critical".to_owned(),
            200,
            json!({ "status": "ok", "reason": "single node cluster" }),
        ),
        (
            "below-node-connection-limit".to_owned(),
            200,
            json!({ "status": "ok", "current": 0, "limit": 10_000 }),
        ),
        (
            format!("port-listener/{port}"),
            200,
            json!({ "status": "ok", "port": port }),
        ),
        (
            "port-listener/1".to_owned(),
            503,
            json!({
                "status": "failed", "reason": "No active listener", "missing": 1,
                "ports": [port, http],
            }),
        ),
        (
            "port-listener/amqp".to_owned(),
            400,
            json!({ "error": "bad_request", "reason": "Invalid port" }),
        ),
        (
            "protocol-listener/amqp091,http".to_owned(),
            200,
            json!({ "status": "ok", "protocols": protocols }),
        ),
        (
            "protocol-listener/amqp,mqtt".to_owned(),
            503,
            json!({
                "status": "failed", "reason": "No active listener", "missing": ["mqtt"],
                "protocols": protocols,
            }),
        ),
        (
            "no-such-check".to_owned(),
            404,
            json!({ "error": "Object Not Found", "reason": "Not Found" }),
        ),
    ];
    for (check, status, body) in checks {
        let path = format!("/api/health/checks/{check}");
        let answer = ask(&server, "GET", &path, Some(GUEST))?;
        assert_eq!((answer.status, answer.json()?), (status, body), "{check}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_at_its_connection_limit_says_so() -> Result<()> {
    let server = server_with("limits.connections_max=1")?;
    let _client = server.client().await?;
    let path = "/api/health/checks/below-node-connection-limit";
    let answer = ask(&server, "GET", path, Some(GUEST))?;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.json()?["current"], 1);
    Ok(())
}

#[test]
fn nothing_is_answered_without_a_login() -> Result<()> {
    let server = server_with("limits.refusal_delay_ms=1")?;
    let paths = [
        ("GET", "/api/overview"),
        ("GET", "/api/health/checks/alarms"),
        ("GET", "/api/health/checks/port-listener/1"),
        ("POST", "/api/leveret/backup"),
    ];
    let refused = json!({ "error": "not_authorized", "reason": "Not_Authorized" });
    for (method, path) in paths {
        let answer = ask(&server, method, path, None)?;
        assert_eq!(
            (answer.status, answer.json()?),
            (401, refused.clone()),
            "{path}"
        );
        let challenge = "Basic realm=\"RabbitMQ Management\"";
        assert_eq!(answer.challenge.as_deref(), Some(challenge), "{path}");
    }
    for login in [
        WRONG,
        "Basic",
        "Basic !",
        "Bearer Z3Vlc3Q6Z3Vlc3Q=",
        "Basic Z3Vlc3Q=",
    ] {
        let answer = ask(&server, "GET", "/api/overview", Some(login))?;
        assert_eq!(
            (answer.status, answer.json()?),
            (401, refused.clone()),
            "{login}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_overview_counts_what_is_there_and_what_happened() -> Result<()> {
    let server = Server::in_memory()?;
    let before = ask(&server, "GET", "/api/overview", Some(GUEST))?.json()?;
    assert_eq!(before["message_stats"], json!({}), "nothing happened yet");
    let mut client = server.client().await?;
    client
        .ok(1, method::queue_declare("q", 0, &Table::new()))
        .await?;
    for _ in 0..3 {
        client.put(1, "q", "x").await?;
    }
    client.get(1, "q", false).await?.context("a message")?;
    let overview = ask(&server, "GET", "/api/overview", Some(GUEST))?.json()?;
    let expected = json!({
        "/object_totals/connections": 1,
        "/object_totals/channels": 1,
        "/object_totals/queues": 1,
        "/object_totals/consumers": 0,
        "/object_totals/exchanges": 7,
        "/queue_totals/messages": 3,
        "/queue_totals/messages_ready": 2,
        "/queue_totals/messages_unacknowledged": 1,
        "/message_stats/publish": 3,
        "/message_stats/deliver_get": 1,
        "/churn_rates/connection_created": 1,
        "/churn_rates/queue_declared": 1,
        "/listeners/0/protocol": "amqp",
        "/listeners/0/port": server.amqp.context("it listens")?.port(),
        "/listeners/1/port": server.management.context("it listens")?.port(),
        "/product_name": "RabbitMQ",
        "/leveret_version": env!("CARGO_PKG_VERSION"),
    });
    for (pointer, value) in expected.as_object().context("an object")? {
        assert_eq!(
            overview.pointer(pointer),
            Some(value),
            "{pointer} in {overview}"
        );
    }
    let rate = overview.pointer("/message_stats/publish_details/rate");
    ensure!(
        rate.and_then(Value::as_f64).is_some_and(|rate| rate > 0.0),
        "{overview}"
    );
    for name in [
        "rabbitmq_version",
        "management_version",
        "erlang_version",
        "cluster_name",
        "node",
    ] {
        ensure!(overview[name].is_string(), "{name} in {overview}");
    }
    client.close().await
}

#[test]
fn a_body_must_be_short_and_make_sense() -> Result<()> {
    let server = server_with("limits.management_body_bytes_max=1KiB")?;
    let long = vec![b' '; 1025];
    for (body, reason) in [
        (&b"{"[..], "not_json"),
        (&b"{}"[..], "destination"),
        (&b"{\"destination\":\"relative\"}"[..], "absolute"),
        (
            &b"{\"destination\":\"/nowhere\"}"[..],
            "nothing is kept on disk",
        ),
        (&long[..], "Exceeded HTTP request body size limit"),
    ] {
        let answer = send(&server, "POST", "/api/leveret/backup", Some(GUEST), body)?;
        assert_eq!(answer.status, 400, "{}", answer.body);
        let shown = answer.json()?["reason"].to_string();
        assert!(shown.contains(reason), "{shown}");
    }
    Ok(())
}

fn connect(server: &Server) -> Result<TcpStream> {
    let stream = TcpStream::connect(server.management.context("it listens")?)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What arrives until the other side closes; a reset is a close, too.
fn until_closed(stream: &mut TcpStream) -> Result<String> {
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(String::from_utf8(received)?)
}

#[test]
fn whoever_sends_a_request_too_slowly_is_hung_up_on() -> Result<()> {
    let server = server_with("limits.management_timeout_ms=200")?;
    let beginnings = [
        String::new(),
        "GET /api/overview HTTP/1.1\r\nHost: a\r\n".to_owned(),
    ];
    for beginning in beginnings {
        let mut stream = connect(&server)?;
        stream.write_all(beginning.as_bytes())?;
        let answer = until_closed(&mut stream)?;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let mut stream = connect(&server)?;
    let head = format!(
        "POST /api/leveret/backup HTTP/1.1\r\nHost: a\r\nAuthorization: {GUEST}\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes())?;
    let answer = until_closed(&mut stream)?;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    Ok(())
}

#[test]
fn more_connections_than_there_are_places_are_dropped_until_one_is_free() -> Result<()> {
    let server = server_with("limits.management_connections_max=2")?;
    let mut held = [connect(&server)?, connect(&server)?];
    for stream in &mut held {
        // An answer proves that the place is taken.
        stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut first = [0; 12];
        stream.read_exact(&mut first)?;
        assert_eq!(&first, b"HTTP/1.1 404");
    }
    assert_eq!(until_closed(&mut connect(&server)?)?, "");
    drop(held);
    let deadline = std::time::Instant::now() + PATIENCE;
    while ask(&server, "GET", "/api/overview", Some(GUEST)).is_err() {
        ensure!(
            std::time::Instant::now() < deadline,
            "no place becomes free"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
