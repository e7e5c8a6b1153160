// The WebSocket, opened again whenever it is gone.

const SILENCE = 70_000;
const FIRST_DELAY = 500;
const LAST_DELAY = 30_000;
const ANSWER_PATIENCE = 20_000;

const WORDS = {
  too_many_connections: "Too many windows are open.",
  rate_limited: "Too much was sent at once.",
  stopping: "The service restarts.",
};

export class Connection {
  #socket = null;
  #delay = FIRST_DELAY;
  #timer = null;
  #watch = null;
  #heard = 0;
  #nr = 0;
  #waiting = new Map();
  #ended = false;
  #why = "";

  /** `on`: ready(), frame(frame), state(isConnected, words), loggedOut(). */
  constructor(token, on) {
    this.token = token;
    this.on = on;
    this.isReady = false;
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#open();
  }

  #hurry = () => {
    if (!this.#ended && !this.#socket && document.visibilityState === "visible") {
      this.#delay = FIRST_DELAY;
      this.#open();
    }
  };

  #open() {
    clearTimeout(this.#timer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/v1/socket`);
    this.#socket = socket;
    this.#heard = Date.now();
    this.on.state(false, this.#why || "Connecting…");
    socket.onopen = () => socket.send(JSON.stringify({ v: 1, type: "hello", token: this.token }));
    socket.onmessage = (event) => this.#hear(socket, JSON.parse(event.data));
    socket.onclose = () => this.#closed(socket);
    clearInterval(this.#watch);
    this.#watch = setInterval(() => {
      if (Date.now() - this.#heard > SILENCE) this.#closed(socket);
    }, 5_000);
  }

  #hear(socket, frame) {
    if (socket !== this.#socket) return;
    this.#heard = Date.now();
    switch (frame.type) {
      case "ready":
        this.isReady = true;
        this.#delay = FIRST_DELAY;
        this.#why = "";
        this.on.state(true, "Connected");
        this.on.ready(frame);
        break;
      case "ping":
        this.#write({ type: "pong" });
        break;
      case "answer":
      case "kept":
      case "refused":
        this.#answered(frame);
        break;
      case "bye":
        if (frame.code === "not_logged_in") {
          this.end();
          this.on.loggedOut();
        } else {
          this.#why = WORDS[frame.code] ?? "";
        }
        break;
      default:
        this.on.frame(frame);
    }
  }

  #answered(frame) {
    const waiting = this.#waiting.get(frame.nr);
    if (!waiting) return;
    this.#waiting.delete(frame.nr);
    clearTimeout(waiting.timer);
    waiting.resolve(frame);
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.isReady = false;
    socket.onclose = null;
    socket.close();
    clearInterval(this.#watch);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error("The connection is gone."));
    }
    this.#waiting.clear();
    if (this.#ended) return;
    this.on.state(false, this.#why || "Not connected");
    // All pages of a service that restarts must not come back in the same moment.
    this.#timer = setTimeout(() => this.#open(), this.#delay * (0.5 + Math.random()));
    this.#delay = Math.min(this.#delay * 2, LAST_DELAY);
  }

  #write(frame) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify({ v: 1, ...frame }));
    return true;
  }

  /** Says something that nobody misses. */
  tell(frame) {
    if (this.isReady) this.#write(frame);
  }

  /** Says something, and waits for `kept`, `refused` or `answer`. */
  say(frame) {
    return new Promise((resolve, reject) => {
      const nr = ++this.#nr;
      if (!this.isReady || !this.#write({ ...frame, nr })) {
        reject(new Error("There is no connection."));
        return;
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(nr);
        reject(new Error("No answer came in time."));
      }, ANSWER_PATIENCE);
      this.#waiting.set(nr, { resolve, reject, timer });
    });
  }

  /** Asks something; a refusal is an error. */
  async ask(request) {
    const frame = await this.say({ type: "ask", request });
    const reply = frame.type === "answer" ? frame.reply : { type: "refused", code: frame.code };
    if (reply.type === "refused") {
      const error = new Error(`Refused: ${reply.code}.`);
      error.code = reply.code;
      throw error;
    }
    return reply;
  }

  end() {
    this.#ended = true;
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    clearTimeout(this.#timer);
    if (this.#socket) this.#closed(this.#socket);
  }
}
