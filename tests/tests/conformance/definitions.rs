//! Definitions: everything in one file, from one broker to another.

use anyhow::{Context as _, Result, ensure};
use leveret_tests::Context;
use leveret_tests::client::{Client, Options};
use leveret_tests::management::{Answer, Management, in_order, segment};
use leveret_tests::raw::method::{self, queue_bits};
use leveret_tests::raw::value::Table;
use serde_json::{Value, json};

leveret_tests::on_both_targets![
    what_is_exported_comes_back_equal,
    files_go_from_one_broker_to_the_other_and_back,
    an_export_leaves_out_what_others_do_not_need,
    what_exists_is_left_as_it_is,
    an_import_makes_up_what_is_missing,
    a_file_that_makes_no_sense_is_refused,
    a_form_may_carry_the_file,
];

/// A virtual host full of everything, as a file has it.
fn full(host: &str) -> Value {
    json!({
        "vhosts": [{
            "name": host,
            "metadata": { "description": "d", "tags": ["a", "b"], "default_queue_type": "classic" },
        }],
        "parameters": [
            {
                "vhost": host, "component": "operator_policy", "name": "cap",
                "value": {
                    "pattern": ".*", "definition": { "max-length": 500 }, "priority": 0,
                    "apply-to": "queues",
                },
            },
            {
                "vhost": host, "component": "vhost-limits", "name": "limits",
                "value": { "max-queues": 100 },
            },
        ],
        "policies": [{
            "vhost": host, "name": "p", "pattern": "^q", "apply-to": "all", "priority": 3,
            "definition": { "max-length": 100, "dead-letter-exchange": "dead" },
        }],
        "queues": [
            {
                "vhost": host, "name": "q", "durable": true, "auto_delete": false,
                "arguments": {
                    "x-queue-type": "classic", "x-max-length": 5, "x-unknown": { "a": [1, "b"] },
                },
            },
            {
                "vhost": host, "name": "quorum", "durable": true, "auto_delete": false,
                "arguments": { "x-queue-type": "quorum" },
            },
        ],
        "exchanges": [
            {
                "vhost": host, "name": "topic", "type": "topic", "durable": true,
                "auto_delete": false, "arguments": { "alternate-exchange": "other" },
            },
            {
                "vhost": host, "name": "other", "type": "fanout", "durable": true,
                "auto_delete": false, "arguments": {},
            },
        ],
        "bindings": [
            {
                "vhost": host, "source": "topic", "destination": "q",
                "destination_type": "queue", "routing_key": "a.#", "arguments": { "x": 1 },
            },
            {
                "vhost": host, "source": "topic", "destination": "other",
                "destination_type": "exchange", "routing_key": "b", "arguments": {},
            },
        ],
    })
}

async fn load(api: &Management, path: &str, file: &Value) -> Result<Answer> {
    api.send("POST", path, Some(file.clone())).await
}

async fn loaded(api: &Management, path: &str, file: &Value) -> Result<()> {
    let answer = load(api, path, file).await?;
    ensure!(answer.status == 204, "{answer:?}");
    Ok(())
}

/// What a virtual host's export says, lists in one order, without what names the broker.
async fn exported(api: &Management, host: &str) -> Result<Value> {
    let path = format!("definitions/{}", segment(host));
    let mut file = in_order(api.done("GET", &path, None).await?.body);
    let object = file.as_object_mut().context("an object")?;
    for name in [
        "rabbit_version",
        "rabbitmq_version",
        "product_name",
        "product_version",
    ] {
        let named = object.remove(name);
        ensure!(named.is_some_and(|value| value.is_string()), "no {name}");
    }
    for list in object.values_mut().filter_map(Value::as_array_mut) {
        list.sort_by_key(Value::to_string);
    }
    Ok(file)
}

async fn forget(api: &Management, host: &str) -> Result<()> {
    let path = format!("vhosts/{}", segment(host));
    api.send("DELETE", &path, None).await.map(drop)
}

