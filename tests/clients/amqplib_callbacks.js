'use strict';
// amqplib: the interface with callbacks, and the connections that recover by themselves, of both interfaces.

const assert = require('node:assert');
const amqplib = require('amqplib');
const withCallbacks = require('amqplib/callback_api');
const { AMQPLIB, event, Mailbox } = require('./amqplib_scene');
const { fresh } = require('./verbs');

const PREFIX = 'callback ';
const QUICK = { initialDelay: 50, maxDelay: 200, factor: 1.5, jitter: 0, maxRetries: 40 };

/** Calls a method with a callback as its last argument; resolves with what the callback gets. */
function call(object, method, ...args) {
  return new Promise((resolve, reject) => {
    object[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

async function connected(url, play) {
  const connection = await new Promise((resolve, reject) => {
    withCallbacks.connect(url, { noDelay: true }, (error, value) => (error ? reject(error) : resolve(value)));
  });
  const watched = AMQPLIB.offered.watched(connection, { prefix: PREFIX });
  await play(watched);
  await call(watched, 'close');
}

async function channelOf(connection) {
  return AMQPLIB.offered.watched(await call(connection, 'createChannel', {}), { prefix: PREFIX });
}

async function callbacks_connect_and_refusal(url) {
  const connection = await call(withCallbacks, 'connect', url);
  await call(connection, 'close');
  await assert.rejects(call(withCallbacks, 'connect', 'amqp://127.0.0.1:1'), { code: 'ECONNREFUSED' });
}

async function callbacks_topology(url) {
  await connected(url, async (connection) => {
    await call(connection, 'updateSecret', Buffer.from('secret'), 'rotation');
    const channel = await channelOf(connection);
    const [source, destination, queue] = ['source', 'destination', 'queue'].map(fresh);
    assert.deepStrictEqual(await call(channel, 'assertExchange', source, 'topic', {}), { exchange: source });
    await call(channel, 'assertExchange', destination, 'fanout', {});
    await call(channel, 'checkExchange', source);
    await call(channel, 'assertQueue', queue, { exclusive: true });
    await call(channel, 'bindExchange', destination, source, '#', {});
    await call(channel, 'bindQueue', queue, destination, '', {});
    channel.publish(source, 'a.b', Buffer.from('routed'));
    assert.strictEqual((await call(channel, 'get', queue, { noAck: true })).content.toString(), 'routed');
    channel.publish(source, 'a.b', Buffer.from('purged'));
    assert.deepStrictEqual(await call(channel, 'purgeQueue', queue), { messageCount: 1 });
    assert.strictEqual((await call(channel, 'checkQueue', queue)).messageCount, 0);
    await call(channel, 'unbindQueue', queue, destination, '', {});
    await call(channel, 'unbindExchange', destination, source, '#', {});
    assert.deepStrictEqual(await call(channel, 'deleteQueue', queue, {}), { messageCount: 0 });
    await call(channel, 'deleteExchange', source, {});
    await call(channel, 'deleteExchange', destination, {});
    await call(channel, 'close');
  });
}

async function callbacks_consume_and_settle(url) {
  await connected(url, async (connection) => {
    const channel = await channelOf(connection);
    const { queue } = await call(channel, 'assertQueue', '', { exclusive: true });
    await call(channel, 'prefetch', 1, false);
    const mailbox = new Mailbox();
    const { consumerTag } = await call(channel, 'consume', queue, mailbox.put, {});
    const settle = [
      (message) => channel.ack(message),
      (message) => channel.nack(message, false, false),
      (message) => channel.reject(message, false),
      () => channel.ackAll(),
      () => channel.nackAll(false),
    ];
    const bodies = ['acked', 'nacked', 'rejected', 'all acked', 'all nacked'];
    bodies.forEach((body) => channel.sendToQueue(queue, Buffer.from(body)));
    for (const [number, body] of bodies.entries()) {
      const message = await mailbox.take();
      assert.strictEqual(message.content.toString(), body);
      settle[number](message);
    }
    await call(channel, 'cancel', consumerTag);
    await call(channel, 'recover');
    assert.strictEqual(await call(channel, 'get', queue, {}), false);
  });
}

async function callbacks_confirms(url) {
  await connected(url, async (connection) => {
    const plain = await call(connection, 'createConfirmChannel', {});
    const channel = AMQPLIB.offered.watched(plain, { depth: 2, prefix: PREFIX });
    const { queue } = await call(channel, 'assertQueue', '', { exclusive: true });
    await call(channel, 'sendToQueue', queue, Buffer.from('one'), {});
    await call(channel, 'publish', '', queue, Buffer.from('two'), {});
    await call(channel, 'waitForConfirms');
    assert.strictEqual((await call(channel, 'checkQueue', queue)).messageCount, 2);
  });
}

async function recovering_connections_work_as_others(url) {
  const setups = [];
  const options = { recovery: { ...QUICK, setup: async (model) => setups.push(model), waitForConnect: false } };
  const recovering = AMQPLIB.offered.watched(await amqplib.connect(url, options));
  await event(recovering, 'connect');
  await recovering.waitForConnect();
  await recovering.updateSecret(Buffer.from('secret'), 'rotation');
  const [channel, confirming] = [await recovering.createChannel(), await recovering.createConfirmChannel()];
  const { queue } = await channel.assertQueue('', { exclusive: true });
  confirming.sendToQueue(queue, Buffer.from('confirmed'));
  await confirming.waitForConfirms();
  assert.strictEqual((await channel.checkQueue(queue)).messageCount, 1);
  assert.strictEqual(setups.length, 1);
  await recovering.close();
}

async function recovering_connections_give_up(_url) {
  const options = { recovery: { ...QUICK, initialMaxRetries: 2, calculateDelay: () => 10 } };
  await assert.rejects(amqplib.connect('amqp://127.0.0.1:1', options), { code: 'ECONNREFUSED' });
}

async function callbacks_recovering_connections(url) {
  const connection = await call(withCallbacks, 'connect', url, { recovery: QUICK });
  const recovering = AMQPLIB.offered.watched(connection);
  await call(recovering, 'waitForConnect');
  await call(recovering, 'updateSecret', Buffer.from('secret'), 'rotation');
  const channel = await call(recovering, 'createChannel');
  const confirming = await call(recovering, 'createConfirmChannel');
  const { queue } = await call(channel, 'assertQueue', '', { exclusive: true });
  await call(confirming, 'sendToQueue', queue, Buffer.from('confirmed'), {});
  assert.strictEqual((await call(channel, 'checkQueue', queue)).messageCount, 1);
  await call(recovering, 'close');
}

AMQPLIB.add(
  callbacks_connect_and_refusal,
  callbacks_topology,
  callbacks_consume_and_settle,
  callbacks_confirms,
  recovering_connections_work_as_others,
  recovering_connections_give_up,
  callbacks_recovering_connections,
);
