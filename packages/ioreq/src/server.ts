import * as L from './layout.ts'
import { IoreqError } from './errors.ts'
import { RangeSet } from './range-set.ts'
import type { IoreqPage, IoreqSlot } from './slot.ts'
import type { BufferedRing } from './buffered-ring.ts'
import type { Channel, LocalModels } from './channel.ts'
import type { InvalidationNotice, IoRequest } from './request.ts'

/** The policy of a domain for a model that breaks its contract: the domain ends, or the model does. */
export type FailurePolicy = 'crash' | 'detach'

/**
 * How a server is reached. The producer has published a request when it calls `notify`; the server answers through
 * the slot and then calls {@link IoreqServer.answered}, at once or later.
 */
export interface IoreqTransport {
  /** A request has been published in this vCPU's slot. */
  notify(vcpu: number): void
  /** Handles what the server has sent before an answer that has been found in a vCPU's slot: it is to be seen first. */
  receive?(vcpu: number): void
  /** A request has been put into the buffered ring. */
  notifyBuffered?(): void
  /** Takes a TIMEOFFSET notice past the ring; true if it has. */
  timeOffset?(request: IoRequest): boolean
  /** The vCPU no longer wants the answer to its request. The answer is still to be written, and is dropped. */
  cancel?(vcpu: number): void
  /** Takes one of the server's models out. False, or absent: that cannot be done, and the whole server goes. */
  detach?(device: string): boolean
  /** Name of the model that answers at an address, where that is known. */
  deviceAt?(kind: 'port' | 'mmio', address: number): string | undefined
  /** Names a model that has a part of `first` … `last`, where the transport knows. */
  deviceIn?(kind: 'port' | 'mmio', first: number, last: number): string | undefined
  /** An INVALIDATE request for this vCPU follows, and this is what it is about. The request itself says everything. */
  announce?(vcpu: number, notice: InvalidationNotice): void
  /**
   * Drops all that the server has mapped of guest memory; `done` when it has nothing mapped. Asked of a server that is
   * disabled, and gets no requests. Absent: it has nothing that this side knows of.
   */
  dropMappings?(done: () => void): void
  /** Name of a model that has something mapped which an INVALIDATE request waits for. */
  holder?(): string | undefined
  /** Ends all that the server has mapped of guest memory, at once: it is about to be destroyed. */
  endMappings?(): void
  /** The server has been destroyed. */
  closed?(): void
}

/** The part of the dispatcher that servers call. */
export interface ServerOwner {
  /** A server's ranges have changed. */
  rangesChanged(server: IoreqServer, type: number): void
  /** A server's slot has changed. */
  answered(server: IoreqServer, vcpu: number, mayRun: boolean): void
  /** A server has been enabled or disabled. */
  stateChanged(server: IoreqServer): void
  /** A server has been destroyed. */
  destroyed(server: IoreqServer): void
}

/** 4096 zeroed bytes. */
export interface PageLocation {
  /** The buffer that holds it. */
  readonly buffer: ArrayBufferLike
  /** Where the page begins. */
  readonly byteOffset: number
}

/** Describes a new server. */
export interface ServerOptions {
  /** Names the server in errors and traces. */
  readonly name: string
  /** How the server is reached. */
  readonly transport: IoreqTransport
  /** Where the request page is, and the ring if there is one. Default: as the domain's other pages. */
  readonly page?: PageLocation
  /** Where the buffered ring is. */
  readonly ringPage?: PageLocation
  /** `HVM_IOREQSRV_BUFIOREQ_*`; default off. */
  readonly bufferedMode?: number
  /** The policy for a failure of its models; default the domain's. */
  readonly policy?: FailurePolicy
  /** Whether its fixed ranges may lie over RAM and ranges of others: see `IoDispatch.refuseOverlaps`. Default true. */
  readonly mayOverlap?: boolean
  /** @internal The models, where they are of this process. */
  readonly local?: LocalModels
}

/** The place of a server in a domain; `IoDispatch.createServer` has it. */
export interface ServerPlace {
  /** Number in the domain. */
  readonly id: number
  /** vCPUs of the domain. */
  readonly vcpus: number
  /** Request page. */
  readonly page: IoreqPage
  /** The ring of buffered requests, or null without one. */
  readonly ring: BufferedRing | null
  /** Hears what changes. */
  readonly owner: ServerOwner
  readonly channelOf: (server: IoreqServer) => Channel
}

/**
 * An ioreq server of a domain: the ranges that it answers for, its page of requests, and whether it is enabled.
 * The methods have the semantics of the `dm_op` of the same name.
 */
