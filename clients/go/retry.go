package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	domain      = "gateway.chartbrew.com"
	firstWait   = 200 * time.Millisecond
	longestWait = 5 * time.Second
)

type method[Req, Res any] = func(context.Context, Req, ...grpc.CallOption) (Res, error)

// repeat makes a call until it ends with something else than UNAVAILABLE, or until ctx's deadline would pass.
// Create may be repeated only with a request_id, all other methods always.
func repeat[Req, Res any](ctx context.Context, isRepeatable bool, m method[Req, Res], req Req) (Res, error) {
	for limit := firstWait; ; limit = min(2*limit, longestWait) {
		var trailer metadata.MD
		res, err := m(ctx, req, grpc.Trailer(&trailer))
		if !isRepeatable || status.Code(err) != codes.Unavailable {
			return res, err
		}
		wait := told(trailer, err, limit/2+rand.N(limit/2))
		deadline, ok := ctx.Deadline()
		if wait < 0 || ok && time.Until(deadline) <= wait {
			return res, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return res, err
		}
		fmt.Fprintf(os.Stderr, "repeated after %.1f s: UNAVAILABLE\n", wait.Seconds())
	}
}

// told returns how long the server says to wait, and at least firstWait; or otherwise if it does not say. Less
// than 0: do not repeat.
func told(trailer metadata.MD, err error, otherwise time.Duration) time.Duration {
	if values := trailer.Get("grpc-retry-pushback-ms"); len(values) > 0 {
		ms, err := strconv.ParseUint(values[0], 10, 32)
		if err != nil {
			return -1 // negative or no number, as gRPC's A6 says
		}
		return max(time.Duration(ms)*time.Millisecond, firstWait)
	}
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return max(retry.GetRetryDelay().AsDuration(), firstWait)
		}
	}
	return otherwise
}

// reason returns the gateway's reason of a failure, or "-".
func reason(failure *status.Status) string {
	for _, detail := range failure.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info.GetReason()
		}
	}
	return "-"
}

// printFailure prints what a program decides by: code, reason and details. It never prints a request.
func printFailure(err error) {
	failure, ok := status.FromError(err)
	if !ok {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var details []string
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				details = append(details, violation.GetField()+": "+violation.GetDescription())
			}
		case *errdetails.RetryInfo:
			details = append(details, fmt.Sprintf("may be repeated after %.1f s", detail.GetRetryDelay().AsDuration().Seconds()))
		}
	}
	fmt.Fprintf(os.Stderr, "failed %s %s: %s\n", code.Code(failure.Code()), reason(failure), failure.Message())
	for _, line := range details {
		fmt.Fprintln(os.Stderr, "  "+line)
	}
}
