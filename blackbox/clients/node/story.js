// Google's Node client plays the story that all clients play. Usage: node story.js PROJECT STEP...
'use strict';

const assert = require('node:assert/strict');
const {createRequire} = require('node:module');
// The packages lie in a cache, not beside this file.
const {PubSub, Encodings, SchemaTypes, v1} = createRequire(process.env.STORY_MODULES + '/')('@google-cloud/pubsub');

const MESSAGES = 1000, KEYS = 10, PATIENCE = 30_000;
const project = process.argv[2];
const pubsub = new PubSub({projectId: project});
let low; // the generated client of subscriptions, for unary pulls

const topicName = name => `projects/${project}/topics/${name}`;
const subName = name => `projects/${project}/subscriptions/${name}`;

const GRPC = {INVALID_ARGUMENT: 3, NOT_FOUND: 5, ALREADY_EXISTS: 6};

async function refused(code, call) {
  await assert.rejects(call, problem => {
    assert.equal(problem.code, GRPC[code], `${problem.message}`);
    return true;
  });
}

// within fails when a promise takes too long.
function within(promise, what) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(what())), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function pair(name, options = {}) {
  const [topic] = await pubsub.createTopic(name);
  const [subscription] = await topic.createSubscription(name, options);
  return {topic, subscription};
}

async function send(name, ...texts) {
  const topic = pubsub.topic(name);
  for (const text of texts) {
    await topic.publishMessage({data: Buffer.from(text)});
  }
}

async function pull(name, count) {
  const got = [];
  const end = Date.now() + PATIENCE;
  while (got.length < count) {
    assert.ok(Date.now() < end, `only ${got.length} of ${count} messages came`);
    const [answer] = await low.pull({subscription: subName(name), maxMessages: count - got.length}, {timeout: PATIENCE});
    got.push(...answer.receivedMessages);
  }
  return got;
}

async function pullNow(name) {
  const [answer] = await low.pull({subscription: subName(name), maxMessages: 100, returnImmediately: true});
  return answer.receivedMessages;
}

const ack = (name, got) => low.acknowledge({subscription: subName(name), ackIds: got.map(r => r.ackId)});
const nack = (name, got) => low.modifyAckDeadline({subscription: subName(name), ackIds: got.map(r => r.ackId), ackDeadlineSeconds: 0});
const texts = got => got.map(r => r.message.data.toString()).sort();

async function create() {
  const [topic] = await pubsub.createTopic({name: 'orders', labels: {team: 'sales'}});
  assert.equal(topic.name, topicName('orders'));
  const [subscription] = await topic.createSubscription('orders', {enableMessageOrdering: true, ackDeadlineSeconds: 20});
  assert.equal(subscription.metadata.ackDeadlineSeconds, 20);
  await refused('ALREADY_EXISTS', () => pubsub.createTopic('orders'));
  const [topics] = await pubsub.getTopics();
  assert.deepEqual(topics.map(t => t.name), [topicName('orders')]);
  const [attached] = await topic.getSubscriptions();
  assert.deepEqual(attached.map(s => s.name), [subName('orders')]);
}

async function publish() {
  const topic = pubsub.topic('orders', {messageOrdering: true});
  // The last digit is the key, but messages that end with 7 have none: some of them are given back, which with a key would bring all
  // later ones of the key a second time.
  const ids = await within(Promise.all(Array.from({length: MESSAGES}, (_, n) => topic.publishMessage({
    data: Buffer.from(`message ${n}`), attributes: {number: String(n), color: 'red'},
    ...(n % KEYS === 7 ? {} : {orderingKey: `key-${n % KEYS}`}),
  }))), () => 'not everything was published');
  assert.equal(new Set(ids).size, MESSAGES);
}

