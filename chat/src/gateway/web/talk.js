// The conversation that is open: its messages, their marks, and the composer.

import { $, button, clock, day, el, reconcile } from "./dom.js";
import { reason } from "./outbox.js";

const NEAR = 80;
const HEIGHT_MAX = 150;

/** `app` gives model, outbox, current; and does: older(), send(text, context), typed(), seen(), receipts(item), erase(item). */
export class Talk {
  #context = null;
  #wasAtEnd = true;

  constructor(app) {
    this.app = app;
    $("compose").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#submit();
      } else if (event.key === "Escape" && this.#context) this.#setContext(null);
    });
    $("text").addEventListener("input", () => {
      this.#grow();
      app.typed();
    });
    $("context-end").addEventListener("click", () => this.#setContext(null));
    $("scroll").addEventListener("scroll", () => {
      const box = $("scroll");
      this.#wasAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR;
      if (box.scrollTop < NEAR) app.older();
      if (this.#wasAtEnd) app.seen();
    });
    // What grows below while one is at the end is followed.
    new ResizeObserver(() => this.#wasAtEnd && this.toEnd()).observe($("scroll"));
  }

  get isAtEnd() {
    return this.#wasAtEnd;
  }

  toEnd() {
    $("scroll").scrollTop = $("scroll").scrollHeight;
    this.#wasAtEnd = true;
  }

  /** Another conversation is open. */
  opened() {
    this.#setContext(null);
    $("messages").replaceChildren();
    this.#wasAtEnd = true;
    this.firstUnread = this.app.current.read + 1;
    this.show();
    this.toEnd();
  }

  /** The text that is being written, and what it answers or changes. */
  #submit() {
    const text = $("text").value;
    if (!text.trim() || !this.app.current) return;
    $("text").value = "";
    this.#grow();
    const context = this.#context;
    this.#setContext(null);
    this.#wasAtEnd = true;
    this.app.send(text, context);
  }

  #grow() {
    const text = $("text");
    text.rows = 1;
    const lines = Math.min(6, text.value.split("\n").length);
    while (text.scrollHeight > text.clientHeight + 4 && text.rows < 6 && text.clientHeight < HEIGHT_MAX) text.rows += 1;
    text.rows = Math.max(text.rows, lines);
  }

  #setContext(context) {
    if (this.#context?.kind === "edit" && !context) $("text").value = "";
    this.#context = context;
    $("context").hidden = !context;
    if (context) {
      const what = context.kind === "edit" ? "Changing: " : "Answering: ";
      $("context-text").textContent = what + context.text;
      if (context.kind === "edit") $("text").value = context.text;
      $("text").focus();
    }
    this.#grow();
  }

  show() {
    const conversation = this.app.current;
    if (!conversation) return;
    const box = $("scroll");
    const fromEnd = box.scrollHeight - box.scrollTop;
    const first = $("messages").querySelector("[data-seq]")?.dataset.seq;
    reconcile($("messages"), this.#items(conversation), (item) => item.build());
    const nowFirst = $("messages").querySelector("[data-seq]")?.dataset.seq;
    if (this.#wasAtEnd) this.toEnd();
    else if (first !== nowFirst) box.scrollTop = box.scrollHeight - fromEnd;
    $("text").disabled = conversation.isOut;
    $("text").placeholder = conversation.isOut ? "You are not in this conversation" : "Write a message";
  }

  #items(conversation) {
    const { model, outbox } = this.app;
    const items = [];
    let date = "";
    const shown = conversation.shown();
    const places = new Map(shown.map((item) => [item.message.seq, item]));
    for (const item of shown) {
      const { message } = item;
      const today = day(message.ts);
      if (today !== date) {
        date = today;
        items.push({ key: "day" + message.seq, look: today, build: () => el("li", { class: "day", text: today }) });
      }
      if (message.seq === this.firstUnread && message.from !== model.user) {
        items.push({ key: "new", look: "", build: () => el("li", { class: "new", text: "New messages" }) });
      }
      items.push(this.#item(conversation, item, places));
    }
    for (const entry of outbox.of(conversation.id)) {
      if (conversation.messages.some((message) => message.id === entry.post.id)) continue;
      const item = this.#waiting(entry);
      if (item) items.push(item);
    }
    return items;
  }

  #item(conversation, item, places) {
    const { model } = this.app;
    const { message } = item;
    const kind = message.body.kind;
    const key = message.id;
    if (kind === "member" || kind === "group" || !["text", "erased"].includes(kind)) {
      const text = model.summary(message);
      const build = () => el("li", { class: "event", "data-seq": message.seq, text: `${text} · ${clock(message.ts)}` });
      return { key, look: text, build };
    }
    const isOwn = message.from === model.user;
    const marks = isOwn ? marksOf(conversation.reached(message.seq, model.user), conversation.isGroup) : null;
    const quoted = message.body.reply_to ? places.get(message.body.reply_to) : undefined;
    const quote = message.body.reply_to ? this.#quote(quoted) : null;
    const reactions = [...item.reactions].filter(([, who]) => who.size).map(([emoji, who]) => `${emoji} ${who.size}`).join("  ");
    const name = model.name(message.from);
    const isMentioned = message.body.mentions?.includes(model.user);
    const look = JSON.stringify([item.text, item.isGone, item.isEdited, marks, quote, reactions, name, isMentioned]);
    const build = () =>
      el("li", { class: [isOwn && "own", item.isGone && "gone"].filter(Boolean).join(" "), "data-seq": message.seq },
        el("div", { class: "bubble" },
          !isOwn && conversation.isGroup ? el("p", { class: "from", text: name }) : el("span", { class: "from", hidden: true, text: name }),
          quote === null ? null : el("p", { class: "quote", text: quote }),
          el("p", { class: isMentioned ? "body mention" : "body", text: item.isGone ? "This message was deleted." : item.text }),
          reactions ? el("p", { class: "hint", text: reactions }) : null,
          el("p", { class: "foot" },
            item.isGone ? null : this.#actions(item, isOwn),
            item.isEdited ? el("span", { text: "edited" }) : null,
            el("time", { datetime: message.ts, title: "written " + new Date(message.sent_at).toLocaleString(), text: clock(message.ts) }),
            marks ? el("span", { class: "marks " + marks.look, role: "img", "aria-label": marks.words, title: marks.words, text: marks.text }) : null)));
    return { key, look, build };
  }

  #quote(quoted) {
    if (!quoted) return "an earlier message";
    return `${this.app.model.name(quoted.message.from)}: ${quoted.isGone ? "(deleted)" : quoted.text.slice(0, 200)}`;
  }

  #actions(item, isOwn) {
    const { app } = this;
    const { message } = item;
    const text = () => item.text;
    const plain = { class: "plain" };
    const canErase = isOwn || (app.current.isGroup && app.current.role !== "member");
    return el("span", { class: "actions" },
      button("Reply", () => this.#setContext({ kind: "reply", seq: message.seq, text: text() }), plain),
      isOwn ? button("Edit", () => this.#setContext({ kind: "edit", seq: message.seq, text: text() }), plain) : null,
      canErase ? button("Delete", () => app.erase(item), plain) : null,
      isOwn ? button("Who?", () => app.receipts(item), { ...plain, "aria-label": "Who received and read it" }) : null);
  }

  /** A message that is not in the history. What changes an earlier one shows only if it was refused. */
  #waiting(entry) {
    const { outbox } = this.app;
    const { post } = entry;
    const hasFailed = entry.state === "failed";
    const text = post.body.kind === "text" ? post.body.text : `(${post.body.kind}) ${post.body.text ?? ""}`;
    if (post.body.kind !== "text" && !hasFailed) return null;
    const words = hasFailed ? reason(entry.code) : "waiting to be sent";
    const build = () =>
      el("li", { class: "own", "data-waiting": post.id },
        el("div", { class: "bubble" },
          el("p", { class: "body", text }),
          el("p", { class: "foot" },
            hasFailed ? el("span", { class: "why", text: words }) : null,
            hasFailed ? button("Send again", () => outbox.again(post.id), { class: "plain" }) : null,
            hasFailed || entry.state === "waiting" ? button("Discard", () => outbox.discard(post.id), { class: "plain" }) : null,
            el("time", { datetime: post.sent_at, text: clock(post.sent_at) }),
            el("span", { class: hasFailed ? "marks failed" : "marks", role: "img", "aria-label": words, title: words, text: hasFailed ? "!" : "·" }))));
    return { key: post.id, look: entry.state + (entry.code ?? ""), build };
  }
}

/** `✓` it is in the history, `✓✓` everybody has it, coloured: everybody has read it. */
function marksOf({ others, delivered, read }, isGroup) {
  if (others > 0 && read >= others) return { text: "✓✓", look: "read", words: isGroup ? "read by all" : "read" };
  if (others > 0 && delivered >= others) {
    return { text: "✓✓", look: "delivered", words: isGroup ? `delivered to all, read by ${read} of ${others}` : "delivered" };
  }
  const words = isGroup && others > 0 ? `sent, delivered to ${delivered} of ${others}` : "sent";
  return { text: "✓", look: "sent", words };
}
