'use strict';
// amqplib: connections and channels.

const assert = require('node:assert');
const { setTimeout: pause } = require('node:timers/promises');
const amqplib = require('amqplib');
const { AMQPLIB, channelOf, connected, event, onChannel, queueOn, refused, take } = require('./amqplib_scene');
const { fresh } = require('./verbs');

async function connect_and_close(url) {
  await connected(url, {}, async (connection) => {
    const closed = event(connection, 'close');
    await connection.close();
    await closed;
    await assert.rejects(() => connection.createChannel(), amqplib.IllegalOperationError);
  });
}

async function connect_reads_the_broker_properties(url) {
  await connected(url, {}, async ({ connection }) => {
    const { product, version, capabilities } = connection.serverProperties;
    assert.match(product, /./);
    assert.match(version, /^\d+\.\d+/);
    const wanted = ['publisher_confirms', 'exchange_exchange_bindings', 'basic.nack', 'consumer_cancel_notify'];
    assert.deepStrictEqual(wanted.filter((name) => capabilities[name] !== true), []);
  });
}

async function connect_with_every_option(url) {
  const options = {
    noDelay: true,
    keepAlive: true,
    keepAliveDelay: 1000,
    timeout: 5000,
    clientProperties: { connection_name: fresh('connection'), nested: { answer: 42 } },
  };
  await connected(`${url}?heartbeat=30&channelMax=7&frameMax=8192&locale=en_US`, options, async (connection) => {
    const channel = await channelOf(connection, { highWaterMark: 64 });
    const queue = await queueOn(channel);
    const body = 'x'.repeat(50_000);
    channel.sendToQueue(queue, Buffer.from(body));
    assert.strictEqual(await take(channel, queue), body);
  });
}

async function connect_with_an_object(url) {
  const { hostname, port, username, password, pathname } = new URL(url);
  const vhost = decodeURIComponent(pathname.slice(1));
  const parts = { protocol: 'amqp', hostname, port, username, password, vhost, heartbeat: 10, frameMax: 0x2000 };
  await connected(parts, {}, async (connection) => assert(await channelOf(connection)));
}

async function connect_with_each_credential(url) {
  for (const mechanism of ['plain', 'amqplain']) {
    const credentials = amqplib.credentials[mechanism]('guest', 'guest');
    await connected(url, { credentials }, async (connection) => assert(await channelOf(connection)));
  }
}

async function connect_with_a_wrong_password(url) {
  const credentials = amqplib.credentials.plain('guest', 'not the password');
  await assert.rejects(amqplib.connect(url, { credentials }), /403|ACCESS.REFUSED/i);
}

async function connect_to_an_unknown_virtual_host(url) {
  const elsewhere = url.replace(/\/[^/]*$/, `/${fresh('vhost')}`);
  await assert.rejects(amqplib.connect(elsewhere), /ConnectionClose|530/);
}

async function heartbeats_keep_an_idle_connection(url) {
  await connected(`${url}?heartbeat=1`, {}, async (connection) => {
    await pause(3500);
    assert(await channelOf(connection));
  });
}

async function blocked_and_unblocked_events(url) {
  await connected(url, {}, async (connection) => {
    const notices = [];
    connection.on('blocked', () => notices.push('blocked'));
    connection.on('unblocked', () => notices.push('unblocked'));
    const channel = await channelOf(connection);
    const queue = await queueOn(channel);
    channel.sendToQueue(queue, Buffer.from('published while nothing blocks'));
    assert.strictEqual(await take(channel, queue), 'published while nothing blocks');
    assert.deepStrictEqual(notices, []);
  });
}

async function update_secret(url) {
  await connected(url, {}, async (connection) => {
    const updated = event(connection, 'update-secret-ok');
    await connection.updateSecret(Buffer.from('another secret'), 'the old one expires');
    await updated;
    assert(await channelOf(connection));
  });
}

async function channel_open_and_close(url) {
  await onChannel(url, async (channel, connection) => {
    const closed = event(channel, 'close');
    await channel.close();
    await closed;
    assert.throws(() => channel.sendToQueue('anything', Buffer.from('')), amqplib.IllegalOperationError);
    assert(await channelOf(connection));
  });
}

async function channel_closed_by_an_error_spares_the_connection(url) {
  await onChannel(url, async (channel, connection) => {
    const failed = event(channel, 'error');
    const closed = event(channel, 'close');
    await refused(404, () => channel.checkQueue(fresh('missing')));
    assert.strictEqual((await failed)[0].code, 404);
    await closed;
    assert(await channelOf(connection));
  });
}

async function many_channels_on_one_connection(url) {
  await connected(url, {}, async (connection) => {
    const channels = await Promise.all(Array.from({ length: 50 }, () => channelOf(connection)));
    const queue = await queueOn(channels[0]);
    channels.forEach((channel, number) => channel.sendToQueue(queue, Buffer.from(String(number))));
    await Promise.all(channels.map((channel) => channel.checkQueue(queue)));
    const { messageCount } = await channels[0].deleteQueue(queue);
    assert.strictEqual(messageCount, 50);
  });
}

AMQPLIB.add(
  connect_and_close,
  connect_reads_the_broker_properties,
  connect_with_every_option,
  connect_with_an_object,
  connect_with_each_credential,
  connect_with_a_wrong_password,
  connect_to_an_unknown_virtual_host,
  heartbeats_keep_an_idle_connection,
  blocked_and_unblocked_events,
  update_secret,
  channel_open_and_close,
  channel_closed_by_an_error_spares_the_connection,
  many_channels_on_one_connection,
);
