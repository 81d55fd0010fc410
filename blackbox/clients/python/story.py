"""Google's Python client plays the story that all clients play. Usage: story.py PROJECT STEP..."""

import datetime
import os
import sys
import threading
import time

import grpc
from google.api_core import exceptions
from google.cloud import pubsub_v1
from google.cloud.pubsub_v1 import types
from google.cloud.pubsub_v1.subscriber import exceptions as ack_exceptions
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport

MESSAGES, KEYS, PATIENCE = 1000, 10, 30

project = sys.argv[1]
publisher = pubsub_v1.PublisherClient(publisher_options=types.PublisherOptions(enable_message_ordering=True))
subscriber = pubsub_v1.SubscriberClient()
schemas = pubsub_v1.SchemaServiceClient(  # which does not know the emulator's variable
    transport=SchemaServiceGrpcTransport(channel=grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"]))
)


def topic_name(name):
    return f"projects/{project}/topics/{name}"


def sub_name(name):
    return f"projects/{project}/subscriptions/{name}"


def check(truth, *what):
    if not truth:
        raise AssertionError(" ".join(str(w) for w in what))


def refused(kind, call):
    try:
        call()
    except kind:
        return
    raise AssertionError(f"it was not refused with {kind.__name__}")


def pair(name, **fields):
    """A topic and a subscription of one name."""
    publisher.create_topic(request={"name": topic_name(name)})
    return subscriber.create_subscription(request={"name": sub_name(name), "topic": topic_name(name), **fields})


def send(name, *texts):
    for text in texts:
        publisher.publish(topic_name(name), text.encode()).result(PATIENCE)


def pull(name, count):
    """Pulls until there are count messages."""
    got = []
    end = time.monotonic() + PATIENCE
    while len(got) < count:
        check(time.monotonic() < end, "only", len(got), "of", count, "messages came")
        answer = subscriber.pull(request={"subscription": sub_name(name), "max_messages": count - len(got)}, timeout=PATIENCE)
        got.extend(answer.received_messages)
    return got


def pull_now(name):
    return list(subscriber.pull(request={"subscription": sub_name(name), "max_messages": 100, "return_immediately": True}).received_messages)


def ack(name, received):
    subscriber.acknowledge(request={"subscription": sub_name(name), "ack_ids": [r.ack_id for r in received]})


def texts(received):
    return sorted(r.message.data.decode() for r in received)


def create():
    topic = publisher.create_topic(request={"name": topic_name("orders"), "labels": {"team": "sales"}})
    check(topic.labels["team"] == "sales", topic)
    made = subscriber.create_subscription(
        request={"name": sub_name("orders"), "topic": topic_name("orders"), "enable_message_ordering": True, "ack_deadline_seconds": 20}
    )
    check(made.enable_message_ordering and made.ack_deadline_seconds == 20, made)
    refused(exceptions.AlreadyExists, lambda: publisher.create_topic(request={"name": topic_name("orders")}))
    check([t.name for t in publisher.list_topics(request={"project": f"projects/{project}"})] == [topic_name("orders")], "list of topics")
    attached = list(publisher.list_topic_subscriptions(request={"topic": topic_name("orders")}))
    check(attached == [sub_name("orders")], "subscriptions of the topic:", attached)


def publish():
    futures = [
        # The last digit is the key, but messages that end with 7 have none: some of them are given back, which with a key would bring all
        # later ones of the key a second time.
        publisher.publish(topic_name("orders"), f"message {n}".encode(), "" if n % KEYS == 7 else f"key-{n % KEYS}", number=str(n), color="red")
        for n in range(MESSAGES)
    ]
    ids = {future.result(PATIENCE) for future in futures}
    check(len(ids) == MESSAGES, len(ids), "different ids")


def receive():
    lock, done = threading.Lock(), threading.Event()
    nacked, acked, ordered, problems = set(), [], {}, []

    def on(message):
        with lock:
            number = int(message.attributes["number"])
            if message.data.decode() != f"message {number}" or message.attributes["color"] != "red":
                problems.append(f"message {number} is not what was published: {message}")
            if number % 50 == 7 and number not in nacked:
                nacked.add(number)
                message.nack()
                return
            acked.append(number)
            if message.ordering_key:
                ordered.setdefault(message.ordering_key, []).append(number)
            message.ack()
            if len(acked) >= MESSAGES:
                done.set()

    pulling = subscriber.subscribe(sub_name("orders"), on)
    finished = done.wait(PATIENCE)
    pulling.cancel()
    pulling.result(PATIENCE)
    check(finished, "only", len(acked), "messages were acknowledged")
    check(not problems, problems[:1])
    check(len(nacked) == MESSAGES // 50, len(nacked), "messages were given back")
    check(sorted(acked) == list(range(MESSAGES)), "not every message was acknowledged once")
    check(len(ordered) == KEYS - 1, len(ordered), "keys")
    for key, numbers in ordered.items():
        check(numbers == sorted(numbers), key, "is out of order")
    check(not pull_now("orders"), "something is left")


def pull_step():
    pair("pulled")
    send("pulled", "a", "b", "c", "d")
    first = pull("pulled", 4)
    check(texts(first) == ["a", "b", "c", "d"], texts(first))
    ack("pulled", first[:2])
    subscriber.modify_ack_deadline(
        request={"subscription": sub_name("pulled"), "ack_ids": [r.ack_id for r in first[2:]], "ack_deadline_seconds": 0}
    )
    again = pull("pulled", 2)
    check(texts(again) == texts(first[2:]), texts(again))
    ack("pulled", again)
    check(not pull_now("pulled"), "something is left")


def update():
    subscription = subscriber.update_subscription(
        request={
            "subscription": {
                "name": sub_name("pulled"),
                "ack_deadline_seconds": 77,
                "labels": {"a": "b"},
                "expiration_policy": {},
            },
            "update_mask": {"paths": ["ack_deadline_seconds", "labels", "expiration_policy"]},
        }
    )
    check(subscription.ack_deadline_seconds == 77 and subscription.labels["a"] == "b", subscription)
    check(subscription == subscriber.get_subscription(request={"subscription": sub_name("pulled")}), "what is stored differs")
    topic = publisher.update_topic(
        request={
            "topic": {"name": topic_name("pulled"), "message_retention_duration": duration_pb2.Duration(seconds=3600)},
            "update_mask": {"paths": ["message_retention_duration"]},
        }
    )
    check(topic.message_retention_duration == datetime.timedelta(hours=1), topic)
    refused(
        exceptions.InvalidArgument,
        lambda: subscriber.update_subscription(
            request={"subscription": {"name": sub_name("pulled")}, "update_mask": {"paths": ["enable_message_ordering"]}}
        ),
    )


def filter_step():
    pair("filtered", filter='attributes.color = "red" AND NOT hasPrefix(attributes.size, "x")')
    for color, size in (("red", "xl"), ("blue", "s"), ("red", "s")):
        publisher.publish(topic_name("filtered"), f"{color} {size}".encode(), color=color, size=size).result(PATIENCE)
    got = pull("filtered", 1)
    check(texts(got) == ["red s"], texts(got))
    ack("filtered", got)
    check(not pull_now("filtered"), "something is left")


def seek():
    pair("sought", retain_acked_messages=True)
    send("sought", "a", "b", "c")
    ack("sought", pull("sought", 3))
    past, future = timestamp_pb2.Timestamp(), timestamp_pb2.Timestamp()
    past.FromSeconds(int(time.time()) - 3600)
    future.FromSeconds(int(time.time()) + 3600)
    subscriber.seek(request={"subscription": sub_name("sought"), "time": past})
    got = pull("sought", 3)
    check(texts(got) == ["a", "b", "c"], texts(got))
    subscriber.seek(request={"subscription": sub_name("sought"), "time": future})
    check(not pull_now("sought"), "something is left after a seek to the future")


def snapshot():
    pair("frozen")
    send("frozen", "a", "b")
    name = f"projects/{project}/snapshots/frozen"
    made = subscriber.create_snapshot(request={"name": name, "subscription": sub_name("frozen"), "labels": {"a": "b"}})
    check(made.topic == topic_name("frozen") and made.labels["a"] == "b", made)
    ack("frozen", pull("frozen", 2))
    subscriber.seek(request={"subscription": sub_name("frozen"), "snapshot": name})
    got = pull("frozen", 2)
    check(texts(got) == ["a", "b"], texts(got))
    ack("frozen", got)
    listed = [s.name for s in subscriber.list_snapshots(request={"project": f"projects/{project}"})]
    check(listed == [name], listed)
    changed = subscriber.update_snapshot(request={"snapshot": {"name": name, "labels": {"c": "d"}}, "update_mask": {"paths": ["labels"]}})
    check(dict(changed.labels) == {"c": "d"}, changed)
    subscriber.delete_snapshot(request={"snapshot": name})
    refused(exceptions.NotFound, lambda: subscriber.get_snapshot(request={"snapshot": name}))


def schema():
    parent, name = f"projects/{project}", f"projects/{project}/schemas/order"
    definition = '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}'
    made = schemas.create_schema(request={"parent": parent, "schema_id": "order", "schema": {"type_": "AVRO", "definition": definition}})
    check(made.name == name and made.revision_id, made)
    publisher.create_topic(request={"name": topic_name("checked"), "schema_settings": {"schema": name, "encoding": "JSON"}})
    subscriber.create_subscription(request={"name": sub_name("checked"), "topic": topic_name("checked")})
    send("checked", '{"id": "17"}')
    refused(exceptions.InvalidArgument, lambda: send("checked", '{"id": 17}'))
    got = pull("checked", 1)
    check(texts(got) == ['{"id": "17"}'] and got[0].message.attributes["googclient_schemaencoding"] == "JSON", got)
    ack("checked", got)
    check([s.name for s in schemas.list_schemas(request={"parent": parent})] == [name], "list of schemas")
    refused(exceptions.InvalidArgument, lambda: schemas.validate_schema(request={"parent": parent, "schema": {"type_": "AVRO", "definition": "{"}}))
    publisher.delete_topic(request={"topic": topic_name("checked")})
    schemas.delete_schema(request={"name": name})
    refused(exceptions.NotFound, lambda: schemas.get_schema(request={"name": name}))


def dead_letter():
    pair("dead")
    pair("alive", dead_letter_policy={"dead_letter_topic": topic_name("dead"), "max_delivery_attempts": 5})
    send("alive", "poison")
    for attempt in range(1, 6):
        got = pull("alive", 1)
        check(got[0].delivery_attempt == attempt, "attempt", got[0].delivery_attempt, "instead of", attempt)
        subscriber.modify_ack_deadline(request={"subscription": sub_name("alive"), "ack_ids": [got[0].ack_id], "ack_deadline_seconds": 0})
    moved = pull("dead", 1)
    attributes = moved[0].message.attributes
    check(texts(moved) == ["poison"] and attributes["CloudPubSubDeadLetterSourceSubscription"] == "alive", moved)
    check(attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5", attributes)
    ack("dead", moved)
    check(not pull_now("alive"), "something is left")


def exactly_once():
    pair("once", enable_exactly_once_delivery=True)
    send("once", *[str(n) for n in range(20)])
    lock, done, confirmed, problems = threading.Lock(), threading.Event(), [], []

    def on(message):
        text = message.data.decode()
        try:
            message.ack_with_response().result(PATIENCE)
        except ack_exceptions.AcknowledgeError as problem:
            with lock:
                problems.append((text, problem.error_code))
            return
        with lock:
            confirmed.append(text)
            if len(confirmed) == 20:
                done.set()

    pulling = subscriber.subscribe(sub_name("once"), on)
    finished = done.wait(PATIENCE)
    pulling.cancel()
    pulling.result(PATIENCE)
    check(finished and not problems and sorted(confirmed, key=int) == [str(n) for n in range(20)], confirmed, problems)

    send("once", "late")
    old = pull("once", 1)
    subscriber.modify_ack_deadline(request={"subscription": sub_name("once"), "ack_ids": [old[0].ack_id], "ack_deadline_seconds": 0})
    new = pull("once", 1)
    refused(exceptions.InvalidArgument, lambda: ack("once", old))
    ack("once", new)


def permissions():
    name = topic_name("orders")
    before = publisher.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=name))
    check(not before.bindings, before)
    before.bindings.append(policy_pb2.Binding(role="roles/pubsub.publisher", members=["user:a@example.com"]))
    publisher.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=before))
    after = publisher.get_iam_policy(request=iam_policy_pb2.GetIamPolicyRequest(resource=name))
    check([b.role for b in after.bindings] == ["roles/pubsub.publisher"], after)
    wanted = ["pubsub.topics.publish", "pubsub.topics.get"]
    held = publisher.test_iam_permissions(request=iam_policy_pb2.TestIamPermissionsRequest(resource=name, permissions=wanted))
    check(sorted(held.permissions) == sorted(wanted), held)


def delete():
    for s in subscriber.list_subscriptions(request={"project": f"projects/{project}"}):
        subscriber.delete_subscription(request={"subscription": s.name})
    for t in publisher.list_topics(request={"project": f"projects/{project}"}):
        publisher.delete_topic(request={"topic": t.name})
    refused(exceptions.NotFound, lambda: publisher.get_topic(request={"topic": topic_name("orders")}))
    refused(exceptions.NotFound, lambda: subscriber.get_subscription(request={"subscription": sub_name("orders")}))


STEPS = {
    "create": create,
    "publish": publish,
    "receive": receive,
    "pull": pull_step,
    "update": update,
    "filter": filter_step,
    "seek": seek,
    "snapshot": snapshot,
    "schema": schema,
    "dead letter": dead_letter,
    "exactly once": exactly_once,
    "permissions": permissions,
    "delete": delete,
}

for step in sys.argv[2:]:
    try:
        STEPS[step]()
    except Exception as problem:  # the driver shows what this says
        print(f"FAIL {step}: {type(problem).__name__}: {problem}".replace("\n", " "), flush=True)
        sys.exit(1)
    print(f"ok {step}", flush=True)
os._exit(0)  # the client's threads would keep the interpreter for a while
