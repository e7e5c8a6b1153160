//! The program `chat`, as scripts use it: killed, without a broker, refused.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use leveret_client::message::{ConversationId, HistoryRange, Message, Reply, Request};
use leveret_tests::Context;
use leveret_tests::process::program;
use tempfile::TempDir;
use tokio::process::Command;

use crate::stage::{Online, PATIENCE, Person, Stage, text};

chat_tests!(
    a_client_that_is_killed_while_it_shows_misses_nothing_and_repeats_nothing,
    exit_codes_say_what_became_of_a_command,
    what_could_not_be_sent_is_kept_and_goes_out_later,
    the_demonstration_holds,
    the_counter_of_the_demonstration_sees_a_planted_loss,
    the_counter_of_the_demonstration_sees_a_planted_duplicate,
);

const MESSAGES: u64 = 300;

fn chat() -> Result<PathBuf> {
    static CHAT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    CHAT.get_or_init(|| program("chat").map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

/// A folder in which somebody is logged in.
struct Home(TempDir);

impl Home {
    fn of(person: &Person) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let login = serde_json::json!({
            "url": "http://127.0.0.1:1",
            "token": "none",
            "user": person.user,
            "handle": person.account.handle,
            "device": person.device,
            "amqp": {
                "url": person.url,
                "password": person.login.password,
                "shards": person.login.shards,
            },
        });
        fs::write(folder.path().join("login.json"), login.to_string())?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = Command::new(chat()?);
        command
            .arg("--home")
            .arg(self.0.path())
            .args(words)
            .stdin(Stdio::null())
            .env_remove("LEVERET_CHAT_VIA")
            .kill_on_drop(true);
        Ok(command)
    }

    async fn run(&self, words: &[&str]) -> Result<Output> {
        let output = self.command(words)?.output();
        Ok(tokio::time::timeout(PATIENCE, output).await??)
    }
}

/// Runs it until it has been killed after this time.
async fn run_and_kill(mut command: Command, time: Duration) -> Result<()> {
    let mut child = command.spawn()?;
    tokio::time::sleep(time).await;
    // SIGKILL.
    child.kill().await?;
    Ok(())
}

fn seqs(path: &Path) -> Result<Vec<u64>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(serde_json::from_str::<Message>);
    let messages: Vec<_> = lines.collect::<serde_json::Result<_>>()?;
    Ok(messages.into_iter().map(|message| message.seq.0).collect())
}

