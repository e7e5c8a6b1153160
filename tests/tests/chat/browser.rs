//! A client of the gateway: what a browser does, without the browser.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use leveret_client::message::{
    Body, ByeCode, ClientFrame, ClientSays, Command, ConversationId, DeviceId, Event, Hello,
    Message, Position, Post, Receipt, ReceiptStatus, RejectionCode, Reply, Request, Sent, Seq,
    ServerFrame, Timestamp, UserId, envelope,
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::stage::PATIENCE;

/// One HTTP request; status and JSON.
pub(crate) async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Result<(u16, Value)> {
    let (status, text) = http_text(address, method, path, token, body).await?;
    let value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).with_context(|| format!("{status} {text}"))?
    };
    Ok((status, value))
}

/// One HTTP request; status and text.
pub(crate) async fn http_text(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Result<(u16, String)> {
    let mut request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = body.map_or(String::new(), |body| body.to_string());
    let request = request.body(body)?;
    let ask = move || {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE))
            .build();
        let mut response = config.new_agent().run(request)?;
        let text = response.body_mut().read_to_string()?;
        Ok::<_, ureq::Error>((response.status().as_u16(), text))
    };
    Ok(tokio::task::spawn_blocking(ask).await??)
}

/// Somebody with an account, logged in on a device that uses the gateway.
pub(crate) struct Surfer {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
}

impl Surfer {
    pub(crate) async fn register(address: SocketAddr, handle: &str) -> Result<Self> {
        let account = json!({"handle": handle, "password": format!("{handle}'s password")});
        let (status, answer) = http(address, "POST", "/v1/register", None, Some(account)).await?;
        ensure!(status == 201, "{status} {answer}");
        Self::login(address, handle).await
    }

    pub(crate) async fn login(address: SocketAddr, handle: &str) -> Result<Self> {
        let login = json!({
            "handle": handle, "password": format!("{handle}'s password"), "device_name": "a browser",
        });
        let (status, answer) = http(address, "POST", "/v1/login", None, Some(login)).await?;
        ensure!(status == 200, "{status} {answer}");
        Ok(Self {
            address,
            token: answer["token"].as_str().context("a token")?.to_owned(),
            user: answer["user"].as_str().context("a user")?.parse()?,
            device: answer["device"].as_str().context("a device")?.parse()?,
        })
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        http(self.address, method, path, Some(&self.token), body).await
    }

    pub(crate) fn to(&self, other: &UserId, text: &str) -> Post {
        Post::to_user(
            other,
            &self.user,
            &self.device,
            Body::text(text),
            Timestamp::now(),
        )
    }

    pub(crate) fn in_group(&self, group: &ConversationId, body: Body) -> Post {
        Post::to_group(group, &self.user, &self.device, body, Timestamp::now())
    }

    pub(crate) async fn connect(&self) -> Result<Socket> {
        self.resume(Vec::new()).await
    }

    /// With what is there already.
    pub(crate) async fn resume(&self, resume: Vec<Position>) -> Result<Socket> {
        let mut socket = Socket::open(self.address).await?;
        let token = self.token.clone();
        let hello = ClientSays::Hello(Hello { token, resume });
        socket.say(None, hello).await?;
        let ready = socket.next().await?;
        ensure!(
            matches!(&ready, ServerFrame::Ready { user, dev, .. }
            if *user == self.user && *dev == self.device),
            "{ready:?}"
        );
        Ok(socket)
    }
}

