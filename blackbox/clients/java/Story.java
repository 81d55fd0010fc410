import com.google.api.core.ApiFuture;
import com.google.api.core.ApiFutures;
import com.google.api.gax.core.NoCredentialsProvider;
import com.google.api.gax.grpc.GrpcTransportChannel;
import com.google.api.gax.rpc.AlreadyExistsException;
import com.google.api.gax.rpc.ApiException;
import com.google.api.gax.rpc.FixedTransportChannelProvider;
import com.google.api.gax.rpc.InvalidArgumentException;
import com.google.api.gax.rpc.NotFoundException;
import com.google.api.gax.rpc.TransportChannelProvider;
import com.google.cloud.pubsub.v1.AckReplyConsumer;
import com.google.cloud.pubsub.v1.AckReplyConsumerWithResponse;
import com.google.cloud.pubsub.v1.AckResponse;
import com.google.cloud.pubsub.v1.MessageReceiver;
import com.google.cloud.pubsub.v1.MessageReceiverWithAckResponse;
import com.google.cloud.pubsub.v1.Publisher;
import com.google.cloud.pubsub.v1.SchemaServiceClient;
import com.google.cloud.pubsub.v1.SchemaServiceSettings;
import com.google.cloud.pubsub.v1.Subscriber;
import com.google.cloud.pubsub.v1.SubscriptionAdminClient;
import com.google.cloud.pubsub.v1.SubscriptionAdminSettings;
import com.google.cloud.pubsub.v1.TopicAdminClient;
import com.google.cloud.pubsub.v1.TopicAdminSettings;
import com.google.iam.v1.Binding;
import com.google.iam.v1.GetIamPolicyRequest;
import com.google.iam.v1.Policy;
import com.google.iam.v1.SetIamPolicyRequest;
import com.google.iam.v1.TestIamPermissionsRequest;
import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.FieldMask;
import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Timestamps;
import com.google.pubsub.v1.*;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** Google's Java client plays the story that all clients play. Usage: java Story.java PROJECT STEP... */
public class Story {
  static final int MESSAGES = 1000, KEYS = 10, PATIENCE_SECONDS = 30;

  interface Step {
    void run() throws Exception;
  }

  final String project;
  final TransportChannelProvider channel;
  final NoCredentialsProvider nobody = NoCredentialsProvider.create();
  final TopicAdminClient topics;
  final SubscriptionAdminClient subscriptions;
  final SchemaServiceClient schemas;

  Story(String project, ManagedChannel plain) throws Exception {
    this.project = project;
    channel = FixedTransportChannelProvider.create(GrpcTransportChannel.create(plain));
    topics = TopicAdminClient.create(
        TopicAdminSettings.newBuilder().setTransportChannelProvider(channel).setCredentialsProvider(nobody).build());
    subscriptions = SubscriptionAdminClient.create(
        SubscriptionAdminSettings.newBuilder().setTransportChannelProvider(channel).setCredentialsProvider(nobody).build());
    schemas = SchemaServiceClient.create(
        SchemaServiceSettings.newBuilder().setTransportChannelProvider(channel).setCredentialsProvider(nobody).build());
  }

  String topicName(String name) {
    return "projects/" + project + "/topics/" + name;
  }

  String subName(String name) {
    return "projects/" + project + "/subscriptions/" + name;
  }

  static void check(boolean truth, Object what) {
    if (!truth) {
      throw new AssertionError(String.valueOf(what));
    }
  }

  static void equal(Object got, Object want) {
    check(got.equals(want), "got " + got + ", want " + want);
  }

  static void refused(Class<? extends ApiException> kind, Step call) throws Exception {
    try {
      call.run();
    } catch (Exception problem) {
      Throwable cause = problem instanceof java.util.concurrent.ExecutionException ? problem.getCause() : problem;
      check(kind.isInstance(cause), cause);
      return;
    }
    throw new AssertionError("it was not refused with " + kind.getSimpleName());
  }

  Subscription.Builder pair(String name) {
    topics.createTopic(topicName(name));
    return Subscription.newBuilder().setName(subName(name)).setTopic(topicName(name));
  }

  Publisher publisher(String name) throws Exception {
    return Publisher.newBuilder(topicName(name)).setChannelProvider(channel).setCredentialsProvider(nobody)
        .setEnableMessageOrdering(true).build();
  }

