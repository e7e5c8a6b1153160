// Messages that are not in the history yet. Each is on the disk before it is shown, keeps its id however
// often it is sent, and goes only when the history has it, or its writer throws it away.

import { dropPost, loadPosts, putPost } from "./keep.js";
import { messageId } from "./ids.js";

const AGAIN = 15_000;
const RETRY = 3_000;
const RETRY_MAX = 60_000;

export const REASONS = {
  not_member: "you are not a member of this conversation",
  banned: "banned from this conversation",
  silenced: "you may not write here at the moment",
  forbidden: "your role does not allow this",
  no_such_user: "there is no such user",
  no_such_message: "there is no such message",
  exists: "there is such a group already",
  too_large: "the message is too long",
  clock: "the clock of this device is wrong, or the message has waited for more than 25 days",
  id_reused: "this id was used for another message",
  rate_limited: "too many messages at once",
  out_of_turn: "an earlier message of this device is still on its way",
  unavailable: "the service cannot do this at the moment",
  poison: "it could not be processed and was set aside for the operator",
};

export const reason = (code) => REASONS[code] ?? code.replaceAll("_", " ");

export class Outbox {
  /**
   * id → {post, state: waiting | going | kept | failed, until, code, early}; what is early came before what
   * it was to follow, and waits until it is known what became of that
   */
  entries = new Map();
  #changed;
  #timer = null;

  constructor(user, changed) {
    this.user = user;
    this.connection = null;
    this.#changed = changed;
  }

  /** What another tab, or an earlier one, has left. */
  async load() {
    for (const post of await loadPosts(this.user)) {
      if (!this.entries.has(post.id)) {
        const state = post.failed ? "failed" : "waiting";
        this.entries.set(post.id, { post, state, until: 0, code: post.failed ?? null });
      }
    }
    this.#changed();
  }

  async add(conv, to, body) {
    const post = { id: messageId(), conv, from: this.user, sent_at: new Date().toISOString(), body };
    if (to) post.to = to;
    await putPost(post);
    this.entries.set(post.id, { post, state: "waiting", until: 0, code: null });
    this.#changed();
    this.pump();
    return post.id;
  }

  /** The connection is there again: what was under way is not known. */
  async ready(connection, device) {
    this.connection = connection;
    this.device = device;
    for (const entry of this.entries.values()) {
      if (entry.state === "going" || entry.state === "kept") entry.state = "waiting";
      entry.until = 0;
      entry.early = false;
    }
    await this.load();
    this.pump();
  }

  /** Sends what is due: of each conversation one at a time until it is kept, so that the order stays. */
  pump() {
    clearTimeout(this.#timer);
    if (!this.connection?.isReady) return;
    const now = Date.now();
    const busy = new Set();
    const before = new Map();
    let next = Infinity;
    for (const entry of this.entries.values()) {
      if (entry.state === "failed") continue;
      const conv = entry.post.conv;
      const after = before.get(conv);
      before.set(conv, entry.post.id);
      if (entry.state === "kept" && entry.until > now) {
        next = Math.min(next, entry.until);
        continue;
      }
      if (busy.has(conv)) continue;
      if (entry.state === "going" || entry.early || entry.until > now) {
        busy.add(conv);
        if (entry.state !== "going" && !entry.early) next = Math.min(next, entry.until);
        continue;
      }
      busy.add(conv);
      this.#send(entry, after);
    }
    if (next < Infinity) this.#timer = setTimeout(() => this.pump(), Math.max(next - now, 50));
  }

  /** To be taken after an earlier one of which it is not known what became, if there is one. */
  async #send(entry, after) {
    entry.state = "going";
    const { failed, ...post } = entry.post;
    if (after) post.after = after;
    try {
      const answer = await this.connection.say({ type: "send", ...post, dev: this.device });
      if (!this.entries.has(post.id)) return;
      // What is refused for good comes as an event, too.
      if (entry.state === "going") {
        entry.state = answer.type === "kept" ? "kept" : "waiting";
        if (answer.type === "kept") entry.until = Date.now() + AGAIN;
        else this.#later(entry);
      }
    } catch {
      if (entry.state === "going") {
        entry.state = "waiting";
        this.#later(entry);
      }
    }
    this.#changed();
    this.pump();
  }

  #later(entry) {
    entry.delay = Math.min((entry.delay ?? RETRY / 2) * 2, RETRY_MAX);
    entry.until = Date.now() + entry.delay;
  }

  /** It is known what became of it: the next ones may go, if they came too early before. */
  #settled(conv, id) {
    const later = this.of(conv).filter((entry) => entry.state !== "failed" && entry.post.id !== id);
    if (later[0]?.early) for (const entry of later) entry.early = false;
  }

  /** The history has it. */
  async stored(id) {
    const entry = this.entries.get(id);
    if (!entry) return;
    this.entries.delete(id);
    this.#settled(entry.post.conv, id);
    this.#changed();
    this.pump();
    await dropPost(id);
  }

  async rejected(id, code, retry) {
    const entry = this.entries.get(id);
    if (!entry) return;
    if (retry) {
      entry.state = "waiting";
      entry.code = code;
      const first = this.of(entry.post.conv).find((other) => other.state !== "failed");
      entry.early = code === "out_of_turn" && first !== entry;
      this.#later(entry);
    } else {
      entry.state = "failed";
      entry.code = code;
      this.#settled(entry.post.conv, id);
      await putPost({ ...entry.post, failed: code });
    }
    this.#changed();
    this.pump();
  }

  async discard(id) {
    const entry = this.entries.get(id);
    this.entries.delete(id);
    if (entry) this.#settled(entry.post.conv, id);
    this.#changed();
    await dropPost(id);
    this.pump();
  }

  /** As a new message: the old id is spent. */
  async again(id) {
    const entry = this.entries.get(id);
    if (!entry) return;
    await this.add(entry.post.conv, entry.post.to, entry.post.body);
    await this.discard(id);
  }

  of(conv) {
    return [...this.entries.values()].filter((entry) => entry.post.conv === conv);
  }

  get waiting() {
    return [...this.entries.values()].filter((entry) => entry.state !== "failed").length;
  }
}
