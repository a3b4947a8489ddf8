import { TimerQueue } from '@retrap/device/host'
import { createIoRequest, DeviceHost, IO_RETRY, IoDispatch, IOREQ_TYPE_PIO, IOREQ_WRITE } from '@retrap/ioreq'
import type { DeviceModel, InterruptLine } from '@retrap/device'
import type { DeviceFailure, DevicePlatform, FailurePolicy, IoTraceRecord, RemoteServer } from '@retrap/ioreq'
import { InterruptFabric, interruptFabricBytes } from '@retrap/irqchip'
import { guestMapOf, MapCache } from '@retrap/mapcache'
import type { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m } from '@retrap/p2m'
import { X86Engine } from '@retrap/x86-cpu'
import type { CpuModel } from '@retrap/x86-cpu'
import type { DomainClock } from './clock.ts'
import { DirtyLogs } from './dirty-logs.ts'
import { HvmError } from './errors.ts'
import { FrameHolds } from './frame-holds.ts'
import { SecondLevelFaults, type MemoryFailure } from './second-level.ts'
import { GuestMemory } from './guest-memory.ts'
import { HvmVcpu, PHYSICAL_BITS } from './hvm-vcpu.ts'
import { Invalidations, OUTSIDE, type WaitingParty } from './invalidation.ts'
import { MemoryChanges, type MemoryChange } from './memory-change.ts'
import { RunLoop } from './run-loop.ts'
import type { Sleeper } from './run-loop.ts'
import type { GuestMemoryHandles } from './worker-memory.ts'
import type { X86Paravirtual } from './x86/paravirtual.ts'
import type { DomainVapic } from './vapic/domain-vapic.ts'

/** Why a domain stopped. */
export type DomainExit =
  | { readonly reason: 'power-off' }
  | { readonly reason: 'reset' }
  | { readonly reason: 'debug-exit'; readonly code: number }
  | { readonly reason: 'triple-fault'; readonly vcpu: number }
  | { readonly reason: 'stopped' }
  /** The guest told its hypervisor why it shuts down; power-off and restart have reasons of their own. */
  | { readonly reason: 'guest-shutdown'; readonly vcpu: number; readonly code: string }
  | { readonly reason: 'memory-failure'; readonly failure: MemoryFailure }
  | { readonly reason: 'device-failure'; readonly failure: DeviceFailure }
  | { readonly reason: 'internal-error'; readonly vcpu: number; readonly error: unknown }

/** What a {@link Domain} is made of. */
export interface DomainOptions {
  /** Has room for RAM, the arena of decoded code, and about 400 KiB a vCPU. */
  readonly memory: MachineMemory
  /** One for all domains in this memory; default its own. */
  readonly frameCounts?: FrameCounts
  /** vCPUs, 1–128. */
  readonly vcpus: number
  /** Real or deterministic time. */
  readonly clock: DomainClock
  /** 32 random bits a call: RDRAND and RDSEED. */
  readonly random: () => number
  /** How it waits. */
  readonly sleeper: Sleeper
  /** What a device model that breaks its contract leads to. */
  readonly policy?: FailurePolicy
  /** Told of device models that fail, whatever the policy. */
  readonly onFailure?: (failure: DeviceFailure) => void
  /** Milliseconds of host time that a device model may take to answer; default for ever. */
  readonly deviceDeadlineMs?: number
  /** Told of every access to a device; slow. */
  readonly trace?: (record: IoTraceRecord) => void
  /**
   * Hands device models copies of what they map, and poisons those when they are released: who keeps a view reads DBH, and
   * who writes it is found by {@link Domain.keptViews}. Slow.
   */
  readonly checkMappings?: boolean
  /** Makes every model of this process asynchronous: see `DeviceHostOptions`. */
  readonly deferDevices?: (callback: () => void) => void
  /** Arena for decoded instructions; default that of `X86Engine`. */
  readonly codeCacheBytes?: number
  /** Count how often each instruction form runs (X86Engine.executionCounts). Slower. */
  readonly profile?: boolean
  /** Bits of linear addresses that its CPUs have: 57 with five-level paging. Default 48. */
  readonly linearAddressBits?: 48 | 57
}

/** A server whose models live elsewhere: `SharedTransport` and `SocketTransport` of `@retrap/ioreq` are such. */
export interface DomainServer {
  readonly remote: RemoteServer
  /** Handles what has arrived. */
  pump?(): unknown
  /** Handles what arrives while the event loop runs. */
  watch?(): Promise<void>
  close(): void
}

