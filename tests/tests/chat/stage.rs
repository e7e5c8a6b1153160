//! A service on a broker of its own, or in a virtual host of its own, and people with devices.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use leveret_chat::accounts::{Accounts, AmqpLogin, NewAccount, Registration};
use leveret_chat::amqp::BrokerUrl;
use leveret_chat::gateway::{Gateway, GatewayOptions};
use leveret_chat::management::Management;
use leveret_chat::service::{Role, Service, ServiceOptions};
use leveret_chat::settings::{GatewaySettings, Settings};
use leveret_chat::store::{ChatStore, EmbeddedStore, User};
use leveret_chat::topology::Topology;
use leveret_client::message::properties::BrokerUser;
use leveret_client::message::{
    Body, Command, ConversationId, DeviceId, Event, Message, Post, Receipt, ReceiptStatus,
    RejectionCode, Reply, Request, Sent, ShardCount, Timestamp, UserId,
};
use leveret_client::transport::{
    AmqpConnector, AmqpOptions, Arrived, ClientTransport, Connector as _,
};
use leveret_tests::Context;
use tempfile::TempDir;

/// For whatever should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Few, so that a test starts fast.
const SHARDS: u16 = 4;

/// The chat, running.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) management: Management,
    pub(crate) accounts: Accounts,
    pub(crate) service: Service,
    /// The management API, with a login.
    pub(crate) management_url: String,
    store: Arc<dyn ChatStore>,
    folder: TempDir,
    host: VirtualHost,
    settings: Settings,
}

/// Whether the target has users and rights over HTTP.
pub(crate) async fn has_accounts(context: &Context) -> Result<bool> {
    let Some(api) = &context.management else {
        // Past the test harness's capture, so that nobody takes it for a pass.
        let line = format!("SKIPPED: {:?} has no users over HTTP\n", context.target);
        std::io::stderr().write_all(line.as_bytes())?;
        return Ok(false);
    };
    let url = format!("{}/api/users", without_login(api));
    let login = format!("{}:{}", context.address.user, context.address.password);
    let login = data_encoding::BASE64.encode(login.as_bytes());
    let ask = move || {
        let request = ureq::get(url).header("authorization", format!("Basic {login}"));
        request.call().map(drop)
    };
    tokio::task::spawn_blocking(ask).await??;
    Ok(true)
}

/// A virtual host of the test's own; deleted with this, and with it the users of its devices, which belong
/// to the whole broker.
struct VirtualHost {
    name: String,
    api: String,
    login: String,
}

#[derive(serde::Deserialize)]
struct Permission {
    user: String,
}

impl VirtualHost {
    fn delete(api: &str, name: &str, login: &str) -> Result<(), ureq::Error> {
        let login = data_encoding::BASE64.encode(login.as_bytes());
        let login = format!("Basic {login}");
        let host = format!("{api}/api/vhosts/{name}");
        let url = format!("{host}/permissions");
        let mut permissions = ureq::get(url).header("authorization", &login).call()?;
        let permissions: Vec<Permission> = permissions.body_mut().read_json()?;
        let delete = |url: String| {
            let request = ureq::delete(url).header("authorization", &login);
            request.call().map(drop)
        };
        for Permission { user } in permissions {
            if BrokerUser::parse(&user).is_some() {
                delete(format!("{api}/api/users/{user}"))?;
            }
        }
        delete(host)
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        let (api, name, login) = (self.api.clone(), self.name.clone(), self.login.clone());
        // A test that failed has more important things to say.
        let _ = std::thread::spawn(move || Self::delete(&api, &name, &login)).join();
    }
}

fn without_login(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("http://{}", host.trim_end_matches('/')),
        None => url.trim_end_matches('/').to_owned(),
    }
}

pub(crate) fn shards() -> ShardCount {
    ShardCount::try_from(SHARDS).expect("a good number")
}

impl Stage {
    /// In a virtual host of its own, which is deleted after the test.
    pub(crate) async fn new(context: &Context) -> Result<Self> {
        Self::with(context, Settings::default()).await
    }

