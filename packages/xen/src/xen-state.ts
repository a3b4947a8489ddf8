import { type PlainState, Stateful } from '@retrap/device'
import type { Upcalls, XenArchitecture, XenHost, XenKept } from './architecture.ts'
import { BlockedVcpus } from './vcpu/blocked-vcpus.ts'
import type { XenGuest, XenGuestState } from './guest.ts'
import type { XenConsole } from './store/console-ring.ts'
import { GrantTable, type GrantTableState } from './memory/grant-table.ts'
import { HvmParameter, HvmParameters } from './hvm-parameters.ts'
import { GuestEvents } from './guest-events.ts'
import type { HostPorts } from './events/host-ends.ts'
import { GuestServices } from './store/guest-services.ts'
import type { StoreService } from './store/store.ts'
import { type XenMemoryRange, encodeMemoryMap, XenMemory } from './memory/xen-memory.ts'
import { Domid, XenErrno } from './numbers.ts'
import { Pirqs } from './events/pirqs.ts'
import { Shutdown, shutdownExit } from './shutdown.ts'
import type { XenGuestFrames } from './guest-frames.ts'
import { checkSavedState, type XenSavedState } from './saved-state.ts'
import { Watchdogs } from './watchdogs.ts'

/** Settings of the Xen that a guest sees; each has a default. */
export interface XenOptions {
  /** Number among the host's guests, 1 to 7FEFH; default 1. */
  readonly domainId?: number
  /** Most frames of RAM that the guest may balloon up to. Default the number in the map at the first query. */
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
  /** Unix time in seconds at which the guest's clock is 0; default 0. */
  readonly epochSeconds?: number
}

/** Xen's state of one guest: its memory, grants, event channels, parameters, store and console. */
export class XenState<U extends Upcalls = Upcalls> extends Stateful implements XenGuest, XenKept {
  /** The domain that the guest is. */
  readonly domain: XenHost
  /** Instruction set and board. */
  readonly architecture: XenArchitecture<U>
  /** Number among the host's guests. */
  readonly domainId: number
  /** 16 bytes. */
  readonly handle: Uint8Array
  /** The guest's RAM, for hypercalls that change it. */
  readonly memory: XenMemory
  readonly grants: GrantTable
  /** Values that guest and toolstack leave for each other. */
  readonly parameters: HvmParameters
  /** Devices' interrupts can be event channels. */
  readonly hasPirqs: boolean
  /** Numbers of those. */
  readonly pirqs: Pirqs
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
  readonly #r

