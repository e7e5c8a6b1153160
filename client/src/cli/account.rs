//! Registering, logging in and out.

use std::io::{self, IsTerminal as _};

use leveret_client::message::Handle;

use super::Failure;
use super::home::{Home, Login};

/// Where a password may come from, so that it stands in no list of processes.
const PASSWORD: &str = "LEVERET_CHAT_PASSWORD";

fn password() -> Result<String, Failure> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("password: ")?);
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Whether messages are to go through the gateway: then the device gets no queue of its own.
fn is_gateway(via: Option<&str>) -> bool {
    via.is_some_and(|via| via.starts_with("http"))
}

pub(crate) async fn register(
    home: &Home,
    url: &str,
    name: &Handle,
    bot: bool,
    via: Option<&str>,
) -> Result<(), Failure> {
    let password = password()?;
    home.service(url).register(name, &password, bot).await?;
    log_in(home, url, name, &password, via).await
}

pub(crate) async fn login(
    home: &Home,
    url: &str,
    name: &Handle,
    via: Option<&str>,
) -> Result<(), Failure> {
    log_in(home, url, name, &password()?, via).await
}

async fn log_in(
    home: &Home,
    url: &str,
    name: &Handle,
    password: &str,
    via: Option<&str>,
) -> Result<(), Failure> {
    let http = home.service(url);
    // The same device again, with what waits for it, if it was this account's.
    let before = home.login().ok();
    let before = before.filter(|login| login.account.handle == *name && login.url == url);
    let device = before.map(|login| login.account.device);
    let account = http
        .login(name, password, device.as_ref(), "a terminal")
        .await?;
    let amqp = if is_gateway(via) {
        None
    } else {
        Some(http.amqp(&account.token).await?)
    };
    let url = url.to_owned();
    home.keep(&Login { url, account, amqp })
}

pub(crate) async fn logout(home: &Home) -> Result<(), Failure> {
    let login = home.login()?;
    home.service(&login.url)
        .logout(&login.account.token)
        .await?;
    home.forget()
}
