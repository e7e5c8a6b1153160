//! Authentication: mechanisms, their responses, refusals.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use leveret_tests::Context;
use leveret_tests::client::{Options, plain};
use leveret_tests::outcome::Outcome;
use leveret_tests::raw::method::MethodId;
use leveret_tests::raw::value::{Table, Value, one, write_table};

leveret_tests::on_both_targets![
    plain_with_user_and_password_is_let_in,
    a_malformed_plain_response_is_dropped_without_a_frame,
    amqplain_with_login_and_password_is_let_in,
    a_malformed_amqplain_response_is_dropped_without_a_frame,
    anonymous_is_let_in_as_the_anonymous_user,
    an_unknown_mechanism_is_dropped_without_a_frame,
    bad_credentials_are_refused_with_403_if_the_client_can_take_it,
    bad_credentials_are_dropped_if_the_client_cannot_take_403,
    random_responses_never_let_anyone_in,
];

/// AMQPLAIN's response: a table without its length.
fn amqplain(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_table(&mut bytes, table);
    bytes.split_off(4)
}

async fn log_in(
    context: &Context,
    mechanism: &str,
    response: &[u8],
    capabilities: Table,
) -> Result<Outcome> {
    let options = Options {
        mechanism: mechanism.to_owned(),
        response: Some(response.to_vec()),
        properties: one("capabilities", capabilities),
        ..Options::default()
    };
    match context.try_client(&options).await? {
        Ok(mut client) => {
            client
                .call(1, leveret_tests::raw::method::channel_open())
                .await
        }
        Err(outcome) => Ok(outcome),
    }
}

/// All at once, since each refusal takes its three seconds.
async fn all_have_the_outcome(
    context: &Context,
    mechanism: &str,
    responses: impl IntoIterator<Item = Vec<u8>>,
    expected: &str,
) -> Result<()> {
    let logins = responses.into_iter().map(|response| async move {
        let capabilities = one("authentication_failure_close", true);
        let outcome = log_in(context, mechanism, &response, capabilities).await?;
        outcome
            .expect(expected)
            .with_context(|| format!("{mechanism} {response:?}"))
    });
    try_join_all(logins).await?;
    Ok(())
}

/// Spec 1.3.1.
async fn plain_with_user_and_password_is_let_in(context: &Context) -> Result<()> {
    let response = plain(&context.address.user, &context.address.password);
    all_have_the_outcome(context, "PLAIN", [response], "ok").await
}

/// Spec 1.3.1. Spec 13.9.
async fn a_malformed_plain_response_is_dropped_without_a_frame(context: &Context) -> Result<()> {
    let malformed: [&[u8]; 9] = [
        b"",
        b"\0",
        b"guest",
        b"guest\0guest",
        b"\0guest",
        b"other\0guest\0guest",
        b"\0guest\0gu\0est",
        b"\0guest\0guest\0",
        b"\xff\xfe\0guest\0guest",
    ];
    let malformed = malformed.map(<[u8]>::to_vec);
    all_have_the_outcome(context, "PLAIN", malformed, "drop").await?;
    context.still_serves().await
}

fn login_table(context: &Context) -> Table {
    one("LOGIN", &context.address.user).with("PASSWORD", &context.address.password)
}

/// Spec 1.3.2.
async fn amqplain_with_login_and_password_is_let_in(context: &Context) -> Result<()> {
    let table = login_table(context);
    let more = table.clone().with("OTHER", 1);
    let responses = [amqplain(&table), amqplain(&more)];
    all_have_the_outcome(context, "AMQPLAIN", responses, "ok").await
}

/// Spec 1.3.2. Spec 13.9.
async fn a_malformed_amqplain_response_is_dropped_without_a_frame(context: &Context) -> Result<()> {
    let whole = amqplain(&login_table(context));
    let with_length = {
        let mut bytes = Vec::new();
        write_table(&mut bytes, &login_table(context));
        bytes
    };
    let malformed = [
        Vec::new(),
        amqplain(&one("LOGIN", "guest")),
        amqplain(&one("PASSWORD", "guest")),
        amqplain(&one("LOGIN", 1).with("PASSWORD", "guest")),
        amqplain(&one("login", "guest").with("password", "guest")),
        whole[..whole.len() - 1].to_vec(),
        with_length,
    ];
    let wrong_type = [Value::Void, Value::Bool(true), Value::Table(Table::new())];
    let wrong_type =
        wrong_type.map(|value| amqplain(&one("LOGIN", "guest").with("PASSWORD", value)));
    tokio::try_join!(
        all_have_the_outcome(context, "AMQPLAIN", malformed, "drop"),
        all_have_the_outcome(context, "AMQPLAIN", wrong_type, "drop || 403x…"),
    )?;
    context.still_serves().await
}

/// Spec 1.3.4.
async fn anonymous_is_let_in_as_the_anonymous_user(context: &Context) -> Result<()> {
    let responses = [Vec::new(), b"anything".to_vec()];
    all_have_the_outcome(context, "ANONYMOUS", responses, "ok").await
}

/// Spec 1.3.6.
async fn an_unknown_mechanism_is_dropped_without_a_frame(context: &Context) -> Result<()> {
    let response = plain(&context.address.user, &context.address.password);
    try_join_all(
        ["", "plain", "PLAIN ", "EXTERNAL", "NONE"]
            .map(|mechanism| all_have_the_outcome(context, mechanism, [response.clone()], "drop")),
    )
    .await?;
    Ok(())
}

fn wrong_logins() -> [Vec<u8>; 4] {
    [
        plain("guest", "wrong"),
        plain("guest", ""),
        plain("nobody", "guest"),
        plain("", ""),
    ]
}

/// Spec 1.3.7. Spec 1.3.8. Spec 0.3. The text is the same whatever the cause.
async fn bad_credentials_are_refused_with_403_if_the_client_can_take_it(
    context: &Context,
) -> Result<()> {
    let logins = wrong_logins().map(|response| async move {
        let capabilities = one("authentication_failure_close", true);
        let outcome = log_in(context, "PLAIN", &response, capabilities).await?;
        outcome.expect(
            "403x Login was refused using authentication mechanism PLAIN. \
             For details see the broker logfile.",
        )?;
        let close = outcome.close().context("a close")?;
        ensure!(
            close.method == MethodId(0, 0),
            "the close names {:?}",
            close.method
        );
        Ok(())
    });
    try_join_all(logins).await?;
    Ok(())
}

/// Spec 1.3.7.
async fn bad_credentials_are_dropped_if_the_client_cannot_take_403(
    context: &Context,
) -> Result<()> {
    let logins = wrong_logins().into_iter().flat_map(|response| {
        [Table::new(), one("authentication_failure_close", false)].map(|capabilities| {
            let response = response.clone();
            async move {
                let outcome = log_in(context, "PLAIN", &response, capabilities).await?;
                outcome.expect("drop")
            }
        })
    });
    try_join_all(logins).await?;
    Ok(())
}

/// Spec 13.9. Random bytes as responses; seldom is one even well formed, and none is right.
async fn random_responses_never_let_anyone_in(context: &Context) -> Result<()> {
    for mechanism in ["PLAIN", "AMQPLAIN"] {
        let responses = (0..40).map(|_| {
            let length = rand::random::<u8>() % 24;
            (0..length)
                .map(|_| rand::random::<u8>() & rand::random::<u8>())
                .collect()
        });
        all_have_the_outcome(context, mechanism, responses, "drop || 403x…").await?;
    }
    context.still_serves().await
}
