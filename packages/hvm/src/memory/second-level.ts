import type { IoDispatch, IoreqServer } from '@retrap/ioreq'
import { PAGE_BYTES } from '@retrap/memory'
import {
  P2M_EXECUTE,
  P2M_READ,
  P2M_WRITE,
  P2mAccess,
  P2mEntry,
  P2mError,
  P2mType,
  rightsOfAccess,
  type P2m,
  type WriteClaim,
} from '@retrap/p2m'
import { STATUS_RESTART, STATUS_DONE, STATUS_RETRY, STATUS_UNHANDLED } from '@retrap/replay'
import type { DirtyLogs } from './dirty-logs.ts'
import { OUTSIDE, type Invalidations } from './invalidation.ts'
import type { OwnedMemories } from './owned-memories.ts'

/** See `SecondLevelFaults.tableWrite`. */
export const TABLE_LOST = -1
/** See `SecondLevelFaults.tableWrite`. */
export const TABLE_WAIT = -2

/**
 * Guest frames that no access can go on with: broken, out of memory, shared without room for a copy, executed where that is
 * not allowed, or not restored.
 */
export interface MemoryFailure {
  /** Why the access cannot continue. */
  readonly cause: 'broken' | 'out-of-memory' | 'no-copy' | 'not-executable' | 'unreadable'
  /** The accessing vCPU; −1 for `unreadable`, and for a device model's access. */
  readonly vcpu: number
  /** The guest frame. */
  readonly gfn: number
  /** `unreadable`: why saved contents could not be read. */
  readonly error?: unknown
}

/** An access that the frame's type allows and its access mask does not. */
export interface AccessViolation {
  /** The accessing vCPU. */
  readonly vcpu: number
  /** The guest frame. */
  readonly gfn: number
  /** `P2M_READ`, `P2M_WRITE` or `P2M_EXECUTE`. */
  readonly wanted: number
  /** One of `P2mAccess`. */
  readonly access: number
}

/** RAM whose saved contents are still to be brought: `PostCopyPages`. */
export interface LateContents {
  /** Whether a guest frame's contents are still to be loaded. */
  has(gfn: number): boolean
  /** Loads the contents of a frame. @returns false if they cannot be read: the domain stops */
  bring(gfn: number): boolean
  /** Loads all remaining contents. @throws if they cannot be read */
  finishNow(): void
  /** Stops loading: the remaining frames are about to get other contents. */
  drop(): void
}

/** The parts of a domain that {@link SecondLevelFaults} works on. */
export interface SecondLevelOptions {
  /** The guest's map. */
  readonly p2m: P2m
  /** Logs of writes. */
  readonly logs: DirtyLogs
  /** Told on whose behalf the map changes. */
  readonly invalidations: Pick<Invalidations, 'enter' | 'leave'>
  /** Memory of device models; default none. */
  readonly owned?: Pick<OwnedMemories, 'trapsWrites' | 'forbidsExecution'>
  /** Finds the servers that have claimed writes. */
  readonly dispatch: Pick<IoDispatch, 'server'>
  /** vCPUs of the domain. */
  readonly vcpus: number
  /** Run loop, stopped when a vCPU's access cannot continue, and woken when a vCPU can. */
  readonly run: {
    stop(exit: { readonly reason: 'memory-failure'; readonly failure: MemoryFailure }): void
    wake(): void
  }
}

/** Deals with an access to a guest frame of one type. @returns a status, as of `SecondLevelFaults.fault` */
type Resolver = (vcpu: number, gfn: number, wanted: number) => number

/**
 * Second-level faults: what a domain does where its map says no. Populates on demand, logs writes, asks the pager, makes
 * copies of shared frames, and finds the server that has claimed a write.
 *
 * Each type of frame has its row in a table, as in the README. A type says what accesses its frames can have at all; the access
 * mask of a frame may take from that, and then a monitor decides (Xen's public header vm_event.h, `VM_EVENT_REASON_MEM_ACCESS`).
 */