  static void end(Publisher publisher) throws Exception {
    publisher.shutdown();
    check(publisher.awaitTermination(PATIENCE_SECONDS, TimeUnit.SECONDS), "the publisher does not end");
  }

  void send(String name, String... texts) throws Exception {
    Publisher publisher = publisher(name);
    try {
      for (String text : texts) {
        publisher.publish(PubsubMessage.newBuilder().setData(ByteString.copyFromUtf8(text)).build()).get(PATIENCE_SECONDS, TimeUnit.SECONDS);
      }
    } finally {
      end(publisher);
    }
  }

  List<ReceivedMessage> pull(String name, int count) {
    List<ReceivedMessage> got = new ArrayList<>();
    long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (got.size() < count) {
      check(System.nanoTime() < until, "only " + got.size() + " of " + count + " messages came");
      got.addAll(subscriptions.pull(subName(name), count - got.size()).getReceivedMessagesList());
    }
    return got;
  }

  @SuppressWarnings("deprecation") // deprecated or not, clients use it
  List<ReceivedMessage> pullNow(String name) {
    return subscriptions.pull(subName(name), true, 100).getReceivedMessagesList();
  }

  static List<String> ids(List<ReceivedMessage> got) {
    return got.stream().map(ReceivedMessage::getAckId).collect(Collectors.toList());
  }

  static List<String> texts(List<ReceivedMessage> got) {
    return got.stream().map(r -> r.getMessage().getData().toStringUtf8()).sorted().collect(Collectors.toList());
  }

  void ack(String name, List<ReceivedMessage> got) {
    subscriptions.acknowledge(subName(name), ids(got));
  }

  void nack(String name, List<ReceivedMessage> got) {
    subscriptions.modifyAckDeadline(subName(name), ids(got), 0);
  }

  void create() throws Exception {
    Topic topic = topics.createTopic(Topic.newBuilder().setName(topicName("orders")).putLabels("team", "sales").build());
    equal(topic.getLabelsMap(), Map.of("team", "sales"));
    Subscription made = subscriptions.createSubscription(
        Subscription.newBuilder().setName(subName("orders")).setTopic(topicName("orders")).setEnableMessageOrdering(true)
            .setAckDeadlineSeconds(20).build());
    check(made.getEnableMessageOrdering() && made.getAckDeadlineSeconds() == 20, made);
    refused(AlreadyExistsException.class, () -> topics.createTopic(topicName("orders")));
    List<String> listed = new ArrayList<>();
    topics.listTopics("projects/" + project).iterateAll().forEach(t -> listed.add(t.getName()));
    equal(listed, List.of(topicName("orders")));
    List<String> attached = new ArrayList<>();
    topics.listTopicSubscriptions(topicName("orders")).iterateAll().forEach(attached::add);
    equal(attached, List.of(subName("orders")));
  }

  void publish() throws Exception {
    Publisher publisher = publisher("orders");
    List<ApiFuture<String>> answers = new ArrayList<>();
    for (int n = 0; n < MESSAGES; n++) {
      PubsubMessage.Builder message = PubsubMessage.newBuilder().setData(ByteString.copyFromUtf8("message " + n))
          .putAttributes("number", String.valueOf(n)).putAttributes("color", "red");
      // The last digit is the key, but messages that end with 7 have none: some of them are given back, which with a key would bring
      // all later ones of the key a second time.
      if (n % KEYS != 7) {
        message.setOrderingKey("key-" + n % KEYS);
      }
      answers.add(publisher.publish(message.build()));
    }
    Set<String> different = new HashSet<>(ApiFutures.allAsList(answers).get(PATIENCE_SECONDS, TimeUnit.SECONDS));
    end(publisher);
    equal(different.size(), MESSAGES);
  }