/// A WebSocket.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    nr: u64,
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let url = format!("ws://{address}/v1/socket");
        let (stream, _) = tokio_tungstenite::connect_async(url).await?;
        Ok(Self { stream, nr: 0 })
    }

    /// The status with which a connection from a page of this site is answered.
    pub(crate) async fn status_from(address: SocketAddr, origin: &str) -> Result<u16> {
        let mut request = format!("ws://{address}/v1/socket").into_client_request()?;
        request.headers_mut().insert("origin", origin.parse()?);
        match tokio_tungstenite::connect_async(request).await {
            Ok((_, response)) => Ok(response.status().as_u16()),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                Ok(response.status().as_u16())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn write(&mut self, text: String) -> Result<()> {
        Ok(self.stream.send(Frame::text(text)).await?)
    }

    pub(crate) async fn say(&mut self, nr: Option<u64>, says: ClientSays) -> Result<()> {
        let frame = envelope::encode(&ClientFrame { nr, says });
        self.write(String::from_utf8(frame)?).await
    }

    /// The next frame; pings are answered.
    pub(crate) async fn next(&mut self) -> Result<ServerFrame> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next());
            let frame = frame.await.context("nothing arrives")?;
            match frame.context("the connection is closed")?? {
                Frame::Text(text) => match envelope::decode(text.as_bytes())? {
                    ServerFrame::Ping => self.say(None, ClientSays::Pong).await?,
                    frame => return Ok(frame),
                },
                Frame::Close(_) => bail!("closed"),
                _ => {}
            }
        }
    }

    pub(crate) async fn wait_for<T>(
        &mut self,
        pick: impl Fn(ServerFrame) -> Option<T>,
    ) -> Result<T> {
        loop {
            if let Some(found) = pick(self.next().await?) {
                return Ok(found);
            }
        }
    }

    /// Why the gateway ends the connection.
    pub(crate) async fn bye(&mut self) -> Result<ByeCode> {
        self.wait_for(|frame| match frame {
            ServerFrame::Bye { code } => Some(code),
            _ => None,
        })
        .await
    }

    /// The same for a client that answers no ping.
    pub(crate) async fn bye_without_a_word(&mut self) -> Result<ByeCode> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.stream.next());
            let frame = frame.await.context("nothing arrives")?;
            if let Frame::Text(text) = frame.context("the connection is closed")??
                && let ServerFrame::Bye { code } = envelope::decode(text.as_bytes())?
            {
                return Ok(code);
            }
        }
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.nr += 1;
        self.nr
    }

    /// Hands over, and waits until it is kept.
    pub(crate) async fn hand_over(&mut self, command: Command) -> Result<()> {
        let number = self.number();
        self.say(Some(number), ClientSays::Command(command)).await?;
        self.wait_for(|frame| match frame {
            ServerFrame::Kept { nr } if nr == number => Some(Ok(())),
            ServerFrame::Refused { nr, code, .. } if nr == Some(number) => {
                Some(Err(anyhow::anyhow!("refused: {code}")))
            }
            _ => None,
        })
        .await?
    }

    /// Sends, and waits until it is in the history. The events before are passed over.
    pub(crate) async fn says(&mut self, post: &Post) -> Result<Sent> {
        let number = self.number();
        let command = Command::Send(post.clone());
        self.say(Some(number), ClientSays::Command(command)).await?;
        self.wait_for(|frame| match frame {
            ServerFrame::Event(Event::Sent(sent)) if sent.id == post.id => Some(sent),
            _ => None,
        })
        .await
    }

    /// Sends, and waits until it is refused.
    pub(crate) async fn refused(&mut self, post: &Post) -> Result<RejectionCode> {
        let number = self.number();
        let command = Command::Send(post.clone());
        self.say(Some(number), ClientSays::Command(command)).await?;
        self.wait_for(|frame| match frame {
            ServerFrame::Event(Event::Rejected(rejected)) if rejected.id == post.id => {
                Some(rejected.code)
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn ask(&mut self, request: Request) -> Result<Reply> {
        let number = self.number();
        self.say(Some(number), ClientSays::Ask { request }).await?;
        self.wait_for(|frame| match frame {
            ServerFrame::Answer { nr, reply } if nr == number => Some(reply),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message(&mut self) -> Result<Message> {
        self.wait_for(|frame| match frame {
            ServerFrame::Event(Event::Msg(message)) => Some(message),
            _ => None,
        })
        .await
    }

    pub(crate) async fn receipt(
        &mut self,
        who: &Surfer,
        message: &Message,
        status: ReceiptStatus,
    ) -> Result<()> {
        let receipt = Receipt {
            recipient: who.user.clone(),
            dev: who.device.clone(),
            conv: message.conv.clone(),
            message: message.id,
            seq: message.seq,
            status,
            at: Timestamp::now(),
        };
        self.hand_over(Command::Receive(receipt)).await
    }

    /// Waits until somebody has read so far.
    pub(crate) async fn read_by(&mut self, user: &UserId, seq: Seq) -> Result<()> {
        self.wait_for(|frame| match frame {
            ServerFrame::Event(Event::Cursor(cursor))
                if cursor.user == *user && cursor.read >= seq =>
            {
                Some(())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        Ok(self.stream.close(None).await?)
    }
}