export class SecondLevelFaults {
  /**
   * Asked for contents of a frame that a pager has (`load`), or to let one be that it was about to take (`resume`): once
   * for however many wait. They go on after `P2m.paging.resume`. Without it, `resume` is done at once, and what is to be
   * loaded is waited for.
   */
  onPageRequest: ((gfn: number, how: 'load' | 'resume') => void) | null = null
  /**
   * Called for accesses that `P2m.setAccess` forbids. The function may allow them; until then the vCPU waits. Absent: all
   * accesses are allowed again.
   */
  onAccessViolation: ((violation: AccessViolation) => void) | null = null
  /** RAM whose saved contents are loaded on access; null: none. */
  late: LateContents | null = null
  readonly #options: SecondLevelOptions
  readonly #p2m: P2m
  /** Claims of writes; null for an Arm guest, whose p2m has no type for claimed frames. */
  readonly #claim: WriteClaim | null
  readonly #entry = new P2mEntry()
  /** By type, for accesses that the type does not allow by itself. */
  readonly #byType: Readonly<Partial<Record<number, Resolver>>>
  /** Per vCPU: the frame that it waits for after a reported access violation; −1: none. */
  readonly #waiting: Float64Array

  constructor(options: SecondLevelOptions) {
    this.#options = options
    this.#p2m = options.p2m
    this.#claim = options.p2m.format === 'ept' ? options.p2m.writeClaim : null
    this.#waiting = new Float64Array(options.vcpus).fill(-1)
    const page: Resolver = (vcpu, gfn) => this.#page(vcpu, gfn)
    const rom: Resolver = (vcpu, gfn, wanted) => this.#rom(vcpu, gfn, wanted)
    const { types } = options.p2m
    const common = { [types.rom]: rom, [types.shared]: (vcpu: number, gfn: number) => this.#copy(vcpu, gfn) }
    if (options.p2m.format === 'lpae') {
      this.#byType = common
      return
    }
    this.#byType = {
      ...common,
      [P2mType.POPULATE_ON_DEMAND]: (vcpu, gfn) => this.#populate(vcpu, gfn),
      [P2mType.RAM_PAGING_OUT]: page,
      [P2mType.RAM_PAGED]: page,
      [P2mType.RAM_PAGING_IN]: page,
      [P2mType.RAM_BROKEN]: (vcpu, gfn) => this.#fail('broken', vcpu, gfn),
      [P2mType.IOREQ_SERVER]: (_vcpu, gfn) => this.#claimed(gfn),
    }
  }

  /** The format whose types the map has. */
  get format(): P2m['format'] {
    return this.#p2m.format
  }

  /** Whether a vCPU waits for a frame that has not changed since. */
  waits(vcpu: number): boolean {
    return this.#waiting[vcpu]! >= 0
  }

  /**
   * Called when frames have changed: vCPUs that wait for one of them retry.
   *
   * @returns whether any vCPU waits for these frames
   */
  changed(gfn: number, count: number): boolean {
    const waiting = this.#waiting
    let any = false
    for (let vcpu = 0; vcpu < waiting.length; vcpu++) {
      const frame = waiting[vcpu]!
      if (frame < gfn || frame >= gfn + count) continue
      waiting[vcpu] = -1
      any = true
    }
    return any
  }

  /** Cancels a vCPU's wait. */
  cancel(vcpu: number): void {
    this.#waiting[vcpu] = -1
  }

  /**
   * Like `P2m.translate`, but first does everything that can be done at once for a party that is not a vCPU.
   *
   * @param vcpu - the requesting vCPU; default: none
   */
  translate(gpa: number, vcpu: number = OUTSIDE): number {
    const ma = this.#p2m.translate(gpa)
    if (ma >= 0) return ma
    return this.fault(vcpu, gpa, P2M_READ) === STATUS_DONE ? this.#p2m.translate(gpa) : -1
  }

  /** Like `P2m.translate`, for reads without side effects, except that contents still to be restored are loaded. */
  peek(gpa: number): number {
    const ma = this.#p2m.translate(gpa)
    const gfn = Math.floor(gpa / PAGE_BYTES)
    return ma < 0 && this.late?.has(gfn) === true && this.late.bring(gfn) ? this.#p2m.translate(gpa) : ma
  }

  /** As `P2m.translateWrite`, likewise; −1 for ROM, and for writes that a server claims if a vCPU makes them. */
  translateWrite(gpa: number, vcpu: number = OUTSIDE): number {
    const ma = this.#p2m.translateWrite(gpa)
    if (ma >= 0) return ma
    const outcome = this.fault(vcpu, gpa, P2M_WRITE)
    if (outcome === STATUS_DONE) return this.resolvedWrite(gpa)
    // A claim covers stores of vCPUs; other writers write RAM.
    return vcpu === OUTSIDE && this.claimant(gpa) !== null ? this.#p2m.translate(gpa) : -1
  }

  /** Like `P2m.translateWrite` for a resolved write: logged frames are marked. */
  resolvedWrite(gpa: number): number {
    return this.#options.logs.translateWrite(gpa)
  }

