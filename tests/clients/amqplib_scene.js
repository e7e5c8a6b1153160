'use strict';
// Where the amqplib verbs play: connections and channels of their own, tidied up afterwards.

const assert = require('node:assert');
const path = require('node:path');
const amqplib = require('amqplib');
const { version } = require(path.join(path.dirname(require.resolve('amqplib')), 'package.json'));
const { Verbs, fresh } = require('./verbs');

const AMQPLIB = new Verbs('amqplib', version, [
  // Steps of the public methods, named without an underscore.
  'Channel.open',
  'Channel.rpc',
  'callback Channel.open',
  'callback Channel.rpc',
]);

/** Calls `play` with a connection, and closes it. */
async function connected(url, options, play) {
  const connection = AMQPLIB.offered.watched(await amqplib.connect(url, options));
  connection.on('error', () => {});
  try {
    return await play(connection);
  } finally {
    await connection.close().catch(() => {});
  }
}

/** A channel whose closing by the broker is seen by the failing call, not by the process. */
async function channelOf(connection, options) {
  const channel = AMQPLIB.offered.watched(await connection.createChannel(options));
  channel.on('error', () => {});
  return channel;
}

async function confirmChannelOf(connection, options) {
  const channel = AMQPLIB.offered.watched(await connection.createConfirmChannel(options), { depth: 2 });
  channel.on('error', () => {});
  return channel;
}

/** Calls `play` with a channel on a connection of its own. */
function onChannel(url, play) {
  return connected(url, {}, async (connection) => play(await channelOf(connection), connection));
}

/** Calls `play` with the name of an exchange that is deleted afterwards. */
async function withExchange(connection, type, options, play) {
  const channel = await channelOf(connection);
  const { exchange } = await channel.assertExchange(fresh('exchange'), type, options);
  try {
    return await play(exchange);
  } finally {
    await channel.deleteExchange(exchange);
    await channel.close();
  }
}

/** The name of a queue that goes with the connection. */
async function queueOn(channel, options = {}) {
  const { queue } = await channel.assertQueue(fresh('queue'), { exclusive: true, ...options });
  return queue;
}

/** A queue with these messages in it, each of them confirmed. */
async function filledQueue(connection, ...bodies) {
  const channel = await confirmChannelOf(connection);
  const queue = await queueOn(channel);
  bodies.forEach((body) => channel.sendToQueue(queue, Buffer.from(body)));
  await channel.waitForConfirms();
  await channel.close();
  return queue;
}

/** The body of the next message as text, settled; false if there is none. */
async function take(channel, queue) {
  const message = await channel.get(queue, { noAck: true });
  return message && message.content.toString();
}

async function takeAll(channel, queue) {
  const bodies = [];
  for (let body = await take(channel, queue); body !== false; body = await take(channel, queue)) {
    bodies.push(body);
  }
  return bodies;
}

/** Expects the broker to refuse a call with this code. */
async function refused(code, call) {
  await assert.rejects(call, (error) => {
    assert.strictEqual(error.code, code, String(error));
    return true;
  });
}

/** What a consumer receives, to be awaited one by one. */
class Mailbox {
  constructor() {
    this.letters = [];
    this.waiting = [];
    this.put = (letter) => {
      const waiting = this.waiting.shift();
      if (waiting) waiting(letter);
      else this.letters.push(letter);
    };
  }

  take() {
    if (this.letters.length > 0) return Promise.resolve(this.letters.shift());
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** Resolves with the arguments of the next event of this name. */
function event(emitter, name) {
  return new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));
}

module.exports = {
  AMQPLIB,
  Mailbox,
  channelOf,
  confirmChannelOf,
  connected,
  event,
  filledQueue,
  onChannel,
  queueOn,
  refused,
  take,
  takeAll,
  withExchange,
};
