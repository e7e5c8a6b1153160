//! The web page, in real Chromium.

use anyhow::{Context as _, Result, ensure};
use leveret_chat::gateway::Gateway;
use leveret_chat::settings::GatewaySettings;
use leveret_client::message::{Body, ConversationId, GroupChange, GroupSettings};
use leveret_tests::Context;
use serde_json::json;

use crate::browser::{Surfer, http};
use crate::chromium::{Browser, Driver, Screen};
use crate::stage::Stage;

/// On our broker alone: the page does not know which broker it is.
macro_rules! page_tests {
    ($($name:ident),* $(,)?) => {
        mod in_chromium {
            $(#[test]
            fn $name() {
                use leveret_tests::{context, target::Target};
                context::run(Target::Leveret, module_path!(), super::$name);
            })*
        }
    };
}

page_tests!(
    two_people_register_talk_and_see_the_marks,
    what_was_written_without_a_connection_is_sent_once_after_coming_back,
    what_came_before_its_turn_waits_for_what_it_follows,
    nothing_that_people_write_becomes_markup,
    a_group_is_made_changed_and_left,
    messages_are_answered_changed_deleted_found_and_read_back_to_the_first,
    a_telephones_screen_is_wide_enough,
    every_control_has_a_name_and_the_keyboard_suffices,
);

/// The chat, its gateway, and a driver for browsers.
struct Scene {
    stage: Stage,
    gateway: Gateway,
    driver: Driver,
}

impl Scene {
    async fn new(context: &Context) -> Result<Option<Self>> {
        let Some(driver) = Driver::start().await? else {
            return Ok(None);
        };
        let stage = Stage::new(context).await?;
        let gateway = stage.gateway(GatewaySettings::default()).await?;
        Ok(Some(Self {
            stage,
            gateway,
            driver,
        }))
    }

    fn url(&self) -> String {
        format!("http://{}/", self.gateway.address())
    }

    async fn person(&self, handle: &str, screen: Screen) -> Result<Browser> {
        let browser = self.driver.browser(screen).await?;
        browser.register(&self.url(), handle).await?;
        Ok(browser)
    }

    async fn end(self, browsers: impl IntoIterator<Item = Browser>) -> Result<()> {
        for browser in browsers {
            browser.end().await?;
        }
        self.gateway.shutdown().await;
        self.stage.end().await;
        Ok(())
    }
}

async fn two_people_register_talk_and_see_the_marks(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let ana = scene.person("ana", Screen::Desktop).await?;
    let bruno = scene.person("bruno", Screen::Desktop).await?;
    ana.write_to("bruno").await?;
    ana.send("Oi, Bruno!").await?;
    // Bruno has it, and has not looked yet.
    bruno.reads("#conversations .name", "ana").await?;
    bruno.reads("#conversations .badge", "1").await?;
    ana.until("document.querySelector('.own .marks.delivered')")
        .await?;
    bruno.click("#conversations button").await?;
    bruno.reads("#messages .body", "Oi, Bruno!").await?;
    bruno.until("!document.querySelector('.badge')").await?;
    ana.until("document.querySelector('.own .marks.read[aria-label=read]')")
        .await?;
    bruno.send("Olá, Ana. Tudo bem?").await?;
    ana.reads("#messages .body", "Olá, Ana. Tudo bem?").await?;
    bruno
        .until("document.querySelector('.own .marks.read')")
        .await?;
    // While one writes, the other sees it.
    bruno.write("#text", "I am still wri").await?;
    ana.reads("#typing", "bruno is writing").await?;
    ana.picture("desktop").await?;
    // Whoever does not want it is not seen reading.
    bruno.click("#settings-button").await?;
    bruno.click("#dialog-body input[type=checkbox]").await?;
    bruno.press("#dialog-buttons", "Close").await?;
    ana.send("Did you read this?").await?;
    bruno.reads("#messages .body", "Did you read this?").await?;
    ana.until("document.querySelector('#messages > li:last-child .marks.delivered')")
        .await?;
    ana.until("!document.querySelector('#messages > li:last-child .marks.read')")
        .await?;
    // A page that is loaded again is where it was.
    bruno.driver.refresh().await?;
    bruno.reads("#state", "Connected").await?;
    bruno.click("#conversations button").await?;
    bruno
        .until("document.querySelectorAll('#messages .bubble').length === 3")
        .await?;
    scene.end([ana, bruno]).await
}

