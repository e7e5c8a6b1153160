'use strict';
// amqplib: exchanges, queues and their bindings.

const assert = require('node:assert');
const {
  AMQPLIB,
  channelOf,
  connected,
  filledQueue,
  onChannel,
  queueOn,
  refused,
  take,
  takeAll,
  withExchange,
} = require('./amqplib_scene');
const { fresh } = require('./verbs');

async function exchange_assert_of_every_type(url) {
  await onChannel(url, async (channel) => {
    for (const type of ['direct', 'fanout', 'topic', 'headers']) {
      const name = fresh('exchange');
      assert.deepStrictEqual(await channel.assertExchange(name, type), { exchange: name });
      await channel.assertExchange(name, type);
      await channel.deleteExchange(name);
    }
  });
}

async function exchange_check(url) {
  await onChannel(url, async (channel, connection) => {
    await withExchange(connection, 'direct', {}, (exchange) => channel.checkExchange(exchange));
    await refused(404, () => channel.checkExchange(fresh('missing')));
  });
}

async function exchange_assert_internal_with_alternate(url) {
  await onChannel(url, async (channel, connection) => {
    await withExchange(connection, 'fanout', { internal: true, durable: false }, async (alternate) => {
      const queue = await queueOn(channel);
      await channel.bindQueue(queue, alternate, '');
      await withExchange(connection, 'direct', { alternateExchange: alternate }, async (exchange) => {
        channel.publish(exchange, 'nobody', Buffer.from('left over'));
        assert.strictEqual(await take(channel, queue), 'left over');
      });
    });
  });
}

async function exchange_assert_auto_delete(url) {
  await onChannel(url, async (channel) => {
    const { exchange } = await channel.assertExchange(fresh('exchange'), 'direct', { autoDelete: true });
    const queue = await queueOn(channel);
    await channel.bindQueue(queue, exchange, 'key');
    await channel.unbindQueue(queue, exchange, 'key');
    await refused(404, () => channel.checkExchange(exchange));
  });
}

async function exchange_assert_inequivalent(url) {
  await onChannel(url, async (channel, connection) => {
    await withExchange(connection, 'direct', {}, (exchange) =>
      refused(406, () => channel.assertExchange(exchange, 'fanout')),
    );
  });
}

async function exchange_delete(url) {
  await onChannel(url, async (channel, connection) => {
    await withExchange(connection, 'direct', {}, async (exchange) => {
      await channel.deleteExchange(exchange);
      await channel.deleteExchange(exchange);
    });
    await withExchange(connection, 'direct', {}, async (used) => {
      await channel.bindQueue(await queueOn(channel), used, 'key');
      await refused(406, () => channel.deleteExchange(used, { ifUnused: true }));
    });
  });
}

async function exchange_bind_and_unbind(url) {
  await onChannel(url, (channel, connection) =>
    withExchange(connection, 'topic', {}, (source) =>
      withExchange(connection, 'fanout', {}, async (destination) => {
        const queue = await queueOn(channel);
        await channel.bindQueue(queue, destination, '');
        await channel.bindExchange(destination, source, 'a.*', { note: 'kept' });
        channel.publish(source, 'a.b', Buffer.from('through two'));
        assert.strictEqual(await take(channel, queue), 'through two');
        await channel.unbindExchange(destination, source, 'a.*', { note: 'kept' });
        channel.publish(source, 'a.b', Buffer.from('unbound'));
        assert.strictEqual(await take(channel, queue), false);
      }),
    ),
  );
}

async function queue_assert_with_every_option(url) {
  await onChannel(url, async (channel) => {
    const name = fresh('queue');
    const options = {
      durable: true,
      autoDelete: true,
      arguments: { 'x-single-active-consumer': true },
      messageTtl: 60_000,
      expires: 120_000,
      deadLetterExchange: 'amq.fanout',
      deadLetterRoutingKey: 'dead',
      maxLength: 10,
      maxPriority: 5,
      overflow: 'drop-head',
    };
    const ok = await channel.assertQueue(name, options);
    assert.deepStrictEqual(ok, { queue: name, messageCount: 0, consumerCount: 0 });
    await channel.assertQueue(name, options);
    const { consumerTag } = await channel.consume(name, () => {});
    assert.strictEqual((await channel.checkQueue(name)).consumerCount, 1);
    await channel.cancel(consumerTag);
    await refused(404, () => channel.checkQueue(name));
  });
}

