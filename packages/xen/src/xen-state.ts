import type { Word64, Timer } from '@retrap/device'
import type { Upcalls, XenArchitecture, XenHost } from './architecture.ts'
import { BlockedVcpus, type BlockedVcpusState } from './vcpu/blocked-vcpus.ts'
import { XenError } from './errors.ts'
import type { XenConsole, XenGuest } from './guest.ts'
import { GrantTable, type GrantTableState } from './memory/grant-table.ts'
import { HvmParameter, HvmParameters } from './hvm-parameters.ts'
import { GuestEvents, type GuestEventsState } from './events/guest-events.ts'
import type { HostPorts } from './store/host-ends.ts'
import { GuestServices } from './guest-services.ts'
import type { StoreService } from './store/store.ts'
import { type XenMemoryRange, encodeMemoryMap, XenMemory, type XenMemoryState } from './memory/xen-memory.ts'
import { Domid, XenErrno } from './numbers.ts'
import { Pirqs, type PirqsState } from './events/pirqs.ts'
import { Shutdown, shutdownExit } from './shutdown.ts'
import type { TimerQueue } from '@retrap/device/host'
import { deadlineOf } from './vcpu/system-time.ts'

/** Settings of the Xen that a guest sees; each has a default. */
export interface XenOptions {
  /** Number among the host's guests, 1 to 7FEFH; default 1. */
  readonly domainId?: number
  /** Frames of RAM that it may have: what it can balloon up to. Default what its map holds when it first asks. */
  readonly maxFrames?: number
  /** The answer to `XENMEM_memory_map`. Default none: the guest is to ask its firmware. */
  readonly memoryMap?: readonly XenMemoryRange[]
  /** Hears what the guest writes to the hypervisor's console. Without it, the guest is not allowed to. */
  readonly console?: (bytes: Uint8Array) => void
  /**
   * Lets the guest take devices' interrupts by event channel (XENFEAT_hvm_pirqs, `physdev_op`). Default false, as Xen's
   * toolstack has it since 4.19: interrupt controllers are as good.
   */
  readonly pirqs?: boolean
  /** The domain's handle: 16 bytes, the UUID that toolstacks know it by; default zeros. */
  readonly handle?: Uint8Array
  /** Name in the store; default "retrap". */
  readonly name?: string
  /** Seconds from 1970 when its clock is at 0; default 0. */
  readonly epochSeconds?: number
}

/** Saved form of a {@link XenState}, without its pages, which are machine memory, and the store, which is its host's. */
export interface XenSavedState {
  /** Version of this form. */
  readonly version: 2
  /** Its memory, as hypercalls change it. */
  readonly memory: XenMemoryState
  /** Its grant table, and what is in use of it. */
  readonly grants: GrantTableState
  /** By number, in hexadecimal. */
  readonly parameters: readonly string[]
  /** When each bites: nanoseconds on the domain's clock, 64 bits; or null. */
  readonly watchdogs: readonly (Word64 | null)[]
  /** vCPUs that wait in a hypercall. */
  readonly blocked: BlockedVcpusState
  /** Devices' interrupts that are event channels. */
  readonly pirqs: PirqsState
  /** Event channels, and each vCPU's share in them. */
  readonly events: GuestEventsState
  /** The answer to `XENMEM_memory_map`, which the guest may have set: bytes. */
  readonly memoryMap: readonly number[]
  /** Reason of a shutdown to come, `SHUTDOWN_*`, once it is settled. */
  readonly shutdown: number | null
}