export class IoreqServer {
  /** Number in the domain. */
  readonly id: number
  /** Names the server in errors and traces. */
  readonly name: string
  /** Request page. */
  readonly page: IoreqPage
  /** The ring of buffered requests, or null without one. */
  readonly ring: BufferedRing | null
  /** `HVM_IOREQSRV_BUFIOREQ_*`. */
  readonly bufferedMode: number
  /** How the server is reached. */
  readonly transport: IoreqTransport
  /** The policy for a failure of its models; null: the domain's. */
  readonly policy: FailurePolicy | null
  /** See `ServerOptions`. */
  readonly mayOverlap: boolean
  /** @internal The way of its requests. */
  readonly channel: Channel
  /** Ranges by type: port, memory, PCI. */
  readonly ranges: readonly [RangeSet, RangeSet, RangeSet]
  /** Port and memory ranges whose writes go through the ring; see `setBufferedRanges`. */
  readonly bufferedRanges: readonly [RangeSet, RangeSet]
  /** Whether accesses reach it. */
  enabled = false
  /** @internal Slots whose request was cancelled and whose answer is still to come. */
  readonly draining: Uint8Array
  /** @internal Slots with an INVALIDATE request: 1 sent, 2 waiting for the slot to drain, 3 without, as it is disabled. */
  readonly invalidating: Uint8Array
  readonly #owner: ServerOwner
  #alive = true

  /** @internal */
  constructor({ id, vcpus, page, ring, owner, channelOf }: ServerPlace, options: ServerOptions) {
    this.#owner = owner
    this.id = id
    this.name = options.name
    this.page = page
    this.ring = ring
    this.bufferedMode =
      ring === null ? L.HVM_IOREQSRV_BUFIOREQ_OFF : (options.bufferedMode ?? L.HVM_IOREQSRV_BUFIOREQ_OFF)
    this.transport = options.transport
    this.policy = options.policy ?? null
    this.mayOverlap = options.mayOverlap ?? true
    this.ranges = [new RangeSet(), new RangeSet(), new RangeSet()]
    this.bufferedRanges = [new RangeSet(), new RangeSet()]
    this.draining = new Uint8Array(vcpus)
    this.invalidating = new Uint8Array(vcpus)
    this.channel = channelOf(this)
  }

  #rangeSet(type: number): RangeSet {
    if (!this.#alive) throw new IoreqError('ERR_NOT_FOUND', `server ${this.id} (${this.name}) has been destroyed`)
    const set = this.ranges[type]
    if (set === undefined) {
      throw new IoreqError(
        'ERR_INVALID',
        `range type ${type}: expected ${L.XEN_DMOP_IO_RANGE_PORT} (port), ${L.XEN_DMOP_IO_RANGE_MEMORY} (memory) or ${L.XEN_DMOP_IO_RANGE_PCI} (PCI)`,
      )
    }
    return set
  }

  /**
   * Claims `start` … `end`, inclusive: ports, guest-physical addresses, or PCI functions as segment·2^16 + BDF.
   *
   * @throws IoreqError `ERR_EXISTS` on overlap, `ERR_INVALID`, `ERR_NO_SPACE` for the 257th range
   */
  mapRange(type: number, start: number, end: number): void {
    this.#rangeSet(type).add(start, end)
    this.#owner.rangesChanged(this, type)
  }

  /**
   * Gives `start` … `end` up.
   *
   * @throws IoreqError `ERR_NOT_FOUND` unless all of it is claimed
   */
  unmapRange(type: number, start: number, end: number): void {
    this.#rangeSet(type).remove(start, end)
    this.#owner.rangesChanged(this, type)
  }

  /**
   * Claims these ranges of a type and no others, at once: an access sees the old claims or the new ones.
   *
   * @throws IoreqError as `mapRange`; what fitted is then claimed
   */
  setRanges(type: number, ranges: readonly (readonly [start: number, end: number])[]): void {
    try {
      this.#rangeSet(type).replace(ranges)
    } finally {
      this.#owner.rangesChanged(this, type)
    }
  }

  /**
   * Names the claimed ports or addresses whose writes need no answer. Where the server has a ring, single writes up to
   * address 0xFFFFF go through it while it has room. An extension: Xen decides this itself, for VGA memory.
   */
  setBufferedRanges(type: number, ranges: readonly (readonly [start: number, end: number])[]): void {
    const set = this.bufferedRanges[type]
    if (set === undefined) throw new IoreqError('ERR_INVALID', `range type ${type} cannot be buffered`)
    set.replace(ranges)
  }

  /** False once it has been destroyed. */
  get alive(): boolean {
    return this.#alive
  }

  /** Accesses reach only enabled servers. */
  setState(enabled: boolean): void {
    if (!this.#alive) throw new IoreqError('ERR_NOT_FOUND', `server ${this.id} (${this.name}) has been destroyed`)
    if (this.enabled === enabled) return
    this.enabled = enabled
    this.#owner.stateChanged(this)
  }

  /** Ends the server. Requests that it holds end quietly, with all ones. */
  destroy(): void {
    if (!this.#alive) return
    // A notice is acknowledged when nothing is mapped any more.
    this.transport.endMappings?.()
    this.#alive = false
    this.enabled = false
    for (const set of this.ranges) set.clear()
    this.#owner.destroyed(this)
    this.transport.closed?.()
  }

  /**
   * To be called by the transport when the slot of `vcpu` has changed its state.
   *
   * @param mayRun - the transport has nothing left to do, and the vCPU may run on within this call
   */
  answered(vcpu: number, mayRun = false): void {
    this.#owner.answered(this, vcpu, mayRun)
  }

  /** The request slot of one vCPU. */
  slot(vcpu: number): IoreqSlot {
    return this.page.slot(vcpu)
  }
}