async fn a_client_that_is_killed_while_it_shows_misses_nothing_and_repeats_nothing(
    context: &Context,
) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let at_ana = ana.connect().await?;
    let home = Home::of(&bruno)?;
    let (record, screen) = (home.path("record"), home.path("screen"));
    let sends = async {
        for number in 1..=MESSAGES {
            at_ana.says(&ana.to(&bruno, &number.to_string())).await?;
        }
        anyhow::Ok(())
    };
    let kills = async {
        for round in 0..8_u64 {
            let into = record.to_str().context("a path of letters")?;
            let tail = home.command(&["tail", "--into", into])?;
            run_and_kill(tail, Duration::from_millis(40 + 90 * round)).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(sends, kills)?;
    let into = record.to_str().context("a path of letters")?;
    let mut last = home.command(&["tail", "--into", into])?.spawn()?;
    let deadline = Instant::now() + PATIENCE;
    // A line may be half written at any moment.
    while seqs(&record).unwrap_or_default().last() != Some(&MESSAGES) {
        ensure!(Instant::now() < deadline, "{:?}", seqs(&record));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    last.kill().await?;
    ensure!(seqs(&record)? == (1..=MESSAGES).collect::<Vec<_>>());
    ensure!(screen_shows_nothing_twice(&stage, &at_ana, &screen).await?);
    stage.end().await;
    Ok(())
}

/// As one does with a terminal: output goes where nobody can look it up again.
async fn screen_shows_nothing_twice(
    stage: &Stage,
    at_ana: &Online<'_>,
    screen: &Path,
) -> Result<bool> {
    let carla = stage.person("carla").await?;
    let home = Home::of(&carla)?;
    for round in 0..6_u64 {
        for number in 0..20 {
            let post = at_ana.person.to(&carla, &number.to_string());
            at_ana.says(&post).await?;
        }
        let mut tail = home.command(&["tail", "--json"])?;
        tail.stdout(File::options().create(true).append(true).open(screen)?);
        run_and_kill(tail, Duration::from_millis(60 + 110 * round)).await?;
        // What was being written is cut off, as a screen would be.
        let text = fs::read_to_string(screen)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        File::options()
            .write(true)
            .open(screen)?
            .set_len(whole as u64)?;
    }
    let shown = seqs(screen)?;
    Ok(!shown.is_empty() && shown.is_sorted_by(|one, other| one < other))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

async fn exit_codes_say_what_became_of_a_command(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let home = Home::of(&ana)?;
    let run = async |words: &[&str]| anyhow::Ok(code(home.run(words).await?.status));
    ensure!(run(&["send", "@bruno", "oi"]).await? == 0);
    ensure!(run(&["dance"]).await? == 2);
    ensure!(run(&["send", "@nobody", "oi"]).await? == 4);
    ensure!(run(&["send", "g_elsewhere", "oi"]).await? == 4);
    ensure!(run(&["edit", "@bruno", "1", "oi,", "bruno"]).await? == 0);
    ensure!(run(&["delete", "@bruno", "9"]).await? == 4);
    ensure!(run(&["mute", "@bruno"]).await? == 0);
    let away = ["--via", "amqp://127.0.0.1:1/x", "history", "@bruno"];
    ensure!(run(&away).await? == 5);
    let tls = ["--via", "amqps://127.0.0.1:1/x", "history", "@bruno"];
    ensure!([2, 5].contains(&run(&tls).await?));
    let nobody = Home(tempfile::tempdir()?);
    ensure!(code(nobody.run(&["inbox"]).await?.status) == 3);

    let made = home.run(&["group", "new", "geral", "@bruno"]).await?;
    ensure!(made.status.success());
    ensure!(run(&["send", "#geral", "hello", "@bruno"]).await? == 0);
    let history = home.run(&["--json", "history", "#geral"]).await?;
    let history = String::from_utf8(history.stdout)?;
    ensure!(history.lines().count() == 2, "{history}");
    ensure!(
        history.contains(bruno.user.as_str()),
        "mentioned: {history}"
    );
    let export = home.run(&["export"]).await?;
    let export = String::from_utf8(export.stdout)?;
    let count = |kind: &str| {
        let kind = format!("\"type\":\"{kind}\"");
        export.lines().filter(|line| line.contains(&kind)).count()
    };
    ensure!(
        count("conversation") == 2 && count("member") == 2,
        "{export}"
    );
    // Text and edit to bruno; in the group its creation and a text.
    ensure!(count("message") == 4, "{export}");
    stage.end().await;
    Ok(())
}

async fn the_demonstration_holds(context: &Context) -> Result<()> {
    demonstrate(context, None, 0).await
}

async fn the_counter_of_the_demonstration_sees_a_planted_loss(context: &Context) -> Result<()> {
    demonstrate(context, Some("loss"), 1).await
}

async fn the_counter_of_the_demonstration_sees_a_planted_duplicate(
    context: &Context,
) -> Result<()> {
    demonstrate(context, Some("duplicate"), 1).await
}

async fn demonstrate(context: &Context, plant: Option<&str>, expected: i32) -> Result<()> {
    let program = program("leveret-chat")?;
    let api = context.management.as_ref().context("it has an HTTP API")?;
    let login = format!("{}:{}", context.address.user, context.address.password);
    let broker = format!("amqp://{login}@{}", context.address.socket);
    let host = api.rsplit(['@', '/']).find(|part| !part.is_empty());
    let management = format!("http://{login}@{}", host.context("it has an address")?);
    let mut command = Command::new(program);
    command
        .args(["--log", "warn", "demo", "--script"])
        .env("LEVERET_CHAT_BROKER", &broker)
        .env("LEVERET_CHAT_MANAGEMENT", &management)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(plant) = plant {
        command.args(["--plant", plant]);
    }
    let output = tokio::time::timeout(3 * PATIENCE, command.output()).await??;
    let words = String::from_utf8_lossy(&output.stdout);
    ensure!(
        code(output.status) == expected && words.contains("in the end"),
        "{plant:?}: {words}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn what_could_not_be_sent_is_kept_and_goes_out_later(context: &Context) -> Result<()> {
    let stage = Stage::new(context).await?;
    let (ana, bruno) = (stage.person("ana").await?, stage.person("bruno").await?);
    let home = Home::of(&ana)?;
    let first = home.run(&["send", "@bruno", "one"]).await?;
    ensure!(first.status.success(), "{first:?}");
    let away = ["--via", "amqp://127.0.0.1:1/x", "send", "@bruno", "two"];
    for _ in 0..2 {
        ensure!(code(home.run(&away).await?.status) == 5);
    }
    let kept = home.run(&["outbox"]).await?;
    ensure!(String::from_utf8(kept.stdout)?.lines().count() == 2);
    ensure!(
        home.run(&["send", "@bruno", "three"])
            .await?
            .status
            .success()
    );
    let kept = home.run(&["outbox"]).await?;
    ensure!(kept.stdout.is_empty());
    let at_bruno = bruno.connect().await?;
    let request = Request::History {
        conv: ConversationId::direct(&ana.user, &bruno.user),
        range: HistoryRange::NEWEST,
        limit: 100,
    };
    let Reply::Messages { messages } = at_bruno.ask(request).await? else {
        bail!("no history");
    };
    let texts: Vec<_> = messages.iter().map(text).collect::<Result<_>>()?;
    ensure!(texts == ["one", "two", "two", "three"], "{texts:?}");
    stage.end().await;
    Ok(())
}
