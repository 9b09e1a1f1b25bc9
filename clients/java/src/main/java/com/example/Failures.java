package com.example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What a call that failed says. */
final class Failures {
  private static final String DOMAIN = "gateway.chartbrew.com";

  private Failures() {}

  static void print(StatusRuntimeException failure) {
    System.err.printf(
        Locale.ROOT,
        "failed %s %s: %s%n",
        failure.getStatus().getCode(),
        reason(failure),
        message(failure.getStatus()));
    detail(failure, BadRequest.class)
        .ifPresent(
            wrong ->
                wrong
                    .getFieldViolationsList()
                    .forEach(
                        violation ->
                            System.err.printf(
                                Locale.ROOT,
                                "  %s: %s%n",
                                violation.getField(),
                                violation.getDescription())));
    detail(failure, RetryInfo.class)
        .ifPresent(
            info ->
                System.err.printf(
                    Locale.ROOT,
                    "  may be repeated after %.1f s%n",
                    Durations.toMillis(info.getRetryDelay()) / 1e3));
  }

  /** The gateway's reason, or "-". */
  static String reason(StatusRuntimeException failure) {
    return detail(failure, ErrorInfo.class)
        .filter(info -> info.getDomain().equals(DOMAIN))
        .map(ErrorInfo::getReason)
        .orElse("-");
  }

  /** With the causes, which say why a connection failed. */
  private static String message(Status status) {
    List<String> parts = new ArrayList<>();
    if (status.getDescription() != null) {
      parts.add(status.getDescription());
    }
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause()) {
      if (cause.getMessage() != null && !parts.contains(cause.getMessage())) {
        parts.add(cause.getMessage());
      }
    }
    return parts.isEmpty() ? "no message" : String.join(": ", parts);
  }

  /** The detail of this type, if the failure has one that can be read. */
  static <T extends Message> Optional<T> detail(StatusRuntimeException failure, Class<T> type) {
    try {
      for (Any detail : StatusProto.fromThrowable(failure).getDetailsList()) {
        if (detail.is(type)) {
          return Optional.of(detail.unpack(type));
        }
      }
    } catch (InvalidProtocolBufferException | IllegalArgumentException unreadable) {
      return Optional.empty();
    }
    return Optional.empty();
  }
}
