'use strict';
// amqplib: publishing, consuming, settling.

const assert = require('node:assert');
const {
  AMQPLIB,
  Mailbox,
  channelOf,
  confirmChannelOf,
  connected,
  event,
  filledQueue,
  onChannel,
  queueOn,
  take,
  takeAll,
  withExchange,
} = require('./amqplib_scene');
const { fresh } = require('./verbs');

const HEADERS = {
  string: 'grüße',
  bytes: Buffer.from([0, 255]),
  true: true,
  false: false,
  int8: -7,
  int16: -3000,
  int32: 2_000_000_000,
  int64: 2 ** 40,
  uint8: { '!': 'uint8', value: 200 },
  uint16: { '!': 'uint16', value: 60_000 },
  uint32: { '!': 'uint32', value: 4_000_000_000 },
  double: 3.5,
  float: { '!': 'float', value: 0.25 },
  decimal: { '!': 'decimal', value: { places: 2, digits: 325 } },
  timestamp: { '!': 'timestamp', value: 1_790_000_000 },
  void: null,
  table: { deep: { deeper: [1, 'two', { three: 3 }] } },
  array: [1, 'two', false, null, [3, 4]],
};

/** Headers as they are read: the types that only say how to write a number are gone. */
function asRead(headers) {
  const plain = ['uint8', 'uint16', 'uint32', 'float'];
  const read = ([name, value]) => [name, plain.includes(value?.['!']) ? value.value : value];
  return Object.fromEntries(Object.entries(headers).map(read));
}

async function publish_every_property(url) {
  const properties = {
    contentType: 'text/plain',
    contentEncoding: 'utf-8',
    headers: HEADERS,
    deliveryMode: 2,
    priority: 9,
    correlationId: 'correlation',
    replyTo: 'reply',
    expiration: '60000',
    messageId: 'message',
    timestamp: 1_790_000_000,
    type: 'kind',
    userId: 'guest',
    appId: 'application',
  };
  await onChannel(url, async (channel) => {
    const queue = await queueOn(channel);
    channel.sendToQueue(queue, Buffer.from('body'), properties);
    const { content, properties: received } = await channel.get(queue, { noAck: true });
    assert.strictEqual(content.toString(), 'body');
    assert.deepStrictEqual(received, { ...properties, headers: asRead(HEADERS), clusterId: undefined });
  });
}

async function publish_with_carbon_copies(url) {
  await onChannel(url, async (channel) => {
    const [first, second, third] = await Promise.all([1, 2, 3].map(() => queueOn(channel)));
    channel.publish('', first, Buffer.from('copied'), { CC: [second], BCC: third, persistent: true });
    const { properties } = await channel.get(first, { noAck: true });
    assert.deepStrictEqual(properties.headers, { CC: [second] });
    assert.strictEqual(properties.deliveryMode, 2);
    assert.strictEqual(await take(channel, second), 'copied');
    assert.strictEqual(await take(channel, third), 'copied');
  });
}

async function publish_a_body_of_many_frames(url) {
  await onChannel(url, async (channel) => {
    const queue = await queueOn(channel);
    const body = Buffer.alloc(1 << 20, 'a body of many frames ');
    channel.sendToQueue(queue, body);
    channel.sendToQueue(queue, Buffer.alloc(0));
    assert.strictEqual(await take(channel, queue), body.toString());
    assert.strictEqual(await take(channel, queue), '');
  });
}

async function publish_until_the_buffer_is_full_and_drained(url) {
  await connected(url, {}, async (connection) => {
    const channel = await channelOf(connection, { highWaterMark: 4 });
    const queue = await queueOn(channel);
    const drained = event(channel, 'drain');
    let sent = 0;
    while (channel.sendToQueue(queue, Buffer.alloc(4096))) sent += 1;
    await drained;
    assert.deepStrictEqual(await channel.deleteQueue(queue), { messageCount: sent + 1 });
  });
}

async function publish_returns_an_unroutable_message(url) {
  await onChannel(url, async (channel) => {
    const returned = event(channel, 'return');
    const key = fresh('missing');
    channel.publish('', key, Buffer.from('come back'), { mandatory: true, messageId: 'returned' });
    const [{ fields, properties, content }] = await returned;
    assert.deepStrictEqual({ ...fields }, { replyCode: 312, replyText: 'NO_ROUTE', exchange: '', routingKey: key });
    assert.strictEqual(properties.messageId, 'returned');
    assert.strictEqual(content.toString(), 'come back');
  });
}

async function publish_to_a_missing_exchange(url) {
  await onChannel(url, async (channel) => {
    const failed = event(channel, 'error');
    channel.publish(fresh('missing'), 'key', Buffer.from('lost'));
    assert.strictEqual((await failed)[0].code, 404);
  });
}