  void receive() throws Exception {
    Set<Integer> nacked = new HashSet<>();
    List<Integer> acked = new ArrayList<>();
    Map<String, List<Integer>> ordered = new HashMap<>();
    List<String> problems = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch done = new CountDownLatch(MESSAGES);
    MessageReceiver on = (PubsubMessage message, AckReplyConsumer reply) -> {
      int number = Integer.parseInt(message.getAttributesOrThrow("number"));
      if (!message.getData().toStringUtf8().equals("message " + number) || !message.getAttributesOrThrow("color").equals("red")) {
        problems.add("message " + number + " is not what was published: " + message);
      }
      synchronized (acked) {
        if (number % 50 == 7 && nacked.add(number)) {
          reply.nack();
          return;
        }
        acked.add(number);
        if (!message.getOrderingKey().isEmpty()) {
          ordered.computeIfAbsent(message.getOrderingKey(), key -> new ArrayList<>()).add(number);
        }
      }
      reply.ack();
      done.countDown();
    };
    Subscriber subscriber = Subscriber.newBuilder(subName("orders"), on).setChannelProvider(channel).setCredentialsProvider(nobody).build();
    subscriber.startAsync().awaitRunning();
    boolean finished = done.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
    subscriber.stopAsync().awaitTerminated(PATIENCE_SECONDS, TimeUnit.SECONDS);
    check(finished, "only " + acked.size() + " messages were acknowledged");
    check(problems.isEmpty(), problems);
    equal(nacked.size(), MESSAGES / 50);
    equal(acked.stream().sorted().collect(Collectors.toList()), IntStream.range(0, MESSAGES).boxed().collect(Collectors.toList()));
    equal(ordered.size(), KEYS - 1);
    ordered.forEach((key, numbers) -> equal(numbers, numbers.stream().sorted().collect(Collectors.toList())));
    equal(pullNow("orders"), List.of());
  }

  void pullStep() throws Exception {
    subscriptions.createSubscription(pair("pulled").build());
    send("pulled", "a", "b", "c", "d");
    List<ReceivedMessage> first = pull("pulled", 4);
    equal(texts(first), List.of("a", "b", "c", "d"));
    ack("pulled", first.subList(0, 2));
    nack("pulled", first.subList(2, 4));
    List<ReceivedMessage> again = pull("pulled", 2);
    equal(texts(again), texts(first.subList(2, 4)));
    ack("pulled", again);
    equal(pullNow("pulled"), List.of());
  }

  static FieldMask mask(String... paths) {
    return FieldMask.newBuilder().addAllPaths(Arrays.asList(paths)).build();
  }

  void update() throws Exception {
    Subscription changed = subscriptions.updateSubscription(
        Subscription.newBuilder().setName(subName("pulled")).setAckDeadlineSeconds(77).putLabels("a", "b")
            .setExpirationPolicy(ExpirationPolicy.getDefaultInstance()).build(),
        mask("ack_deadline_seconds", "labels", "expiration_policy"));
    check(changed.getAckDeadlineSeconds() == 77 && changed.getLabelsMap().equals(Map.of("a", "b")) && !changed.getExpirationPolicy().hasTtl(), changed);
    equal(subscriptions.getSubscription(subName("pulled")), changed);
    Topic topic = topics.updateTopic(
        Topic.newBuilder().setName(topicName("pulled")).setMessageRetentionDuration(Duration.newBuilder().setSeconds(3600)).build(),
        mask("message_retention_duration"));
    equal(topic.getMessageRetentionDuration().getSeconds(), 3600L);
    refused(InvalidArgumentException.class, () -> subscriptions.updateSubscription(
        Subscription.newBuilder().setName(subName("pulled")).build(), mask("enable_message_ordering")));
  }

  void filter() throws Exception {
    subscriptions.createSubscription(
        pair("filtered").setFilter("attributes.color = \"red\" AND NOT hasPrefix(attributes.size, \"x\")").build());
    Publisher publisher = publisher("filtered");
    for (String[] each : new String[][] {{"red", "xl"}, {"blue", "s"}, {"red", "s"}}) {
      publisher.publish(PubsubMessage.newBuilder().setData(ByteString.copyFromUtf8(each[0] + " " + each[1]))
          .putAttributes("color", each[0]).putAttributes("size", each[1]).build()).get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }
    end(publisher);
    List<ReceivedMessage> got = pull("filtered", 1);
    equal(texts(got), List.of("red s"));
    ack("filtered", got);
    equal(pullNow("filtered"), List.of());
  }

  static Timestamp inSeconds(long seconds) {
    return Timestamps.fromSeconds(System.currentTimeMillis() / 1000 + seconds);
  }

  void seek() throws Exception {
    subscriptions.createSubscription(pair("sought").setRetainAckedMessages(true).build());
    send("sought", "a", "b", "c");
    ack("sought", pull("sought", 3));
    subscriptions.seek(SeekRequest.newBuilder().setSubscription(subName("sought")).setTime(inSeconds(-3600)).build());
    equal(texts(pull("sought", 3)), List.of("a", "b", "c"));
    subscriptions.seek(SeekRequest.newBuilder().setSubscription(subName("sought")).setTime(inSeconds(3600)).build());
    equal(pullNow("sought"), List.of());
  }

