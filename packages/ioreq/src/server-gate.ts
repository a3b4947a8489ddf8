import type { BufferedRing } from './buffered-ring.ts'
import type { Frame } from './frames.ts'
import type { IoreqSlot } from './slot.ts'

/** What a gate uses of a server in the domain: an `IoreqServer`, which it does not name, because that one knows the platform. */
export interface GatedSlots {
  /** Null: the server takes no buffered requests. */
  readonly ring: BufferedRing | null
  /** Returns a vCPU's slot. */
  slot(vcpu: number): IoreqSlot
  /** The slot of a vCPU has its answer. */
  answered(vcpu: number): void
}

/** The machine's side of a server as its gate sees it: a `RemoteServer`. */
export interface GatedServer {
  /** The server in the domain. */
  readonly server: GatedSlots
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
