//! `admin user`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use leveret_chat::accounts::{Accounts, NewAccount, Registration, Texts, random_password};
use leveret_chat::links::Links;
use leveret_chat::service::{Role, Service, ServiceOptions};
use leveret_chat::settings::Settings;
use leveret_chat::store::{ChatStore, User, UserChange};
use leveret_client::message::{Handle, UserId};
use serde_json::json;

use super::rows::Rows;
use crate::cli::admin_options::{AdminOptions, PasswordOptions, UserCommand, YesNo};
use crate::cli::run::Connected;

/// Accounts read at once.
const PAGE: usize = 200;

pub(super) async fn run(
    options: &AdminOptions,
    store: &Arc<dyn ChatStore>,
    command: &UserCommand,
    rows: Rows,
) -> Result<()> {
    match command {
        UserCommand::List => list(store, rows).await,
        UserCommand::Add {
            handle,
            name,
            bot,
            administrator,
            password,
        } => {
            let (password, made) = choose(password)?;
            let account = NewAccount {
                handle: handle.clone(),
                name: name.clone().unwrap_or_else(|| handle.to_string()),
                password,
                bot: *bot,
            };
            let user = leveret_chat::accounts::add(store, account).await?;
            if *administrator {
                let change = UserChange::Administrator(true);
                store.change_user(&user.id, change).await?;
            }
            let user = store.user(&user.id).await?.context("it is there")?;
            show(&user, made.as_deref(), rows)
        }
        UserCommand::ResetPassword { handle, password } => {
            let user = find(store, handle).await?;
            let (password, made) = choose(password)?;
            let offstage = Offstage::new(options, store, BTreeSet::new()).await?;
            let reset = offstage.accounts.set_password(&user, password).await;
            offstage.end().await?;
            reset?;
            show(&user, made.as_deref(), rows)
        }
        UserCommand::Administrator { handle, is } => {
            let user = find(store, handle).await?;
            let change = UserChange::Administrator(*is == YesNo::Yes);
            let user = store.change_user(&user.id, change).await?;
            show(&user.context("it is there")?, None, rows)
        }
        UserCommand::Delete { handle, texts } => {
            let user = find(store, handle).await?;
            // It leaves its groups by messages: somebody has to route them.
            let roles = BTreeSet::from([Role::Router]);
            let offstage = Offstage::new(options, store, roles).await?;
            let deleted = offstage
                .accounts
                .delete(&user.id, Texts::from(*texts))
                .await;
            offstage.end().await?;
            deleted?;
            let user = store.user(&user.id).await?.context("it is there")?;
            show(&user, None, rows)
        }
    }
}

async fn list(store: &Arc<dyn ChatStore>, rows: Rows) -> Result<()> {
    let mut last: Option<UserId> = None;
    loop {
        let page = store.users(last.as_ref(), PAGE).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        last = Some(end.id.clone());
        for user in page {
            show(&user, None, rows)?;
        }
    }
}

fn show(user: &User, password: Option<&str>, rows: Rows) -> Result<()> {
    let mut row = vec![
        ("handle", json!(user.handle)),
        ("user", json!(user.id)),
        ("name", json!(user.name)),
        ("administrator", json!(user.administrator)),
        ("bot", json!(user.bot)),
        ("created", json!(user.created)),
        ("deleted", json!(user.deleted)),
    ];
    if let Some(password) = password {
        row.push(("password", json!(password)));
    }
    rows.put(&row)
}

async fn find(store: &Arc<dyn ChatStore>, handle: &Handle) -> Result<User> {
    let user = store.user_by_handle(handle).await?;
    user.with_context(|| format!("there is no account {handle}"))
}

/// The password, and again if it was made here and has to be shown.
fn choose(options: &PasswordOptions) -> Result<(String, Option<String>)> {
    if !options.password_stdin {
        let password = random_password();
        return Ok((password.clone(), Some(password)));
    }
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no password on the standard input");
    }
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    Ok((password, None))
}

/// A part of the service, for as long as a command takes.
struct Offstage {
    accounts: Accounts,
    service: Service,
    broker: Connected,
}

impl Offstage {
    async fn new(
        options: &AdminOptions,
        store: &Arc<dyn ChatStore>,
        roles: BTreeSet<Role>,
    ) -> Result<Self> {
        let deployment = super::deployment(store).await?;
        let broker = Connected::new(&options.broker).await?;
        let service = Service::start(ServiceOptions {
            broker: broker.url.clone(),
            management: Some(broker.management.clone()),
            store: store.clone(),
            roles,
            shards: deployment.shards,
            trusted: Vec::new(),
            settings: Settings::default(),
        });
        let service = service.await?;
        let links: Arc<Links> = service.links().clone();
        let accounts = Accounts::new(
            store.clone(),
            links,
            broker.management.clone(),
            deployment.shards,
            Registration::Closed,
        );
        Ok(Self {
            accounts,
            service,
            broker,
        })
    }

    async fn end(self) -> Result<()> {
        self.service.shutdown().await;
        self.broker.end().await
    }
}
