package com.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.Optional;

/** What a call that failed says. */
final class Failures {
  private static final String DOMAIN = "gateway.chartbrew.com";

  private Failures() {}

  static void print(StatusRuntimeException failure) {
    System.err.printf(
        "failed %s %s: %s%n",
        failure.getStatus().getCode(),
        detail(failure, ErrorInfo.class)
            .filter(info -> info.getDomain().equals(DOMAIN))
            .map(ErrorInfo::getReason)
            .orElse("-"),
        failure.getStatus().getDescription());
    detail(failure, BadRequest.class)
        .ifPresent(
            wrong ->
                wrong
                    .getFieldViolationsList()
                    .forEach(
                        violation ->
                            System.err.printf(
                                "  %s: %s%n", violation.getField(), violation.getDescription())));
    detail(failure, RetryInfo.class)
        .ifPresent(
            info ->
                System.err.printf(
                    "  may be repeated after %.1f s%n",
                    Durations.toMillis(info.getRetryDelay()) / 1e3));
  }

  /** The detail of this type, if the failure has one. */
  static <T extends Message> Optional<T> detail(StatusRuntimeException failure, Class<T> type) {
    for (Any detail : StatusProto.fromThrowable(failure).getDetailsList()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException unreadable) {
          return Optional.empty();
        }
      }
    }
    return Optional.empty();
  }
}
