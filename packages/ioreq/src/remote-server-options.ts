import type { PageLocation } from './dispatch-options.ts'
import type { FailurePolicy } from './failure-policy.ts'
import type { Frame } from './frames.ts'

/** A way to a device server: what differs between a Worker, a socket and any other. */
export interface ServerLink {
  /** Where the server's request page and ring are; default the domain's memory. */
  readonly page?: PageLocation
  /** Where the buffered ring is; default the domain's memory. */
  readonly ringPage?: PageLocation
  /** Sends a frame after all frames before. */
  send(frame: Frame): void
  /** A request has been published in the server's slot. */
  notify(vcpu: number): void
  /** Hands over the frames that have arrived, where an answer can overtake them. */
  receive?(): void
  /** A request has been put into the server's ring. */
  notifyBuffered(): void
  /** Ends the connection; nothing more is sent or received. */
  close(): void
}

/** What a {@link RemoteServer} is made with. */
export interface RemoteServerOptions {
  /** Names the server in errors and traces. */
  readonly name: string
  /** Whether the platform's clock runs on by itself between two requests. Default true. */
  readonly realTime?: boolean
  /** How long the models may take to be attached before the server has failed, in milliseconds. Default 30 seconds. */
  readonly readyMs?: number
  /** What a failure of its models leads to; default the domain's policy. */
  readonly policy?: FailurePolicy
  /** What the models send to whoever made the machine. */
  onMessage?(bytes: Uint8Array): void
  /** The server has ended, for whatever reason: what runs its models can be stopped. */
  onClosed?(): void
}
