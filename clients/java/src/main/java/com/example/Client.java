package com.example;

import com.chartbrew.connection.v1.Connection;
import com.chartbrew.connection.v1.ConnectionFiles;
import com.chartbrew.connection.v1.ConnectionServiceGrpc;
import com.chartbrew.connection.v1.ConnectionServiceGrpc.ConnectionServiceBlockingStub;
import com.chartbrew.connection.v1.ConnectionType;
import com.chartbrew.connection.v1.CreateRequest;
import com.chartbrew.connection.v1.CreateResponse;
import com.chartbrew.connection.v1.DeleteRequest;
import com.chartbrew.connection.v1.NewConnection;
import com.chartbrew.connection.v1.TestRequest;
import com.chartbrew.connection.v1.TestResponse;
import com.chartbrew.connection.v1.UpdateRequest;
import com.chartbrew.connection.v1.UpdateResponse;
import com.google.protobuf.ByteString;
import com.google.protobuf.FieldMask;
import com.google.protobuf.Struct;
import com.google.protobuf.util.FieldMaskUtil;
import com.google.protobuf.util.Values;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/**
 * An example of a client of chartbrew-gateway: see docs/clients.md.
 *
 * <p>It never prints a message of the contract: {@code toString} shows passwords.
 */
final class Client {
  private static final int TEAM = 1;
  private static final int LONGEST_TIMEOUT = 86_400; // in seconds
  private static final String LOOPBACK = "(localhost|127(\\.\\d{1,3}){3}|\\[::1\\]):\\d+";
  private static final ByteString CA =
      ByteString.copyFromUtf8("-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n");

  private final ConnectionServiceBlockingStub service;
  private final Retries retries;

  private Client(ConnectionServiceBlockingStub service, Retries retries) {
    this.service = service;
    this.retries = retries;
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    System.exit(run(arguments));
  }

  private static int run(String... arguments) throws IOException, InterruptedException {
    double seconds = number(setting("CLIENT_TIMEOUT_SECONDS", "60"));
    if (!(seconds > 0 && seconds <= LONGEST_TIMEOUT)) {
      System.err.println(
          "CLIENT_TIMEOUT_SECONDS must be a number above 0, at most " + LONGEST_TIMEOUT);
      return 1;
    }
    // Checked here, since a library may print a token that it cannot send.
    String token = setting("CLIENT_TOKEN", "sandbox-token");
    if (!token.matches("[!-~]+")) {
      System.err.println("CLIENT_TOKEN has characters that no header may have");
      return 1;
    }
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    ManagedChannel channel = connect();
    try {
      Client client =
          new Client(
              ConnectionServiceGrpc.newBlockingStub(channel)
                  .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers)),
              new Retries(channel, Duration.ofMillis((long) Math.ceil(1000 * seconds))));
      return client.obey(arguments);
    } catch (StatusRuntimeException failure) {
      Failures.print(failure);
      return 1;
    } catch (IllegalStateException wrong) {
      System.err.println(wrong.getMessage());
      return 1;
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  /** Does what the arguments say, and returns the exit status. */
  private int obey(String... arguments) throws InterruptedException {
    String command = arguments.length > 0 ? arguments[0] : "";
    if (command.equals("lifecycle") && arguments.length == 1) {
      lifecycle();
    } else if (command.equals("create") && arguments.length == 2) {
      create(arguments[1], null);
    } else if (command.equals("create") && arguments.length == 3) {
      create(arguments[1], arguments[2]);
    } else {
      System.err.println("usage: lifecycle | create NAME [REQUEST_ID]");
      return 1;
    }
    return 0;
  }

  private void lifecycle() throws InterruptedException {
    int id = create("orders", UUID.randomUUID().toString());

    TestRequest test = TestRequest.newBuilder().setTeamId(TEAM).setConnectionId(id).build();
    TestResponse tested = retries.call(true, service, stub -> stub.test(test));
    // A test that fails is a response, not an error.
    System.out.println(
        "tested success=" + (tested.getSuccess() ? "true" : "false: " + tested.getMessage()));

    // Exactly the fields that the mask names are changed.
    FieldMask mask =
        FieldMaskUtil.fromFieldNumbers(
            NewConnection.class,
            NewConnection.HOST_FIELD_NUMBER,
            NewConnection.PASSWORD_FIELD_NUMBER);
    UpdateRequest update =
        UpdateRequest.newBuilder()
            .setTeamId(TEAM)
            .setConnectionId(id)
            .setConnection(
                NewConnection.newBuilder()
                    .setHost("replica.example.com")
                    .setPassword("new-password"))
            .setUpdateMask(mask)
            .build();
    UpdateResponse response = retries.call(true, service, stub -> stub.update(update));
    Connection updated = present(response.hasConnection(), response.getConnection());
    System.out.println("updated " + updated.getId() + " host=" + updated.getHost());

    DeleteRequest delete = DeleteRequest.newBuilder().setTeamId(TEAM).setConnectionId(id).build();
    try {
      retries.call(true, service, stub -> stub.delete(delete));
    } catch (StatusRuntimeException failure) {
      // Gone is what it shall be: an attempt whose response was lost may have deleted it.
      if (!Failures.reason(failure).equals("CONNECTION_NOT_FOUND")) {
        throw failure;
      }
    }
    System.out.println("deleted " + id);
  }

  /** Creates a connection and returns its id. Without a request id the call is made once. */
  private int create(String name, String requestId) throws InterruptedException {
    Struct option = Struct.newBuilder().putFields("application_name", Values.of("example")).build();
    CreateRequest.Builder request =
        CreateRequest.newBuilder()
            .setTeamId(TEAM)
            .setConnection(
                NewConnection.newBuilder()
                    .setName(name)
                    .setType(ConnectionType.CONNECTION_TYPE_POSTGRES)
                    .setHost("db.example.com")
                    .setPort("5432")
                    .setUsername("reader")
                    .setPassword("old-password")
                    .setOptions(Values.of(List.of(Values.of(option)))))
            .setFiles(ConnectionFiles.newBuilder().setSslCa(CA));
    if (requestId != null) {
      request.setRequestId(requestId);
    }
    CreateRequest create = request.build();
    CreateResponse response = retries.call(requestId != null, service, stub -> stub.create(create));
    Connection created = present(response.hasConnection(), response.getConnection());
    System.out.println("created " + created.getId());
    return created.getId();
  }

  /** Nothing is sent yet: the first call connects. */
  private static ManagedChannel connect() throws IOException {
    String address = setting("CLIENT_ADDRESS", "127.0.0.1:50051");
    String authorities = setting("CLIENT_CA_FILE", "");
    ChannelCredentials credentials;
    if (!authorities.isEmpty()) {
      credentials = TlsChannelCredentials.newBuilder().trustManager(new File(authorities)).build();
    } else if (address.matches(LOOPBACK) || setting("CLIENT_PLAINTEXT", "").equals("1")) {
      credentials = InsecureChannelCredentials.create();
    } else {
      credentials = TlsChannelCredentials.create(); // trusts the JVM's authorities
    }
    // Only Retries repeats calls: neither the library by itself, nor a policy found by DNS.
    return Grpc.newChannelBuilder(address, credentials)
        .disableRetry()
        .disableServiceConfigLookUp()
        .build();
  }

  private static Connection present(boolean isPresent, Connection connection) {
    if (!isPresent) {
      throw new IllegalStateException("a response without its connection");
    }
    return connection;
  }

  /** The number, or NaN. */
  private static double number(String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException none) {
      return Double.NaN;
    }
  }

  private static String setting(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}
