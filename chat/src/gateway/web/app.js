// Everything together: logging in, what comes over the connection, and what is open.

import { call, Refused } from "./api.js";
import { Connection } from "./connection.js";
import { $, notice, reconcile } from "./dom.js";
import { dropLogin, knownDevice, loadLogin, rememberDevice, saveLogin } from "./keep.js";
import { Model } from "./model.js";
import { Outbox, reason } from "./outbox.js";
import { Panels } from "./panels.js";
import { Talk } from "./talk.js";

const PAGE = 50;
const RECEIPT_DELAY = 400;
const TYPING_EVERY = 3_000;
const TYPING_LASTS = 5_000;
const PRESENCE_EVERY = 50_000;

class App {
  current = null;
  #receipts = new Map();
  #receiptTimer = null;
  #typed = 0;
  #drawing = false;
  #loadingOlder = false;
  #fetching = new Map();
  #unknown = new Set();
  #meeting = null;

  start(login) {
    this.login = login;
    this.model = new Model(login.user);
    this.outbox = new Outbox(login.user, () => this.show());
    this.current = null;
    $("self").textContent = `${login.name} · @${login.handle}`;
    $("door").hidden = true;
    $("chat").hidden = false;
    this.outbox.load().catch(() => notice("This browser keeps nothing: what is not sent is lost with this tab."));
    this.connection = new Connection(login.token, {
      ready: () => this.#ready(),
      frame: (frame) => this.#frame(frame),
      state: (isConnected, words) => this.#state(isConnected, words),
      loggedOut: () => this.#door("Log in again; what is not sent is kept here."),
    });
    this.show();
  }

  // --- What others call ---

  call(method, path, body) {
    return call(method, path, this.login.token, body);
  }

  async ask(request) {
    try {
      return await this.connection.ask(request);
    } catch (error) {
      throw error.code ? new Error(`It did not work: ${reason(error.code)}.`) : error;
    }
  }

  async find(handle) {
    try {
      return await this.call("GET", `/v1/users/${encodeURIComponent(handle)}`);
    } catch (error) {
      throw error instanceof Refused && error.status === 404 ? new Error(`Nobody is called ${handle}.`) : error;
    }
  }

  openDirect(user) {
    this.model.know([user]);
    const conversation = this.model.conversation(user.direct);
    conversation.peer = user;
    conversation.opened = Date.now();
    this.open(user.direct);
  }

  /** A group that is being made. */
  expect(conv, settings) {
    const conversation = this.model.conversation(conv);
    conversation.settings = settings;
    conversation.role = "owner";
    conversation.opened = Date.now();
    this.open(conv);
  }

  post(conv, to, body) {
    return this.outbox.add(conv, to, body);
  }

  send(text, context) {
    const { current } = this;
    this.#typed = 0;
    const to = current.isGroup ? null : current.peer?.user;
    const body = { kind: "text", text };
    if (context?.kind === "edit") Object.assign(body, { kind: "edit", ref: context.seq });
    else {
      if (context) body.reply_to = context.seq;
      const mentions = this.#mentions(text);
      if (mentions.length) body.mentions = mentions;
    }
    this.post(current.id, to, body).then(() => this.seen(), () => {
      // Nothing was kept: the text goes back to its writer.
      $("text").value = text;
      notice("This browser cannot keep the message, so it was not sent.");
    });
  }