async function queue_check_counts_messages(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, 'one', 'two', 'three');
    assert.strictEqual((await channel.checkQueue(queue)).messageCount, 3);
  });
}

async function queue_assert_named_by_the_server(url) {
  await onChannel(url, async (channel) => {
    const first = await channel.assertQueue('', { exclusive: true });
    const second = await channel.assertQueue(undefined, { exclusive: true });
    assert.match(first.queue, /^amq\.gen-/);
    assert.notStrictEqual(first.queue, second.queue);
    channel.sendToQueue(second.queue, Buffer.from('to the last one'));
    assert.strictEqual(await take(channel, ''), 'to the last one');
  });
}

async function queue_assert_inequivalent(url) {
  await onChannel(url, async (channel) => {
    const queue = await queueOn(channel, { messageTtl: 1000 });
    await refused(406, () => channel.assertQueue(queue, { exclusive: true, messageTtl: 2000 }));
  });
}

async function queue_assert_exclusive_to_the_connection(url) {
  const queue = await onChannel(url, async (owner) => {
    const name = await queueOn(owner);
    await onChannel(url, (other) => refused(405, () => other.checkQueue(name)));
    return name;
  });
  await onChannel(url, (later) => refused(404, () => later.checkQueue(queue)));
}

async function queue_bind_and_unbind(url) {
  await onChannel(url, (channel, connection) =>
    withExchange(connection, 'topic', {}, async (exchange) => {
      const queue = await queueOn(channel);
      await channel.bindQueue(queue, exchange, '#.error');
      await channel.bindQueue(queue, exchange, '#.error');
      channel.publish(exchange, 'disk.error', Buffer.from('bound'));
      assert.deepStrictEqual(await takeAll(channel, queue), ['bound']);
      await channel.unbindQueue(queue, exchange, '#.error');
      channel.publish(exchange, 'disk.error', Buffer.from('unbound'));
      assert.strictEqual(await take(channel, queue), false);
    }),
  );
}

async function queue_bind_by_headers(url) {
  await onChannel(url, (channel, connection) =>
    withExchange(connection, 'headers', {}, async (exchange) => {
      const queue = await queueOn(channel);
      await channel.bindQueue(queue, exchange, '', { 'x-match': 'any', format: 'pdf', pages: 3 });
      for (const headers of [{ format: 'png', pages: 3 }, { format: 'png', pages: 4 }, {}]) {
        channel.publish(exchange, '', Buffer.from(JSON.stringify(headers)), { headers });
      }
      assert.deepStrictEqual(await takeAll(channel, queue), ['{"format":"png","pages":3}']);
    }),
  );
}

async function queue_bind_to_a_missing_exchange(url) {
  await onChannel(url, async (channel) => {
    const queue = await queueOn(channel);
    await refused(404, () => channel.bindQueue(queue, fresh('missing'), 'key'));
  });
}

async function queue_purge(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, 'one', 'two', 'three');
    await channel.get(queue);
    assert.deepStrictEqual(await channel.purgeQueue(queue), { messageCount: 2 });
    assert.strictEqual(await take(channel, queue), false);
  });
}

async function queue_delete(url) {
  await connected(url, {}, async (connection) => {
    const channel = await channelOf(connection);
    assert.deepStrictEqual(await channel.deleteQueue(fresh('missing')), { messageCount: 0 });
    const queue = await filledQueue(connection, 'one', 'two');
    await refused(406, () => channel.deleteQueue(queue, { ifEmpty: true }));
    const busy = await channelOf(connection);
    await busy.consume(queue, () => {});
    await refused(406, () => busy.deleteQueue(queue, { ifUnused: true }));
    const last = await channelOf(connection);
    assert.deepStrictEqual(await last.deleteQueue(queue), { messageCount: 2 });
    await refused(404, () => last.checkQueue(queue));
  });
}

AMQPLIB.add(
  exchange_assert_of_every_type,
  exchange_check,
  exchange_assert_internal_with_alternate,
  exchange_assert_auto_delete,
  exchange_assert_inequivalent,
  exchange_delete,
  exchange_bind_and_unbind,
  queue_assert_with_every_option,
  queue_check_counts_messages,
  queue_assert_named_by_the_server,
  queue_assert_inequivalent,
  queue_assert_exclusive_to_the_connection,
  queue_bind_and_unbind,
  queue_bind_by_headers,
  queue_bind_to_a_missing_exchange,
  queue_purge,
  queue_delete,
);
