import type { InvalidatedFrames } from '@retrap/device'
import type { InvalidationListener, InvalidationNotice, VcpuRequests, IoreqServer } from '@retrap/ioreq'
import type { FrameReferences } from '@retrap/mapcache'
import { P2mEntry, type P2m } from '@retrap/p2m'
import { STATUS_RETRY } from '@retrap/replay'
import { HvmError } from '../errors.ts'
import type { InvalidationAccount } from './invalidation-account.ts'

/** As {@link Invalidations.actor}: not a vCPU's own hypercall or fault, but a toolstack or a device model. */
export const OUTSIDE = -1

/** Most ranges listed in a notice; beyond this number the notice says "all". */
const MOST_RANGES = 64
/** Most consecutive rounds in which servers that respond at once may cause further notices. */
const ROUNDS = 8

/** The parts of a domain that {@link Invalidations} works on. */
export interface InvalidationOptions {
  /** The guest's map, whose changes raise epochs. */
  readonly p2m: Pick<P2m, 'onRelease' | 'onChange' | 'lookup' | 'types'>
  /** Sends the notices. */
  readonly dispatch: { readonly requests: Pick<VcpuRequests, 'invalidate' | 'has'> }
  /** vCPUs of the domain. */
  readonly vcpus: number
  /** Keeps removed frames until every server has acknowledged. */
  readonly frames?: FrameReferences
  /** Called when a vCPU, or with {@link OUTSIDE} every vCPU, must stop before its next instruction until `resume`. */
  onRaise?(actor: number): void
  /** Sends the notices that need no running vCPU; false while vCPUs run and send notices themselves. */
  sendIdle?(): boolean
}

/** A wait for all device models: that no RAM which had left the guest by then can be reached any more. */
export interface EpochTicket {
  /** The last change that is waited for. */
  readonly epoch: number
  /** Whether every server has acknowledged. */
  readonly acknowledged: boolean
  /**
   * Resolves when every server has acknowledged.
   *
   * @param party - the device model that waits, if any: it does not wait for itself
   * @throws HvmError `ERR_DEADLOCK` if the wait cannot end, because no vCPU's slot is left for the notice; `ERR_PENDING`
   * if a device model has failed and crashed its domain
   */
  wait(party?: WaitingParty): Promise<void>
}

/** A device model that waits, as its server and the request that it serves. */
export interface WaitingParty {
  /** Counts as having acknowledged: the model knows its own mappings. */
  readonly server?: IoreqServer
  /** The vCPU whose request waits for this model. */
  readonly vcpu?: number
}

/** Guest frames that some server may still reach by their old machine frames. */
interface Unsettled {
  epoch: number
  readonly gfn: number
  count: number
  readonly mfn: number
  readonly writesOnly: boolean
  readonly referenced: boolean
}

interface Waiter {
  readonly epoch: number
  readonly server: IoreqServer | undefined
  readonly resolve: () => void
  readonly reject: (error: HvmError) => void
}

/**
 * Which RAM has left a guest, and which device models have still to be notified of it.
 *
 * Each release of a RAM leaf, and each loss of the right to write one, is an *epoch*. A vCPU that has caused one by its
 * own hypercall or fault, and every vCPU where somebody else has, sends a notice before its next instruction and waits
 * until every server has acknowledged. Servers' acknowledgements only rise; other parties wait for them by tickets. Until
 * all have acknowledged, the frames stay referenced.
 *
 * One flag for a domain is not enough: the vCPU that clears it would be the only one that waits.
 *
 * Source: Xen's public header hvm/ioreq.h, `IOREQ_TYPE_INVALIDATE`.
 */
export class Invalidations implements InvalidationListener {
  /** Number of the last change. */
  epoch = 0
  /** The vCPU whose hypercall or fault changes the map now. */
  actor: number = OUTSIDE
  /** Per vCPU: its last change, and the last change covered by one of its notices. */
  readonly own: Float64Array
  /** By vCPU: the last change covered by one of its notices. */
  readonly noticed: Float64Array
  /** The last change by a party other than a vCPU. */
  outside = 0
  readonly #options: InvalidationOptions
  readonly #dispatch: InvalidationOptions['dispatch']
  /** Epoch covered by each vCPU's notice in flight; 0 without one. */
  readonly #sent: Float64Array
  /** The last change that each server has acknowledged. A server that came later could reach nothing of before. */
  readonly #acknowledged = new Map<IoreqServer, number>()
  /** In order of epochs. */
  readonly #unsettled: Unsettled[] = []
  /** A server may hold anything from before this change, regardless of the ranges. */
  #everything = 0
  readonly #waiters = new Set<Waiter>()
  /** Waiting parties whose request each vCPU waits for. */
  readonly #heldUp: Uint8Array
  readonly #unsubscribe: readonly (() => void)[]

