// Dialogs, and the side panel with members and what they may do.

import { $, button, clock, closeDialog, dialog, el, field, notice } from "./dom.js";
import { groupId } from "./ids.js";

const HANDLE = { autocapitalize: "none", spellcheck: "false", autocomplete: "off", maxlength: "32" };

/** Names as people type them: with or without `@`, separated by spaces or commas. */
const names = (text) => text.toLowerCase().split(/[\s,]+/).map((name) => name.replace(/^@/, "")).filter(Boolean);

/** `app` gives model, current, login; and does: call(), ask(), find(handle), openDirect(), open(), post(), logOut(). */
export class Panels {
  constructor(app) {
    this.app = app;
    $("new-direct").addEventListener("click", () => this.newDirect());
    $("new-group").addEventListener("click", () => this.newGroup());
    $("settings-button").addEventListener("click", () => this.settings());
    $("details-button").addEventListener("click", () => this.toggleDetails());
    $("find").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search($("words").value);
    });
  }

  newDirect() {
    const who = field("Name", { ...HANDLE, placeholder: "ana" });
    dialog("Write to a person", (body) => body.append(who.label), [
      ["Open", async () => {
        const user = await this.app.find(one(who.input.value));
        return () => this.app.openDirect(user);
      }],
    ]);
  }

  newGroup() {
    const title = field("Title", { maxlength: "200" });
    const topic = field("What it is about", { maxlength: "200" });
    const who = field("People, by their names", { autocapitalize: "none", spellcheck: "false", placeholder: "ana, bruno" });
    const past = field("Who comes later may read everything", { type: "checkbox" });
    past.label.className = "check";
    dialog("Make a group", (body) => body.append(title.label, topic.label, who.label, past.label), [
      ["Make", async () => {
        if (!title.input.value.trim()) throw new Error("A group needs a title.");
        const members = [];
        for (const name of names(who.input.value)) members.push((await this.app.find(name)).user);
        const settings = { title: title.input.value.trim(), history: past.input.checked ? "all" : "joined" };
        if (topic.input.value.trim()) settings.topic = topic.input.value.trim();
        const conv = groupId();
        await this.app.post(conv, null, { kind: "group", change: "create", settings, members });
        return () => this.app.expect(conv, settings);
      }],
    ]);
  }

  async search(words) {
    if (!words.trim()) return;
    try {
      const { messages } = await this.app.ask({ type: "search", text: words, limit: 50 });
      await this.app.meet(messages.map((message) => message.from));
      dialog(`Messages with “${words}”`, (body) => {
        if (!messages.length) body.append(el("p", { class: "hint", text: "None." }));
        for (const message of messages) body.append(this.#found(message));
      });
    } catch (error) {
      notice(error.message);
    }
  }

  #found(message) {
    const { model } = this.app;
    const where = model.title(model.conversation(message.conv));
    const open = () => {
      closeDialog();
      this.app.open(message.conv, message.seq);
    };
    return el("button", { type: "button", class: "found", on: { click: open } },
      el("span", { class: "hint", text: `${where} · ${model.name(message.from)} · ${new Date(message.ts).toLocaleString()}` }),
      model.summary(message).slice(0, 300));
  }

  async settings() {
    const { app } = this;
    try {
      const [{ devices, device }, me] = await Promise.all([app.call("GET", "/v1/me"), app.ask({ type: "me" })]);
      const receipts = field("Others see how far I have read", { type: "checkbox" });
      receipts.label.className = "check";
      receipts.input.checked = me.receipts === "on";
      receipts.input.addEventListener("change", async () => {
        const state = receipts.input.checked ? "on" : "off";
        try {
          await app.ask({ type: "receipts", state });
        } catch (error) {
          receipts.input.checked = !receipts.input.checked;
          $("dialog-error").textContent = error.message;
        }
      });
      dialog("Settings", (body) => {
        body.append(
          el("p", { text: `${me.user.name} · @${me.user.handle}` }),
          el("h3", { text: "Privacy" }), receipts.label,
          el("h3", { text: "Devices" }),
          el("ul", {}, ...devices.map((one) => this.#device(one, device))),
          el("h3", { text: "Password" }), this.#password());
      }, [["Log out", () => app.logOut()]]);
    } catch (error) {
      notice(error.message);
    }
  }

  #device(one, own) {
    const row = el("li", { class: "row" }, el("span", { class: "grow", text: `${one.name}${one.id === own ? " (this one)" : ""}` }));
    if (one.id !== own) {
      const remove = async () => {
        await this.app.call("DELETE", `/v1/devices/${one.id}`);
        row.remove();
      };
      row.append(button("Remove", remove, { class: "plain", "aria-label": `Remove the device ${one.name}` }));
    }
    return row;
  }

  #password() {
    const old = field("Old password", { type: "password", autocomplete: "current-password" });
    const fresh = field("New password", { type: "password", autocomplete: "new-password", minlength: "8" });
    const change = async () => {
      try {
        const { handle } = this.app.login;
        await this.app.call("PUT", "/v1/password", { handle, old: old.input.value, new: fresh.input.value });
        old.input.value = fresh.input.value = "";
        $("dialog-error").textContent = "The password is changed.";
      } catch (error) {
        $("dialog-error").textContent = error.message;
      }
    };
    return el("div", {}, old.label, fresh.label, button("Change the password", change));
  }

  /** Who has received a message, and who has read it. */
  async receipts(item) {
    const { app } = this;
    const { current, model } = app;
    try {
      const { cursors } = await app.ask({ type: "cursors", conv: current.id });
      await app.meet(cursors.map((cursor) => cursor.user));
      const { seq } = item.message;
      const others = cursors.filter((cursor) => cursor.user !== model.user);
      const has = (cursor) => (cursor.read >= seq ? "read" : cursor.delivered >= seq ? "received" : "not received yet");
      const rank = { read: 0, received: 1, "not received yet": 2 };
      others.sort((a, b) => rank[has(a)] - rank[has(b)]);
      dialog("Who received and read it", (body) => {
        body.append(el("p", { class: "quote", text: item.text.slice(0, 300) }));
        body.append(el("ul", {}, ...others.map((cursor) =>
          el("li", { class: "row" }, el("span", { class: "grow", text: model.name(cursor.user) }), el("span", { class: "hint", text: has(cursor) })))));
        if (!others.length) body.append(el("p", { class: "hint", text: "Nobody else is here." }));
      });
    } catch (error) {
      notice(error.message);
    }
  }

  erase(item) {
    const { app } = this;
    dialog("Delete this message?", (body) => {
      body.append(el("p", { class: "quote", text: item.text.slice(0, 300) }), el("p", { class: "hint", text: "Everybody will see that something was here, and not what." }));
    }, [["Delete", () => app.post(app.current.id, app.current.peer?.user, { kind: "delete", ref: item.message.seq })]]);
  }

  toggleDetails(show = $("details").hidden) {
    $("details").hidden = !show;
    $("chat").classList.toggle("with-details", show);
    $("details-button").setAttribute("aria-expanded", String(show));
    if (show) this.details();
  }

  /** Members, their marks, and what one may do. */
  async details() {
    const { app } = this;
    const conversation = app.current;
    if ($("details").hidden || !conversation) return;
    try {
      await app.loadMembers(conversation);
    } catch (error) {
      $("details").replaceChildren(el("p", { class: "hint", text: error.message }));
      return;
    }
    if (conversation !== app.current) return;
    const isModerator = conversation.isGroup && conversation.role !== "member";
    const mute = async () => {
      const state = conversation.muted ? "off" : "on";
      try {
        await app.ask({ type: "mute", conv: conversation.id, state });
        conversation.muted = !conversation.muted;
        app.show();
        this.details();
      } catch (error) {
        notice(error.message);
      }
    };
    $("details").replaceChildren(
      el("h2", { text: app.model.title(conversation) }),
      el("p", { class: "hint", text: conversation.settings?.topic ?? "" }),
      el("div", { class: "row tools" },
        button(conversation.muted ? "Unmute" : "Mute", mute),
        isModerator ? button("Add people", () => this.#add(conversation)) : null,
        conversation.isGroup ? button("Leave", () => this.#leave(conversation)) : null),
      el("h3", { text: `Members (${conversation.members.length})` }),
      el("ul", { id: "members" }, ...conversation.members.map((member) => this.#member(conversation, member, isModerator))));
  }

  #member(conversation, member, isModerator) {
    const { model } = this.app;
    const isSelf = member.user === model.user;
    const cursor = conversation.cursors.get(member.user);
    const last = conversation.lastSeq;
    const far = isSelf || !cursor ? "" : cursor.read >= last ? "has read everything" : cursor.delivered >= last ? "has received everything" : "has not received everything";
    const there = model.present.get(member.user) === "online" ? " ●" : "";
    const row = el("li", {},
      el("span", { class: "grow", text: `${member.name}${there}` }),
      el("span", { class: "hint", text: [`@${member.handle}`, conversation.isGroup && member.role !== "member" ? member.role : "", far].filter(Boolean).join(" · ") }));
    if (isModerator && !isSelf) {
      const say = (text, change, props = {}) => button(text, () => this.#change(conversation, member.user, { change, ...props }), { class: "plain", "aria-label": `${text} ${member.name}` });
      row.append(say("Remove", "remove"), say("Ban", "ban"));
      if (conversation.role === "owner") {
        row.append(member.role === "member" ? say("Make moderator", "role", { role: "moderator" }) : say("Make member", "role", { role: "member" }));
      }
    }
    return row;
  }

  #change(conversation, user, change) {
    return this.app.post(conversation.id, null, { kind: "member", user, ...change });
  }

  #add(conversation) {
    const who = field("People, by their names", { ...HANDLE, maxlength: "500", placeholder: "carla" });
    dialog("Add people", (body) => body.append(who.label), [
      ["Add", async () => {
        for (const name of names(who.input.value)) {
          const { user } = await this.app.find(name);
          await this.#change(conversation, user, { change: "add", role: "member" });
        }
      }],
    ]);
  }

  #leave(conversation) {
    dialog("Leave this group?", (body) => body.append(el("p", { text: this.app.model.title(conversation) })), [
      ["Leave", () => this.#change(conversation, this.app.model.user, { change: "leave" })],
    ]);
  }

  /** The list of conversations, and the head. */
  bar() {
    const { model, current } = this.app;
    $("where").textContent = current ? model.title(current) : "Leveret";
    let about = "";
    if (current?.isGroup) about = [current.count ? `${current.count} members` : "", current.settings?.topic].filter(Boolean).join(" · ");
    else if (current?.peer) about = `@${current.peer.handle}${model.present.get(current.peer.user) === "online" ? " · online" : ""}`;
    $("about").textContent = about;
    $("details-button").hidden = !current;
  }

  writing() {
    const { current, model } = this.app;
    const now = Date.now();
    const who = current ? [...current.writing].filter(([, until]) => until > now).map(([user]) => model.name(user)) : [];
    $("typing").textContent = who.length ? `${who.join(", ")} ${who.length > 1 ? "are" : "is"} writing…` : "";
  }

  conversationRow(conversation) {
    const { model, current, outbox } = this.app;
    const { last, unread } = conversation;
    const title = model.title(conversation);
    const isCurrent = conversation === current;
    const waiting = outbox.of(conversation.id).length;
    const text = last ? (conversation.isGroup && last.body.kind === "text" ? `${model.name(last.from)}: ` : "") + model.summary(last) : "";
    const time = last ? clock(last.ts) : "";
    const look = JSON.stringify([title, text, unread, isCurrent, conversation.muted, waiting]);
    const build = () =>
      el("li", { class: conversation.muted ? "muted" : "" },
        el("button", { type: "button", "aria-current": isCurrent ? "true" : null, "data-conv": conversation.id, on: { click: () => this.app.open(conversation.id) } },
          el("span", { class: "name", text: title + (waiting ? " ·" : "") }),
          el("span", { class: "last", text: text.slice(0, 120) || time }),
          unread ? el("span", { class: "badge", "aria-label": `${unread} unread`, text: unread > 99 ? "99+" : String(unread) }) : null));
    return { key: conversation.id, look, build };
  }
}

function one(text) {
  const [name] = names(text);
  if (!name) throw new Error("Whom?");
  return name;
}