async function receive() {
  const nacked = new Set(), acked = [], ordered = new Map();
  const subscription = pubsub.subscription('orders');
  await within(new Promise((done, fail) => {
    subscription.on('error', fail);
    subscription.on('message', message => {
      const number = Number(message.attributes.number);
      if (message.data.toString() !== `message ${number}` || message.attributes.color !== 'red') {
        fail(new Error(`message ${number} is not what was published`));
      }
      if (number % 50 === 7 && !nacked.has(number)) {
        nacked.add(number);
        message.nack();
        return;
      }
      acked.push(number);
      if (message.orderingKey) {
        ordered.set(message.orderingKey, [...(ordered.get(message.orderingKey) || []), number]);
      }
      message.ack();
      if (acked.length >= MESSAGES) {
        done();
      }
    });
  }), () => `only ${acked.length} messages were acknowledged`);
  await subscription.close();
  assert.equal(nacked.size, MESSAGES / 50);
  assert.deepEqual([...acked].sort((a, b) => a - b), Array.from({length: MESSAGES}, (_, n) => n), 'not every message was acknowledged once');
  assert.equal(ordered.size, KEYS - 1);
  for (const [key, numbers] of ordered) {
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b), `${key} is out of order`);
  }
  assert.deepEqual(await pullNow('orders'), [], 'something is left');
}

async function pullStep() {
  await pair('pulled');
  await send('pulled', 'a', 'b', 'c', 'd');
  const first = await pull('pulled', 4);
  assert.deepEqual(texts(first), ['a', 'b', 'c', 'd']);
  await ack('pulled', first.slice(0, 2));
  await nack('pulled', first.slice(2));
  const again = await pull('pulled', 2);
  assert.deepEqual(texts(again), texts(first.slice(2)));
  await ack('pulled', again);
  assert.deepEqual(await pullNow('pulled'), [], 'something is left');
}

async function update() {
  const subscription = pubsub.subscription('pulled');
  await subscription.setMetadata({ackDeadlineSeconds: 77, labels: {a: 'b'}, expirationPolicy: {}});
  const [stored] = await subscription.getMetadata();
  assert.equal(stored.ackDeadlineSeconds, 77);
  assert.deepEqual({...stored.labels}, {a: 'b'});
  assert.ok(stored.expirationPolicy && !stored.expirationPolicy.ttl, 'it expires');
  const topic = pubsub.topic('pulled');
  await topic.setMetadata({messageRetentionDuration: {seconds: 3600}});
  const [changed] = await topic.getMetadata();
  assert.equal(Number(changed.messageRetentionDuration.seconds), 3600);
  await refused('INVALID_ARGUMENT', () => subscription.setMetadata({enableMessageOrdering: true}));
}

async function filter() {
  const {topic} = await pair('filtered', {filter: 'attributes.color = "red" AND NOT hasPrefix(attributes.size, "x")'});
  for (const [color, size] of [['red', 'xl'], ['blue', 's'], ['red', 's']]) {
    await topic.publishMessage({data: Buffer.from(`${color} ${size}`), attributes: {color, size}});
  }
  const got = await pull('filtered', 1);
  assert.deepEqual(texts(got), ['red s']);
  await ack('filtered', got);
  assert.deepEqual(await pullNow('filtered'), [], 'something is left');
}

async function seek() {
  const {subscription} = await pair('sought', {retainAckedMessages: true});
  await send('sought', 'a', 'b', 'c');
  await ack('sought', await pull('sought', 3));
  await subscription.seek(new Date(Date.now() - 3_600_000));
  assert.deepEqual(texts(await pull('sought', 3)), ['a', 'b', 'c']);
  await subscription.seek(new Date(Date.now() + 3_600_000));
  assert.deepEqual(await pullNow('sought'), [], 'something is left after a seek to the future');
}

async function snapshot() {
  const {subscription} = await pair('frozen');
  await send('frozen', 'a', 'b');
  const [made] = await subscription.createSnapshot('frozen');
  assert.equal(made.metadata.topic, topicName('frozen'));
  await ack('frozen', await pull('frozen', 2));
  await subscription.seek('frozen');
  const got = await pull('frozen', 2);
  assert.deepEqual(texts(got), ['a', 'b']);
  await ack('frozen', got);
  const [listed] = await pubsub.getSnapshots();
  assert.deepEqual(listed.map(s => s.name), [`projects/${project}/snapshots/frozen`]);
  await made.delete();
  const [left] = await pubsub.getSnapshots();
  assert.deepEqual(left, []);
}

