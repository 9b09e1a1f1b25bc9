// Command client creates, tests, updates and deletes a connection of a Chartbrew team.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	pb "example.com/chartbrew/gen/chartbrew/connection/v1"
)

var errNoConnection = errors.New("a response without its connection")

const (
	team           = 1
	longestTimeout = 86400 // in seconds
	usage          = "usage: client lifecycle | client create NAME [REQUEST_ID]"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		printFailure(err)
		os.Exit(1)
	}
}

func run(args []string) error {
	seconds, err := strconv.ParseFloat(env("CLIENT_TIMEOUT_SECONDS", "60"), 64)
	if err != nil || !(seconds > 0 && seconds <= longestTimeout) {
		return fmt.Errorf("CLIENT_TIMEOUT_SECONDS must be a number above 0, at most %d", longestTimeout)
	}
	// Checked here, since a library may print a token that it cannot send.
	token := env("CLIENT_TOKEN", "sandbox-token")
	if strings.ContainsFunc(token, func(r rune) bool { return r < '!' || r > '~' }) {
		return errors.New("CLIENT_TOKEN has characters that no header may have")
	}
	conn, err := connect(env("CLIENT_ADDRESS", "127.0.0.1:50051"), os.Getenv("CLIENT_CA_FILE"))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := client{
		service: pb.NewConnectionServiceClient(conn),
		token:   token,
		timeout: time.Duration(seconds * float64(time.Second)),
	}
	ctx := context.Background()
	switch {
	case len(args) == 1 && args[0] == "lifecycle":
		return c.lifecycle(ctx)
	case len(args) == 2 && args[0] == "create":
		_, err := c.create(ctx, args[1], nil)
		return err
	case len(args) == 3 && args[0] == "create":
		_, err := c.create(ctx, args[1], &args[2])
		return err
	}
	return errors.New(usage)
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func connect(address, caFile string) (*grpc.ClientConn, error) {
	creds := credentials.NewTLS(nil) // trusts the system's authorities
	if caFile != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(caFile, ""); err != nil {
			return nil, err
		}
	} else if isLoopback(address) || os.Getenv("CLIENT_PLAINTEXT") == "1" {
		creds = insecure.NewCredentials()
	}
	// Only `repeat` repeats calls. What WithDisableRetry leaves on, grpc-go's transparent retry, sends
	// a call again only if the gateway certainly has not begun it.
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		// Without this, the wait between two attempts to connect grows to two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstWait, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}))
}

func isLoopback(address string) bool {
	ip, err := netip.ParseAddrPort(address)
	return err == nil && ip.Addr().IsLoopback() || strings.HasPrefix(address, "localhost:")
}

type client struct {
	service pb.ConnectionServiceClient
	token   string
	timeout time.Duration
}

func (c client) lifecycle(ctx context.Context) error {
	requestID := uuid.NewString()
	id, err := c.create(ctx, "orders", &requestID)
	if err != nil {
		return err
	}

	// A test that fails is a response, not an error.
	tested, err := call(ctx, c, true, c.service.Test, &pb.TestRequest{TeamId: team, ConnectionId: id})
	if err != nil {
		return err
	}
	if tested.GetSuccess() {
		fmt.Println("tested success=true")
	} else {
		fmt.Printf("tested success=false: %s\n", tested.GetMessage())
	}

	// Exactly the fields that the mask names are changed.
	connection := &pb.NewConnection{Host: proto.String("replica.example.com"), Password: proto.String("new-password")}
	mask, err := fieldmaskpb.New(connection, "host", "password")
	if err != nil {
		return err
	}
	updated, err := call(ctx, c, true, c.service.Update, &pb.UpdateRequest{
		TeamId: team, ConnectionId: id, Connection: connection, UpdateMask: mask,
	})
	if err != nil {
		return err
	}
	if updated.GetConnection() == nil {
		return errNoConnection
	}
	fmt.Printf("updated %d host=%s\n", updated.GetConnection().GetId(), updated.GetConnection().GetHost())

	// Gone is what it shall be: an attempt whose response was lost may have deleted it.
	_, err = call(ctx, c, true, c.service.Delete, &pb.DeleteRequest{TeamId: team, ConnectionId: id})
	if err != nil && reason(status.Convert(err)) != "CONNECTION_NOT_FOUND" {
		return err
	}
	fmt.Printf("deleted %d\n", id)
	return nil
}

// create returns the id of the new connection. Without a requestID the call is made once: a second one could
// make a second connection.
func (c client) create(ctx context.Context, name string, requestID *string) (int32, error) {
	options, err := structpb.NewValue([]any{map[string]any{"application_name": "example"}})
	if err != nil {
		return 0, err
	}
	created, err := call(ctx, c, requestID != nil, c.service.Create, &pb.CreateRequest{
		TeamId:    team,
		RequestId: requestID,
		Connection: &pb.NewConnection{
			Name:     name,
			Type:     pb.ConnectionType_CONNECTION_TYPE_POSTGRES,
			Host:     proto.String("db.example.com"),
			Port:     proto.String("5432"),
			Username: proto.String("reader"),
			Password: proto.String("old-password"),
			Options:  options,
		},
		Files: &pb.ConnectionFiles{
			SslCa: []byte("-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n"),
		},
	})
	if err != nil {
		return 0, err
	}
	if created.GetConnection() == nil {
		return 0, errNoConnection
	}
	fmt.Printf("created %d\n", created.GetConnection().GetId())
	return created.GetConnection().GetId(), nil
}

// call makes one call, with its repetitions, its deadline and the token.
func call[Req, Res any](ctx context.Context, c client, isRepeatable bool, m method[Req, Res], req Req) (Res, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	return repeat(ctx, isRepeatable, m, req)
}
