// Which calls are repeated, and when; and what a failure says.

import { setTimeout } from "node:timers/promises";

import { Metadata, status, type CallOptions, type ServiceError } from "@grpc/grpc-js";

import { BadRequest, ErrorInfo, RetryInfo } from "../generated/google/rpc/error_details.js";
import { Status } from "../generated/google/rpc/status.js";

const DOMAIN = "gateway.chartbrew.com";
export const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 5000;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** Makes calls with a token, each within a time that includes its repetitions. */
export class Caller {
  // Hidden from `console.log` and `JSON.stringify`.
  readonly #token: string;

  constructor(
    token: string,
    private readonly timeoutMs: number,
  ) {
    this.#token = token;
  }

  /**
   * Makes a call until it ends with something else than UNAVAILABLE, or its time is over. Create
   * may be repeated only with a request_id, all other methods always.
   */
  async call<Request, Response>(
    isRepeatable: boolean,
    method: Method<Request, Response>,
    request: Request,
  ): Promise<Response> {
    const deadline = Date.now() + this.timeoutMs;
    for (let limit = FIRST_WAIT_MS; ; limit = Math.min(2 * limit, LONGEST_WAIT_MS)) {
      try {
        return await this.attempt(method, request, deadline);
      } catch (error) {
        if (!isRepeatable || !isServiceError(error) || error.code !== status.UNAVAILABLE)
          throw error;
        const wait = told(error) ?? limit * (0.5 + 0.5 * Math.random());
        if (wait < 0 || Date.now() + wait >= deadline) throw error;
        await setTimeout(wait);
        console.error(`repeated after ${(wait / 1000).toFixed(1)} s: UNAVAILABLE`);
      }
    }
  }

  private attempt<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    deadline: number,
  ): Promise<Response> {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${this.#token}`);
    return new Promise((resolve, reject) => {
      method(request, metadata, { deadline }, (error, response) => {
        if (error) reject(error);
        else resolve(response);
      });
    });
  }
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "metadata" in error;
}

/**
 * How long the server says to wait, in milliseconds, at least the first wait. Less than 0: do not
 * repeat.
 */
function told(error: ServiceError): number | undefined {
  const [pushback] = error.metadata.get("grpc-retry-pushback-ms");
  if (pushback !== undefined) {
    // Negative or no number: do not repeat, as gRPC's A6 says.
    return /^\d+$/.test(pushback.toString()) ? Math.max(Number(pushback), FIRST_WAIT_MS) : -1;
  }
  const [retry] = details(error, RetryInfo);
  return retry && Math.max(delayMs(retry), FIRST_WAIT_MS);
}

/** The details of this type; none if they cannot be read. */
function details<T>(
  error: ServiceError,
  type: { $type: string; decode(input: Uint8Array): T },
): T[] {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  if (!(packed instanceof Buffer)) return [];
  try {
    return Status.decode(packed)
      .details.filter(({ typeUrl }) => typeUrl.endsWith(`/${type.$type}`))
      .map(({ value }) => type.decode(value));
  } catch {
    return [];
  }
}

function delayMs({ retryDelay }: RetryInfo): number {
  return retryDelay ? retryDelay.seconds * 1000 + retryDelay.nanos / 1e6 : 0;
}

/** The gateway's reason of a failure, or "-". */
export function reason(error: ServiceError): string {
  return details(error, ErrorInfo).find(({ domain }) => domain === DOMAIN)?.reason ?? "-";
}

/** What a program decides by: code, reason and details. Never the request. */
export function failureLines(error: ServiceError): string[] {
  const lines = [`failed ${status[error.code]} ${reason(error)}: ${error.details}`];
  for (const { fieldViolations } of details(error, BadRequest)) {
    for (const { field, description } of fieldViolations) lines.push(`  ${field}: ${description}`);
  }
  for (const retry of details(error, RetryInfo)) {
    lines.push(`  may be repeated after ${(delayMs(retry) / 1000).toFixed(1)} s`);
  }
  return lines;
}