async function schema() {
  const definition = JSON.stringify({type: 'record', name: 'Order', fields: [{name: 'id', type: 'string'}]});
  const made = await pubsub.createSchema('order', SchemaTypes.Avro, definition);
  const name = await made.getName();
  await pubsub.createTopic({name: 'checked', schemaSettings: {schema: name, encoding: Encodings.Json}});
  await pubsub.topic('checked').createSubscription('checked');
  await send('checked', '{"id": "17"}');
  await refused('INVALID_ARGUMENT', () => send('checked', '{"id": 17}'));
  const got = await pull('checked', 1);
  assert.deepEqual(texts(got), ['{"id": "17"}']);
  assert.equal(got[0].message.attributes.googclient_schemaencoding, 'JSON');
  await ack('checked', got);
  const listed = [];
  for await (const s of pubsub.listSchemas()) {
    listed.push(s.name);
  }
  assert.deepEqual(listed, [name]);
  await refused('INVALID_ARGUMENT', () => pubsub.validateSchema({type: SchemaTypes.Avro, definition: '{'}));
  await pubsub.topic('checked').delete();
  await made.delete();
  await refused('NOT_FOUND', () => made.get());
}

async function deadLetter() {
  await pair('dead');
  await pair('alive', {deadLetterPolicy: {deadLetterTopic: topicName('dead'), maxDeliveryAttempts: 5}});
  await send('alive', 'poison');
  for (let attempt = 1; attempt <= 5; attempt++) {
    const got = await pull('alive', 1);
    assert.equal(got[0].deliveryAttempt, attempt);
    await nack('alive', got);
  }
  const moved = await pull('dead', 1);
  assert.deepEqual(texts(moved), ['poison']);
  assert.equal(moved[0].message.attributes.CloudPubSubDeadLetterSourceSubscription, 'alive');
  assert.equal(moved[0].message.attributes.CloudPubSubDeadLetterSourceDeliveryCount, '5');
  await ack('dead', moved);
  assert.deepEqual(await pullNow('alive'), [], 'something is left');
}

async function exactlyOnce() {
  const {subscription} = await pair('once', {enableExactlyOnceDelivery: true});
  await send('once', ...Array.from({length: 20}, (_, n) => String(n)));
  const confirmed = [];
  await within(new Promise((done, fail) => {
    subscription.on('error', fail);
    subscription.on('message', async message => {
      try {
        await message.ackWithResponse();
      } catch (problem) {
        fail(new Error(`${message.data}: ${JSON.stringify(problem)}`));
        return;
      }
      confirmed.push(Number(message.data.toString()));
      if (confirmed.length === 20) {
        done();
      }
    });
  }), () => `only ${confirmed.length} acknowledgements were confirmed`);
  await subscription.close();
  assert.deepEqual(confirmed.sort((a, b) => a - b), Array.from({length: 20}, (_, n) => n));

  await send('once', 'late');
  const old = await pull('once', 1);
  await nack('once', old);
  const fresh = await pull('once', 1);
  await refused('INVALID_ARGUMENT', () => ack('once', old));
  await ack('once', fresh);
}

async function permissions() {
  const {iam} = pubsub.topic('orders');
  const [before] = await iam.getPolicy();
  assert.deepEqual(before.bindings, []);
  await iam.setPolicy({...before, bindings: [{role: 'roles/pubsub.publisher', members: ['user:a@example.com']}]});
  const [after] = await iam.getPolicy();
  assert.deepEqual(after.bindings.map(b => b.role), ['roles/pubsub.publisher']);
  const [held] = await iam.testPermissions(['pubsub.topics.publish', 'pubsub.topics.get']);
  assert.deepEqual(held, {'pubsub.topics.publish': true, 'pubsub.topics.get': true});
}

async function deleteStep() {
  const [subscriptions] = await pubsub.getSubscriptions();
  await Promise.all(subscriptions.map(s => s.delete()));
  const [topics] = await pubsub.getTopics();
  await Promise.all(topics.map(t => t.delete()));
  await refused('NOT_FOUND', () => pubsub.topic('orders').getMetadata());
  await refused('NOT_FOUND', () => pubsub.subscription('orders').getMetadata());
}

const steps = {
  create, publish, receive, pull: pullStep, update, filter, seek, snapshot, schema,
  'dead letter': deadLetter, 'exactly once': exactlyOnce, permissions, delete: deleteStep,
};

async function main() {
  await pubsub.getClientConfig(); // the emulator's address, for the generated client as well
  low = new v1.SubscriberClient(pubsub.options);
  for (const step of process.argv.slice(3)) {
    try {
      await steps[step]();
    } catch (problem) {
      console.log(`FAIL ${step}: ${problem.stack || problem}`.replaceAll('\n', ' '));
      process.exit(1);
    }
    console.log(`ok ${step}`);
  }
  process.exit(0); // open channels would keep the process for a while
}

main();
