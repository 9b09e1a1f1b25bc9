// Creates, tests, updates and deletes a connection of a Chartbrew team.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import process, { argv, env } from "node:process";

import { credentials } from "@grpc/grpc-js";

import {
  ConnectionServiceClient,
  ConnectionType,
  CreateRequest,
  DeleteRequest,
  TestRequest,
  UpdateRequest,
} from "../generated/chartbrew/connection/v1/connection_service.js";
import { Caller, failureLines, FIRST_WAIT_MS, isServiceError, reason } from "./repeat.js";

const TEAM = 1;
const NO_CONNECTION = "a response without its connection";
const USAGE = "usage: client lifecycle | client create NAME [REQUEST_ID]";

const LONGEST_TIMEOUT = 86400; // in seconds
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+$/;

function setting(name: string, otherwise: string): string {
  const value = env[name];
  return value === undefined || value === "" ? otherwise : value;
}

/** With TLS, unless this cannot be read by others. Without a caFile it trusts Node's authorities. */
function connect(address: string, caFile: string): ConnectionServiceClient {
  let creds = credentials.createSsl(caFile === "" ? null : readFileSync(caFile));
  if (caFile === "" && (LOOPBACK.test(address) || env.CLIENT_PLAINTEXT === "1"))
    creds = credentials.createInsecure();
  return new ConnectionServiceClient(address, creds, {
    // Only `Caller` repeats calls.
    "grpc.enable_retries": 0,
    "grpc.service_config_disable_resolution": 1,
    // Without this, the wait between two attempts to connect grows to two minutes.
    "grpc.initial_reconnect_backoff_ms": FIRST_WAIT_MS,
    "grpc.max_reconnect_backoff_ms": 1000,
  });
}

async function lifecycle(service: ConnectionServiceClient, caller: Caller): Promise<void> {
  const id = await create(service, caller, "orders", randomUUID());
  const which = { teamId: TEAM, connectionId: id };

  // A test that fails is a response, not an error.
  const test = TestRequest.create(which);
  const { success, message } = await caller.call(true, service.test.bind(service), test);
  console.log(success ? "tested success=true" : `tested success=false: ${message}`);

  // Exactly the fields that the mask names are changed.
  const update = UpdateRequest.create({
    ...which,
    connection: { host: "replica.example.com", password: "new-password" },
    updateMask: ["host", "password"],
  });
  const { connection } = await caller.call(true, service.update.bind(service), update);
  if (connection === undefined) throw new Error(NO_CONNECTION);
  console.log(`updated ${String(connection.id)} host=${String(connection.host)}`);

  try {
    await caller.call(true, service.delete.bind(service), DeleteRequest.create(which));
  } catch (error) {
    // Gone is what it shall be: an attempt whose response was lost may have deleted it.
    if (!isServiceError(error) || reason(error) !== "CONNECTION_NOT_FOUND") throw error;
  }
  console.log(`deleted ${String(id)}`);
}

/**
 * Returns the id of the new connection. Without a requestId the call is made once: a second one
 * could make a second connection.
 */
async function create(
  service: ConnectionServiceClient,
  caller: Caller,
  name: string,
  requestId?: string,
): Promise<number> {
  const request = CreateRequest.create({
    teamId: TEAM,
    requestId,
    connection: {
      name,
      type: ConnectionType.CONNECTION_TYPE_POSTGRES,
      host: "db.example.com",
      port: "5432",
      username: "reader",
      password: "old-password",
      options: [{ application_name: "example" }],
    },
    files: {
      sslCa: Buffer.from("-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n"),
    },
  });
  const isRepeatable = requestId !== undefined;
  const { connection } = await caller.call(isRepeatable, service.create.bind(service), request);
  if (connection === undefined) throw new Error(NO_CONNECTION);
  console.log(`created ${String(connection.id)}`);
  return connection.id;
}

async function main(args: string[]): Promise<void> {
  const seconds = Number(setting("CLIENT_TIMEOUT_SECONDS", "60"));
  if (!(seconds > 0 && seconds <= LONGEST_TIMEOUT))
    throw new Error(
      `CLIENT_TIMEOUT_SECONDS must be a number above 0, at most ${String(LONGEST_TIMEOUT)}`,
    );
  // Checked here, since a library may print a token that it cannot send.
  const token = setting("CLIENT_TOKEN", "sandbox-token");
  if (!/^[!-~]+$/.test(token))
    throw new Error("CLIENT_TOKEN has characters that no header may have");
  const caller = new Caller(token, seconds * 1000);
  const address = setting("CLIENT_ADDRESS", "127.0.0.1:50051");
  const service = connect(address, setting("CLIENT_CA_FILE", ""));
  const [command, name, requestId] = args;
  try {
    if (command === "lifecycle" && args.length === 1) await lifecycle(service, caller);
    else if (command === "create" && name !== undefined && args.length <= 3)
      await create(service, caller, name, requestId);
    else throw new Error(USAGE);
  } finally {
    service.close();
  }
}

try {
  await main(argv.slice(2));
} catch (error) {
  if (isServiceError(error)) console.error(failureLines(error).join("\n"));
  else console.error(error instanceof Error ? error.message : "failed");
  process.exitCode = 1;
}
