'use strict';
// amqplib: the broker is killed and started again; once by hand on the 'close' event, once with the library's own
// recovery.

const assert = require('node:assert');
const { setTimeout: pause } = require('node:timers/promises');
const amqplib = require('amqplib');
const { AMQPLIB, event, Mailbox } = require('./amqplib_scene');
const { ask, fresh } = require('./verbs');

/** A connection, however often it must be tried while the broker is still starting. */
async function reconnected(url) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const connection = await amqplib.connect(url);
      connection.on('error', () => {});
      return connection;
    } catch (error) {
      if (attempt === 80) throw error;
      await pause(250);
    }
  }
}

async function restart_confirmed_messages_survive(url) {
  const connection = await reconnected(url);
  const channel = await connection.createConfirmChannel();
  const [exchange, queue] = [fresh('exchange'), fresh('queue')];
  await channel.assertExchange(exchange, 'topic');
  await channel.assertQueue(queue);
  await channel.bindQueue(queue, exchange, 'kept.#');
  for (let number = 0; number < 100; number += 1) {
    channel.publish(exchange, 'kept.here', Buffer.from(String(number)), { persistent: true });
  }
  await channel.waitForConfirms();
  const closed = event(connection, 'close');
  await ask('restart');
  await closed;
  const again = await (await reconnected(url)).createConfirmChannel();
  await again.checkExchange(exchange);
  for (let number = 0; number < 100; number += 1) {
    assert.strictEqual((await again.get(queue, { noAck: true })).content.toString(), String(number));
  }
  again.publish(exchange, 'kept.binding', Buffer.from('afterwards'), { persistent: true });
  await again.waitForConfirms();
  assert.deepStrictEqual(await again.deleteQueue(queue), { messageCount: 1 });
  await again.deleteExchange(exchange);
}

async function restart_a_consumer_reconnects_on_close(url) {
  const queue = fresh('queue');
  const mailbox = new Mailbox();
  const closings = [];
  let channel;
  const consume = async () => {
    const connection = await reconnected(url);
    connection.once('close', () => {
      closings.push('close');
      if (closings.length === 1) consume();
    });
    channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue);
    await channel.consume(queue, mailbox.put);
  };
  await consume();
  channel.sendToQueue(queue, Buffer.from('unsettled'), { persistent: true });
  await channel.waitForConfirms();
  assert.strictEqual((await mailbox.take()).fields.redelivered, false);
  await ask('restart');
  const { content, fields } = await mailbox.take();
  assert.deepStrictEqual([content.toString(), fields.redelivered], ['unsettled', true]);
  await channel.deleteQueue(queue);
  await channel.connection.close(() => {});
}

async function restart_the_library_recovers(url) {
  const queue = fresh('queue');
  const mailbox = new Mailbox();
  const setup = async (model) => {
    const channel = await model.createChannel();
    await channel.assertQueue(queue);
    await channel.consume(queue, mailbox.put, { noAck: true });
  };
  const recovery = { initialDelay: 100, maxDelay: 500, setup };
  const recovering = await amqplib.connect(url, { recovery });
  recovering.on('error', () => {});
  const [disconnected, connected] = [event(recovering, 'disconnect'), event(recovering, 'connect')];
  await ask('restart');
  await disconnected;
  await connected;
  const channel = await recovering.createConfirmChannel();
  channel.sendToQueue(queue, Buffer.from('to the consumer that was set up again'));
  await channel.waitForConfirms();
  assert.match((await mailbox.take()).content.toString(), /set up again/);
  await channel.deleteQueue(queue);
  await recovering.close();
}

AMQPLIB.addRestarting(
  restart_confirmed_messages_survive,
  restart_a_consumer_reconnects_on_close,
  restart_the_library_recovers,
);