  constructor(domain: XenHost, architecture: XenArchitecture<U>, options: XenOptions) {
    super()
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
    this.events = new GuestEvents(domain, architecture, this.domainId, {
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
    const { memory, grants, parameters, watchdogs, blocked, pirqs, events, services } = this
    this.#r = this.keeps(
      {
        version: 3,
        domainId: this.domainId,
        handle: this.handle,
        // The map's restore takes `memory` and `sharedInfo`; `blocked` is restored after all other parts.
        memory: { save: () => memory.save(), restore: () => undefined },
        grants: { save: () => grants.save(domain), restore: (state: GrantTableState) => grants.restore(state) },
        parameters,
        watchdogs,
        blocked: { save: () => blocked.save(), restore: () => undefined },
        pirqs,
        sharedInfo: { save: () => memory.savePage(this.sharedInfoFrame), restore: () => undefined },
        events,
        services,
        memoryMap: {
          save: () => this.memoryMap.slice(),
          restore: (map: Uint8Array) => (this.memoryMap = map.slice()),
        },
        /** Why the domain shuts down, once that is settled. */
        shutdown: null as number | null,
      },
      { raw: ['handle'] },
    )
    if (this.hasPirqs) architecture.intercept((gsi) => this.pirqs.assert(gsi))
    this.events.channels.pendingListeners.push((port) => this.blocked.pending(port))
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

  /** Returns the error for a foreign domain number: guests have no rights to other domains. */
  foreignDomain(domid: number): number {
    return this.ownDomain(domid) || XenErrno.INVAL
  }

  /** Names and values that host and guest share. */
  get store(): StoreService {
    return this.services.store
  }

  get consoleRing(): XenConsole {
    return this.services.console
  }

  /** Event channels between the host and the guest. */
  get ports(): HostPorts {
    return this.events.channels
  }

  /** See `XenGuest`. */
  moveWallClock(ns: number): void {
    this.events.info.moveWallClock(ns)
  }

  /** See {@link XenKept.owns}. */
  owns(mfn: number): boolean {
    return this.memory.pages.has(mfn)
  }

  /** Saves the whole state with Xen's pages, but without RAM. @throws XenError `ERR_STATE`, see `GrantTable.save` */
  override save(): PlainState & XenSavedState {
    return super.save() as PlainState & XenSavedState
  }

  /** Checks a saved state, which may come from anywhere. @param frames - those that the guest is to have, from low to high */
  check(state: unknown, frames: readonly XenGuestFrames[]): asserts state is XenSavedState {
    checkSavedState(state, this, frames)
  }

  /** Takes a saved state, of a guest with the same RAM. @throws XenError `ERR_STATE`; nothing has changed then */
  override restore(state: XenGuestState): void {
    const here = this.memory.frames()
    this.check(state, here)
    this.abandon()
    this.restoreMap(state, here, here)
    this.restoreRest(state)
  }

  /** Ends what is under way and what uses the guest's RAM. To be followed by the next two. */
  abandon(): void {
    this.grants.abandon()
    this.pirqs.reset()
    this.watchdogs.reset()
    this.blocked.reset()
    this.events.abandon()
  }

  /**
   * Gives the guest the frames that it had, and Xen's pages in their places.
   *
   * @param here - the frames of the guest's map as they are, without pages of Xen's own
   * @param frames - the wanted frames
   * @throws XenError `ERR_STATE` if memory is short
   */
  restoreMap(state: XenSavedState, here: readonly XenGuestFrames[], frames: readonly XenGuestFrames[]): void {
    this.memory.restore(state.memory, here, frames)
    this.memory.restorePage(this.sharedInfoFrame, state.sharedInfo)
    this.grants.restorePages(state.grants)
    this.services.restorePages(state.services)
    this.memory.tidy()
  }

  /** Takes the rest of a saved state, once RAM, interrupt controllers and vCPUs have been restored. */
  restoreRest(state: XenSavedState): void {
    super.restore(state)
    // The interrupts that vCPUs have been told of end no wait.
    this.blocked.restore(state.blocked)
  }

  /** Calls back with guest frames that Xen, or the guest through mappings of grants, writes without a word. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    this.events.heldForWriting(each)
    this.grants.heldForWriting(this.domain, each)
  }

  /** The end of the domain: gives back what is not its map's. @param isAtRest - no device model can reach Xen's pages any more */
  free(isAtRest: boolean): void {
    this.abandon()
    this.memory.release()
    if (!isAtRest) return
    this.grants.reset()
    this.services.free()
    this.memory.displace(this.sharedInfoFrame)
    this.events.free()
  }

  /** Settles the reason that a shutdown, now or later, will have: the first one given. */
  latchShutdown(reason: number): void {
    this.#r.shutdown ??= reason & 0xff
  }

  /** The guest has shut itself down. @param vcpu - which of its vCPUs did */
  shutDown(vcpu: number, reason: number): void {
    this.latchShutdown(reason)
    this.domain.stop(shutdownExit(vcpu, this.#r.shutdown ?? reason))
  }

  /** Power-on. */
  override reset(): void {
    this.#r.shutdown = null
    this.memoryMap = this.#firstMemoryMap
    this.pirqs.reset()
    this.grants.reset()
    this.memory.release()
    // The frame is RAM's again, which firmware or a loader writes.
    this.memory.displace(this.sharedInfoFrame)
    this.parameters.reset()
    this.watchdogs.reset()
    this.blocked.reset()
    this.events.reset()
    this.services.reset()
    this.memory.tidy()
    this.#tellServices()
  }
}