/** Xen's state of one guest: its memory, grants, event channels, parameters, store and console. */
export class XenState<U extends Upcalls = Upcalls> implements XenGuest {
  /** The domain that the guest is. */
  readonly domain: XenHost
  /** Instruction set and board. */
  readonly architecture: XenArchitecture<U>
  /** Number among the host's guests. */
  readonly domainId: number
  /** 16 bytes. */
  readonly handle: Uint8Array
  /** Its RAM, as its hypercalls change it. */
  readonly memory: XenMemory
  /** Grant table. */
  readonly grants: GrantTable
  /** Values that guest and toolstack leave for each other. */
  readonly parameters: HvmParameters
  /** Devices' interrupts can be event channels. */
  readonly hasPirqs: boolean
  /** Numbers of those. */
  readonly pirqs: Pirqs
  /** Watchdogs. */
  readonly watchdogs: Watchdogs
  /** vCPUs that wait in a hypercall. */
  readonly blocked: BlockedVcpus
  /** The answer to `XENMEM_memory_map`, encoded. */
  memoryMap: Uint8Array
  /** As the guest was started with. */
  readonly #firstMemoryMap: Uint8Array
  /** Machine frame of the page with event bits and clocks. */
  sharedInfoFrame: number
  /** See {@link XenOptions.console}. */
  readonly console: ((bytes: Uint8Array) => void) | undefined
  /** Event channels, and what each vCPU shares with the hypervisor. */
  readonly events: GuestEvents<U>
  /** The store and the console. */
  readonly services: GuestServices
  /** Why the domain shuts down, once that is settled. */
  #shutdown: number | null = null

  constructor(domain: XenHost, architecture: XenArchitecture<U>, options: XenOptions) {
    const { vcpus, places, wires } = architecture
    this.domain = domain
    this.architecture = architecture
    this.parameters = new HvmParameters(architecture.name)
    this.domainId = options.domainId ?? 1
    this.handle = Uint8Array.from({ length: 16 }, (_, i) => options.handle?.[i] ?? 0)
    this.memory = new XenMemory(domain, options.maxFrames)
    this.grants = new GrantTable(domain.memory, domain.frameCounts, this.memory)
    this.watchdogs = new Watchdogs(domain.timers, () => this.shutDown(0, Shutdown.WATCHDOG))
    this.blocked = new BlockedVcpus(vcpus.length, domain.timers, () => domain.wake())
    this.#firstMemoryMap = encodeMemoryMap(options.memoryMap ?? [])
    this.memoryMap = this.#firstMemoryMap
    this.console = options.console
    const seconds = options.epochSeconds ?? 0
    this.events = new GuestEvents(domain, architecture, this.blocked, this.domainId, {
      seconds: Math.floor(seconds),
      nanoseconds: Math.floor((seconds % 1) * 1e9),
    })
    this.sharedInfoFrame = this.events.info.mfn
    this.services = new GuestServices(domain, this.memory, this.events.channels, places, {
      domainId: this.domainId,
      name: options.name ?? 'retrap',
      handle: this.handle,
      frames: options.maxFrames ?? 0,
      vcpus: vcpus.length,
    })
    this.hasPirqs = options.pirqs ?? false
    this.pirqs = new Pirqs({
      inputs: wires.inputs,
      send: (pirq) => this.events.channels.sendPirq(pirq),
      asserted: (gsi) => wires.asserted(gsi),
    })
    if (this.hasPirqs) architecture.intercept((gsi) => this.pirqs.assert(gsi))
    this.events.channels.onPending((port) => this.blocked.pending(port))
    this.#tellServices()
  }

