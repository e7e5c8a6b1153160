//! Users, rights, virtual hosts and limits over HTTP: statuses, bodies and words, and for whom each
//! path is.

use anyhow::{Result, ensure};
use leveret_tests::Context;
use leveret_tests::management::{Management, segment};
use serde_json::{Value, json};

leveret_tests::on_both_targets![
    users_are_made_changed_and_deleted,
    passwords_come_as_text_or_as_hashes,
    an_empty_password_opens_nothing,
    protected_users_cannot_be_changed,
    users_are_deleted_in_bulk,
    rights_are_given_and_taken,
    rights_need_a_user_a_virtual_host_and_patterns,
    topic_rights_are_given_and_taken,
    what_makes_no_sense_is_refused,
    whoami_says_who_asks,
    tags_decide_who_may_administer,
    a_change_of_password_takes_effect_at_once,
];

/// One request and what it must be answered with.
type Step<'a> = (&'a str, &'a str, Option<Value>, &'a str);

pub(super) async fn steps(management: &Management, steps: &[Step<'_>]) -> Result<()> {
    for (method, path, body, expected) in steps {
        let answer = management.send(method, path, body.clone()).await?;
        let notation = answer.notation();
        ensure!(
            notation == *expected,
            "{method} {path} {body:?}: {notation:?} instead of {expected:?}"
        );
    }
    Ok(())
}

pub(super) const MISSING: &str = "404 Object Not Found: Not Found";

/// Spec 8.3.1. Spec 10.1.3. Spec 10.2.
async fn users_are_made_changed_and_deleted(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("management, other,,x ").await?;
    let path = format!("users/{}", account.name);
    let shown = management.get(&path).await?;
    ensure!(shown.body["name"] == account.name, "{shown:?}");
    ensure!(
        shown.body["tags"] == json!(["management", "other", "x"]),
        "{shown:?}"
    );
    ensure!(shown.body["limits"] == json!({}), "{shown:?}");
    let algorithm = "rabbit_password_hashing_sha256";
    ensure!(shown.body["hashing_algorithm"] == algorithm, "{shown:?}");
    let listed = management.get("users").await?;
    let listed = listed.body.as_array().cloned().unwrap_or_default();
    ensure!(
        listed.iter().any(|user| user["name"] == account.name),
        "{listed:?}"
    );
    let without = management.get("users/without-permissions").await?;
    let without = without.body.as_array().cloned().unwrap_or_default();
    ensure!(
        without.iter().any(|user| user["name"] == account.name),
        "{without:?}"
    );
    let odd = format!("{path}%2Fodd%20name");
    let missing = format!("{path}-missing");
    steps(
        &management,
        &[
            (
                "PUT",
                &path,
                Some(json!({ "password": "x", "tags": ["a", " b "] })),
                "204",
            ),
            (
                "PUT",
                &path,
                Some(json!({ "password": "x" })),
                "400 bad_request: tags_not_present",
            ),
            (
                "PUT",
                &path,
                Some(json!({})),
                "400 bad_request: tags_not_present",
            ),
            ("PUT", &path, Some(json!([])), "400 bad_request: not_json"),
            (
                "PUT",
                &odd,
                Some(json!({ "password": "x", "tags": "" })),
                "201",
            ),
            ("GET", &odd, None, "200"),
            ("DELETE", &odd, None, "204"),
            ("GET", &missing, None, MISSING),
            ("DELETE", &missing, None, MISSING),
            ("POST", &path, None, "405"),
            ("DELETE", &path, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("GET", &path, None, MISSING),
        ],
    )
    .await
}

/// Spec 8.3.2. The hashes are of the password `test12`.
async fn passwords_come_as_text_or_as_hashes(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("management").await?;
    let path = format!("users/{}", account.name);
    let hashes = [
        ("sha256", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
        (
            "sha512",
            "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=",
        ),
        ("md5", "kI3GChNpte2FApYFXScl+0dIluk="),
    ];
    let login = management.as_user(&account.name, "test12");
    for (algorithm, hash) in hashes {
        let algorithm = format!("rabbit_password_hashing_{algorithm}");
        let body = json!({
            "password_hash": hash, "hashing_algorithm": algorithm, "tags": "management",
        });
        management.done("PUT", &path, Some(body)).await?;
        let shown = management.get(&path).await?;
        ensure!(shown.body["password_hash"] == hash, "{shown:?}");
        ensure!(shown.body["hashing_algorithm"] == algorithm, "{shown:?}");
        ensure!(login.get("whoami").await?.status == 200, "{algorithm}");
    }
    steps(
        &management,
        &[
            (
                "PUT",
                &path,
                Some(json!({ "password_hash": "AAAABBBB", "password": "y", "tags": "" })),
                "400 bad_request: both_password_and_password_hash_are_provided",
            ),
            (
                "PUT",
                &path,
                Some(json!({ "password_hash": "!!!", "tags": "" })),
                "400 bad_request: [\"not_base64\",\"!!!\"]",
            ),
        ],
    )
    .await?;
    let hashed = management.get("auth/hash_password/test12").await?;
    let body = json!({ "password_hash": hashed.body["ok"], "tags": "management" });
    management.done("PUT", &path, Some(body)).await?;
    ensure!(login.get("whoami").await?.status == 200, "{hashed:?}");
    Ok(())
}

/// Spec 1.3.8. Spec 8.3.2.
async fn an_empty_password_opens_nothing(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("management").await?;
    let path = format!("users/{}", account.name);
    let (host, refused) = (context.virtual_host().await?, "403x Login was refused…");
    context.grant(&host, &account, ["", "", ""]).await?;
    for body in [
        json!({ "password": "", "tags": "management" }),
        json!({ "password_hash": "", "tags": "management" }),
        json!({ "tags": "management" }),
    ] {
        management.done("PUT", &path, Some(body.clone())).await?;
        let login = management.as_user(&account.name, "");
        let answer = login.get("whoami").await?;
        ensure!(
            answer.notation() == "401 not_authorized: Not_Authorized",
            "{body}: {answer:?}"
        );
        for password in ["", account.password.as_str()] {
            let mut attempt = account.clone();
            attempt.password = password.to_owned();
            context.refused_at_open(&attempt, &host, refused).await?;
        }
    }
    Ok(())
}

/// Spec 8.3.1.
async fn protected_users_cannot_be_changed(context: &Context) -> Result<()> {
    let management = context.management()?;
    let name = context.unique("protected");
    let path = format!("users/{name}");
    let refused = "400 bad_request: Protected users cannot be modified via the HTTP API";
    let bulk = json!({ "users": [name] });
    let protected = json!({ "password": "x", "tags": ["protected"] });
    steps(
        &management,
        &[
            ("PUT", &path, Some(protected), "201"),
            (
                "PUT",
                &path,
                Some(json!({ "password": "x", "tags": "" })),
                refused,
            ),
            ("DELETE", &path, None, refused),
            ("POST", "users/bulk-delete", Some(bulk), "204"),
            ("GET", &path, None, "200"),
        ],
    )
    .await?;
    // The API cannot remove it; where definitions can be imported, they can make it deletable.
    let user = json!({ "name": name, "password_hash": "", "tags": "" });
    let import = management
        .send("POST", "definitions", Some(json!({ "users": [user] })))
        .await?;
    if import.status < 300 {
        management.done("DELETE", &path, None).await?;
    }
    Ok(())
}

/// Spec 10.2.
async fn users_are_deleted_in_bulk(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (one, two) = (context.account("").await?, context.account("").await?);
    let names = json!({ "users": [one.name, "nobody-of-that-name", two.name] });
    steps(
        &management,
        &[
            (
                "POST",
                "users/bulk-delete",
                Some(json!({})),
                "400 bad_request: [{key_missing,users}]",
            ),
            ("POST", "users/bulk-delete", Some(names), "204"),
            ("GET", &format!("users/{}", one.name), None, MISSING),
            ("GET", &format!("users/{}", two.name), None, MISSING),
        ],
    )
    .await
}

/// Spec 8.1. Spec 10.1.3. Spec 10.2.
async fn rights_are_given_and_taken(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let (h, u) = (segment(&host), segment(&account.name));
    let path = format!("permissions/{h}/{u}");
    let rights = json!({ "configure": ".*", "write": "^a", "read": "" });
    steps(
        &management,
        &[
            ("GET", &path, None, MISSING),
            ("PUT", &path, Some(rights.clone()), "201"),
            ("PUT", &path, Some(rights), "204"),
        ],
    )
    .await?;
    let row = json!({
        "user": account.name, "vhost": host, "configure": ".*", "write": "^a", "read": "",
    });
    ensure!(management.get(&path).await?.body == row);
    let of_user = management.get(&format!("users/{u}/permissions")).await?;
    ensure!(of_user.body == json!([row]), "{of_user:?}");
    for list in [format!("vhosts/{h}/permissions"), "permissions".to_owned()] {
        let listed = management.get(&list).await?;
        let rows = listed.body.as_array().cloned().unwrap_or_default();
        ensure!(rows.contains(&row), "{list}: {rows:?}");
    }
    let user_list = format!("users/{u}/permissions");
    steps(
        &management,
        &[
            ("DELETE", &path, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("GET", &path, None, MISSING),
            ("GET", &user_list, None, "200"),
            (
                "GET",
                "users/nobody-of-that-name/permissions",
                None,
                MISSING,
            ),
            (
                "GET",
                "vhosts/nothing-of-that-name/permissions",
                None,
                MISSING,
            ),
        ],
    )
    .await
}

/// Spec 8.1.3. Spec 10.1.2.
async fn rights_need_a_user_a_virtual_host_and_patterns(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let (h, u) = (segment(&host), segment(&account.name));
    let path = format!("permissions/{h}/{u}");
    let rights = json!({ "configure": "", "write": "", "read": "" });
    let unknown = "400 bad_request: vhost_or_user_not_found";
    steps(
        &management,
        &[
            (
                "PUT",
                &format!("permissions/{h}/nobody-x"),
                Some(rights.clone()),
                unknown,
            ),
            (
                "PUT",
                &format!("permissions/nothing-x/{u}"),
                Some(rights),
                unknown,
            ),
            (
                "PUT",
                &path,
                Some(json!({ "configure": "", "write": "" })),
                "400 bad_request: [{key_missing,read}]",
            ),
        ],
    )
    .await?;
    let broken = json!({ "configure": "", "write": "", "read": "(" });
    let answer = management.send("PUT", &path, Some(broken)).await?;
    ensure!(
        answer.status == 400 && answer.body["reason"][0] == "invalid_regexp",
        "{answer:?}"
    );
    // What takes more than linear time is refused where it is given, not where it is matched.
    let look_around = json!({ "configure": "(?=a)b", "write": "", "read": "" });
    let answer = management.send("PUT", &path, Some(look_around)).await?;
    let expected = context.differs("8.1.3", 201, 400)?;
    ensure!(answer.status == expected, "{answer:?}");
    Ok(())
}

/// Spec 8.2.1. Spec 10.1.3.
async fn topic_rights_are_given_and_taken(context: &Context) -> Result<()> {
    let management = context.management()?;
    let (host, account) = (context.virtual_host().await?, context.account("").await?);
    let (h, u) = (segment(&host), segment(&account.name));
    let path = format!("topic-permissions/{h}/{u}");
    let rights = |exchange: &str| json!({ "exchange": exchange, "write": "^a", "read": ".*" });
    let one = format!("{path}/amq.topic");
    steps(
        &management,
        &[
            ("GET", &path, None, MISSING),
            ("PUT", &path, Some(rights("amq.topic")), "201"),
            ("PUT", &path, Some(rights("amq.topic")), "204"),
            (
                "PUT",
                &path,
                Some(rights("nothing-x")),
                "400 bad_request: [\"no_such_exchange\",\"nothing-x\"]",
            ),
            (
                "PUT",
                &path,
                Some(json!({ "write": "", "read": "" })),
                "400 bad_request: [{key_missing,exchange}]",
            ),
            (
                "PUT",
                &format!("topic-permissions/{h}/nobody-x"),
                Some(rights("amq.topic")),
                "400 bad_request: vhost_or_user_not_found",
            ),
        ],
    )
    .await?;
    let row = json!([{
        "user": account.name, "vhost": host, "exchange": "amq.topic", "write": "^a", "read": ".*",
    }]);
    for list in [
        path.clone(),
        format!("users/{u}/topic-permissions"),
        format!("vhosts/{h}/topic-permissions"),
    ] {
        let listed = management.get(&list).await?;
        ensure!(listed.body == row, "{list}: {listed:?}");
    }
    steps(
        &management,
        &[
            ("DELETE", &one, None, "204"),
            ("DELETE", &path, None, MISSING),
            ("PUT", &path, Some(rights("amq.topic")), "201"),
            ("DELETE", &path, None, "204"),
            ("GET", &path, None, MISSING),
        ],
    )
    .await
}

/// Spec 10.1.1. Spec 10.2.
async fn whoami_says_who_asks(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("management,other").await?;
    let shown = management
        .as_user(&account.name, &account.password)
        .get("whoami")
        .await?;
    ensure!(shown.body["name"] == account.name, "{shown:?}");
    ensure!(
        shown.body["tags"] == json!(["management", "other"]),
        "{shown:?}"
    );
    let wrong = management
        .as_user(&account.name, "wrong")
        .get("whoami")
        .await?;
    ensure!(
        wrong.notation() == "401 not_authorized: Not_Authorized",
        "{wrong:?}"
    );
    Ok(())
}

/// Spec 8.3.1. Spec 10.2.
async fn tags_decide_who_may_administer(context: &Context) -> Result<()> {
    let management = context.management()?;
    let host = context.virtual_host().await?;
    let h = segment(&host);
    let no_administrator = "401 not_authorised: Not administrator user";
    for tags in ["management", "policymaker", "monitoring"] {
        let account = context.account(tags).await?;
        let own = management.as_user(&account.name, &account.password);
        let u = segment(&account.name);
        for (method, path) in [
            ("GET", "users".to_owned()),
            ("GET", format!("users/{u}")),
            ("PUT", format!("users/{u}")),
            ("DELETE", format!("users/{u}")),
            ("POST", "users/bulk-delete".to_owned()),
            ("GET", "users/without-permissions".to_owned()),
            ("GET", format!("users/{u}/permissions")),
            ("GET", "permissions".to_owned()),
            ("PUT", format!("permissions/{h}/{u}")),
            ("GET", "topic-permissions".to_owned()),
            ("PUT", format!("topic-permissions/{h}/{u}")),
            ("GET", format!("vhosts/{h}")),
            ("PUT", format!("vhosts/{h}")),
            ("DELETE", format!("vhosts/{h}")),
            ("GET", format!("vhosts/{h}/permissions")),
            ("POST", format!("vhosts/{h}/deletion/protection")),
            ("GET", "user-limits".to_owned()),
            ("PUT", format!("user-limits/{u}/max-channels")),
            ("PUT", format!("vhost-limits/{h}/max-queues")),
            ("DELETE", format!("vhost-limits/{h}/max-queues")),
            ("GET", "auth/hash_password/x".to_owned()),
        ] {
            let answer = own.send(method, &path, Some(json!({}))).await?;
            ensure!(
                answer.notation() == no_administrator,
                "{tags}: {method} {path}: {answer:?}"
            );
        }
        let hidden = tags != "monitoring";
        let other = own.get("user-limits/guest").await?;
        let expected = if hidden {
            "401 not_authorised: User not authorised to access object"
        } else {
            "200"
        };
        ensure!(other.notation() == expected, "{tags}: {other:?}");
        let limits = own.get(&format!("vhost-limits/{h}")).await?;
        let expected = if hidden {
            "404 not_found: Not Found"
        } else {
            "200"
        };
        ensure!(limits.notation() == expected, "{tags}: {limits:?}");
        let listed = own.get("vhosts").await?;
        let sees = listed
            .body
            .as_array()
            .is_some_and(|hosts| hosts.iter().any(|row| row["name"] == host));
        ensure!(sees != hidden, "{tags}: {listed:?}");
        context.grant(&host, &account, ["", "", ""]).await?;
        let limits = own.get(&format!("vhost-limits/{h}")).await?;
        ensure!(limits.status == 200, "{tags}: {limits:?}");
    }
    Ok(())
}

/// Spec 8.3.2. Spec 8.1.2.
async fn a_change_of_password_takes_effect_at_once(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("management").await?;
    let host = context.virtual_host().await?;
    context.grant(&host, &account, ["", "", ""]).await?;
    let path = format!("users/{}", account.name);
    let body = json!({ "password": "another", "tags": "management" });
    management.done("PUT", &path, Some(body)).await?;
    context
        .refused_at_open(&account, &host, "403x Login was refused…")
        .await?;
    let mut changed = account.clone();
    changed.password = "another".to_owned();
    context.client_of(&changed, &host).await?.close().await?;
    ensure!(
        management
            .as_user(&changed.name, "another")
            .get("whoami")
            .await?
            .status
            == 200
    );
    Ok(())
}

/// Spec 8.3.2. Spec 10.1.2.
async fn what_makes_no_sense_is_refused(context: &Context) -> Result<()> {
    let management = context.management()?;
    let account = context.account("").await?;
    let path = format!("users/{}", account.name);
    let body = json!({ "password_hash": "AAAABBBB", "hashing_algorithm": "nope", "tags": "" });
    let answer = management.send("PUT", &path, Some(body)).await?;
    let expected = context.differs("8.3.2", 204, 400)?;
    ensure!(answer.status == expected, "{answer:?}");
    let body = json!({ "password": "x", "tags": 5 });
    let answer = management.send("PUT", &path, Some(body)).await?;
    let expected = context.differs("10.1.2", 500, 400)?;
    ensure!(answer.status == expected, "{answer:?}");
    Ok(())
}
