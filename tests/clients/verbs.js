'use strict';
// What the Node.js client scripts share: named verbs, run one by one, one line of JSON for each. The command
// line and the lines are those of verbs.py.

const assert = require('node:assert');
const { randomBytes } = require('node:crypto');
const readline = require('node:readline');
const { Offered } = require('./offered');

const SECONDS_PER_VERB = 60;

class Verbs {
  constructor(client, version, excused = []) {
    this.client = client;
    this.version = version;
    this.functions = new Map();
    this.restarting = new Set();
    this.offered = new Offered(excused);
  }

  /** Registers functions of the broker's URL as verbs, under their own names. */
  add(...functions) {
    for (const verb of functions) {
      assert(!this.functions.has(verb.name), `${verb.name} is defined twice`);
      this.functions.set(verb.name, verb);
    }
  }

  /** Registers verbs in which the broker is killed and started again. */
  addRestarting(...functions) {
    this.add(...functions);
    functions.forEach((verb) => this.restarting.add(verb.name));
  }

  /** Runs what the command line names; the exit code says whether all of it worked. */
  async main(args) {
    this.add(function everything_offered_was_called() {
      assert.deepStrictEqual(this.offered.neverCalled(), []);
    });
    const { url, list, names } = this.parse(args);
    say({ client: this.client, version: this.version });
    if (list) {
      names.forEach((verb) => say({ verb, restart: this.restarting.has(verb) }));
      return 0;
    }
    let failures = 0;
    for (const name of names) {
      if (!(await this.run(name, url))) failures += 1;
    }
    return failures === 0 ? 0 : 1;
  }

  parse(args) {
    const known = [...this.functions.keys()];
    if (args[0] === '--list') return { list: true, names: known };
    const [option, url, ...names] = args;
    if (option !== '--url' || !url) throw new Error('usage: (--list | --url URL [VERB ...])');
    const unknown = names.filter((name) => !this.functions.has(name));
    if (unknown.length > 0) throw new Error(`no such verb: ${unknown.join(', ')}`);
    const harmless = known.filter((name) => !this.restarting.has(name));
    return { url, names: names.length > 0 ? names : harmless };
  }

  async run(name, url) {
    let timer;
    const outOfTime = new Promise((_, reject) => {
      const complain = () => reject(new Error(`not done after ${SECONDS_PER_VERB} seconds`));
      timer = setTimeout(complain, SECONDS_PER_VERB * 1000);
    });
    try {
      await Promise.race([this.functions.get(name).call(this, url), outOfTime]);
      say({ verb: name, ok: true });
      return true;
    } catch (error) {
      console.error(error);
      say({ verb: name, ok: false, error: String(error) });
      return false;
    } finally {
      clearTimeout(timer);
    }
  }
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

let answers;

/** Asks whoever started this script for something, and waits until it is done. */
async function ask(what) {
  answers ??= readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  say({ ask: what });
  const { value } = await answers.next();
  assert.strictEqual(value, 'done');
}

/** A name that nobody else uses on this broker. */
function fresh(kind) {
  return `clients.${kind}.${randomBytes(6).toString('hex')}`;
}

module.exports = { Verbs, ask, fresh };
