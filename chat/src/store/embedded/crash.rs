//! Killed with SIGKILL while it appends: everything that it said it had is there, once and in its place.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use leveret_client::message::{
    Body, ConversationId, HistoryRange, Message, Post, Seq, Timestamp, Toggle, UserId,
};

use super::EmbeddedStore;
use crate::store::{AddedUser, Append, Appended, ChatStore, User};

/// The folder, for the test that is a process of its own.
const FOLDER: &str = "LEVERET_CHAT_CRASH_FOLDER";
/// It says once that it has what it has not: the fault by which the check is checked.
const LIAR: &str = "LEVERET_CHAT_CRASH_LIAR";
/// How often it is killed, if nothing else is said.
const ROUNDS: u32 = 8;
/// Who writes at the same time, each to itself.
const WRITERS: usize = 4;

/// What a process said it had: the text of each message, by conversation and place.
type Said = BTreeMap<(ConversationId, Seq), String>;

fn rounds() -> u32 {
    let given = env::var("LEVERET_CRASH_ROUNDS").ok();
    given
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

/// A process that appends until it is killed.
fn spawn(folder: &Path, liar: bool) -> Child {
    let mut command = Command::new(env::current_exe().expect("it has a name"));
    command
        .args([
            "store::embedded::crash::appends_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if liar {
        command.env(LIAR, "yes");
    }
    command.spawn().expect("it starts")
}

/// Lets it write until it has said something, and for a moment more; kills it; gives what it said.
fn kill_in_the_middle(mut child: Child, moment: Duration, said: &mut Said) {
    let (sender, lines) = std::sync::mpsc::channel();
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let reader = std::thread::spawn(move || {
        // The last line may be cut off; then it was not said.
        for line in output.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let first = loop {
        // The test harness has its own lines before that.
        let line = lines.recv_timeout(Duration::from_secs(60));
        let line = line.expect("it begins");
        if line.contains("said ") {
            break line;
        }
    };
    std::thread::sleep(moment);
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    reader.join().expect("it has read everything");
    for line in [first].into_iter().chain(lines) {
        let Some(line) = line.split_once("said ").map(|(_, line)| line) else {
            continue;
        };
        let parts: Vec<_> = line.split(' ').collect();
        let [conversation, seq, text, "."] = parts[..] else {
            continue;
        };
        let conversation = conversation.parse().expect("an id");
        let seq = Seq(seq.parse().expect("a number"));
        said.insert((conversation, seq), text.to_owned());
    }
}

/// What is wrong with histories, given what was said of them.
fn faults(histories: &BTreeMap<ConversationId, Vec<Message>>, said: &Said) -> Vec<String> {
    let mut faults = Vec::new();
    for (conversation, history) in histories {
        let mut ids = std::collections::HashSet::new();
        for (expected, message) in (1..).map(Seq).zip(history) {
            if message.seq != expected {
                faults.push(format!(
                    "{conversation}: {} where {expected} was to be",
                    message.seq
                ));
            }
            if !ids.insert(message.id) {
                faults.push(format!("{conversation}: {} is there twice", message.id));
            }
        }
    }
    for ((conversation, seq), text) in said {
        let history = histories
            .get(conversation)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found = history.iter().find(|message| message.seq == *seq);
        if !found.is_some_and(|message| message.body == Body::text(text)) {
            faults.push(format!(
                "{conversation}: {seq} was said to be there: {text}"
            ));
        }
    }
    faults
}

async fn histories(store: &dyn ChatStore) -> BTreeMap<ConversationId, Vec<Message>> {
    let mut histories = BTreeMap::new();
    let ids = store.conversation_ids(None, 100).await.expect("it works");
    for id in ids {
        let history = store.history(&id, HistoryRange::After(Seq::NONE), 1_000_000);
        let history = history.await.expect("it works");
        let conversation = store.conversation(&id).await.expect("it works");
        let last = history.last().map_or(Seq::NONE, |message| message.seq);
        assert_eq!(conversation.expect("it is there").last_seq, last);
        histories.insert(id, history);
    }
    histories
}

fn open(folder: &Path) -> Arc<dyn ChatStore> {
    EmbeddedStore::open(folder).expect("opens").0
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_said_to_be_stored_is_there_after_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut said = Said::new();
    for round in 0..rounds() {
        let moment = Duration::from_millis(u64::from(round * 37 % 250));
        let child = spawn(&path, false);
        let was = said.len();
        tokio::task::block_in_place(|| kill_in_the_middle(child, moment, &mut said));
        assert!(said.len() > was, "round {round}: nothing was said");
        let store = open(&path);
        assert_eq!(
            faults(&histories(&*store).await, &said),
            Vec::<String>::new()
        );
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_says_it_has_what_it_has_not_is_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let mut said = Said::new();
    let child = spawn(&path, true);
    tokio::task::block_in_place(|| {
        kill_in_the_middle(child, Duration::from_millis(300), &mut said);
    });
    let store = open(&path);
    let found = faults(&histories(&*store).await, &said);
    assert!(!found.is_empty());
    assert!(
        found
            .iter()
            .all(|fault| fault.contains("was said to be there: lie")),
        "{found:?}"
    );
    store.close().await;
}

/// Not a test of its own: the others start it as a process, and kill it.
#[tokio::test(flavor = "multi_thread")]
async fn appends_until_it_is_killed() {
    let Some(folder) = env::var_os(FOLDER) else {
        return;
    };
    let store = open(Path::new(&folder));
    let is_liar = env::var_os(LIAR).is_some();
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(tokio::spawn(write(store.clone(), number, is_liar)));
    }
    for writer in writers {
        writer.await.expect("it goes on until it is killed");
    }
}

async fn person(store: &dyn ChatStore, handle: &str) -> UserId {
    let name = handle.parse().expect("a good name");
    if let Some(user) = store.user_by_handle(&name).await.expect("it works") {
        return user.id;
    }
    let user = User {
        id: UserId::random(),
        handle: name,
        name: handle.to_owned(),
        password: None,
        bot: false,
        administrator: false,
        receipts: Toggle::On,
        created: Timestamp::now(),
        deleted: None,
    };
    assert_eq!(store.add_user(user.clone()).await, Ok(AddedUser::Added));
    user.id
}

async fn write(store: Arc<dyn ChatStore>, writer: usize, is_liar: bool) {
    let user = person(&*store, &format!("writer{writer}")).await;
    let device = "dterm".parse().expect("a good id");
    for number in 0.. {
        let text = format!("{}-{writer}-{number}", std::process::id());
        let at = Timestamp::now();
        let post = Post::to_user(&user, &user, &device, Body::text(&text), at);
        let appended = store.append(vec![Append { post, at }]).await;
        let [Appended::Stored(message)] = &appended.expect("it works").outcomes[..] else {
            panic!("it is not stored");
        };
        say(&message.conv, message.seq, &text);
        if is_liar && number == 3 {
            say(&message.conv, Seq(message.seq.0 + 1_000_000), "lie");
        }
    }
}

/// One line, whole or not at all: each is one write.
fn say(conversation: &ConversationId, seq: Seq, text: &str) {
    let line = format!("said {conversation} {seq} {text} .\n");
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).expect("somebody listens");
    output.flush().expect("somebody listens");
}