    /// The same with other limits.
    pub(crate) async fn with(context: &Context, settings: Settings) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = open_store(&folder).await?;
        let site = Site::new(context).await?;
        Self::open(site, folder, store, BTreeSet::from(Role::ALL), settings).await
    }

    /// With this store, and a service that has some of the roles.
    pub(crate) async fn on(
        context: &Context,
        store: Arc<dyn ChatStore>,
        roles: BTreeSet<Role>,
    ) -> Result<Self> {
        let site = Site::new(context).await?;
        Self::open(
            site,
            tempfile::tempdir()?,
            store,
            roles,
            Settings::default(),
        )
        .await
    }

    async fn open(
        site: Site,
        folder: TempDir,
        store: Arc<dyn ChatStore>,
        roles: BTreeSet<Role>,
        settings: Settings,
    ) -> Result<Self> {
        let options = ServiceOptions {
            broker: BrokerUrl::parse(&site.url).map_err(anyhow::Error::msg)?,
            management: Some(site.management.clone()),
            store: store.clone(),
            roles,
            shards: shards(),
            trusted: Vec::new(),
            settings: settings.clone(),
        };
        let service = Service::start(options).await?;
        let topology = Topology::new(service.deployment().shards);
        site.management.set_policies(&topology.policies).await?;
        let accounts = Accounts::new(
            store.clone(),
            service.links().clone(),
            site.management.clone(),
            shards(),
            Registration::Open,
        );
        Ok(Self {
            url: site.url,
            management: site.management,
            management_url: site.management_url,
            accounts,
            service,
            store,
            folder,
            host: site.host,
            settings,
        })
    }

    /// The service ends and starts again, with the same store on disk.
    pub(crate) async fn restart(self) -> Result<Self> {
        let settings = self.settings.clone();
        self.restart_with(settings).await
    }

    /// The same with other limits.
    pub(crate) async fn restart_with(self, settings: Settings) -> Result<Self> {
        self.service.shutdown().await;
        self.store.close().await;
        drop(self.accounts);
        drop(self.store);
        let store = open_store(&self.folder).await?;
        let site = Site {
            url: self.url,
            management: self.management,
            management_url: self.management_url,
            host: self.host,
        };
        let roles = BTreeSet::from(Role::ALL);
        Self::open(site, self.folder, store, roles, settings).await
    }

    pub(crate) async fn end(self) {
        self.service.shutdown().await;
        self.store.close().await;
    }

    /// A gateway in front of it.
    pub(crate) async fn gateway(&self, settings: GatewaySettings) -> Result<Gateway> {
        self.gateway_at("127.0.0.1:0", settings).await
    }

    /// The same at this address.
    pub(crate) async fn gateway_at(
        &self,
        address: &str,
        settings: GatewaySettings,
    ) -> Result<Gateway> {
        let accounts = Accounts::new(
            self.store.clone(),
            self.service.links().clone(),
            self.management.clone(),
            shards(),
            Registration::Open,
        );
        let public = BrokerUrl::parse(&self.url).map_err(anyhow::Error::msg)?;
        let mut options = GatewayOptions::beside(&self.service, accounts, address, public.public());
        options.settings = settings;
        Ok(Gateway::start(options).await?)
    }

    pub(crate) async fn person(&self, name: &str) -> Result<Person> {
        let account = NewAccount {
            handle: name.parse()?,
            name: name.to_owned(),
            password: format!("{name}'s password"),
            bot: false,
        };
        let user = self.accounts.register(account, None).await?;
        self.device(&user).await
    }

    /// Another device of somebody.
    pub(crate) async fn device(&self, user: &User) -> Result<Person> {
        let password = format!("{}'s password", user.handle);
        let login = self
            .accounts
            .login(&user.handle, password, None, "a terminal")
            .await?;
        let amqp = self.accounts.provision(&user.id, &login.device).await?;
        Ok(Person {
            account: user.clone(),
            user: user.id.clone(),
            device: login.device,
            login: amqp,
            url: BrokerUrl::parse(&self.url)
                .map_err(anyhow::Error::msg)?
                .public(),
        })
    }
}

/// A virtual host, and how it is reached.
struct Site {
    url: String,
    management: Management,
    management_url: String,
    host: VirtualHost,
}

impl Site {
    async fn new(context: &Context) -> Result<Self> {
        let api = context.management.as_ref();
        let api = api.context("the target has an HTTP API")?;
        let host = VirtualHost {
            name: context.unique("chat"),
            api: without_login(api),
            login: format!("{}:{}", context.address.user, context.address.password),
        };
        let management_url = host
            .api
            .replacen("http://", &format!("http://{}@", host.login), 1);
        let management = Management::new(&management_url, &host.name)?;
        management.make_virtual_host(&context.address.user).await?;
        let socket = &context.address.socket;
        let url = format!("amqp://{}@{socket}/{}", host.login, host.name);
        Ok(Self {
            url,
            management,
            management_url,
            host,
        })
    }
}