async function confirms_by_callback_and_all_at_once(url) {
  await connected(url, {}, async (connection) => {
    const channel = await confirmChannelOf(connection);
    const queue = await queueOn(channel);
    const confirmed = [];
    for (let number = 0; number < 20; number += 1) {
      channel.sendToQueue(queue, Buffer.from(String(number)), {}, (error) => confirmed.push(error));
    }
    channel.publish('', fresh('missing'), Buffer.from('dropped, and confirmed'), {}, (error) => confirmed.push(error));
    await channel.waitForConfirms();
    assert.deepStrictEqual(confirmed, Array(21).fill(null));
    assert.strictEqual((await takeAll(channel, queue)).length, 20);
  });
}

async function confirms_refuse_what_overflows(url) {
  await connected(url, {}, async (connection) => {
    const channel = await confirmChannelOf(connection, { highWaterMark: 100 });
    const queue = await queueOn(channel, { maxLength: 1, overflow: 'reject-publish' });
    channel.sendToQueue(queue, Buffer.from('fits'));
    await channel.waitForConfirms();
    channel.sendToQueue(queue, Buffer.from('does not fit'));
    await assert.rejects(channel.waitForConfirms(), /nacked/);
    assert.deepStrictEqual(await takeAll(channel, queue), ['fits']);
  });
}

async function get(url) {
  await onChannel(url, (channel, connection) =>
    withExchange(connection, 'fanout', {}, async (exchange) => {
      const queue = await queueOn(channel);
      assert.strictEqual(await channel.get(queue), false);
      await channel.bindQueue(queue, exchange, '');
      channel.publish(exchange, 'key', Buffer.from('one'));
      channel.publish(exchange, 'key', Buffer.from('two'));
      const message = await channel.get(queue);
      const wanted = { deliveryTag: 1, redelivered: false, exchange, routingKey: 'key', messageCount: 1 };
      assert.deepStrictEqual({ ...message.fields }, wanted);
      channel.ack(message);
      assert.deepStrictEqual(await takeAll(channel, queue), ['two']);
    }),
  );
}

async function consume_and_cancel(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, 'one', 'two', 'three');
    await channel.prefetch(2);
    const mailbox = new Mailbox();
    const { consumerTag } = await channel.consume(queue, mailbox.put, { consumerTag: 'mine' });
    assert.strictEqual(consumerTag, 'mine');
    const [first, second] = [await mailbox.take(), await mailbox.take()];
    assert.deepStrictEqual([first.fields.consumerTag, first.fields.deliveryTag], ['mine', 1]);
    assert.deepStrictEqual(await channel.cancel('mine'), { consumerTag: 'mine' });
    channel.ack(first);
    channel.ack(second);
    assert.deepStrictEqual(await takeAll(channel, queue), ['three']);
  });
}

async function consume_with_every_option(url) {
  await connected(url, {}, async (connection) => {
    const [low, high] = [await channelOf(connection), await channelOf(connection)];
    const queue = await queueOn(low);
    const [lower, higher] = [new Mailbox(), new Mailbox()];
    await low.consume(queue, lower.put, { noAck: true, noLocal: true, priority: 1 });
    await high.consume(queue, higher.put, { noAck: true, priority: 5, arguments: { note: 'kept' } });
    for (let number = 0; number < 4; number += 1) low.sendToQueue(queue, Buffer.from('to the higher'));
    for (let number = 0; number < 4; number += 1) await higher.take();
    assert.deepStrictEqual(lower.letters, []);
  });
}

async function consume_exclusively(url) {
  await connected(url, {}, async (connection) => {
    const [owner, other] = [await channelOf(connection), await channelOf(connection)];
    const queue = await queueOn(owner);
    await owner.consume(queue, () => {}, { exclusive: true });
    await assert.rejects(other.consume(queue, () => {}), { code: 403 });
  });
}

async function cancel_by_the_broker_is_notified(url) {
  await onChannel(url, async (channel) => {
    const queue = await queueOn(channel);
    const mailbox = new Mailbox();
    await channel.consume(queue, mailbox.put);
    await channel.deleteQueue(queue);
    assert.strictEqual(await mailbox.take(), null);
  });
}

