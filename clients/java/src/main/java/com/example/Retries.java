package com.example;

import com.google.rpc.RetryInfo;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.AbstractBlockingStub;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** Repeats calls. */
final class Retries {
  private static final Duration FIRST_WAIT = Duration.ofMillis(200);
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(5);
  private static final Metadata.Key<String> PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private final ManagedChannel channel;
  private final Duration timeout;

  /**
   * @param channel what is called
   * @param timeout the longest time of a call, its repetitions included
   */
  Retries(ManagedChannel channel, Duration timeout) {
    this.channel = channel;
    this.timeout = timeout;
  }

  /**
   * Calls, and calls again after UNAVAILABLE as long as the deadline allows. UNAVAILABLE can also
   * mean that the connection broke after the request was sent, so a request that must not be
   * carried out twice is not repeatable.
   */
  <S extends AbstractBlockingStub<S>, T> T call(
      boolean isRepeatable, S stub, Function<S, T> attempt) throws InterruptedException {
    long deadline = System.nanoTime() + timeout.toNanos();
    Duration backoff = FIRST_WAIT;
    while (true) {
      long left = deadline - System.nanoTime();
      try {
        return attempt.apply(stub.withDeadlineAfter(left, TimeUnit.NANOSECONDS));
      } catch (StatusRuntimeException failure) {
        if (!isRepeatable || failure.getStatus().getCode() != Status.Code.UNAVAILABLE) {
          throw failure;
        }
        Duration limit = backoff;
        Duration wait = askedWait(failure).orElseGet(() -> withJitter(limit));
        Duration rest = Duration.ofNanos(deadline - System.nanoTime());
        if (wait.isNegative() || wait.compareTo(rest) >= 0) {
          throw failure;
        }
        Thread.sleep(wait.toMillis());
        // The library's own wait before it connects again grows to two minutes.
        channel.resetConnectBackoff();
        System.err.printf(
            Locale.ROOT,
            "repeated after %.1f s: %s%n",
            wait.toMillis() / 1e3,
            failure.getStatus().getCode());
      }
      backoff = backoff.multipliedBy(2);
      if (backoff.compareTo(LONGEST_WAIT) > 0) {
        backoff = LONGEST_WAIT;
      }
    }
  }

  private static Duration withJitter(Duration limit) {
    return Duration.ofMillis(
        ThreadLocalRandom.current().nextLong(limit.toMillis() / 2, limit.toMillis()));
  }

  /**
   * How long the failure asks to wait, at least the first wait, if it says so. Negative: the call
   * is not to be repeated.
   */
  private static Optional<Duration> askedWait(StatusRuntimeException failure) {
    Metadata trailers = failure.getTrailers();
    String pushback = trailers == null ? null : trailers.get(PUSHBACK);
    if (pushback != null) {
      // Negative, no number, or days: not to be repeated (gRPC A6).
      return Optional.of(
          pushback.matches("\\d{1,9}")
              ? atLeastFirst(Duration.ofMillis(Integer.parseInt(pushback)))
              : Duration.ofMillis(-1));
    }
    return Failures.detail(failure, RetryInfo.class)
        .map(RetryInfo::getRetryDelay)
        .map(delay -> atLeastFirst(Duration.ofSeconds(delay.getSeconds(), delay.getNanos())));
  }

  private static Duration atLeastFirst(Duration wait) {
    return wait.compareTo(FIRST_WAIT) < 0 ? FIRST_WAIT : wait;
  }
}
