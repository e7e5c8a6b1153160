//! Every path of the API, with the methods that it takes and whom each of them is for.
//!
//! A handler cannot be reached but through a [`Gate`]: what a path demands of its caller is written
//! where the path is, and kept there for all of them.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::caller::Caller;
use super::{Management, Refusal, access};

/// The part of a path that names a virtual host, in every path that has one.
pub(super) const HOST_PARAMETER: &str = "vhost";

/// Whom a method of a path is for (spec 10.2, tag gates). Where the path names a virtual host, most
/// also ask whether the caller may enter it; to whoever may not, it does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Whoever asks, with a login or without: what load balancers ask.
    Anybody,
    /// Whoever has one of management's tags.
    Management,
    /// The same, for looking: administrators see into every virtual host.
    Visible,
    /// The same, and monitors see into every virtual host, too.
    Watched,
    /// Those who watch the whole broker.
    Monitoring,
    /// Those who set policies and parameters.
    PolicyMaker,
    /// Those who may do everything.
    Administrator,
}

impl Gate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::Management => "management",
            Self::Visible => "visible",
            Self::Watched => "watched",
            Self::Monitoring => "monitoring",
            Self::PolicyMaker => "policymaker",
            Self::Administrator => "administrator",
        }
    }

    /// Lets the caller pass or says why not. `host` is the virtual host that the path names.
    fn check(self, caller: &Caller, host: Option<&str>) -> Result<(), Refusal> {
        let enters = || host.is_none_or(|host| caller.may_enter(host));
        let has_tag = match self {
            Self::Anybody => true,
            Self::Management | Self::Visible | Self::Watched => caller.is_manager(),
            Self::Monitoring => caller.is_monitor(),
            Self::PolicyMaker => caller.is_policy_maker(),
            Self::Administrator => caller.is_administrator(),
        };
        if !has_tag {
            return Err(Refusal::not_authorised(match self {
                Self::Anybody | Self::Management | Self::Visible | Self::Watched => {
                    "Not management user"
                }
                Self::Monitoring => "Not monitor user",
                Self::PolicyMaker | Self::Administrator => "Not administrator user",
            }));
        }
        let may_enter = match self {
            Self::Management => enters(),
            Self::Visible | Self::PolicyMaker => caller.is_administrator() || enters(),
            Self::Watched | Self::Monitoring => caller.is_monitor() || enters(),
            Self::Anybody | Self::Administrator => true,
        };
        if may_enter {
            Ok(())
        } else if caller.is_administrator() {
            // Who sees everything knows that it is there.
            Err(Refusal::not_authorised("Access refused."))
        } else {
            Err(Refusal::no_such("Not Found"))
        }
    }
}

/// The methods of one path.
#[derive(Debug)]
pub(super) struct Methods {
    router: MethodRouter<Arc<Management>>,
    gates: Vec<(Method, Gate)>,
}

impl Methods {
    pub(super) fn new() -> Self {
        Self {
            router: MethodRouter::new(),
            gates: Vec::new(),
        }
    }

    pub(super) fn get<H, T>(self, gate: Gate, handler: H) -> Self
    where
        H: Handler<T, Arc<Management>>,
        T: 'static,
    {
        self.on(Method::GET, MethodFilter::GET, gate, handler)
    }

    pub(super) fn put<H, T>(self, gate: Gate, handler: H) -> Self
    where
        H: Handler<T, Arc<Management>>,
        T: 'static,
    {
        self.on(Method::PUT, MethodFilter::PUT, gate, handler)
    }

    pub(super) fn post<H, T>(self, gate: Gate, handler: H) -> Self
    where
        H: Handler<T, Arc<Management>>,
        T: 'static,
    {
        self.on(Method::POST, MethodFilter::POST, gate, handler)
    }

    pub(super) fn delete<H, T>(self, gate: Gate, handler: H) -> Self
    where
        H: Handler<T, Arc<Management>>,
        T: 'static,
    {
        self.on(Method::DELETE, MethodFilter::DELETE, gate, handler)
    }

    fn on<H, T>(mut self, method: Method, filter: MethodFilter, gate: Gate, handler: H) -> Self
    where
        H: Handler<T, Arc<Management>>,
        T: 'static,
    {
        let guard = move |management, caller, parameters, request, next| {
            guard(gate, management, caller, parameters, request, next)
        };
        let open = on(filter, handler);
        self.router = self.router.merge(match gate {
            Gate::Anybody => open,
            Gate::Management
            | Gate::Visible
            | Gate::Watched
            | Gate::Monitoring
            | Gate::PolicyMaker
            | Gate::Administrator => open.route_layer(middleware::from_fn(guard)),
        });
        self.gates.push((method, gate));
        self
    }

    /// What `Allow` says.
    fn allowed(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        if self.gates.iter().any(|(method, _)| *method == Method::GET) {
            names.push("HEAD");
        }
        names.extend(self.gates.iter().map(|(method, _)| method.as_str()));
        names.push("OPTIONS");
        names.join(", ")
    }
}

/// A path whose names are not text names nothing.
type Names = Result<RawPathParams, RawPathParamsRejection>;

async fn guard(
    gate: Gate,
    Extension(management): Extension<Arc<Management>>,
    caller: Caller,
    names: Names,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let names = names.map_err(|_| Refusal::not_found())?;
    let host = names
        .iter()
        .find_map(|(name, value)| (name == HOST_PARAMETER).then_some(value))
        // That there is no such virtual host is for the handler to say.
        .filter(|host| management.engine.virtual_host(host).is_some());
    gate.check(&caller, host)?;
    Ok(next.run(request).await)
}

/// All paths.
#[derive(Debug)]
pub(super) struct Routes {
    management: Arc<Management>,
    router: Router<Arc<Management>>,
    index: Vec<Value>,
}

impl Routes {
    /// None yet.
    pub(super) fn new(management: &Arc<Management>) -> Self {
        Self {
            management: Arc::clone(management),
            router: Router::new(),
            index: Vec::new(),
        }
    }

    /// Adds a path.
    pub(super) fn at(mut self, path: &'static str, methods: Methods) -> Self {
        self.index.extend(methods.gates.iter().map(|(method, gate)| {
            json!({ "path": path, "method": method.as_str(), "gate": gate.as_str() })
        }));
        // The names of methods are plain letters, so they always make a header.
        let allowed = HeaderValue::from_str(&methods.allowed())
            .unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"));
        let refused = allowed.clone();
        let is_open = |(_, gate): &(Method, Gate)| *gate == Gate::Anybody;
        let open = methods.gates.iter().all(is_open);
        let shared = Extension(Arc::clone(&self.management));
        let mut router = methods.router.route_layer(shared);
        if !open {
            let management = Arc::clone(&self.management);
            let login = middleware::from_fn_with_state(management, access::require);
            router = router.route_layer(login);
        }
        let router = router
            // Which methods there are is no secret: RabbitMQ tells anybody.
            .options(async move || [(header::ALLOW, allowed)])
            .fallback(async move || {
                ([(header::ALLOW, refused)], StatusCode::METHOD_NOT_ALLOWED).into_response()
            });
        self.router = self.router.route(path, router);
        self
    }

    /// The router. It has one path more, where all paths are listed.
    pub(super) fn finish(mut self) -> Router<Arc<Management>> {
        let mut index = std::mem::take(&mut self.index);
        let (path, gate) = ("/api/leveret/routes", Gate::Management);
        index.push(json!({ "path": path, "method": "GET", "gate": gate.as_str() }));
        let index = Value::Array(index);
        let list = async move || Json(index);
        self.at(path, Methods::new().get(gate, list)).router
    }
}