  constructor(options: InvalidationOptions) {
    this.#options = options
    this.#dispatch = options.dispatch
    this.own = new Float64Array(options.vcpus)
    this.noticed = new Float64Array(options.vcpus)
    this.#sent = new Float64Array(options.vcpus)
    this.#heldUp = new Uint8Array(options.vcpus)
    const { p2m } = options
    const entry = new P2mEntry()
    this.#unsubscribe = [
      p2m.onRelease((gfn, mfn, order) => this.raise(gfn, mfn, 2 ** order, false)),
      p2m.onChange((gfn, count) => {
        // Device models write other RAM directly, and report logged writes. The address may have had no RAM before.
        if (p2m.lookup(gfn, entry) === p2m.types.rom) this.raise(gfn, entry.mfn, count, true)
      }),
    ]
  }

  /** Stops listening to the map, and lets all frames go: the domain is over. */
  close(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#letGo(this.epoch)
  }

  // ---- what has changed ----

  /**
   * Attributes changes of the map to a vCPU from now on.
   *
   * @returns the argument of `leave`
   */
  enter(vcpu: number): number {
    const before = this.actor
    this.actor = vcpu
    return before
  }

  /** Ends the section. A vCPU that has changed the map must then return to `resume`. */
  leave(before: number): void {
    const { actor } = this
    this.actor = before
    if (actor !== OUTSIDE && this.flagged(actor)) this.#options.onRaise?.(actor)
  }

  /** Notes a change of the map, which calls this. */
  raise(gfn: number, mfn: number, count: number, writesOnly: boolean): void {
    const epoch = ++this.epoch
    const referenced = !writesOnly && this.#options.frames?.tryTake(mfn, count) === true
    const last = this.#unsettled.at(-1)
    if (
      last !== undefined &&
      last.gfn + last.count === gfn &&
      last.mfn + last.count === mfn &&
      last.writesOnly === writesOnly &&
      last.referenced === referenced
    ) {
      last.epoch = epoch
      last.count += count
    } else this.#unsettled.push({ epoch, gfn, count, mfn, writesOnly, referenced })
    this.flag(this.actor)
  }

  /** Makes a vCPU, or for {@link OUTSIDE} every one, send a notice before it continues. */
  flag(actor: number): void {
    if (actor === OUTSIDE) {
      this.outside = this.epoch
      this.#options.onRaise?.(actor)
    } else this.own[actor] = this.epoch
    this.#settle()
  }

  // ---- on a vCPU's resume ----

  /** Whether a vCPU has a notice to send, or to wait for. */
  flagged(vcpu: number): boolean {
    const noticed = this.noticed[vcpu]!
    return this.own[vcpu]! > noticed || this.outside > noticed
  }

  /**
   * Whether a vCPU may begin another instruction. If it may not yet, the notice goes out, unless a request of its own is
   * in the slot still: then the answer to that is to be taken first. To be asked again when a request or a notice is
   * complete.
   */
  resume(vcpu: number): boolean {
    return !this.flagged(vcpu) || this.deliver(vcpu)
  }

  /** {@link Invalidations.resume} of a vCPU that is flagged. */
  deliver(vcpu: number): boolean {
    for (let round = 0; round < ROUNDS; round++) {
      // The slot holds one response: a request's and a notice's would be confused.
      if (this.latched(vcpu)) return false
      if (this.#concluded(vcpu) && !this.flagged(vcpu)) return true
      this.#sent[vcpu] = this.epoch
      if (this.#dispatch.requests.invalidate(vcpu, this.notice()) === STATUS_RETRY) return false
    }
    return false
  }

  /** Whether a vCPU's notice is with the servers. Nothing else of it may be sent then. */
  waits(vcpu: number): boolean {
    if (this.#sent[vcpu] === 0) return false
    if (this.latched(vcpu)) return true
    // The instruction under way may ask a device next, and that request must not be a notice.
    this.#concluded(vcpu)
    return false
  }

  /** Whether all servers have acknowledged a vCPU's notice, if it has sent one. */
  #concluded(vcpu: number): boolean {
    const sent = this.#sent[vcpu]!
    if (sent === 0) return false
    this.#sent[vcpu] = 0
    this.noticed[vcpu] = sent
    return true
  }

  /** Whether a vCPU's slots have a request or a notice in them. */
  latched(vcpu: number): boolean {
    return this.#dispatch.requests.has(vcpu)
  }

  /** Returns all changes that some server has not acknowledged: an acknowledgement covers every epoch so far. */
  notice(): InvalidationNotice {
    const { epoch } = this
    const settled = this.settledEpoch
    if (this.#everything > settled || this.#unsettled.length > MOST_RANGES) return { epoch, frames: null }
    const frames = this.#unsettled.map(({ gfn, count, writesOnly }): InvalidatedFrames => ({ gfn, count, writesOnly }))
    return { epoch, frames }
  }

  // ---- servers ----

  /** The last change that every server has acknowledged. */
  get settledEpoch(): number {
    return this.#settledWithout(undefined)
  }

  #settledWithout(except: IoreqServer | undefined): number {
    let least = this.epoch
    for (const [server, epoch] of this.#acknowledged) {
      if (server !== except && epoch < least && counts(server)) least = epoch
    }
    return least
  }

  /** A server has acknowledged all changes up to an epoch. */
  acknowledged(server: IoreqServer, epoch: number): void {
    const before = this.#acknowledged.get(server)
    if (before !== undefined && before < epoch) this.#acknowledged.set(server, epoch)
    this.#settle()
  }

  /** A server was enabled or disabled, or has gone. */
  serverChanged(server: IoreqServer): void {
    const known = this.#acknowledged.get(server)
    if (!server.alive) this.#acknowledged.delete(server)
    else if (known === undefined) this.#acknowledged.set(server, this.epoch)
    else if (server.enabled && known < this.epoch) {
      // A disabled server has received no notices.
      this.#everything = ++this.epoch
      this.flag(OUTSIDE)
    }
    this.#settle()
  }

  #settle(): void {
    const settled = this.settledEpoch
    this.#letGo(settled)
    for (const waiter of this.#waiters) {
      if (this.#settledWithout(waiter.server) < waiter.epoch) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }

  /** Ends all waits, because a server has failed, and the domain with it. */
  fail(error: HvmError): void {
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
  }

  /** Drops references to frames that no server can access any more. */
  #letGo(settled: number): void {
    const unsettled = this.#unsettled
    let gone = 0
    for (const { epoch, mfn, count, referenced } of unsettled) {
      if (epoch > settled) break
      gone++
      if (referenced) this.#options.frames?.drop(mfn, count)
    }
    if (gone > 0) unsettled.splice(0, gone)
  }

  /** Runs of guest frames that some server may still reach. */
  get unsettled(): number {
    return this.#unsettled.length
  }

  /** For people: which changes are outstanding, and with whom. */
  account(): InvalidationAccount {
    const { epoch, settledEpoch } = this
    return {
      ...{ epoch, settledEpoch },
      servers: Array.from(this.#acknowledged, ([server, acknowledged]) => ({
        ...{ name: server.name, acknowledged },
        isAwaited: acknowledged < epoch && counts(server),
      })),
      outstanding: this.#unsettled.map(({ gfn, mfn, count, writesOnly, ...run }) => ({
        ...{ epoch: run.epoch, gfn, mfn, count, writesOnly },
      })),
      waitingVcpus: [...this.own.keys()].filter((vcpu) => this.flagged(vcpu)),
    }
  }

  // ---- other parties ----

  /** Whether any party waits by a ticket. */
  get awaited(): boolean {
    return this.#waiters.size > 0
  }

  /** Returns a wait for all changes so far. */
  ticket(): EpochTicket {
    const { epoch } = this
    const acknowledged = (): boolean => this.settledEpoch >= epoch
    return {
      epoch,
      get acknowledged() {
        return acknowledged()
      },
      wait: (party = {}) => this.#waitFor(epoch, party),
    }
  }

  async #waitFor(epoch: number, { server, vcpu = OUTSIDE }: WaitingParty): Promise<void> {
    if (this.#settledWithout(server) >= epoch) return
    if (vcpu !== OUTSIDE) this.#heldUp[vcpu]!++
    const running = this.#options.sendIdle?.() === false
    try {
      if (this.#settledWithout(server) >= epoch) return
      if (!this.#canSend(running)) {
        throw new HvmError(
          'ERR_DEADLOCK',
          running
            ? 'every vCPU waits for a device model that waits for a notice of theirs'
            : 'the domain does not run, and the answers that its vCPUs wait for are taken when it does',
          [...this.own.keys()],
        )
      }
      await new Promise<void>((resolve, reject) => {
        const waiter: Waiter = { epoch, server, resolve, reject }
        this.#waiters.add(waiter)
      })
    } finally {
      if (vcpu !== OUTSIDE) this.#heldUp[vcpu]!--
    }
  }

  /** Whether any vCPU has sent a notice, or can send one now or later. */
  #canSend(running: boolean): boolean {
    for (let vcpu = 0; vcpu < this.own.length; vcpu++) {
      if (this.#sent[vcpu] !== 0) return true
      if (this.#heldUp[vcpu] === 0 && (running || !this.latched(vcpu))) return true
    }
    return false
  }
}

/** Whether a server can have anything mapped that this side knows of: an emulator that is disabled has none. */
function counts(server: IoreqServer): boolean {
  return server.enabled || server.transport.dropMappings !== undefined
}