async function prefetch_for_each_consumer_and_for_the_channel(url) {
  for (const [global, wanted] of [[false, 4], [true, 2]]) {
    await onChannel(url, async (channel, connection) => {
      const queue = await filledQueue(connection, ...Array(10).fill('message'));
      await (global ? channel.qos(2, true) : channel.prefetch(2, false));
      const mailbox = new Mailbox();
      await channel.consume(queue, mailbox.put);
      await channel.consume(queue, mailbox.put);
      for (let number = 0; number < wanted; number += 1) await mailbox.take();
      assert.strictEqual((await channel.checkQueue(queue)).messageCount, 10 - wanted);
      assert.deepStrictEqual(mailbox.letters, []);
    });
  }
}

async function ack_one_many_and_all(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, '1', '2', '3', '4', '5', '6');
    const messages = [];
    for (let number = 0; number < 5; number += 1) messages.push(await channel.get(queue));
    channel.ack(messages[0]);
    channel.ack(messages[2], true);
    await channel.recover();
    const [fourth, fifth] = [await channel.get(queue), await channel.get(queue)];
    assert.deepStrictEqual([fourth, fifth].map(({ content }) => content.toString()), ['4', '5']);
    channel.ackAll();
    await channel.recover();
    assert.deepStrictEqual(await takeAll(channel, queue), ['6']);
  });
}

async function nack_one_many_and_all(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, '1', '2', '3', '4');
    const messages = [];
    for (let number = 0; number < 4; number += 1) messages.push(await channel.get(queue));
    channel.nack(messages[0], false, false);
    channel.nack(messages[2], true);
    const again = await channel.get(queue);
    assert.deepStrictEqual([again.fields.redelivered, again.content.toString()], [true, '2']);
    channel.nackAll();
    assert.deepStrictEqual(await takeAll(channel, queue), ['2', '3', '4']);
  });
}

async function reject_to_a_dead_letter_exchange(url) {
  await onChannel(url, (channel, connection) =>
    withExchange(connection, 'fanout', {}, async (deadLetterExchange) => {
      const graveyard = await queueOn(channel);
      await channel.bindQueue(graveyard, deadLetterExchange, '');
      const queue = await queueOn(channel, { deadLetterExchange });
      channel.sendToQueue(queue, Buffer.from('twice'));
      channel.reject(await channel.get(queue));
      const again = await channel.get(queue);
      assert.strictEqual(again.fields.redelivered, true);
      const mailbox = new Mailbox();
      await channel.consume(graveyard, mailbox.put, { noAck: true });
      channel.reject(again, false);
      const { content, properties } = await mailbox.take();
      assert.strictEqual(content.toString(), 'twice');
      const [death] = properties.headers['x-death'];
      assert.deepStrictEqual([death.queue, death.reason, death.count], [queue, 'rejected', 1]);
    }),
  );
}

async function recover(url) {
  await onChannel(url, async (channel, connection) => {
    const queue = await filledQueue(connection, 'one', 'two');
    await channel.get(queue);
    await channel.get(queue);
    await channel.recover();
    const again = await channel.get(queue);
    assert.deepStrictEqual([again.fields.redelivered, again.content.toString()], [true, 'one']);
  });
}

async function ack_of_an_unknown_tag(url) {
  await onChannel(url, async (channel) => {
    const failed = event(channel, 'error');
    channel.ack({ fields: { deliveryTag: 99 } });
    assert.strictEqual((await failed)[0].code, 406);
  });
}

async function direct_reply_to(url) {
  await connected(url, {}, async (connection) => {
    const [client, server] = [await channelOf(connection), await channelOf(connection)];
    const queue = await queueOn(server);
    const [answers, questions] = [new Mailbox(), new Mailbox()];
    await server.consume(queue, questions.put, { noAck: true });
    await client.consume('amq.rabbitmq.reply-to', answers.put, { noAck: true });
    client.sendToQueue(queue, Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '1' });
    const { properties } = await questions.take();
    server.sendToQueue(properties.replyTo, Buffer.from('answer'), { correlationId: properties.correlationId });
    const answer = await answers.take();
    assert.deepStrictEqual([answer.content.toString(), answer.properties.correlationId], ['answer', '1']);
  });
}

AMQPLIB.add(
  publish_every_property,
  publish_with_carbon_copies,
  publish_a_body_of_many_frames,
  publish_until_the_buffer_is_full_and_drained,
  publish_returns_an_unroutable_message,
  publish_to_a_missing_exchange,
  confirms_by_callback_and_all_at_once,
  confirms_refuse_what_overflows,
  get,
  consume_and_cancel,
  consume_with_every_option,
  consume_exclusively,
  cancel_by_the_broker_is_notified,
  prefetch_for_each_consumer_and_for_the_channel,
  ack_one_many_and_all,
  nack_one_many_and_all,
  reject_to_a_dead_letter_exchange,
  recover,
  ack_of_an_unknown_tag,
  direct_reply_to,
);