/** The TSC and the local APIC timers count nanoseconds. */
export const TSC_HZ = 1_000_000_000

/**
 * One guest: its memory map, vCPUs, interrupt controllers and device models, and the loop that runs them in turn.
 */
export class Domain {
  /** The machine that it lives in. */
  readonly memory: MachineMemory
  /** Who holds which frame of machine memory. */
  readonly frameCounts: FrameCounts
  /** Its map of guest frames; empty at first. */
  readonly p2m: P2m
  /** Logs of the RAM that is written, by vCPUs and device models alike. */
  readonly dirtyLogs: DirtyLogs
  /** What is done where the map does not allow an access: RAM on demand, pagers, claimed writes. */
  readonly secondLevel: SecondLevelFaults
  /** Its RAM by guest-physical address. */
  readonly guestMemory: GuestMemory
  /** Its virtual time. */
  readonly clock: DomainClock
  /** Timers on that time, of device models and local APICs. */
  readonly timers: TimerQueue
  /** Where accesses that are not RAM go. */
  readonly dispatch: IoDispatch
  /** Which RAM has left the guest, and which device models have still to hear of it. */
  readonly invalidations: Invalidations
  /** What device models reach of the domain, wherever they live. */
  readonly platform: DevicePlatform
  /** The server of the models that live in this process. */
  readonly devices: DeviceHost
  /** Local APICs, I/O APIC and i8259 pair. */
  readonly interrupts: InterruptFabric
  /** Generated code and decoded instructions, which its vCPUs share. */
  readonly engine: X86Engine
  /** By number; the first is the bootstrap processor. */
  readonly vcpus: readonly HvmVcpu[]
  /** Rate of the time-stamp counters. */
  readonly tscPerNs: number = TSC_HZ / 1e9
  /** 32 random bits a call. */
  readonly random: () => number
  /** The wire of a PCI function's interrupt pin; a machine with a bridge that routes them puts its own here. */
  pciInterrupt: (device: number, pin: number) => InterruptLine = (device, pin) =>
    this.interrupts.line(pciLine(device, pin))
  /**
   * The same for interrupts of the hypervisor's own, which must be down as soon as it says so: before the guest's EOI is
   * seen to. Not a wire that leads through another thread.
   */
  ownPciInterrupt: (device: number, pin: number) => InterruptLine = this.pciInterrupt
  /** Where guest writes to ROM go; by default they are lost. A board whose ROM lies over RAM puts its own here. */
  romWrite: (gpa: number, size: number, lo: number, hi: number) => void = () => undefined
  /** The TPR patcher, if there is one: it puts itself here. */
  vapic: DomainVapic | null = null
  readonly #sleeper: Sleeper
  readonly #servers: DomainServer[] = []
  readonly #memoryChanges: MemoryChanges
  /** What models have mapped, where that is checked. */
  readonly #checked: { readonly device: string; readonly cache: MapCache }[] = []
  /** Interrupt 13: an x87 exception with CR0.NE clear. */
  readonly #ferr: InterruptLine
  readonly #loop: RunLoop
  #paravirtual: X86Paravirtual | null = null