  void snapshot() throws Exception {
    subscriptions.createSubscription(pair("frozen").build());
    send("frozen", "a", "b");
    String name = "projects/" + project + "/snapshots/frozen";
    Snapshot made = subscriptions.createSnapshot(
        CreateSnapshotRequest.newBuilder().setName(name).setSubscription(subName("frozen")).putLabels("a", "b").build());
    check(made.getTopic().equals(topicName("frozen")) && made.getLabelsMap().equals(Map.of("a", "b")), made);
    ack("frozen", pull("frozen", 2));
    subscriptions.seek(SeekRequest.newBuilder().setSubscription(subName("frozen")).setSnapshot(name).build());
    List<ReceivedMessage> got = pull("frozen", 2);
    equal(texts(got), List.of("a", "b"));
    ack("frozen", got);
    List<String> listed = new ArrayList<>();
    subscriptions.listSnapshots("projects/" + project).iterateAll().forEach(s -> listed.add(s.getName()));
    equal(listed, List.of(name));
    Snapshot changed = subscriptions.updateSnapshot(Snapshot.newBuilder().setName(name).putLabels("c", "d").build(), mask("labels"));
    equal(changed.getLabelsMap(), Map.of("c", "d"));
    subscriptions.deleteSnapshot(name);
    refused(NotFoundException.class, () -> subscriptions.getSnapshot(name));
  }

  void schema() throws Exception {
    String parent = "projects/" + project, name = parent + "/schemas/order";
    String definition = "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{\"name\": \"id\", \"type\": \"string\"}]}";
    Schema made = schemas.createSchema(parent, Schema.newBuilder().setType(Schema.Type.AVRO).setDefinition(definition).build(), "order");
    check(made.getName().equals(name) && !made.getRevisionId().isEmpty(), made);
    topics.createTopic(Topic.newBuilder().setName(topicName("checked"))
        .setSchemaSettings(SchemaSettings.newBuilder().setSchema(name).setEncoding(Encoding.JSON)).build());
    subscriptions.createSubscription(Subscription.newBuilder().setName(subName("checked")).setTopic(topicName("checked")).build());
    send("checked", "{\"id\": \"17\"}");
    refused(InvalidArgumentException.class, () -> send("checked", "{\"id\": 17}"));
    List<ReceivedMessage> got = pull("checked", 1);
    equal(texts(got), List.of("{\"id\": \"17\"}"));
    equal(got.get(0).getMessage().getAttributesOrThrow("googclient_schemaencoding"), "JSON");
    ack("checked", got);
    List<String> listed = new ArrayList<>();
    schemas.listSchemas(parent).iterateAll().forEach(s -> listed.add(s.getName()));
    equal(listed, List.of(name));
    refused(InvalidArgumentException.class, () -> schemas.validateSchema(
        parent, Schema.newBuilder().setType(Schema.Type.AVRO).setDefinition("{").build()));
    topics.deleteTopic(topicName("checked"));
    schemas.deleteSchema(name);
    refused(NotFoundException.class, () -> schemas.getSchema(name));
  }

  void deadLetter() throws Exception {
    subscriptions.createSubscription(pair("dead").build());
    subscriptions.createSubscription(pair("alive")
        .setDeadLetterPolicy(DeadLetterPolicy.newBuilder().setDeadLetterTopic(topicName("dead")).setMaxDeliveryAttempts(5)).build());
    send("alive", "poison");
    for (int attempt = 1; attempt <= 5; attempt++) {
      List<ReceivedMessage> got = pull("alive", 1);
      equal(got.get(0).getDeliveryAttempt(), attempt);
      nack("alive", got);
    }
    List<ReceivedMessage> moved = pull("dead", 1);
    equal(texts(moved), List.of("poison"));
    equal(moved.get(0).getMessage().getAttributesOrThrow("CloudPubSubDeadLetterSourceSubscription"), "alive");
    equal(moved.get(0).getMessage().getAttributesOrThrow("CloudPubSubDeadLetterSourceDeliveryCount"), "5");
    ack("dead", moved);
    equal(pullNow("alive"), List.of());
  }

