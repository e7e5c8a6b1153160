// What is known of conversations and people. No page and no connection here.

/** A conversation. `messages` is without gaps, from `first` to the last one known. */
export class Conversation {
  messages = [];
  isLoaded = false;
  hasOlder = true;
  lastSeq = 0;
  read = 0;
  delivered = 0;
  last = null;
  cursors = new Map();
  members = null;
  writing = new Map();
  settings = null;
  peer = null;
  role = "member";
  muted = false;
  isOut = false;

  constructor(id) {
    this.id = id;
  }

  get isGroup() {
    return this.id.startsWith("g_");
  }

  get unread() {
    return Math.max(0, this.lastSeq - this.read);
  }

  get known() {
    return this.messages.length ? this.messages.at(-1).seq : 0;
  }

  /** Takes what the service says of it. */
  update(summary) {
    this.settings = summary.settings ?? null;
    this.peer = summary.peer ?? null;
    this.role = summary.role;
    this.muted = summary.muted === "on";
    this.count = summary.members;
    this.lastSeq = Math.max(this.lastSeq, summary.last_seq);
    this.read = Math.max(this.read, summary.read);
    this.delivered = Math.max(this.delivered, summary.delivered);
    if (summary.last && summary.last.seq >= (this.last?.seq ?? 0)) this.last = summary.last;
  }

  /** A message that has just come. Gives whether something before it is missing. */
  take(message) {
    if (message.seq >= (this.last?.seq ?? 0)) this.last = message;
    this.lastSeq = Math.max(this.lastSeq, message.seq);
    if (!this.isLoaded) return false;
    if (message.seq <= this.known) return false;
    if (message.seq > this.known + 1) return true;
    this.messages.push(message);
    return false;
  }

  /** A piece of history that comes after what is there, in order. */
  append(messages) {
    for (const message of messages) if (message.seq > this.known) this.messages.push(message);
    const last = messages.at(-1);
    if (!last) return;
    this.lastSeq = Math.max(this.lastSeq, last.seq);
    if (last.seq >= (this.last?.seq ?? 0)) this.last = last;
  }

  prepend(messages) {
    const first = this.messages[0]?.seq ?? Infinity;
    this.messages.unshift(...messages.filter((message) => message.seq < first));
  }

  moveCursor({ user, delivered, read }) {
    const before = this.cursors.get(user) ?? { delivered: 0, read: 0 };
    // Cursors never fall, in whatever order they come.
    this.cursors.set(user, { delivered: Math.max(before.delivered, delivered), read: Math.max(before.read, read) });
  }

  /** How many of the others have a message, and have read it. */
  reached(seq, own) {
    const others = [...this.cursors].filter(([user]) => user !== own).map(([, cursor]) => cursor);
    return {
      others: others.length,
      delivered: others.filter((cursor) => cursor.delivered >= seq).length,
      read: others.filter((cursor) => cursor.read >= seq).length,
    };
  }

  /** The messages as they are to be shown: what later ones changed of them is applied. */
  shown() {
    const byPlace = new Map();
    const shown = [];
    for (const message of this.messages) {
      const { body } = message;
      const target = byPlace.get(body.ref);
      if (body.kind === "edit") {
        if (target?.message.from === message.from && !target.isGone) Object.assign(target, { text: body.text, isEdited: true });
      } else if (body.kind === "delete") {
        if (target) Object.assign(target, { isGone: true, text: "" });
      } else if (body.kind === "react") {
        if (target) {
          const who = target.reactions.get(body.emoji) ?? new Set();
          if (body.change === "add") who.add(message.from);
          else who.delete(message.from);
          target.reactions.set(body.emoji, who);
        }
      } else {
        const item = { message, text: body.text ?? "", isGone: body.kind === "erased", isEdited: false, reactions: new Map() };
        byPlace.set(message.seq, item);
        shown.push(item);
      }
    }
    return shown;
  }
}

export class Model {
  conversations = new Map();
  users = new Map();
  present = new Map();
  me = null;

  constructor(user) {
    this.user = user;
  }

  conversation(id) {
    let found = this.conversations.get(id);
    if (!found) this.conversations.set(id, (found = new Conversation(id)));
    return found;
  }

  know(users) {
    for (const user of users) this.users.set(user.user, user);
  }

  name(id) {
    if (id === this.user) return "You";
    const user = this.users.get(id);
    if (!user) return "…";
    return user.deleted ? "(deleted account)" : user.name;
  }

  title(conversation) {
    if (conversation.isGroup) return "#" + (conversation.settings?.title ?? "…");
    if (!conversation.peer) return "…";
    if (conversation.peer.user === this.user) return "Notes to myself";
    return conversation.peer.deleted ? "(deleted account)" : conversation.peer.name;
  }

  /** Those last written in come first. */
  sorted() {
    const time = (conversation) => Date.parse(conversation.last?.ts ?? 0) || conversation.opened || 0;
    return [...this.conversations.values()].filter((one) => one.last || one.opened).sort((a, b) => time(b) - time(a));
  }

  /** What a message says, in one line. */
  summary(message) {
    const { body, from } = message;
    const who = this.name(from);
    switch (body.kind) {
      case "text":
        return body.text;
      case "edit":
        return `${who} changed a message`;
      case "delete":
        return `${who} deleted a message`;
      case "react":
        return `${who} ${body.change === "add" ? "reacted" : "took back"} ${body.emoji}`;
      case "erased":
        return "(gone)";
      case "group":
        return body.change === "create" ? `${who} made the group “${body.settings.title}”` : `${who} changed the group`;
      case "member":
        return this.#membership(who, body);
      default:
        return "(this page does not know this kind of message)";
    }
  }

  #membership(who, body) {
    const whom = this.name(body.user);
    switch (body.change) {
      case "join":
        return `${whom} came in`;
      case "leave":
        return `${whom} left`;
      case "add":
        return `${who} added ${whom}`;
      case "remove":
        return `${who} removed ${whom}`;
      case "ban":
        return `${who} banned ${whom}`;
      case "unban":
        return `${who} lifted the ban on ${whom}`;
      case "role":
        return `${who} made ${whom} ${body.role}`;
      case "silence":
        return `${who} silenced ${whom}`;
      default:
        return `${who} changed the membership of ${whom}`;
    }
  }
}
