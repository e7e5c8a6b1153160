//! Users and virtual hosts for one test, on either target.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::client::{Client, Options};
use crate::context::{Context, Made};
use crate::management::{Management, segment};
use crate::outcome::Outcome;
use crate::target::Address;

/// A user that was made for a test.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl Context {
    /// The HTTP API, as the default user sees it.
    pub fn management(&self) -> Result<Management> {
        let url = self.management.as_deref();
        Management::new(url.context("the target's HTTP API is not known")?)
    }

    /// A new user with these tags, who has no rights yet; deleted after the test.
    pub async fn account(&self, tags: &str) -> Result<Account> {
        let name = self.unique("user");
        self.account_named(&name, tags).await
    }

    /// A new user with this name.
    pub async fn account_named(&self, name: &str, tags: &str) -> Result<Account> {
        let account = Account {
            name: name.to_owned(),
            password: format!("password of {name}"),
        };
        self.made(Made::User(name.to_owned()));
        let body = json!({ "password": account.password, "tags": tags });
        let path = format!("users/{}", segment(name));
        self.management()?.done("PUT", &path, Some(body)).await?;
        Ok(account)
    }

    /// A new virtual host, in which the default user has all rights; deleted after the test.
    pub async fn virtual_host(&self) -> Result<String> {
        let name = self.unique("host");
        self.made(Made::VirtualHost(name.clone()));
        let path = format!("vhosts/{}", segment(&name));
        self.management()?.done("PUT", &path, None).await?;
        Ok(name)
    }

    /// Gives a user rights in a virtual host: patterns for configure, write and read.
    pub async fn grant(
        &self,
        host: &str,
        account: &Account,
        [configure, write, read]: [&str; 3],
    ) -> Result<()> {
        let path = format!("permissions/{}/{}", segment(host), segment(&account.name));
        let body = json!({ "configure": configure, "write": write, "read": read });
        self.management()?.done("PUT", &path, Some(body)).await?;
        Ok(())
    }

    /// Takes a user's rights in a virtual host away.
    pub async fn revoke(&self, host: &str, account: &Account) -> Result<()> {
        let path = format!("permissions/{}/{}", segment(host), segment(&account.name));
        self.management()?.done("DELETE", &path, None).await?;
        Ok(())
    }

    /// Sets a limit, such as `vhost-limits/h/max-queues`.
    pub async fn limit(&self, path: &str, value: i64) -> Result<()> {
        let body = json!({ "value": value });
        self.management()?.done("PUT", path, Some(body)).await?;
        Ok(())
    }

    /// Where a user opens a virtual host.
    #[must_use]
    pub fn address_of(&self, account: &Account, host: &str) -> Address {
        Address {
            user: account.name.clone(),
            password: account.password.clone(),
            virtual_host: host.to_owned(),
            ..self.address.clone()
        }
    }

    /// A user's connection to a virtual host, with channel 1 open.
    pub async fn client_of(&self, account: &Account, host: &str) -> Result<Client> {
        let address = self.address_of(account, host);
        let mut client = Client::connect(&address, &Options::default()).await?;
        client.open(1).await?;
        Ok(client)
    }

    /// Connects a user to a virtual host; the inner error is how it was refused.
    pub async fn try_client_of(
        &self,
        account: &Account,
        host: &str,
    ) -> Result<std::result::Result<Client, Outcome>> {
        let address = self.address_of(account, host);
        Client::try_connect(&address, &Options::default()).await
    }

    /// The default user's connection to a virtual host, with channel 1 open.
    pub async fn client_in(&self, host: &str) -> Result<Client> {
        let options = Options {
            virtual_host: Some(host.to_owned()),
            ..Options::default()
        };
        self.client_with(&options).await
    }

    /// A user's connection must be refused like this.
    pub async fn refused_at_open(
        &self,
        account: &Account,
        host: &str,
        expected: &str,
    ) -> Result<()> {
        match self.try_client_of(account, host).await? {
            Ok(_) => anyhow::bail!("the connection was let in, not refused: {expected}"),
            Err(outcome) => outcome.expect(expected),
        }
    }
}