/// Spec 8.4.1. Spec 8.4.3. Spec 8.4.4.
async fn what_is_exported_comes_back_equal(context: &Context) -> Result<()> {
    let api = context.management()?;
    let host = context.unique("host");
    loaded(&api, "definitions", &full(&host)).await?;
    let first = exported(&api, &host).await?;
    for (name, count) in [
        ("queues", 2),
        ("exchanges", 2),
        ("bindings", 2),
        ("policies", 1),
    ] {
        let list = first[name].as_array().context("a list")?;
        ensure!(list.len() == count, "{name}: {list:?}");
        ensure!(
            list.iter().all(|item| item.get("vhost").is_none()),
            "{list:?}"
        );
    }
    ensure!(
        first["rabbitmq_definition_format"] == "single_virtual_host",
        "{first}"
    );
    ensure!(first["original_vhost_name"] == host.as_str(), "{first}");
    ensure!(first["metadata"]["tags"] == json!(["a", "b"]), "{first}");
    let whole = api.done("GET", "definitions", None).await?.body;
    ensure!(whole["rabbitmq_definition_format"] == "cluster", "{whole}");
    let hosts = whole["vhosts"].as_array().context("a list")?;
    let own = hosts.iter().find(|found| found["name"] == host.as_str());
    let own = own.context("the virtual host is exported")?;
    ensure!(own["limits"] == json!({ "max-queues": 100 }), "{own}");
    let guest = whole["users"].as_array().context("a list")?;
    let guest = guest.iter().find(|user| user["name"] == "guest");
    let guest = guest.context("guest is exported")?;
    ensure!(
        guest["hashing_algorithm"] == "rabbit_password_hashing_sha256",
        "{guest}"
    );
    ensure!(guest["tags"] == json!(["administrator"]), "{guest}");
    loaded(&api, &format!("definitions/{}", segment(&host)), &first).await?;
    let again = exported(&api, &host).await?;
    forget(&api, &host).await?;
    ensure!(first == again, "{first}\n{again}");
    Ok(())
}

/// Spec 8.4.1. Spec 8.4.4. Between RabbitMQ and Leveret where there are both.
async fn files_go_from_one_broker_to_the_other_and_back(context: &Context) -> Result<()> {
    let here = context.management()?;
    let other = ::leveret::Broker::builder().management("127.0.0.1:0");
    let other = other.start().await?;
    let address = other.management_address().context("it listens")?;
    let there = Management::new(&format!("http://guest:guest@{address}"))?;
    for (from, to) in [(&here, &there), (&there, &here)] {
        let host = context.unique("host");
        loaded(from, "definitions", &full(&host)).await?;
        let left = exported(from, &host).await?;
        // The whole file, cut down to this virtual host: others test on the same broker.
        let mut file = from.done("GET", "definitions", None).await?.body;
        let lists = file.as_object_mut().context("an object")?;
        for (name, list) in lists.iter_mut() {
            let Some(list) = list.as_array_mut() else {
                continue;
            };
            let place = if name == "vhosts" { "name" } else { "vhost" };
            list.retain(|item| item[place] == host.as_str() && item.get("user").is_none());
        }
        loaded(to, "definitions", &file).await?;
        let arrived = exported(to, &host).await?;
        forget(from, &host).await?;
        forget(to, &host).await?;
        ensure!(left == arrived, "{left}\n{arrived}");
    }
    other.shutdown().await?;
    Ok(())
}

/// Spec 8.4.2.
async fn an_export_leaves_out_what_others_do_not_need(context: &Context) -> Result<()> {
    let api = context.management()?;
    let host = context.unique("host");
    let mut file = full(&host);
    file["exchanges"][1]["internal"] = json!(true);
    loaded(&api, "definitions", &file).await?;
    let options = Options {
        virtual_host: Some(host.clone()),
        ..Options::default()
    };
    let mut client = Client::connect(&context.address, &options).await?;
    client.open(1).await?;
    let declare = method::queue_declare("mine", queue_bits::EXCLUSIVE, &Table::new());
    client.ok(1, declare).await?;
    let bind = method::queue_bind("mine", "amq.direct", "k", &Table::new());
    client.ok(1, bind).await?;
    let file = exported(&api, &host).await?;
    client.close().await?;
    forget(&api, &host).await?;
    let names = |list: &str| -> Vec<String> {
        let list = file[list].as_array().into_iter().flatten();
        list.filter_map(|item| item["name"].as_str().map(str::to_owned))
            .collect()
    };
    ensure!(names("queues") == ["q", "quorum"], "{file}");
    ensure!(names("exchanges") == ["topic"], "{file}");
    Ok(())
}

/// Spec 8.4.4.
async fn what_exists_is_left_as_it_is(context: &Context) -> Result<()> {
    let api = context.management()?;
    let host = context.unique("host");
    loaded(&api, "definitions", &full(&host)).await?;
    let before = exported(&api, &host).await?;
    let mut other = full(&host);
    other["queues"][0]["arguments"] = json!({});
    other["queues"][0]["durable"] = json!(false);
    other["exchanges"][0]["type"] = json!("direct");
    other["policies"][0]["definition"] = json!({ "max-length": 7 });
    loaded(&api, "definitions", &other).await?;
    let after = exported(&api, &host).await?;
    forget(&api, &host).await?;
    ensure!(before["queues"] == after["queues"], "{after}");
    ensure!(before["exchanges"] == after["exchanges"], "{after}");
    let policy = &after["policies"][0]["definition"];
    ensure!(*policy == json!({ "max-length": 7 }), "{after}");
    Ok(())
}