async fn open_store(folder: &TempDir) -> Result<Arc<dyn ChatStore>> {
    let path = folder.path().join("store");
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path));
    Ok(opened.await??.0)
}

/// Somebody with a device.
pub(crate) struct Person {
    pub(crate) account: User,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    pub(crate) login: AmqpLogin,
    pub(crate) url: String,
}

impl Person {
    pub(crate) async fn connect(&self) -> Result<Online<'_>> {
        let connector = AmqpConnector::new(AmqpOptions {
            url: self.url.clone(),
            user: self.login.device.clone(),
            password: self.login.password.clone(),
            shards: self.login.shards,
        });
        let connector = connector.map_err(anyhow::Error::msg)?;
        Ok(Online {
            person: self,
            transport: connector.connect().await?,
        })
    }

    pub(crate) fn to(&self, other: &Self, text: &str) -> Post {
        let now = Timestamp::now();
        Post::to_user(&other.user, &self.user, &self.device, Body::text(text), now)
    }

    pub(crate) fn in_group(&self, group: &ConversationId, body: Body) -> Post {
        Post::to_group(group, &self.user, &self.device, body, Timestamp::now())
    }
}

/// Somebody at a device.
pub(crate) struct Online<'p> {
    pub(crate) person: &'p Person,
    pub(crate) transport: Box<dyn ClientTransport>,
}

impl Online<'_> {
    pub(crate) async fn send(&self, post: &Post) -> Result<()> {
        let command = Command::Send(post.clone());
        Ok(self.transport.hand_over(&command).await?)
    }

    pub(crate) async fn next(&self) -> Result<Arrived> {
        let next = tokio::time::timeout(PATIENCE, self.transport.next());
        let arrived = next.await.context("nothing arrives")??;
        self.transport.acknowledge(arrived.token).await?;
        Ok(arrived)
    }

    /// The next event that `pick` wants; others are passed over.
    pub(crate) async fn wait_for<T>(&self, pick: impl Fn(Event) -> Option<T>) -> Result<T> {
        loop {
            if let Some(found) = pick(self.next().await?.event) {
                return Ok(found);
            }
        }
    }

    pub(crate) async fn message(&self) -> Result<Message> {
        self.wait_for(|event| match event {
            Event::Msg(message) => Some(message),
            _ => None,
        })
        .await
    }

    pub(crate) async fn sent(&self, post: &Post) -> Result<Sent> {
        self.wait_for(|event| match event {
            Event::Sent(sent) if sent.id == post.id => Some(sent),
            _ => None,
        })
        .await
    }

    pub(crate) async fn says(&self, post: &Post) -> Result<Sent> {
        self.send(post).await?;
        self.sent(post).await
    }

    /// Says something, and gives the code with which it is refused.
    pub(crate) async fn refused(&self, post: &Post) -> Result<RejectionCode> {
        self.send(post).await?;
        self.wait_for(|event| match event {
            Event::Rejected(rejected) if rejected.id == post.id => Some(rejected.code),
            _ => None,
        })
        .await
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<Reply> {
        Ok(self.transport.ask(&request).await?)
    }

    pub(crate) async fn receipt(&self, message: &Message, status: ReceiptStatus) -> Result<()> {
        let receipt = Receipt {
            recipient: self.person.user.clone(),
            dev: self.person.device.clone(),
            conv: message.conv.clone(),
            message: message.id,
            seq: message.seq,
            status,
            at: Timestamp::now(),
        };
        let command = Command::Receive(receipt);
        Ok(self.transport.hand_over(&command).await?)
    }

    /// Nothing but what comes by itself arrives before the answer to a message to oneself.
    pub(crate) async fn nothing_arrives(&self) -> Result<()> {
        let note = self.person.to(self.person, "a note to myself");
        self.send(&note).await?;
        loop {
            match self.next().await?.event {
                Event::Sent(sent) if sent.id == note.id => return Ok(()),
                Event::Msg(message) if message.id == note.id => {}
                Event::Cursor(cursor) if cursor.conv == note.conv => {}
                other => bail!("this arrived: {other:?}"),
            }
        }
    }
}

/// What `texts` says of messages.
pub(crate) fn text(message: &Message) -> Result<&str> {
    let Body::Text(text) = &message.body else {
        bail!("no text: {message:?}");
    };
    ensure!(!text.text.is_empty());
    Ok(&text.text)
}