async fn what_was_written_without_a_connection_is_sent_once_after_coming_back(
    context: &Context,
) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let ana = scene.person("ana", Screen::Desktop).await?;
    let bruno = scene.person("bruno", Screen::Desktop).await?;
    ana.write_to("bruno").await?;
    ana.send("zero").await?;
    ana.until("document.querySelector('.own .marks.delivered')")
        .await?;
    let url = scene.url();
    let Scene {
        stage,
        gateway,
        driver,
    } = scene;
    let address = gateway.address();
    gateway.shutdown().await;
    ana.until("document.querySelector('#state.away')").await?;
    for text in ["one", "two"] {
        ana.send(text).await?;
    }
    ana.reads("#state", "2 messages kept here").await?;
    ana.until("document.querySelectorAll('[data-waiting] .marks').length === 2")
        .await?;
    ana.picture("offline").await?;
    // The tab is closed before anything is sent.
    let blank = ana.driver.new_tab().await?;
    ana.driver.close_window().await?;
    ana.driver.switch_to_window(blank).await?;
    let settings = GatewaySettings::default();
    let gateway = stage.gateway_at(&address.to_string(), settings).await?;
    ana.driver.goto(&url).await?;
    bruno.reads("#state", "Connected").await?;
    bruno.click("#conversations button").await?;
    bruno
        .until("document.querySelectorAll('#messages .body').length === 3")
        .await?;
    let said =
        "return [...document.querySelectorAll('#messages .body')].map((one) => one.textContent);";
    ensure!(bruno.run(said).await? == json!(["zero", "one", "two"]));
    ana.click("#conversations button").await?;
    ana.until("document.querySelectorAll('.own .marks.read').length === 3")
        .await?;
    ana.until("!document.querySelector('[data-waiting]')")
        .await?;
    // Sent again by a tab that was not told: the history is what says that there is one of each.
    let ana_again = Surfer::login(address, "ana").await?;
    let (_, found) = ana_again.call("GET", "/v1/users/bruno", None).await?;
    let path = format!(
        "/v1/conversations/{}/messages",
        found["direct"].as_str().context("an id")?
    );
    let (_, page) = ana_again.call("GET", &path, None).await?;
    ensure!(
        page["messages"].as_array().map(Vec::len) == Some(3),
        "{page}"
    );
    let scene = Scene {
        stage,
        gateway,
        driver,
    };
    scene.end([ana, bruno]).await
}

const MARKUP: [&str; 5] = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg onload=window.pwned=1>",
    "</li></ol><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{{constructor.constructor('window.pwned=1')()}} javascript:window.pwned=1",
];

/// Three posts through the page's own outbox to a gateway that keeps everything, and says later that the third came
/// too early: gives what was sent, and by what each was to be preceded.
const OUT_OF_TURN: &str = r#"
const { Outbox } = await import("/outbox.js");
const sent = [];
const connection = {
  isReady: true,
  say: async (frame) => {
    sent.push([frame.body, frame.after ?? null]);
    return { type: "kept" };
  },
};
const outbox = new Outbox("u_nobody", () => {});
await outbox.ready(connection, "d_this");
const ids = [];
for (const body of ["one", "two", "three"]) ids.push(await outbox.add("g_here", null, body));
const calm = () => new Promise((done) => setTimeout(done, 300));
await calm();
await outbox.rejected(ids[2], "out_of_turn", true);
await outbox.stored(ids[0]);
outbox.entries.get(ids[2]).until = 0;
outbox.pump();
await calm();
const early = sent.length;
await outbox.stored(ids[1]);
await calm();
await outbox.stored(ids[2]);
return [early, sent.map(([body, after]) => [body, ids.indexOf(after)])];
"#;

