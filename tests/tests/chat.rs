//! The chat, on the embedded broker and on a real RabbitMQ: one test, two targets.

/// As `on_both_targets`, where the target has accounts of its own: users and their rights over HTTP. One
/// that has none is skipped, and it is said.
macro_rules! chat_tests {
    ($($name:ident),* $(,)?) => {
        mod on_target {
            $(async fn $name(context: &leveret_tests::Context) -> anyhow::Result<()> {
                if crate::stage::has_accounts(context).await? {
                    super::$name(context).await?;
                }
                Ok(())
            })*

            leveret_tests::on_both_targets!($($name),*);
        }
    };
}

#[path = "chat/attacks.rs"]
mod attacks;
#[path = "chat/browser.rs"]
mod browser;
#[path = "chat/chromium.rs"]
mod chromium;
#[path = "chat/database.rs"]
mod database;
#[path = "chat/everyday.rs"]
mod everyday;
#[path = "chat/gateway.rs"]
mod gateway;
#[path = "chat/operation.rs"]
mod operation;
#[path = "chat/page.rs"]
mod page;
#[path = "chat/program.rs"]
mod program;
#[path = "chat/scaling.rs"]
mod scaling;
#[path = "chat/stage.rs"]
mod stage;
#[path = "chat/talk.rs"]
mod talk;
#[path = "chat/tls.rs"]
mod tls;
