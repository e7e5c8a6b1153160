//! `/api/definitions`: everything that is defined, in one file that RabbitMQ reads and writes, too
//! (spec 8.4).

mod export;
mod import;
mod upload;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde_json::{Map, Value};

use super::caller::Caller;
use super::list::View;
use super::request::{self, Host, HostToChange};
use super::routes::{Gate, Methods, Routes};
use super::{Management, Refusal, Shared};
use crate::engine::Engine;
use crate::model::UserName;

use self::export::About;
use self::import::{Import, Target};

pub(crate) use self::import::ImportError;

pub(super) fn routes(routes: Routes) -> Routes {
    let gate = Gate::Administrator;
    routes
        .at(
            "/api/definitions",
            Methods::new().get(gate, show).post(gate, load),
        )
        .at(
            "/api/definitions/{vhost}",
            Methods::new()
                .get(gate, show_host)
                .post(gate, load_into_host),
        )
}

/// Brings in what a file defines, as the whole broker's operator. Hashes, and takes locks: not for an
/// asynchronous worker. What is changed is durable once the engine's last ticket is.
pub(crate) fn load_definitions(engine: &Arc<Engine>, text: &[u8]) -> Result<(), ImportError> {
    let definitions = import::parse(text)?;
    let import = Import {
        engine,
        target: Target::Broker,
        creator: None,
    };
    import.run(&definitions)
}

async fn show(State(management): Shared, view: View) -> Result<Response, Refusal> {
    let definitions = management
        .blocking(|management| export::of_broker(&management.engine, &management.about()))
        .await?;
    Ok(view.object(definitions))
}

async fn show_host(
    State(management): Shared,
    host: Result<Host, Refusal>,
    view: View,
) -> Result<Response, Refusal> {
    let Host(host) = host.map_err(|_| Refusal::bad_request("vhost_not_found"))?;
    let definitions = management
        .blocking(move |management| export::of_host(&host, &management.about()))
        .await?;
    Ok(view.object(definitions))
}

async fn load(
    State(management): Shared,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let definitions = received(&management, &headers, body).await?;
    bring_in(management, &caller, Target::Broker, definitions).await
}

async fn load_into_host(
    State(management): Shared,
    HostToChange(host): HostToChange,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let definitions = received(&management, &headers, body).await?;
    bring_in(management, &caller, Target::Host(host), definitions).await
}

async fn received(
    management: &Management,
    headers: &HeaderMap,
    body: Body,
) -> Result<Map<String, Value>, Refusal> {
    let bytes = request::read(management, body).await?;
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let file = upload::file(content_type, &bytes).unwrap_or_default();
    Ok(import::parse(file)?)
}

async fn bring_in(
    management: Arc<Management>,
    caller: &Caller,
    target: Target,
    definitions: Map<String, Value>,
) -> Result<StatusCode, Refusal> {
    let creator = UserName::clone(caller.name());
    let imported = Arc::clone(&management)
        .blocking(move |management| {
            let import = Import {
                engine: &management.engine,
                target,
                creator: Some(creator),
            };
            import.run(&definitions)
        })
        .await?;
    // What came before a mistake stays, and is safe when the mistake is told.
    management.durable(management.engine.last_ticket()).await?;
    imported?;
    Ok(StatusCode::NO_CONTENT)
}

impl Management {
    fn about(&self) -> About {
        About {
            product: self.settings.product.clone(),
            version: self.settings.product_version.clone(),
            cluster: self.cluster_name(),
        }
    }
}

impl From<ImportError> for Refusal {
    fn from(error: ImportError) -> Self {
        Self::bad_request(error.to_string())
    }
}