  /** The guest asks for the rings' pages and ports by parameter. */
  #tellServices(): void {
    const { storeGfn, storePort, consoleGfn, consolePort } = this.services.parameters
    this.parameters.set(HvmParameter.STORE_PFN, storeGfn)
    this.parameters.set(HvmParameter.STORE_EVTCHN, storePort)
    this.parameters.set(HvmParameter.CONSOLE_PFN, consoleGfn)
    this.parameters.set(HvmParameter.CONSOLE_EVTCHN, consolePort)
    for (const [parameter, value] of this.architecture.parameterValues) this.parameters.set(parameter, value)
  }

  /** 0 if a domain number means this domain; else the error for those that it has no rights over. */
  ownDomain(domid: number): number {
    if (domid === Domid.SELF || domid === this.domainId) return 0
    return domid === Domid.TOOLSTACK ? XenErrno.PERM : XenErrno.SRCH
  }

  /** The error for a domain number that is to be another's: it may do nothing to any. */
  foreignDomain(domid: number): number {
    return this.ownDomain(domid) || XenErrno.INVAL
  }

  /** Names and values that host and guest share. */
  get store(): StoreService {
    return this.services.store
  }

  /** Console ring. */
  get consoleRing(): XenConsole {
    return this.services.console
  }

  /** Event channels between the host and the guest. */
  get ports(): HostPorts {
    return this.events.channels
  }

  /** The state that is not in machine memory. */
  save(): XenSavedState {
    return {
      version: 2,
      memory: this.memory.save(),
      grants: this.grants.save(),
      parameters: this.parameters.save(),
      watchdogs: this.watchdogs.save(),
      blocked: this.blocked.save(),
      pirqs: this.pirqs.save(),
      events: this.events.save(),
      memoryMap: [...this.memoryMap],
      shutdown: this.#shutdown,
    }
  }

  /**
   * Takes a saved state, in the machine memory that it is of.
   *
   * @throws XenError `ERR_STATE` for a state of another version
   */
  restore(state: XenSavedState): void {
    const { version } = state as { readonly version: unknown }
    if (version !== 2) throw new XenError('ERR_STATE', `Xen's saved state is of version ${String(version)}: expected 2`)
    this.memory.restore(state.memory)
    this.grants.restore(state.grants)
    this.parameters.restore(state.parameters)
    this.watchdogs.restore(state.watchdogs)
    this.blocked.restore(state.blocked)
    this.pirqs.restore(state.pirqs)
    this.events.restore(state.events)
    this.memoryMap = Uint8Array.from(state.memoryMap)
    this.#shutdown = state.shutdown
  }

  /** Whether a device's message is the guest's event, and no interrupt controller's. */
  takesMessage(address: number, data: number): boolean {
    return this.hasPirqs && this.pirqs.message(address, data)
  }

  /** Settles the reason that a shutdown, now or later, will have: the first one given. */
  latchShutdown(reason: number): void {
    this.#shutdown ??= reason & 0xff
  }

  /** The guest has shut itself down. @param vcpu - which of its vCPUs did */
  shutDown(vcpu: number, reason: number): void {
    this.latchShutdown(reason)
    this.domain.stop(shutdownExit(vcpu, this.#shutdown ?? reason))
  }

  /** Power-on. */
  reset(): void {
    this.#shutdown = null
    this.memoryMap = this.#firstMemoryMap
    this.pirqs.reset()
    this.grants.reset()
    this.memory.release()
    this.parameters.reset()
    this.watchdogs.reset()
    this.blocked.reset()
    this.events.reset()
    this.services.reset()
    this.memory.tidy()
    this.#tellServices()
  }
}

const WATCHDOGS = 2
const NS_PER_SECOND = 1e9

/** A domain's watchdogs: one that is not told in time that all is well ends the domain. */
class Watchdogs {
  readonly #timers: readonly Timer[]
  readonly #inUse: boolean[] = Array.from({ length: WATCHDOGS }, () => false)

  constructor(timers: TimerQueue, bite: () => void) {
    this.#timers = this.#inUse.map(() => timers.create(bite))
  }

  /**
   * Sets one up (number 0), tells it that all is well until `seconds` from now, or takes it away (0 seconds).
   *
   * @returns the number of a new one; 0; or an error
   */
  set(number: number, seconds: number): number {
    if (number > WATCHDOGS) return XenErrno.INVAL
    const index = number === 0 ? this.#inUse.indexOf(false) : number - 1
    if (index < 0) return XenErrno.NOSPC
    if (number !== 0 && this.#inUse[index] !== true) return XenErrno.INVAL
    const timer = this.#timers[index]
    this.#inUse[index] = number === 0 || seconds !== 0
    if (this.#inUse[index]) timer?.armAfter(seconds * NS_PER_SECOND)
    else timer?.cancel()
    return number === 0 ? index + 1 : 0
  }

  /** Power-on: none. */
  reset(): void {
    this.#inUse.fill(false)
    for (const timer of this.#timers) timer.cancel()
  }

  /** Deadlines of those in use, null for the others. */
  save(): (Word64 | null)[] {
    return this.#timers.map((timer, i) => (this.#inUse[i] === true ? deadlineOf(timer) : null))
  }

  restore(deadlines: readonly (Word64 | null)[]): void {
    this.reset()
    for (const [i, deadline] of deadlines.entries()) {
      if (deadline === null || i >= WATCHDOGS) continue
      this.#inUse[i] = true
      this.#timers[i]?.armAfter(0, deadline)
    }
  }
}