  /**
   * Where the processor's walk sets accessed and dirty bits. Such updates are not stores: a server that claims stores
   * does not receive them, and an access mask may permit only them.
   *
   * @returns the machine address; −1 if it cannot be written; −2 if another party has to act first
   */
  tableWrite(gpa: number, vcpu: number): number {
    const ma = this.#p2m.translateWrite(gpa)
    if (ma >= 0) return ma
    const type = this.#p2m.lookup(Math.floor(gpa / PAGE_BYTES), this.#entry)
    if (type === this.#p2m.types.ram && this.#entry.access === P2mAccess.R_PW) return this.#p2m.translate(gpa)
    const outcome = this.fault(vcpu, gpa, P2M_WRITE)
    if (outcome === STATUS_RETRY) return TABLE_WAIT
    if (outcome === STATUS_DONE) return this.resolvedWrite(gpa)
    return this.claimant(gpa) === null ? TABLE_LOST : this.#p2m.translate(gpa)
  }

  /** As `P2m.lookup`, after all that can be done at once: for device models that are going to read and write. */
  lookup(gfn: number, into: P2mEntry): number {
    const type = this.#p2m.lookup(gfn, into)
    const wanted = type === this.#p2m.types.shared ? P2M_WRITE : P2M_READ
    if (type === this.#p2m.types.hole || (into.rights & wanted) !== 0) return type
    const outcome = this.fault(OUTSIDE, gfn * PAGE_BYTES, wanted)
    return outcome === STATUS_DONE ? this.#p2m.lookup(gfn, into) : type
  }

  /**
   * Whether reads of an address are of RAM although its writes are a device's: a server has claimed them, or it is the ROM
   * of a model that takes them.
   */
  readsRam(gpa: number): boolean {
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const type = this.#p2m.lookup(gfn, this.#entry)
    if (this.#claim !== null && type === P2mType.IOREQ_SERVER) return this.claimant(gpa) !== null
    return type === this.#p2m.types.rom && this.#options.owned?.trapsWrites(gfn) === true
  }

  /** Returns the server that claims writes to an address; null for plain RAM or a device. */
  claimant(gpa: number): IoreqServer | null {
    if (this.#claim === null || this.#claim.frames === 0) return null
    const type = this.#p2m.lookup(Math.floor(gpa / PAGE_BYTES), this.#entry)
    return type === P2mType.IOREQ_SERVER ? this.#claimingServer() : null
  }

  /** A server that has gone claims nothing any more. */
  #claimingServer(): IoreqServer | null {
    const claim = this.#claim
    if (claim === null || claim.server < 0) return null
    const server = this.#options.dispatch.server(claim.server)
    if (server !== null && server.enabled) return server
    claim.end(claim.server)
    return null
  }

  /**
   * Handles an access that the map does not allow.
   *
   * @param vcpu - or OUTSIDE
   * @param wanted - `P2M_READ`, `P2M_WRITE` or `P2M_EXECUTE`
   * @returns STATUS_DONE: the address translates now; STATUS_RESTART: it is a device's, or a server has claimed the write;
   *   STATUS_UNHANDLED: the memory cannot be written, and the write is lost; STATUS_RETRY: another party has to act first
   */
  fault(vcpu: number, gpa: number, wanted: number): number {
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const entry = this.#entry
    const type = this.#p2m.lookup(gfn, entry)
    const { hole, nothing } = this.#p2m.types
    if (type === hole || type === nothing) return STATUS_RESTART
    const { invalidations } = this.#options
    // Frames that are taken from the map to go on, zeros for instance, count as this vCPU's doing.
    const before = invalidations.enter(vcpu)
    try {
      const outcome = this.#resolve(vcpu, gfn, type, wanted)
      if (vcpu !== OUTSIDE && outcome !== STATUS_RETRY && this.#waiting[vcpu] === gfn) this.#waiting[vcpu] = -1
      return outcome
    } catch (error) {
      if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
      return this.#fail('out-of-memory', vcpu, gfn)
    } finally {
      invalidations.leave(before)
    }
  }

  #resolve(vcpu: number, gfn: number, type: number, wanted: number): number {
    const { access } = this.#entry
    const given = this.#p2m.rightsOf(type) | (type === this.#p2m.types.logged ? P2M_WRITE : 0)
    if (this.#allows(wanted)) return STATUS_DONE
    if ((given & wanted) !== 0 && (rightsOfAccess(access) & wanted) === 0) {
      const forbidden = wanted === P2M_EXECUTE && this.#options.owned?.forbidsExecution(gfn) === true
      return forbidden ? this.#fail('not-executable', vcpu, gfn) : this.#violation(vcpu, gfn, wanted)
    }
    const resolver = this.#byType[type]
    if (resolver !== undefined) return resolver(vcpu, gfn, wanted)
    return this.#discard(vcpu, gfn, wanted)
  }

  /** Handles writes to foreign frames and device frames, which are also not executable. */
  #discard(vcpu: number, gfn: number, wanted: number): number {
    return wanted === P2M_EXECUTE ? this.#fail('not-executable', vcpu, gfn) : STATUS_UNHANDLED
  }

  /** ROM, unless a device model owns it and asks for the writes. */
  #rom(vcpu: number, gfn: number, wanted: number): number {
    const traps = wanted === P2M_WRITE && this.#options.owned?.trapsWrites(gfn) === true
    return traps ? STATUS_RESTART : this.#discard(vcpu, gfn, wanted)
  }

  #populate(vcpu: number, gfn: number): number {
    const outcome = this.#p2m.onDemand.populate(gfn)
    if (outcome === 'done') return STATUS_DONE
    return outcome === 'wait' ? this.#wait(vcpu, gfn) : this.#fail('out-of-memory', vcpu, gfn)
  }

  #copy(vcpu: number, gfn: number): number {
    try {
      this.#p2m.unshare(gfn)
      return STATUS_DONE
    } catch (error) {
      if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
      // A device model's write would be lost without notice to the guest.
      this.#stop({ cause: 'no-copy', vcpu, gfn })
      return this.#wait(vcpu, gfn)
    }
  }