async fn what_came_before_its_turn_waits_for_what_it_follows(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let browser = scene.driver.browser(Screen::Desktop).await?;
    browser.driver.goto(&scene.url()).await?;
    let script = format!("return (async () => {{{OUT_OF_TURN}}})();");
    let seen = browser.run(&script).await?;
    // The index of what it is to follow; nothing is to be before the first, nor before the third at last.
    let sent = json!([["one", -1], ["two", 0], ["three", 1], ["three", -1]]);
    ensure!(seen == json!([3, sent]), "{seen}");
    scene.end([browser]).await
}

async fn nothing_that_people_write_becomes_markup(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let address = scene.gateway.address();
    let ana = scene.person("ana", Screen::Desktop).await?;
    ana.run(
        "window.violations = []; \
         document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));",
    )
    .await?;
    // A name, a title, a topic, texts, an edit, a device: all that others may write.
    let account = json!({"handle": "mallory", "name": MARKUP[1], "password": "mallory's password"});
    let (status, _) = http(address, "POST", "/v1/register", None, Some(account)).await?;
    ensure!(status == 201);
    let mallory = Surfer::login(address, "mallory").await?;
    let (_, found) = mallory.call("GET", "/v1/users/ana", None).await?;
    let group = ConversationId::random_group();
    let create = Body::Group(GroupChange::Create {
        settings: GroupSettings {
            title: MARKUP[0].to_owned(),
            topic: MARKUP[2].to_owned(),
            ..GroupSettings::default()
        },
        members: vec![found["user"].as_str().context("an id")?.parse()?],
    });
    let say = async |body: serde_json::Value| {
        let message = json!({"conv": group, "body": body});
        let (status, answer) = mallory.call("POST", "/v1/messages", Some(message)).await?;
        ensure!(status == 201, "{status} {answer}");
        Ok(())
    };
    say(serde_json::to_value(create)?).await?;
    say(json!({"kind": "text", "text": MARKUP[0]})).await?;
    for text in &MARKUP[1..] {
        say(json!({"kind": "text", "text": text, "reply_to": 2})).await?;
    }
    say(json!({"kind": "edit", "ref": 2, "text": MARKUP[3]})).await?;
    say(json!({"kind": "react", "ref": 3, "emoji": "<b>x</b>", "change": "add"})).await?;
    ana.reads("#conversations .name", MARKUP[0]).await?;
    ana.click("#conversations button").await?;
    for text in &MARKUP[1..] {
        ana.reads("#messages .body", text).await?;
    }
    ana.reads("#messages .from", MARKUP[1]).await?;
    ana.reads("#where", MARKUP[0]).await?;
    ana.reads("#about", MARKUP[2]).await?;
    ana.click("#details-button").await?;
    ana.reads("#members", MARKUP[1]).await?;
    ana.write("#words", "window.pwned=1").await?;
    ana.run("document.getElementById('find').requestSubmit();")
        .await?;
    ana.reads("#dialog-body .found", MARKUP[4]).await?;
    ana.picture("markup").await?;
    ana.press("#dialog-buttons", "Close").await?;
    ana.send(MARKUP[1]).await?;
    ana.until("document.querySelector('.own .marks.sent, .own .marks.delivered')")
        .await?;
    ana.driver.refresh().await?;
    ana.click("#conversations button").await?;
    ana.reads("#messages .own .body", MARKUP[1]).await?;
    let made = "return [typeof window.pwned, document.querySelectorAll('body script, img, svg, iframe, b').length, \
                (window.violations ?? []).length];";
    ensure!(ana.run(made).await? == json!(["undefined", 0, 0]));
    // Script and markup by other ways are stopped by the policy.
    let tried = "try { document.body.innerHTML = '<img src=x onerror=window.pwned=1>'; return 'made'; } \
                 catch (error) { return error.name; }";
    ensure!(ana.run(tried).await? == "TypeError");
    scene.end([ana]).await
}