  void exactlyOnce() throws Exception {
    subscriptions.createSubscription(pair("once").setEnableExactlyOnceDelivery(true).build());
    send("once", IntStream.range(0, 20).mapToObj(String::valueOf).toArray(String[]::new));
    List<Future<AckResponse>> answers = Collections.synchronizedList(new ArrayList<>());
    List<Integer> numbers = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch done = new CountDownLatch(20);
    MessageReceiverWithAckResponse on = (PubsubMessage message, AckReplyConsumerWithResponse reply) -> {
      numbers.add(Integer.parseInt(message.getData().toStringUtf8()));
      answers.add(reply.ack());
      done.countDown();
    };
    Subscriber subscriber = Subscriber.newBuilder(subName("once"), on).setChannelProvider(channel).setCredentialsProvider(nobody).build();
    subscriber.startAsync().awaitRunning();
    boolean finished = done.await(PATIENCE_SECONDS, TimeUnit.SECONDS);
    for (Future<AckResponse> answer : new ArrayList<>(answers)) {
      equal(answer.get(PATIENCE_SECONDS, TimeUnit.SECONDS), AckResponse.SUCCESSFUL);
    }
    subscriber.stopAsync().awaitTerminated(PATIENCE_SECONDS, TimeUnit.SECONDS);
    check(finished, "only " + numbers + " came");
    equal(numbers.stream().sorted().collect(Collectors.toList()), IntStream.range(0, 20).boxed().collect(Collectors.toList()));

    send("once", "late");
    List<ReceivedMessage> old = pull("once", 1);
    nack("once", old);
    List<ReceivedMessage> fresh = pull("once", 1);
    refused(InvalidArgumentException.class, () -> ack("once", old));
    ack("once", fresh);
  }

  void permissions() throws Exception {
    String name = topicName("orders");
    Policy before = topics.getIamPolicy(GetIamPolicyRequest.newBuilder().setResource(name).build());
    equal(before.getBindingsList(), List.of());
    topics.setIamPolicy(SetIamPolicyRequest.newBuilder().setResource(name).setPolicy(before.toBuilder()
        .addBindings(Binding.newBuilder().setRole("roles/pubsub.publisher").addMembers("user:a@example.com"))).build());
    Policy after = topics.getIamPolicy(GetIamPolicyRequest.newBuilder().setResource(name).build());
    equal(after.getBindings(0).getRole(), "roles/pubsub.publisher");
    List<String> wanted = List.of("pubsub.topics.publish", "pubsub.topics.get");
    equal(new HashSet<>(topics.testIamPermissions(
        TestIamPermissionsRequest.newBuilder().setResource(name).addAllPermissions(wanted).build()).getPermissionsList()), new HashSet<>(wanted));
  }

  void delete() throws Exception {
    subscriptions.listSubscriptions("projects/" + project).iterateAll().forEach(s -> subscriptions.deleteSubscription(s.getName()));
    topics.listTopics("projects/" + project).iterateAll().forEach(t -> topics.deleteTopic(t.getName()));
    refused(NotFoundException.class, () -> topics.getTopic(topicName("orders")));
    refused(NotFoundException.class, () -> subscriptions.getSubscription(subName("orders")));
  }

  Map<String, Step> steps() {
    Map<String, Step> steps = new HashMap<>();
    steps.put("create", this::create);
    steps.put("publish", this::publish);
    steps.put("receive", this::receive);
    steps.put("pull", this::pullStep);
    steps.put("update", this::update);
    steps.put("filter", this::filter);
    steps.put("seek", this::seek);
    steps.put("snapshot", this::snapshot);
    steps.put("schema", this::schema);
    steps.put("dead letter", this::deadLetter);
    steps.put("exactly once", this::exactlyOnce);
    steps.put("permissions", this::permissions);
    steps.put("delete", this::delete);
    return steps;
  }

  public static void main(String[] args) throws Exception {
    ManagedChannel plain = ManagedChannelBuilder.forTarget(System.getenv("PUBSUB_EMULATOR_HOST")).usePlaintext().build();
    Map<String, Step> steps = new Story(args[0], plain).steps();
    for (String step : Arrays.asList(args).subList(1, args.length)) {
      try {
        steps.get(step).run();
      } catch (Throwable problem) {
        java.io.StringWriter trace = new java.io.StringWriter();
        problem.printStackTrace(new java.io.PrintWriter(trace));
        System.out.println(("FAIL " + step + ": " + trace).replace('\n', ' '));
        System.exit(1);
      }
      System.out.println("ok " + step);
    }
    System.exit(0); // the client's threads would keep the process for a while
  }
}
