import type { Word64 } from '@retrap/device'
import { hex } from '@retrap/device/host'
import type { FailurePolicy, IoreqServer } from './server.ts'
import * as L from './layout.ts'
import { requestAddress, type IoRequest } from './request.ts'
import { STATUS_DONE, STATUS_ERROR } from './status.ts'
import { allOnes } from './words.ts'

/** How a device model broke its contract. */
export interface DeviceFailure {
  /** ID of the server; −1 for the hypervisor's own handlers. */
  readonly server: number
  /** Name. */
  readonly serverName: string
  /** The model within the server, where that is known. */
  readonly device: string
  /** The access in words, such as "mmio read of 4 bytes at 0xfed00000". */
  readonly request: string
  /** The thrown error, or one that says what was wrong. */
  readonly cause: unknown
  /** The policy that it leads to. */
  readonly policy: FailurePolicy
}

/** An access that a model has failed in. */
export interface FailedAccess {
  /** `IOREQ_TYPE_*`. */
  readonly type: number
  /** `IOREQ_READ` or `IOREQ_WRITE`. */
  readonly direction: number
  readonly address: number
  readonly size: number
}

/** Reports models that break their contract, and does what the policy says about them. */
export class FailureHandler {
  readonly #policy: FailurePolicy
  readonly #answer: Word64
  readonly #onFailure: ((failure: DeviceFailure) => void) | undefined

  /** @param answer - where a detached model's ones go */
  constructor(policy: FailurePolicy, answer: Word64, onFailure: ((failure: DeviceFailure) => void) | undefined) {
    this.#policy = policy
    this.#answer = answer
    this.#onFailure = onFailure
  }

  /** Returns the policy for a failure of a server. */
  policyOf(server: IoreqServer | null): FailurePolicy {
    return server?.policy ?? this.#policy
  }

  /**
   * An access has failed.
   *
   * @param server - null for the hypervisor's own handlers, which cannot be detached
   * @returns `STATUS_ERROR`, or `STATUS_DONE` under the policy `detach`; the answer is ones
   */
  fail(server: IoreqServer | null, device: string, access: FailedAccess, cause: unknown): number {
    this.#report(server, device, phrase(access), cause)
    allOnes(access.size, this.#answer)
    if (server === null || this.policyOf(server) === 'crash') return STATUS_ERROR
    this.#detach(server, device)
    return STATUS_DONE
  }

  /** Something else than an access has failed: a timer, for instance. */
  failOutside(server: IoreqServer, device: string, what: string, cause: unknown): void {
    this.#report(server, device, what, cause)
    if (this.policyOf(server) === 'detach') this.#detach(server, device)
  }

  #detach(server: IoreqServer, device: string): void {
    if (server.transport.detach?.(device) !== true) server.destroy()
  }

  #report(server: IoreqServer | null, device: string, request: string, cause: unknown): void {
    const { id = -1, name: serverName = 'hypervisor' } = server ?? {}
    this.#onFailure?.({ server: id, serverName, device, request, cause, policy: this.policyOf(server) })
  }
}

/** An access in words. */
export function phrase({ type, direction, address, size }: FailedAccess): string {
  const kinds: Record<number, string> = {
    [L.IOREQ_TYPE_PIO]: 'port',
    [L.IOREQ_TYPE_COPY]: 'mmio',
    [L.IOREQ_TYPE_PCI_CONFIG]: 'PCI configuration',
    [L.IOREQ_TYPE_TIMEOFFSET]: 'time offset',
    [L.IOREQ_TYPE_INVALIDATE]: 'invalidate',
  }
  const kind = kinds[type] ?? `type ${type}`
  return `${kind} ${direction === L.IOREQ_READ ? 'read' : 'write'} of ${size} bytes at ${hex(address)}`
}

export function accessOf(request: IoRequest): FailedAccess {
  const { type, direction, size } = request
  return { type, direction, address: requestAddress(request), size }
}

/** A request in words. */
export function describeRequest(request: IoRequest): string {
  return phrase(accessOf(request))
}