async fn a_group_is_made_changed_and_left(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let address = scene.gateway.address();
    Surfer::register(address, "carla").await?;
    let bruno = scene.person("bruno", Screen::Desktop).await?;
    let ana = scene.person("ana", Screen::Desktop).await?;
    ana.click("#new-group").await?;
    ana.write("#dialog-body label:nth-child(1) input", "geral")
        .await?;
    ana.write("#dialog-body label:nth-child(3) input", "@bruno")
        .await?;
    ana.press("#dialog-buttons", "Make").await?;
    bruno.reads("#conversations .name", "#geral").await?;
    bruno.click("#conversations button").await?;
    ana.reads("#messages .event", "You made the group").await?;
    ana.send("Who is here? @bruno").await?;
    bruno
        .until("document.querySelector('#messages .mention')")
        .await?;
    ana.until("document.querySelector('.own .marks.read')")
        .await?;
    ana.press(".own", "Who received and read it").await?;
    ana.reads("#dialog-body", "bruno").await?;
    ana.reads("#dialog-body .hint", "read").await?;
    ana.press("#dialog-buttons", "Close").await?;
    ana.click("#details-button").await?;
    ana.press("#details", "Add people").await?;
    ana.write("#dialog-body input", "carla").await?;
    ana.press("#dialog-buttons", "Add").await?;
    ana.reads("#members", "@carla").await?;
    ana.reads("#messages .event", "You added carla").await?;
    ana.picture("group").await?;
    ana.press("#details", "Remove carla").await?;
    ana.until("document.querySelectorAll('#members > li').length === 2")
        .await?;
    ana.press("#details", "Remove bruno").await?;
    bruno
        .until("document.getElementById('text').disabled")
        .await?;
    // What was said while he was there stays his to read.
    bruno.reads("#messages .body", "Who is here?").await?;
    scene.end([ana, bruno]).await
}

async fn messages_are_answered_changed_deleted_found_and_read_back_to_the_first(
    context: &Context,
) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let address = scene.gateway.address();
    let bruno = Surfer::register(address, "bruno").await?;
    let ana = scene.person("ana", Screen::Desktop).await?;
    for number in 1..=130 {
        let text = if number == 7 {
            "the needle".to_owned()
        } else {
            format!("message {number}")
        };
        let message = json!({"handle": "ana", "text": text});
        let (status, answer) = bruno.call("POST", "/v1/messages", Some(message)).await?;
        ensure!(status == 201, "{status} {answer}");
    }
    ana.reads("#conversations .badge", "99+").await?;
    ana.click("#conversations button").await?;
    ana.reads("#messages .body", "message 130").await?;
    ana.until("!document.querySelector('.badge')").await?;
    // Back to the first, by scrolling.
    for _ in 0..3 {
        ana.run("document.getElementById('scroll').scrollTop = 0;")
            .await?;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    ana.until(
        "(document.getElementById('scroll').scrollTop = 0, \
          document.querySelectorAll('#messages .bubble').length === 130)",
    )
    .await?;
    let in_order = "return [...document.querySelectorAll('#messages [data-seq]')]\
                    .every((one, place) => Number(one.dataset.seq) === place + 1);";
    ensure!(ana.run(in_order).await? == true);
    ana.send("My answer").await?;
    ana.until("document.querySelector('.own .marks')").await?;
    ana.press(".own", "Edit").await?;
    ana.write("#text", "My better answer").await?;
    ana.press("#compose", "Send").await?;
    ana.reads(".own .body", "My better answer").await?;
    ana.reads(".own .foot", "edited").await?;
    ana.press("#messages > li:not(.own):nth-last-child(2)", "Reply")
        .await?;
    ana.send("Answering").await?;
    ana.reads(".own .quote", "message 130").await?;
    ana.picture("answers").await?;
    ana.press(".own", "Delete").await?;
    ana.press("#dialog-buttons", "Delete").await?;
    ana.reads(".own.gone .body", "This message was deleted.")
        .await?;
    ana.write("#words", "NEEDLE").await?;
    ana.run("document.getElementById('find').requestSubmit();")
        .await?;
    ana.reads("#dialog-body .found", "the needle").await?;
    ana.click("#dialog-body .found").await?;
    ana.until("document.querySelector('[data-seq=\"7\"]')")
        .await?;
    scene.end([ana]).await
}