/// Spec 8.4.4. What old versions and other programs write.
async fn an_import_makes_up_what_is_missing(context: &Context) -> Result<()> {
    let api = context.management()?;
    let (host, user) = (context.unique("host"), context.unique("user"));
    let file = json!({
        "rabbit_version": "3.6.16",
        "vhosts": [{ "name": host }],
        "users": [{ "name": user, "password": "secret", "tags": "management, other" }],
        "queues": [{ "vhost": host, "name": "q" }],
        "policies": [{ "vhost": host, "name": "p", "pattern": "", "definition": { "max-length": 1 } }],
    });
    loaded(&api, "definitions", &file).await?;
    let found = exported(&api, &host).await?;
    forget(&api, &host).await?;
    ensure!(found["queues"][0]["durable"] == true, "{found}");
    ensure!(found["policies"][0]["apply-to"] == "all", "{found}");
    ensure!(found["policies"][0]["priority"] == 0, "{found}");
    let own = api.as_user(&user, "secret").get("whoami").await?;
    ensure!(
        own.status == 200 && own.body["name"] == user.as_str(),
        "{own:?}"
    );
    api.send("DELETE", &format!("users/{}", segment(&user)), None)
        .await?;
    Ok(())
}

/// Spec 8.4.4.
async fn a_file_that_makes_no_sense_is_refused(context: &Context) -> Result<()> {
    let api = context.management()?;
    let host = context.unique("host");
    loaded(
        &api,
        "definitions",
        &json!({ "vhosts": [{ "name": host }] }),
    )
    .await?;
    let queue = json!({ "name": "q", "vhost": host, "arguments": { "x-max-length": -1 } });
    let settings = json!({ "foo": 1 });
    for (file, reason) in [
        (json!([]), "failed_to_parse_json".to_owned()),
        (
            json!({ "queues": [{ "name": "q", "vhost": "no such host" }] }),
            "Please create virtual host \"no such host\" prior to importing definitions."
                .to_owned(),
        ),
        (
            json!({ "queues": [queue] }),
            format!(
                "precondition_failed: invalid arg 'x-max-length' for queue 'q' in vhost '{host}': {{value_negative,-1}}"
            ),
        ),
        (
            json!({ "exchanges": [{ "name": "e", "vhost": host, "type": "foo" }] }),
            "precondition_failed: invalid exchange type 'foo'".to_owned(),
        ),
        (
            json!({ "users": [{ "name": "nobody" }] }),
            "tags_not_present".to_owned(),
        ),
        (
            json!({ "permissions": [{
                "user": "nobody", "vhost": host, "configure": "", "write": "", "read": "",
            }] }),
            "{no_such_user,<<\"nobody\">>}".to_owned(),
        ),
        (
            json!({ "policies": [{
                "vhost": host, "name": "p", "pattern": "", "definition": settings,
            }] }),
            format!(
                "Validation failed\n\n[{{<<\"foo\">>,1}}] are not recognised policy settings\n (vhost: \"{host}\" key: \"p\")"
            ),
        ),
        (
            json!({ "parameters": [{ "component": "foo", "vhost": host, "name": "n", "value": 1 }] }),
            format!(
                "Validation failed\n\ncomponent foo not found\n (vhost: \"{host}\" / component: \"foo\" / key: \"n\")"
            ),
        ),
    ] {
        let answer = load(&api, "definitions", &file).await?;
        ensure!(
            answer.notation() == format!("400 bad_request: {reason}"),
            "{file}: {answer:?}"
        );
    }
    forget(&api, &host).await?;
    let nowhere = load(&api, "definitions/no-such-host", &json!({})).await?;
    ensure!([401, 404].contains(&nowhere.status), "{nowhere:?}");
    Ok(())
}

/// Spec 8.4.4.
async fn a_form_may_carry_the_file(context: &Context) -> Result<()> {
    let api = context.management()?;
    let host = context.unique("host");
    let file = json!({ "vhosts": [{ "name": host }] });
    let form = format!(
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.json\"\r\n\
         Content-Type: application/json\r\n\r\n{file}\r\n--B--\r\n"
    );
    let answer = api
        .send_typed(
            "POST",
            "definitions",
            "multipart/form-data; boundary=B",
            form.into_bytes(),
        )
        .await?;
    ensure!(answer.status == 204, "{answer:?}");
    exported(&api, &host).await?;
    forget(&api, &host).await
}
