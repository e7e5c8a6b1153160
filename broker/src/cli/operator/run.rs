//! Doing what a verb says.

use std::fs;
use std::io::{self, BufRead as _, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::api::{Api, Method, Request, path};
use super::change::{self, UserChange};
use super::list::Of;
use super::verb::{self, Access, Ask, Columns, CtlVerb, Verb};
use super::{status, table};
use crate::cli::{Verdict, output};

/// Does what an operator asks for.
pub(crate) fn run(verb: Verb) -> anyhow::Result<Verdict> {
    match verb {
        Verb::Status(ask) => status::status(&Api::new(&ask.access), &ask.access),
        Verb::Health(ask) => status::health(&Api::new(&ask.access), &ask.access),
        Verb::AwaitStartup(ask) => status::await_startup(&Api::new(&ask.access), &ask.access),
        Verb::CheckAlarms(ask) => check(&ask.access, "alarms"),
        Verb::CheckVirtualHosts(ask) => check(&ask.access, "virtual-hosts"),
        Verb::CheckPortListener(ask) => {
            check(&ask.access, &format!("port-listener/{}", ask.what.port))
        }
        Verb::ListQueues(ask) => list(&ask, Of::Queues),
        Verb::ListExchanges(ask) => list(&ask, Of::Exchanges),
        Verb::ListBindings(ask) => list(&ask, Of::Bindings),
        Verb::ListConnections(ask) => list(&ask, Of::Connections),
        Verb::ListChannels(ask) => list(&ask, Of::Channels),
        Verb::ListConsumers(ask) => list(&ask, Of::Consumers),
        Verb::ListVhosts(ask) => list(&ask, Of::VirtualHosts),
        Verb::ListUsers(ask) => list(&ask, Of::Users),
        Verb::ListPermissions(ask) => list(&ask, Of::Permissions),
        Verb::ListTopicPermissions(ask) => list(&ask, Of::TopicPermissions),
        Verb::ListPolicies(ask) => list(&ask, Of::Policies),
        Verb::ListOperatorPolicies(ask) => list(&ask, Of::OperatorPolicies),
        Verb::ListParameters(ask) => list(&ask, Of::Parameters),
        Verb::ListGlobalParameters(ask) => list(&ask, Of::GlobalParameters),
        Verb::ListVhostLimits(ask) => list(&ask, Of::VirtualHostLimits),
        Verb::ListUserLimits(ask) => list(&ask, Of::UserLimits),
        Verb::ListUserPermissions(ask) => list_user_permissions(&ask),
        other => run_change(other),
    }
}

/// The same for `rabbitmqctl`'s verbs.
pub(crate) fn run_ctl(verb: CtlVerb) -> anyhow::Result<Verdict> {
    match verb {
        CtlVerb::Operator(verb) => run(verb),
        CtlVerb::Ping(ask) => {
            Api::new(&ask.access).granted(&Request::get("overview"))?;
            say(&ask.access, "Ping succeeded")?;
            Ok(Verdict::Good)
        }
    }
}

fn run_change(verb: Verb) -> anyhow::Result<Verdict> {
    match verb {
        Verb::AddVhost(ask) => send(&ask.access, [change::add_virtual_host(&ask.what)]),
        Verb::DeleteVhost(ask) => delete(&ask.access, &["vhosts", &ask.what.name]),
        Verb::AddUser(ask) => add_user(&ask),
        Verb::DeleteUser(ask) => delete(&ask.access, &["users", &ask.what.name]),
        Verb::ChangePassword(ask) => {
            let password = password(ask.what.password.as_ref())?;
            change_user(&ask.access, &ask.what.name, UserChange::Password(&password))
        }
        Verb::SetUserTags(ask) => {
            let change = UserChange::Tags(&ask.what.tags);
            change_user(&ask.access, &ask.what.name, change)
        }
        Verb::AuthenticateUser(ask) => authenticate(&ask),
        Verb::HashPassword(ask) => hash_password(&ask),
        Verb::SetVmMemoryHighWatermark(ask) => send(
            &ask.access,
            [change::set_memory_watermark(&ask.what.limit)?],
        ),
        Verb::SetDiskFreeLimit(ask) => {
            send(&ask.access, [change::set_disk_free_limit(&ask.what.limit)?])
        }
        Verb::SetClusterName(ask) => send(&ask.access, [change::set_cluster_name(&ask.what.name)]),
        Verb::SetPermissions(ask) => {
            let request = change::set_permissions(&ask.access.virtual_host, &ask.what);
            send(&ask.access, [request])
        }
        Verb::ClearPermissions(ask) => {
            let host = &ask.access.virtual_host;
            delete(&ask.access, &["permissions", host, &ask.what.name])
        }
        Verb::SetTopicPermissions(ask) => {
            let request = change::set_topic_permissions(&ask.access.virtual_host, &ask.what);
            send(&ask.access, [request])
        }
        Verb::ClearTopicPermissions(ask) => {
            let request = change::clear_topic_permissions(&ask.access.virtual_host, &ask.what);
            send(&ask.access, [request])
        }
        Verb::CloseConnection(ask) => {
            let request = change::close_connection(&ask.what.connection, &ask.what.reason);
            send(&ask.access, [request])
        }
        Verb::CloseAllConnections(ask) => close_all(&ask),
        Verb::ExportDefinitions(ask) => export(&ask),
        Verb::ImportDefinitions(ask) => import(&ask),
        Verb::Peek(ask) => peek(&ask),
        Verb::PurgeQueue(ask) => {
            let host = &ask.access.virtual_host;
            delete(&ask.access, &["queues", host, &ask.what.name, "contents"])
        }
        Verb::DeleteQueue(ask) => {
            let request = change::delete_queue(&ask.access.virtual_host, &ask.what);
            send(&ask.access, [request])
        }
        other => run_setting(other),
    }
}

fn run_setting(verb: Verb) -> anyhow::Result<Verdict> {
    match verb {
        Verb::SetPolicy(ask) => set_policy(&ask, "policies"),
        Verb::SetOperatorPolicy(ask) => set_policy(&ask, "operator-policies"),
        Verb::ClearPolicy(ask) => {
            let host = &ask.access.virtual_host;
            delete(&ask.access, &["policies", host, &ask.what.name])
        }
        Verb::ClearOperatorPolicy(ask) => {
            let host = &ask.access.virtual_host;
            delete(&ask.access, &["operator-policies", host, &ask.what.name])
        }
        Verb::SetParameter(ask) => {
            let request = change::set_parameter(&ask.access.virtual_host, &ask.what)?;
            send(&ask.access, [request])
        }
        Verb::ClearParameter(ask) => {
            let (host, what) = (&ask.access.virtual_host, &ask.what);
            delete(
                &ask.access,
                &["parameters", &what.component, host, &what.name],
            )
        }
        Verb::SetGlobalParameter(ask) => {
            send(&ask.access, [change::set_global_parameter(&ask.what)?])
        }
        Verb::ClearGlobalParameter(ask) => {
            delete(&ask.access, &["global-parameters", &ask.what.name])
        }
        Verb::SetVhostLimits(ask) => {
            let host = &ask.access.virtual_host;
            let requests = change::set_limits("vhost-limits", host, &ask.what.definition)?;
            send(&ask.access, requests)
        }
        Verb::ClearVhostLimits(ask) => {
            let names = ["max-connections", "max-queues"];
            let host = &ask.access.virtual_host;
            let requests = change::clear_limits("vhost-limits", host, &names);
            send_forgiving(&ask.access, requests)
        }
        Verb::SetUserLimits(ask) => {
            let user = &ask.what.user;
            let requests = change::set_limits("user-limits", user, &ask.what.definition)?;
            send(&ask.access, requests)
        }
        Verb::ClearUserLimits(ask) => {
            let names: &[&str] = match ask.what.limit.as_str() {
                "all" => &["max-connections", "max-channels"],
                limit => &[limit],
            };
            let requests = change::clear_limits("user-limits", &ask.what.user, names);
            send_forgiving(&ask.access, requests)
        }
        // Lists and checks were taken before.
        _ => Ok(Verdict::Bad),
    }
}

fn say(access: &Access, text: &str) -> io::Result<()> {
    if access.quiet || access.silent || access.formatter() == verb::Formatter::Json {
        return Ok(());
    }
    output::line(text)
}

fn check(access: &Access, name: &str) -> anyhow::Result<Verdict> {
    status::check(&Api::new(access), access, name)
}

fn list(ask: &Ask<Columns>, of: Of) -> anyhow::Result<Verdict> {
    let list = of.list(&ask.access.virtual_host);
    let answer = Api::new(&ask.access).granted(&Request::get(list.path))?;
    if ask.access.formatter() == verb::Formatter::Table {
        say(&ask.access, &format!("Listing {} ...", list.title))?;
    }
    let rows = answer.as_array().context("the broker answers no list")?;
    table::print(rows, &ask.what.columns, list.columns, &ask.access)?;
    Ok(Verdict::Good)
}

fn list_user_permissions(ask: &Ask<verb::Name>) -> anyhow::Result<Verdict> {
    let path = path(&["users", &ask.what.name, "permissions"]);
    let answer = Api::new(&ask.access).granted(&Request::get(path))?;
    let rows = answer.as_array().context("the broker answers no list")?;
    let columns = ["vhost", "configure", "write", "read"];
    table::print(rows, &[], &columns, &ask.access)?;
    Ok(Verdict::Good)
}

fn send(access: &Access, requests: impl IntoIterator<Item = Request>) -> anyhow::Result<Verdict> {
    let api = Api::new(access);
    for request in requests {
        api.granted(&request)?;
    }
    Ok(Verdict::Good)
}

/// The same, where something that is not there is as good as removed.
fn send_forgiving(access: &Access, requests: Vec<Request>) -> anyhow::Result<Verdict> {
    let api = Api::new(access);
    for request in requests {
        let answer = api.ask(&request)?;
        if answer.status != 404 {
            answer.granted()?;
        }
    }
    Ok(Verdict::Good)
}

fn delete(access: &Access, segments: &[&str]) -> anyhow::Result<Verdict> {
    send(access, [Request::delete(path(segments))])
}

/// The password that was given, or the first line of standard input.
fn password(given: Option<&String>) -> anyhow::Result<String> {
    if let Some(password) = given {
        return Ok(password.clone());
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password: give one, or a line of standard input");
    }
    Ok(password.to_owned())
}

fn add_user(ask: &Ask<verb::Login>) -> anyhow::Result<Verdict> {
    let name = &ask.what.name;
    let api = Api::new(&ask.access);
    if api.ask(&Request::get(path(&["users", name])))?.status == 200 {
        bail!("user {name:?} exists already");
    }
    api.granted(&change::add_user(
        name,
        &password(ask.what.password.as_ref())?,
    ))?;
    Ok(Verdict::Good)
}

fn change_user(access: &Access, name: &str, change: UserChange<'_>) -> anyhow::Result<Verdict> {
    let api = Api::new(access);
    let user = api.granted(&Request::get(path(&["users", name])))?;
    api.granted(&change::change_user(&user, change)?)?;
    Ok(Verdict::Good)
}

fn authenticate(ask: &Ask<verb::Login>) -> anyhow::Result<Verdict> {
    let password = password(ask.what.password.as_ref())?;
    let api = Api::new(&ask.access).for_user(&ask.what.name, &password);
    let answer = api.ask(&Request::get("whoami"))?;
    let reason = answer.body.get("reason").and_then(Value::as_str);
    // Who may not use the API was recognised all the same.
    let is_known = answer.status == 200 || reason == Some("Not management user");
    if is_known {
        say(&ask.access, "Success")?;
        return Ok(Verdict::Good);
    }
    output::line("the password is wrong, or there is no such user")?;
    Ok(Verdict::Bad)
}

fn hash_password(ask: &Ask<verb::Password>) -> anyhow::Result<Verdict> {
    let password = password(ask.what.password.as_ref())?;
    let request = Request::get(path(&["auth", "hash_password", &password]));
    let answer = Api::new(&ask.access).granted(&request)?;
    let hash = answer
        .get("ok")
        .and_then(Value::as_str)
        .context("the broker answers no hash")?;
    output::line(hash)?;
    Ok(Verdict::Good)
}

fn set_policy(ask: &Ask<verb::Policy>, kind: &str) -> anyhow::Result<Verdict> {
    let request = change::set_policy(kind, &ask.access.virtual_host, &ask.what)?;
    send(&ask.access, [request])
}

fn close_all(ask: &Ask<verb::CloseAll>) -> anyhow::Result<Verdict> {
    let api = Api::new(&ask.access);
    let connections = api.granted(&Request::get("connections"))?;
    let of = |connection: &Value, field: &str, wanted: &Option<String>| {
        let value = connection.get(field).and_then(Value::as_str);
        wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
    };
    let mut closed = 0_usize;
    for connection in connections.as_array().into_iter().flatten() {
        let is_meant = of(connection, "vhost", &ask.what.of_vhost)
            && of(connection, "user", &ask.what.of_user);
        let Some(name) = connection.get("name").and_then(Value::as_str) else {
            continue;
        };
        // One that has left meanwhile is closed as well.
        let request = change::close_connection(name, &ask.what.reason);
        if is_meant && api.ask(&request)?.status != 404 {
            closed += 1;
        }
    }
    say(&ask.access, &format!("Closed {closed} connections"))?;
    Ok(Verdict::Good)
}

fn definitions_path(access: &Access, one_host: bool) -> String {
    if one_host {
        path(&["definitions", &access.virtual_host])
    } else {
        "definitions".to_owned()
    }
}

fn export(ask: &Ask<verb::Export>) -> anyhow::Result<Verdict> {
    let request = Request::get(definitions_path(&ask.access, ask.what.one_vhost));
    let definitions = Api::new(&ask.access).granted(&request)?;
    let text = serde_json::to_string_pretty(&definitions)?;
    let file = &ask.what.file;
    if file == Path::new("-") {
        output::line(&text)?;
    } else {
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Verdict::Good)
}

fn import(ask: &Ask<verb::Import>) -> anyhow::Result<Verdict> {
    let file = &ask.what.file;
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().lock().read_to_string(&mut text)?;
    } else {
        text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    let definitions: Value =
        serde_json::from_str(&text).with_context(|| format!("{} holds no JSON", file.display()))?;
    let mut request = Request::new(
        Method::Post,
        definitions_path(&ask.access, ask.what.one_vhost),
    );
    request.body = Some(definitions);
    send(&ask.access, [request])
}

fn peek(ask: &Ask<verb::Peek>) -> anyhow::Result<Verdict> {
    let what = &ask.what;
    let host = &ask.access.virtual_host;
    let messages = path(&["leveret", "queues", host, &what.queue, "messages"]);
    let query = format!(
        "offset={}&count={}&state={}",
        what.offset, what.count, what.state
    );
    let answer = Api::new(&ask.access).granted(&Request::get(format!("{messages}?{query}")))?;
    let rows = answer.as_array().context("the broker answers no list")?;
    let columns = [
        "offset",
        "redelivered",
        "exchange",
        "routing_key",
        "payload_bytes",
        "payload",
    ];
    table::print(rows, &[], &columns, &ask.access)?;
    Ok(Verdict::Good)
}