  /** Writes are the server's for as long as it claims them; then the frame is RAM again. */
  #claimed(gfn: number): number {
    if (this.#claimingServer() !== null) return STATUS_RESTART
    this.#claim?.remove(gfn, 1)
    return STATUS_DONE
  }

  #page(vcpu: number, gfn: number): number {
    const { paging } = this.#p2m
    const how = paging.request(gfn)
    if (how === 'resume' && this.onPageRequest === null) {
      paging.resume(gfn)
      return STATUS_DONE
    }
    if (how !== 'none') this.onPageRequest?.(gfn, how)
    // The page may have been brought at once.
    if (this.#p2m.translate(gfn * PAGE_BYTES) >= 0) return STATUS_DONE
    return this.#wait(vcpu, gfn)
  }

  #violation(vcpu: number, gfn: number, wanted: number): number {
    const p2m = this.#p2m
    if (this.late?.has(gfn) === true) {
      if (!this.late.bring(gfn)) return this.#wait(vcpu, gfn)
      p2m.lookup(gfn, this.#entry)
      if (this.#allows(wanted)) return STATUS_DONE
    }
    const { access } = this.#entry
    if (access === P2mAccess.RX2RW && wanted === P2M_WRITE) p2m.setAccess(gfn, 1, P2mAccess.RW)
    else {
      const told = vcpu !== OUTSIDE && this.#waiting[vcpu] === gfn
      if (access === P2mAccess.N2RWX || this.onAccessViolation === null) p2m.setAccess(gfn, 1, P2mAccess.RWX)
      if (!told) this.onAccessViolation?.({ vcpu, gfn, wanted, access })
    }
    p2m.lookup(gfn, this.#entry)
    return this.#allows(wanted) ? STATUS_DONE : this.#wait(vcpu, gfn)
  }

  /** Whether the frame that was looked up can be accessed so. Logged RAM is written as any, and has no right to it in the tables. */
  #allows(wanted: number): boolean {
    const { rights, type, access } = this.#entry
    return ((type === this.#p2m.types.logged ? rights | (rightsOfAccess(access) & P2M_WRITE) : rights) & wanted) !== 0
  }

  #wait(vcpu: number, gfn: number): number {
    if (vcpu !== OUTSIDE && this.#waiting[vcpu] !== gfn) {
      this.#waiting[vcpu] = gfn
      // The vCPU may wait for its own notice to device models, which goes out on its next turn.
      this.#options.run.wake()
    }
    return STATUS_RETRY
  }

  #stop(failure: MemoryFailure): void {
    this.#options.run.stop({ reason: 'memory-failure', failure })
  }

  #fail(cause: MemoryFailure['cause'], vcpu: number, gfn: number): number {
    // A device model's access is only refused.
    if (vcpu !== OUTSIDE) this.#stop({ cause, vcpu, gfn })
    return this.#wait(vcpu, gfn)
  }
}