async fn a_telephones_screen_is_wide_enough(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    let address = scene.gateway.address();
    let bruno = Surfer::register(address, "bruno").await?;
    let phone = scene.driver.browser(Screen::Telephone).await?;
    phone.driver.goto(&scene.url()).await?;
    let fits = "document.documentElement.scrollWidth <= 360 && innerWidth === 360";
    phone.until(fits).await?;
    phone.picture("phone-login").await?;
    phone.register(&scene.url(), "ana").await?;
    for text in [
        "Oi, Ana!",
        &"w".repeat(300),
        "https://example.com/a/very/long/address/that/does/not/fit/into/one/line",
    ] {
        let message = json!({"handle": "ana", "text": text});
        bruno.call("POST", "/v1/messages", Some(message)).await?;
    }
    phone.reads("#conversations .badge", "3").await?;
    phone.until(fits).await?;
    phone.picture("phone-list").await?;
    phone.click("#conversations button").await?;
    phone.reads("#messages .body", "Oi, Ana!").await?;
    phone.send("Na rua, respondo já.").await?;
    phone.until("document.querySelector('.own .marks')").await?;
    phone.until(fits).await?;
    let inside = "[...document.querySelectorAll('#chat button, #chat textarea')].filter((one) => one.offsetParent)\
                  .every((one) => one.getBoundingClientRect().right <= 360 && one.getBoundingClientRect().left >= 0)";
    phone.until(inside).await?;
    phone.picture("phone-talk").await?;
    phone.click("#details-button").await?;
    phone.reads("#members", "@bruno").await?;
    phone.until(fits).await?;
    phone.picture("phone-details").await?;
    phone.click("#back").await?;
    phone
        .until("document.getElementById('details').hidden")
        .await?;
    phone.click("#back").await?;
    phone
        .until("document.getElementById('side').offsetParent !== null")
        .await?;
    scene.end([phone]).await
}

async fn every_control_has_a_name_and_the_keyboard_suffices(context: &Context) -> Result<()> {
    let Some(scene) = Scene::new(context).await? else {
        return Ok(());
    };
    Surfer::register(scene.gateway.address(), "ana").await?;
    let ana = scene.driver.browser(Screen::Desktop).await?;
    ana.driver.goto(&scene.url()).await?;
    // By keys alone: what has the focus gets them.
    let keys = async |text: &str| {
        let element = ana.driver.active_element().await?;
        anyhow::Ok(element.send_keys(text).await?)
    };
    ana.until("document.activeElement.id === 'handle'").await?;
    keys("ana\u{e004}").await?;
    keys("ana's password\u{e007}").await?;
    ana.reads("#state", "Connected").await?;
    ana.run("document.getElementById('new-direct').focus();")
        .await?;
    keys("\u{e007}").await?;
    ana.until(
        "document.getElementById('dialog').open && document.activeElement.tagName === 'INPUT'",
    )
    .await?;
    keys("ana\u{e007}").await?;
    ana.until("document.activeElement.id === 'text'").await?;
    keys("a note to myself\u{e007}").await?;
    ana.reads("#messages .body", "a note to myself").await?;
    ana.until("document.querySelector('.own .marks')").await?;
    let nameless = "return [...document.querySelectorAll('button, input, textarea, select')]\
        .filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label')))\
        .map((one) => one.outerHTML);";
    ensure!(ana.run(nameless).await? == json!([]));
    let live = "return ['state', 'scroll', 'typing'].every((id) => document.getElementById(id).getAttribute('aria-live'));";
    ensure!(ana.run(live).await? == true);
    ana.click("#settings-button").await?;
    ana.reads("#dialog-body", "Privacy").await?;
    ana.picture("settings").await?;
    ensure!(ana.run(nameless).await? == json!([]));
    scene.end([ana]).await
}
