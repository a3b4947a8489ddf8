import type { PageLocation } from './dispatch-options.ts'
import type { FailurePolicy } from './failure-policy.ts'
import type { Frame } from './frames.ts'
import type { IoreqServer } from './server.ts'

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

/** The machine's side of a server as its gate sees it: a `RemoteServer`. */
export interface GatedServer {
  /** The server in the domain. */
  readonly server: IoreqServer
  /** Has a frame of the models take effect. */
  apply(frame: Frame): void
  /** Tells the models that a transfer has ended. */
  reply(call: number, ok: boolean): void
}

/**
 * Stands between models elsewhere and a machine that is recorded: what they do by themselves takes effect when the gate says
 * so. See `DevicePlatform.gate`.
 */
export interface ServerGate {
  /** What the machine's side posts to the models is no request of the guest's: nothing waits for what the models make of it. */
  readonly postsFreely: boolean
  /** A frame goes to the models. */
  sends(frame: Frame): void
  /**
   * A frame has come from the models.
   *
   * @returns whether it takes effect now; otherwise the gate gives it to `RemoteServer.apply` later
   */
  arrived(frame: Frame): boolean
  /** A request of a vCPU has been published in the server's slot, and the models do not know of it yet. */
  asked(vcpu: number): void
  /** The slot of a vCPU has its answer. It may be told more than once. */
  answered(vcpu: number): void
  /** Puts what the models have written to guest memory, and what is still to come there, over what was read. */
  overlay(gpa: number, bytes: Uint8Array): void
}