  #mentions(text) {
    const members = this.current.members ?? [];
    const named = new Set([...text.matchAll(/@([a-z0-9][a-z0-9._-]*)/g)].map(([, name]) => name));
    return members.filter((member) => named.has(member.handle)).map((member) => member.user).slice(0, 50);
  }

  typed() {
    const { current } = this;
    if (!current || Date.now() - this.#typed < TYPING_EVERY) return;
    this.#typed = Date.now();
    const { user: from, device: dev } = this.login;
    this.connection.tell({ type: "typing", from, dev, conv: current.id, state: "on" });
  }

  receipts(item) {
    this.panels.receipts(item);
  }

  erase(item) {
    this.panels.erase(item);
  }

  /** Opens a conversation; if a place is given, as far back as that. */
  async open(id, place) {
    const conversation = this.model.conversation(id);
    this.current = conversation;
    $("chat").classList.add("talking");
    if (innerWidth <= 720) this.panels.toggleDetails(false);
    this.talk.opened();
    this.show();
    $("text").focus();
    try {
      await this.#load(conversation);
      while (place && this.current === conversation && conversation.hasOlder && conversation.messages[0]?.seq > place) {
        if (!(await this.#olderPage(conversation))) break;
      }
    } catch {
      // It is tried again when there is a connection.
    }
    if (this.current !== conversation) return;
    this.show();
    if (place) document.querySelector(`[data-seq="${Number(place)}"]`)?.scrollIntoView({ block: "center" });
    else this.talk.toEnd();
    this.seen();
    this.panels.details();
  }

  close() {
    this.current = null;
    $("chat").classList.remove("talking");
    this.panels.toggleDetails(false);
    this.show();
  }

  async older() {
    const conversation = this.current;
    if (!conversation?.isLoaded || !conversation.hasOlder || this.#loadingOlder) return;
    this.#loadingOlder = true;
    $("older").hidden = false;
    try {
      await this.#olderPage(conversation);
    } catch {
      // Scrolling again tries again.
    }
    $("older").hidden = true;
    this.#loadingOlder = false;
    this.#draw();
  }

  async #olderPage(conversation) {
    const first = conversation.messages[0]?.seq ?? 0;
    if (first <= 1) return (conversation.hasOlder = false);
    const { messages } = await this.connection.ask({ type: "history", conv: conversation.id, before: first, limit: PAGE });
    conversation.hasOlder = messages.length > 0 && messages[0].seq > 1;
    conversation.prepend(messages);
    await this.meet(messages.map((message) => message.from));
    return messages.length > 0;
  }

  /** What is on the screen has been read. */
  seen() {
    const { current } = this;
    if (!current?.isLoaded || document.visibilityState !== "visible" || !document.hasFocus() || !this.talk.isAtEnd) return;
    const last = current.messages.at(-1);
    if (last && last.seq > current.read) {
      current.read = last.seq;
      this.#receive(current.id, last, "read");
      this.show();
    }
  }

  async loadMembers(conversation) {
    const [{ members }, { cursors }] = await Promise.all([
      this.ask({ type: "members", conv: conversation.id }),
      this.ask({ type: "cursors", conv: conversation.id }),
    ]);
    conversation.members = members;
    conversation.count = members.length;
    this.model.know(members);
    for (const cursor of cursors) conversation.moveCursor(cursor);
    const present = new Set(members.map((member) => member.user));
    for (const user of [...conversation.cursors.keys()]) if (!present.has(user)) conversation.cursors.delete(user);
    conversation.role = members.find((member) => member.user === this.model.user)?.role ?? "member";
  }

  /** Learns the names of people. */
  async meet(ids) {
    for (const id of ids) if (!this.model.users.has(id)) this.#unknown.add(id);
    if (!this.#unknown.size) return;
    this.#meeting ??= Promise.resolve().then(async () => {
      const users = [...this.#unknown].slice(0, 500);
      this.#unknown.clear();
      this.#meeting = null;
      const reply = await this.connection.ask({ type: "users", users });
      this.model.know(reply.users);
      this.show();
    }).catch(() => {});
    await this.#meeting;
  }

  async logOut() {
    try {
      await this.call("POST", "/v1/logout");
    } catch {
      // The token is forgotten here in any case.
    }
    this.#door("Logged out.");
  }

  // --- The connection ---

  async #ready() {
    try {
      await this.#refresh();
      await this.outbox.ready(this.connection, this.login.device);
      this.#flushReceipts();
      this.#sayPresence();
      if (this.current) {
        await this.#load(this.current);
        this.panels.details();
      }
      this.seen();
    } catch {
      // The connection went again; it comes back.
    }
    this.show();
  }

  /** All conversations anew: after a connection, and when events were lost. */
  async #refresh() {
    const { conversations } = await this.connection.ask({ type: "conversations" });
    const people = [];
    for (const summary of conversations) {
      const conversation = this.model.conversation(summary.conv);
      // A receipt may have been lost with a connection.
      const seen = conversation.messages.find((message) => message.seq === conversation.read);
      if (seen && summary.read < seen.seq) this.#receive(summary.conv, seen, "read");
      conversation.update(summary);
      if (summary.peer) this.model.know([summary.peer]);
      if (summary.last) people.push(summary.last.from);
      if (summary.last && summary.delivered < summary.last_seq) this.#receive(summary.conv, summary.last, "delivered");
    }
    await this.meet(people);
    this.show();
  }

  /** The newest messages, or those since the last one known, and how far everybody has come. */
  #load(conversation) {
    let loading = this.#fetching.get(conversation.id);
    if (!loading) {
      loading = this.#fetch(conversation).finally(() => this.#fetching.delete(conversation.id));
      this.#fetching.set(conversation.id, loading);
    }
    return loading;
  }

  async #fetch(conversation) {
    const conv = conversation.id;
    if (!conversation.lastSeq && !conversation.last) {
      conversation.isLoaded = true;
      conversation.hasOlder = false;
      return;
    }
    try {
      if (!conversation.isLoaded || !conversation.messages.length) {
        const { messages } = await this.connection.ask({ type: "history", conv, before: conversation.lastSeq + 1, limit: PAGE });
        conversation.messages = messages;
        conversation.isLoaded = true;
        conversation.hasOlder = messages.length > 0 && messages[0].seq > 1;
      }
      for (let more = true; more; ) {
        const { messages } = await this.connection.ask({ type: "history", conv, after: conversation.known, limit: 200 });
        conversation.append(messages);
        more = messages.length > 0;
      }
      await this.meet(conversation.messages.map((message) => message.from).concat(conversation.messages.map((message) => message.body.user).filter(Boolean)));
      await this.loadMembers(conversation);
      conversation.isOut = false;
    } catch (error) {
      // Who was sent out may read what was there, and not who is.
      if (conversation.isLoaded && conversation.isGroup && this.connection.isReady) conversation.isOut = true;
      else throw error;
    }
    for (const message of conversation.messages) if (message.from === this.model.user) this.outbox.stored(message.id);
    this.show();
  }

  #frame(frame) {
    switch (frame.type) {
      case "msg":
        this.#message(frame);
        break;
      case "sent":
        this.outbox.stored(frame.id);
        break;
      case "rejected":
        this.outbox.rejected(frame.id, frame.code, frame.retry);
        break;
      case "cursor":
        this.#cursor(frame);
        break;
      case "bump":
        this.#bump(frame);
        break;
      case "resync":
        this.#ready();
        break;
      case "typing":
        this.model.conversation(frame.conv).writing.set(frame.from, frame.state === "on" ? Date.now() + TYPING_LASTS : 0);
        this.meet([frame.from]);
        setTimeout(() => this.show(), TYPING_LASTS + 100);
        break;
      case "presence":
        this.model.present.set(frame.from, frame.state);
        break;
      default:
        // Of a later version.
        break;
    }
    this.show();
  }

  #message(message) {
    const { model } = this;
    const isNew = !model.conversations.get(message.conv)?.last;
    const conversation = model.conversation(message.conv);
    conversation.writing.delete(message.from);
    const isMissing = conversation.take(message);
    if (message.from === model.user) {
      conversation.read = Math.max(conversation.read, message.seq);
      this.outbox.stored(message.id);
    } else this.#receive(message.conv, message, "delivered");
    const { kind } = message.body;
    this.meet([message.from, message.body.user].filter(Boolean));
    if (isNew || kind === "group" || kind === "member") {
      this.#refresh().then(() => conversation === this.current && this.#load(conversation).then(() => this.panels.details())).catch(() => {});
    }
    if (isMissing) this.#load(conversation).catch(() => {});
    if (conversation === this.current) this.seen();
  }

  #cursor(cursor) {
    const conversation = this.model.conversation(cursor.conv);
    conversation.moveCursor(cursor);
    if (cursor.user === this.model.user) {
      conversation.read = Math.max(conversation.read, cursor.read);
      conversation.delivered = Math.max(conversation.delivered, cursor.delivered);
    }
  }

  async #bump({ conv, last_seq: last }) {
    const conversation = this.model.conversation(conv);
    conversation.lastSeq = Math.max(conversation.lastSeq, last);
    try {
      await this.#refresh();
      if (conversation === this.current) await this.#load(conversation);
      else conversation.isLoaded = false;
      this.seen();
    } catch {
      // When the connection is there again all is looked at anew.
    }
  }

  /** RECEIVE MESSAGE, a few times a second at most and the furthest only. */
  #receive(conv, message, status) {
    const conversation = this.model.conversation(conv);
    if (status === "delivered" && message.seq <= conversation.delivered) return;
    conversation.delivered = Math.max(conversation.delivered, message.seq);
    const before = this.#receipts.get(conv);
    if (before && before.seq >= message.seq && before.status === "read") return;
    const isRead = status === "read" || before?.status === "read";
    if (before && isRead && status !== "read") {
      // Read up to there, received up to here: two receipts.
      this.#flushReceipts();
    }
    this.#receipts.set(conv, { id: message.id, seq: message.seq, status });
    this.#receiptTimer ??= setTimeout(() => this.#flushReceipts(), RECEIPT_DELAY);
  }

  #flushReceipts() {
    clearTimeout(this.#receiptTimer);
    this.#receiptTimer = null;
    if (!this.connection.isReady) return;
    const { user: recipient, device: dev } = this.login;
    const at = new Date().toISOString();
    for (const [conv, { id: message, seq, status }] of this.#receipts) {
      this.connection.tell({ type: "receive", recipient, dev, conv, message, seq, status, at });
    }
    this.#receipts.clear();
  }

  #sayPresence() {
    const { user: from, device: dev } = this.login;
    const state = document.visibilityState === "visible" ? "online" : "away";
    this.connection?.tell({ type: "presence", from, dev, state });
  }

  // --- The page ---

  #state(isConnected, words) {
    this.words = words;
    this.isConnected = isConnected;
    this.show();
  }

  /** Draws in the next moment, once. */
  show() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => {
      this.#drawing = false;
      this.#draw();
    });
  }

  #draw() {
    if ($("chat").hidden) return;
    const { model, outbox, panels } = this;
    const sorted = model.sorted();
    reconcile($("conversations"), sorted.map((one) => panels.conversationRow(one)), (item) => item.build());
    $("nothing").hidden = sorted.length > 0;
    $("talk").hidden = !this.current;
    panels.bar();
    panels.writing();
    this.talk.show();
    const waiting = outbox.waiting;
    const kept = waiting && !this.isConnected ? ` · ${waiting} ${waiting === 1 ? "message" : "messages"} kept here` : "";
    const text = `${this.words ?? ""}${kept}`;
    if ($("state").textContent !== text) $("state").textContent = text;
    $("state").classList.toggle("away", !this.isConnected);
    const unread = sorted.reduce((sum, one) => sum + (one.muted ? 0 : one.unread), 0);
    document.title = unread ? `(${unread}) Leveret` : "Leveret";
  }

  #door(words) {
    this.connection?.end();
    this.connection = null;
    dropLogin();
    if ($("dialog").open) $("dialog").close();
    $("chat").hidden = true;
    $("door").hidden = false;
    $("door-hint").textContent = words ?? "Log in, or make an account.";
    $("handle").focus();
  }

  async #enter(isNew) {
    const handle = $("handle").value.trim().toLowerCase();
    const password = $("password").value;
    $("door-error").textContent = "";
    try {
      if (isNew) await call("POST", "/v1/register", null, { handle, password });
      const device = knownDevice(handle);
      const login = await call("POST", "/v1/login", null, { handle, password, device, device_name: deviceName() });
      $("password").value = "";
      rememberDevice(handle, login.device);
      saveLogin(login);
      this.start(login);
    } catch (error) {
      $("door-error").textContent = error.message;
    }
  }

  run() {
    this.panels = new Panels(this);
    this.talk = new Talk(this);
    $("login").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#enter(false);
    });
    $("register").addEventListener("click", () => $("login").reportValidity() && this.#enter(true));
    $("back").addEventListener("click", () => ($("details").hidden || innerWidth > 720 ? this.close() : this.panels.toggleDetails(false)));
    const looked = () => {
      if (!this.connection) return;
      this.seen();
      this.#sayPresence();
    };
    addEventListener("focus", looked);
    document.addEventListener("visibilitychange", looked);
    addEventListener("pagehide", () => this.connection && this.#flushReceipts());
    setInterval(() => this.connection && this.#sayPresence(), PRESENCE_EVERY);
    const login = loadLogin();
    if (login?.token) this.start(login);
    else this.#door();
  }
}

function deviceName() {
  const system = /Android|iPhone|iPad|Windows|Mac OS|Linux/.exec(navigator.userAgent)?.[0] ?? "computer";
  const browser = /Firefox|Edg|Chrome|Safari/.exec(navigator.userAgent)?.[0] ?? "browser";
  return `${browser.replace("Edg", "Edge")} on ${system}`;
}

new App().run();