  constructor(options: DomainOptions) {
    this.memory = options.memory
    this.clock = options.clock
    this.random = options.random
    this.#sleeper = options.sleeper
    this.frameCounts = options.frameCounts ?? FrameCounts.create(options.memory)
    this.p2m = P2m.create(options.memory, { counts: this.frameCounts })
    this.dirtyLogs = new DirtyLogs(this.p2m)
    this.secondLevel = new SecondLevelFaults({
      p2m: this.p2m,
      logs: this.dirtyLogs,
      invalidations: {
        enter: (vcpu) => this.invalidations.enter(vcpu),
        leave: (before) => this.invalidations.leave(before),
      },
      dispatch: { server: (id) => this.dispatch.server(id) },
      vcpus: options.vcpus,
      onFailure: (failure) => this.stop({ reason: 'memory-failure', failure }),
      wake: () => this.wake(),
    })
    this.guestMemory = new GuestMemory(options.memory, this.p2m, this.secondLevel)
    this.timers = new TimerQueue(options.clock)
    this.dispatch = new IoDispatch({
      vcpus: options.vcpus,
      policy: options.policy ?? 'crash',
      onComplete: (_vcpu, mayRun) => {
        this.#sendIdle()
        this.#loop.answered(mayRun)
      },
      invalidations: {
        acknowledged: (server, epoch) => this.invalidations.acknowledged(server, epoch),
        serverChanged: (server) => this.invalidations.serverChanged(server),
      },
      onFailure: (failure) => {
        options.onFailure?.(failure)
        if ((options.policy ?? 'crash') !== 'crash') return
        this.stop({ reason: 'device-failure', failure })
        const what = `device model ${failure.device} has failed, and its domain with it`
        this.invalidations.fail(new HvmError('ERR_PENDING', what, []))
      },
      guestMemory: this.guestMemory,
      ...(options.deviceDeadlineMs !== undefined && { deadlineMs: options.deviceDeadlineMs }),
      ...(options.trace && { trace: options.trace }),
      allocatePage: (purpose) => ({
        buffer: options.memory.buffer,
        byteOffset: options.memory.allocate(0x1000, 0x1000, purpose),
      }),
    })
    const frames = new FrameHolds(this.frameCounts)
    const checked = options.checkMappings ?? false
    const map = guestMapOf(this.secondLevel, (gfn, count) => this.dirtyLogs.mark(gfn, count))
    this.invalidations = new Invalidations({
      p2m: this.p2m,
      dispatch: this.dispatch,
      vcpus: options.vcpus,
      frames,
      onRaise: (actor) => this.#raised(actor),
      sendIdle: () => this.#sendIdle(),
    })
    this.#memoryChanges = new MemoryChanges(this.p2m, this.invalidations, {
      executing: () => this.#loop.current !== null,
      stop: () => this.#loop.current?.cpu.stop(),
    })
    const vcpus: HvmVcpu[] = []
    this.vcpus = vcpus
    this.#loop = new RunLoop({
      vcpus,
      clock: this.clock,
      timers: this.timers,
      servers: this.#servers,
      sleeper: options.sleeper,
      dispatch: this.dispatch,
      invalidations: this.invalidations,
      secondLevel: this.secondLevel,
      stopped: () => this.#memoryChanges.stopped(),
    })
    this.interrupts = new InterruptFabric({
      cpus: options.vcpus,
      clock: { now: () => this.clock.now(), timer: (callback) => this.timers.create(callback) },
      wake: (cpu) => {
        this.vcpus[cpu]?.updateEvents()
        this.wake()
      },
      timerHz: TSC_HZ,
      tscHz: TSC_HZ,
      tscToNs: (cpu, lo, hi) => this.#tscToNs(cpu, lo, hi),
      physicalBits: PHYSICAL_BITS,
      state: {
        buffer: options.memory.buffer,
        byteOffset: options.memory.allocate(interruptFabricBytes(options.vcpus), 8, 'interrupt controllers'),
      },
    })
    this.platform = {
      clock: this.clock,
      timer: (callback) => this.timers.create(callback),
      timerArmed: () => this.wake(),
      dma: this.guestMemory,
      openMemory: (device) => {
        const cache = new MapCache({ memory: options.memory, map, references: frames, development: checked })
        if (checked) this.#checked.push({ device, cache })
        return cache
      },
      ...(options.memory.shared && { sharedMemory: this.#handles() }),
      modifiedMemory: (gfn, count) => this.dirtyLogs.modified(gfn, count),
      interruptLine: (irq) => this.interrupts.line(irq),
      pciInterrupt: (device, pin) => this.pciInterrupt(device, pin),
      signalMsi: (address, data) => {
        if (this.#paravirtual?.takesMessage(address, data) !== true) this.interrupts.signalMsi(address, data)
      },
      powerOff: () => this.stop({ reason: 'power-off' }),
      reset: () => this.stop({ reason: 'reset' }),
      exit: (code) => this.stop({ reason: 'debug-exit', code }),
    }
    this.devices = new DeviceHost(this.dispatch, this.platform, {
      ...(options.deferDevices && { defer: options.deferDevices }),
    })
    this.engine = new X86Engine(options.memory, {
      ...(options.codeCacheBytes !== undefined && { codeCacheBytes: options.codeCacheBytes }),
      profile: options.profile ?? false,
    })
    const model: CpuModel = {
      tscHz: TSC_HZ,
      crystalHz: TSC_HZ,
      linearAddressBits: options.linearAddressBits ?? 48,
    }
    for (let id = 0; id < options.vcpus; id++) {
      vcpus.push(new HvmVcpu(this, id, this.engine, model, this.interrupts.localApic(id)))
    }
    this.#ferr = this.interrupts.line(13)
    this.#mapInterruptControllers()
    this.p2m.onChange((gfn, count) => {
      for (const vcpu of this.vcpus) vcpu.cpu.flushTlb(true)
      if (this.secondLevel.changed(gfn, count)) this.wake()
    })
  }

  #handles(): GuestMemoryHandles {
    return { memory: this.memory.memory, p2m: this.p2m.ma, frameCounts: this.frameCounts.ma }
  }

  #tscToNs(cpu: number, lo: number, hi: number): number {
    return this.vcpus[cpu]?.cpu.tscToHost(lo, hi, this.tscPerNs) ?? (hi * 0x1_0000_0000 + (lo >>> 0)) / this.tscPerNs
  }

  /** What Xen keeps inside the hypervisor: the I/O APIC's page and the i8259 pair's ports. */
  #mapInterruptControllers(): void {
    const { ioApic, i8259 } = this.interrupts
    this.dispatch.mapInternalMmio('ioapic', 0xfec0_0000, 0x1000, {
      read: (offset) => ioApic.read(offset),
      write: (offset, _size, value) => ioApic.write(offset, value),
    })
    this.dispatch.mapInternalPorts('i8259 master', 0x20, 2, i8259.masterPorts)
    this.dispatch.mapInternalPorts('i8259 slave', 0xa0, 2, i8259.slavePorts)
    this.dispatch.mapInternalPorts('i8259 elcr', 0x4d0, 2, i8259.elcrPorts)
    // A write clears the latched FERR#, and asserts IGNNE#; of the processors, a PC connects the first.
    this.dispatch.mapInternalPorts('coprocessor error', 0xf0, 1, {
      read: () => 0xff,
      write: () => {
        this.#ferr.set(false)
        this.vcpus[0]?.cpu.ignoreNumericError()
      },
    })
  }

  /**
   * Adds a device model.
   *
   * @throws IoreqError where a range is taken or invalid, or the model's name is
   */
  attach(model: DeviceModel): void {
    this.devices.attach(model)
  }

  /**
   * Makes a server whose models live elsewhere part of the domain: it is reset with it, and looked after in each turn.
   * It is made with this domain's `dispatch` and `platform`.
   */
  addServer(server: DomainServer): void {
    this.#servers.push(server)
    // Answers and events wake a domain that waits; `watch` ends with the server.
    void server.watch?.()
  }

  /** The interface for guests that {@link Domain.plug} was given; null for none: hypercalls are #UD then. */
  get paravirtual(): X86Paravirtual | null {
    return this.#paravirtual
  }

  /** Has the guest see a hypervisor's own interface: its CPUID leaves, MSRs, hypercalls and events. */
  plug(paravirtual: X86Paravirtual): void {
    this.#paravirtual = paravirtual
    this.#loop.paravirtual = paravirtual
  }

  /** Ends the servers whose models live elsewhere. */
  close(): void {
    for (const server of this.#servers.splice(0)) server.close()
  }

  /**
   * Makes a port access as vCPU 0 would, before the guest runs: for what firmware would have set.
   *
   * @param size - bytes: 1, 2 or 4
   */
  async writePort(port: number, size: number, value: number): Promise<void> {
    const request = createIoRequest()
    request.type = IOREQ_TYPE_PIO
    request.direction = IOREQ_WRITE
    request.addressLo = port
    request.size = size
    request.dataLo = value
    const pump = async (): Promise<void> => {
      await this.#sleeper.sleep(0)
      for (const server of this.#servers) server.pump?.()
    }
    while (!this.invalidations.resume(0)) await pump()
    let status = this.dispatch.submit(0, request)
    while (status === IO_RETRY) {
      await pump()
      status = this.dispatch.takeResponse(0)
    }
  }

  /** Ends `run` with this exit, the first one given. */
  stop(exit: DomainExit): void {
    this.#loop.stop(exit)
  }

  /** Something has happened that a waiting domain must look at. */
  wake(): void {
    this.#loop.wake()
  }

  /**
   * Changes the map from outside, as a toolstack does: vCPUs stop between two instructions (one that waits for a device
   * has stopped), the change is made, and each sends a notice before it goes on. To be called before the domain runs,
   * while it does, or after.
   *
   * @param party - a device model that changes the map, see {@link WaitingParty}: it does not wait for itself
   * @returns what the change returned, once no device model can reach what it took away
   * @throws HvmError `ERR_DEADLOCK` where waiting cannot end. The change has been made then, as it has been when the
   *   domain stops before the end; what the change itself throws
   */
  async changeMemory<T>(change: (p2m: P2m) => T, party: WaitingParty = {}): Promise<T> {
    const { result, ticket } = await this.requestMemoryChange(change)
    await ticket.wait(party)
    return result
  }

  /** As {@link Domain.changeMemory}, but resolves as soon as the change is made, with a ticket to wait by. */
  requestMemoryChange<T>(change: (p2m: P2m) => T): Promise<MemoryChange<T>> {
    return this.#memoryChanges.request(change)
  }

  /**
   * With `checkMappings`, views of guest memory that were written after their mapping had been released: of each model's
   * last 64 released pieces.
   */
  keptViews(): { readonly device: string; readonly gpa: number; readonly length: number }[] {
    return this.#checked.flatMap(({ device, cache }) => cache.keptViews().map((view) => ({ device, ...view })))
  }

  /** RAM has left the guest: who goes on, goes on through `resume`. */
  #raised(actor: number): void {
    const { current } = this.#loop
    if (current !== null && (actor === OUTSIDE || actor === current.id)) current.cpu.stop()
    // Those that are halted have notices to send too.
    if (actor === OUTSIDE) this.wake()
  }

  /** Sends the notices of vCPUs that nobody runs; false while `run` does it. */
  #sendIdle(): boolean {
    if (this.#loop.running) return false
    for (const vcpu of this.vcpus) if (!vcpu.cpu.busy) this.invalidations.resume(vcpu.id)
    return true
  }

  /** FERR#. */
  numericError(): void {
    this.#ferr.set(true)
  }

  /** Power-on state of everything but memory. */
  reset(): void {
    this.#loop.clear()
    this.#ferr.set(false)
    // First of all, so that a model's handler has been told before its model is reset.
    for (const vcpu of this.vcpus) vcpu.cancelRequest()
    this.vapic?.reset()
    this.dispatch.reset()
    this.interrupts.reset()
    this.devices.reset()
    for (const { remote } of this.#servers) remote.reset()
    for (const vcpu of this.vcpus) vcpu.cpu.reset(vcpu.id === 0)
    this.#paravirtual?.reset()
  }

  /**
   * Brings every vCPU between two instructions, for a snapshot: those that wait for a device get its answer and finish
   * their instruction, and nothing else runs. No device is asked twice; what devices are asked for on the way is part of
   * the instruction. Not while `run` is under way.
   *
   * @param deadlineMs - host time that devices may take
   * @throws HvmError `ERR_PENDING` when it has passed: the domain is as it was, and can be run on or settled again
   */
  async settle(deadlineMs: number): Promise<void> {
    const waiting = await this.#loop.finish(deadlineMs, true)
    if (waiting.length === 0) return
    const who = waiting.length === 1 ? `vCPU ${waiting[0]} waits` : `vCPUs ${waiting.join(', ')} wait`
    throw new HvmError('ERR_PENDING', `${who} for a device that has not answered within ${deadlineMs} ms`, waiting)
  }

  /** Instructions retired by all vCPUs. */
  get instructions(): number {
    let sum = 0
    for (const vcpu of this.vcpus) sum += vcpu.cpu.retired
    return sum
  }

  /** Runs until the guest or its owner ends it. After `stopped` it can be run on. */
  async run(): Promise<DomainExit> {
    const exit = await this.#loop.run()
    if (exit.reason === 'stopped') this.#loop.clear()
    // Whoever waits for acknowledgements need not wait until it runs again.
    if (this.invalidations.awaited) this.#sendIdle()
    return exit
  }

  /** Exits by kind. */
  get exits(): Readonly<Record<string, number>> {
    return this.#loop.exits
  }

  /** Whether a vCPU that waits should let another run: one that is busy, or may have something to do now. */
  get contended(): boolean {
    return this.#loop.contended
  }
}

/** The usual swizzle: pins of devices in turn on I/O APIC inputs 16–19. */
function pciLine(device: number, pin: number): number {
  return 16 + ((device + pin - 1) & 3)
}
