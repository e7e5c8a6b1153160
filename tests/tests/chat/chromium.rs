//! Real Chromium, driven by its own driver: Debian's packages `chromium` and `chromium-driver`.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use thirtyfour::error::WebDriverError;
use thirtyfour::prelude::WebDriverResult;
use thirtyfour::session::http::{Body, HttpClient};
use thirtyfour::{By, Capabilities, WebDriver, WebElement};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// For whatever should happen in a page; a browser on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How large the page is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Screen {
    Desktop,
    /// 360 pixels wide.
    Telephone,
}

/// The driver's process.
pub(crate) struct Driver {
    url: String,
    _process: Child,
}

impl Driver {
    /// `None` where there is none, which is said past the test harness's capture; where it must be there,
    /// that is a failure.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut process = match child {
            Ok(process) => process,
            Err(error) => {
                let is_required =
                    env::var("LEVERET_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
                ensure!(!is_required, "no chromedriver: {error}");
                let line = "SKIPPED: no chromedriver; apt-get install chromium chromium-driver\n";
                std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes())?;
                return Ok(None);
            }
        };
        let output = process.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(port) = line.rsplit_once("started successfully on port ") {
                let url = format!("http://127.0.0.1:{}", port.1.trim_end_matches('.'));
                // Somebody must read what it says.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Some(Self {
                    url,
                    _process: process,
                }));
            }
        }
        bail!("chromedriver does not say where it listens")
    }

    pub(crate) async fn browser(&self, screen: Screen) -> Result<Browser> {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1100,760",
            "--lang=en",
        ];
        let mut options = json!({"args": arguments});
        if let Screen::Telephone = screen {
            options["mobileEmulation"] =
                json!({"deviceMetrics": {"width": 360, "height": 740, "pixelRatio": 2.0}});
        }
        let capabilities: Capabilities =
            serde_json::from_value(json!({"goog:chromeOptions": options}))?;
        let driver = WebDriver::builder(&self.url, capabilities).client(Http::new());
        Ok(Browser {
            driver: driver.connect().await.context("no browser starts")?,
        })
    }
}

/// HTTP for the driver's library, which brings none of its own here.
struct Http(ureq::Agent);

impl Http {
    fn new() -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Self(config.build().new_agent())
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send(
        &self,
        request: ureq::http::Request<Body<'_>>,
    ) -> WebDriverResult<ureq::http::Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = match body {
            Body::Empty => String::new(),
            Body::Json(value) => value.to_string(),
        };
        let request = ureq::http::Request::from_parts(parts, body);
        let agent = self.0.clone();
        let ask = move || {
            let mut response = agent.run(request)?;
            let body = response
                .body_mut()
                .with_config()
                .limit(64 << 20)
                .read_to_vec()?;
            Ok::<_, ureq::Error>((response.status(), body))
        };
        let failed = |error: String| WebDriverError::HttpError(error);
        let answered = tokio::task::spawn_blocking(ask).await;
        let (status, body) = answered
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
        let response = ureq::http::Response::builder().status(status);
        response
            .body(Bytes::from(body))
            .map_err(|error| failed(error.to_string()))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self::new())
    }
}

/// A browser with a profile of its own.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
}

impl Browser {
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        Ok(self
            .driver
            .execute(script, Vec::new())
            .await?
            .json()
            .clone())
    }

    /// Waits until the expression is true.
    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let script = format!("return Boolean({condition});");
        loop {
            if self.run(&script).await? == Value::Bool(true) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let text = self.run("return document.body.innerText;").await?;
                self.picture("failed").await?;
                bail!("never: {condition}\n{}", text.as_str().unwrap_or_default());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    pub(crate) async fn element(&self, selector: &str) -> Result<WebElement> {
        self.until(&format!("document.querySelector({})", json!(selector)))
            .await?;
        Ok(self.driver.find(By::Css(selector)).await?)
    }

    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        Ok(self.element(selector).await?.click().await?)
    }

    /// Presses the button that says this, by its text or label, in what is selected.
    pub(crate) async fn press(&self, within: &str, text: &str) -> Result<()> {
        let find = format!(
            "[...document.querySelectorAll({})].flatMap((one) => [...one.querySelectorAll('button')])\
             .find((one) => one.textContent === {text} || one.getAttribute('aria-label') === {text})",
            json!(within),
            text = json!(text),
        );
        self.until(&find).await?;
        self.run(&format!("{find}.click();")).await?;
        Ok(())
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector).await?;
        element.clear().await?;
        Ok(element.send_keys(text).await?)
    }

    /// Whether this stands somewhere in what is selected.
    pub(crate) async fn reads(&self, selector: &str, text: &str) -> Result<()> {
        let condition = format!(
            "[...document.querySelectorAll({})].some((one) => one.textContent.includes({}))",
            json!(selector),
            json!(text)
        );
        self.until(&condition).await
    }

    /// Logs in for the first time.
    pub(crate) async fn register(&self, url: &str, handle: &str) -> Result<()> {
        self.driver.goto(url).await?;
        self.write("#handle", handle).await?;
        self.write("#password", &format!("{handle}'s password"))
            .await?;
        self.press("#login", "Register").await?;
        self.reads("#state", "Connected").await
    }

    /// Opens the direct conversation with somebody.
    pub(crate) async fn write_to(&self, handle: &str) -> Result<()> {
        self.click("#new-direct").await?;
        self.write("#dialog-body input", handle).await?;
        self.press("#dialog-buttons", "Open").await?;
        self.until("!document.getElementById('dialog').open")
            .await?;
        self.until("!document.getElementById('talk').hidden").await
    }

    pub(crate) async fn send(&self, text: &str) -> Result<()> {
        self.write("#text", text).await?;
        self.press("#compose", "Send").await
    }

    /// Keeps a picture, if somebody wants to look at it: in the folder `LEVERET_PICTURES`.
    pub(crate) async fn picture(&self, name: &str) -> Result<()> {
        if let Some(folder) = env::var_os("LEVERET_PICTURES") {
            let picture = self.driver.screenshot_as_png().await?;
            std::fs::write(PathBuf::from(folder).join(format!("{name}.png")), picture)?;
        }
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        Ok(self.driver.quit().await?)
    }
}
