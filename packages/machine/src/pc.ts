import { ACPI_PM, CMOS_CENTURY, HPET_BASE, Hpet, RESET_CONTROL } from '@retrap/devices'
import { DeterministicClock, X86Domain, PHYSICAL_BITS, RealClock } from '@retrap/hvm'
import type { DomainExit, DomainServer, DomainVapic, VapicStatistics } from '@retrap/hvm'
import type { DeviceModel } from '@retrap/device'
import type { DeviceFailure, DevicePlatform, FailurePolicy, IoDispatch, IoTraceRecord } from '@retrap/ioreq'
import { MachineMemory } from '@retrap/memory'
import type { P2mStatistics } from '@retrap/p2m'
import { CODE_CACHE_BYTES } from '@retrap/x86-cpu'
import { plugXen, type XenGuest } from '@retrap/xen'
import { buildAcpiTables } from './acpi/index.ts'
import type { AcpiBoard } from './acpi/index.ts'
import { writeBiosServices } from './bios-services.ts'
import { ISA_BRIDGE_DEVICE, createBoard } from './board.ts'
import type { BoardDescription, BoardHooks } from './board.ts'
import { describeCrash } from './crash.ts'
import type { CrashDetail } from './crash.ts'
import { MachineError } from './errors.ts'
import { FirmwareArea } from './firmware-area.ts'
import { HostSleeper, fixedRandom, hostClock, hostRandom, laterTurn } from './host.ts'
import {
  PCI_HOLE_BASE,
  PCI_HOLE_LAST,
  loadFirmware,
  loadKernel,
  pcMemoryMap,
  resetState,
  writeBiosData,
} from './loaders/index.ts'
import { handOverMemoryTypes } from './mtrr.ts'
import { checkOptionRom, initialiseOptionRoms } from './option-roms.ts'
import type { OptionRom } from './option-roms.ts'
import { RemoteBoard } from './remote-board.ts'
import type { StartBoardServer } from './remote-board.ts'
import { createVapic, vapicRom } from './vapic.ts'
import type { PcVapicOptions } from './vapic.ts'
import type { SerialPort } from './serial-port.ts'
import { XEN_IOAPIC_PINS, xenConsole, xenOptions } from './xen.ts'
import type { BootModule, GuestMemoryWriter, InitialState, PcMemoryMap } from './loaders/index.ts'

/** How a PC is made. */
export interface PcOptions {
  /** Guest RAM in bytes: whole 4 KiB pages, 1 MiB to about 3.5 GiB. */
  readonly memoryBytes: number
  /** vCPUs, 1–128; default 1. */
  readonly cpus?: number | undefined
  /** A Linux bzImage, a PVH ELF or a multiboot image. */
  readonly kernel?: Uint8Array | undefined
  /** The kernel’s initial RAM disk, or the first module. */
  readonly initrd?: Uint8Array | undefined
  /** Files for a multiboot or PVH kernel, behind the initrd, each with a text of its own. */
  readonly modules?: readonly BootModule[] | undefined
  /** The kernel’s command line, passed as it is given; default empty. */
  readonly commandLine?: string | undefined
  /** A flat firmware image that ends at 4 GiB; started at the reset vector unless a kernel is given. */
  readonly firmware?: Uint8Array | undefined
  /**
   * Adapters' firmware: firmware of the machine finds and initialises it; without any, and where a kernel is given, it is
   * initialised as a BIOS would before the kernel starts. A TPR patcher is there for one that wants it.
   */
  readonly optionRoms?: readonly OptionRom[] | undefined
  /** Patch the task-priority accesses of 32-bit guests into calls of an option ROM: ours with `true`. */
  readonly vapic?: boolean | PcVapicOptions | undefined
  /** What the guest sees itself run on: `none` (default), or `xen` with its hypercalls, store, console and platform device. */
  readonly hypervisor?: 'none' | 'xen' | undefined
  /** Models beside the board's own. */
  readonly devices?: readonly DeviceModel[] | undefined
  /**
   * Where the board's models run: `inline` (default), straight from the instruction; `deferred`, where every access is
   * answered in a later turn of the event loop; or in a thread of their own, which this starts. Models of `devices` are
   * in this thread either way.
   */
  readonly devicePlacement?: 'inline' | 'deferred' | StartBoardServer | undefined
  /** Start further servers whose models live elsewhere; the machine ends them with `close`. */
  readonly deviceServers?: readonly StartDeviceServer[] | undefined
  /** What a device model that fails leads to: the machine's end (default), or its own. */
  readonly devicePolicy?: FailurePolicy | undefined
  /** Milliseconds of host time that a device model may take for an answer; default for ever. */
  readonly deviceDeadlineMs?: number | undefined
  /** Told of device models that fail. */
  readonly onDeviceFailure?: ((failure: DeviceFailure) => void) | undefined
  /**
   * Puts the machine into shared memory, so that device models in Workers can map the guest's: what
   * `platform.sharedMemory` has is for `openGuestMemory` of `@retrap/hvm`.
   */
  readonly sharedMemory?: boolean | undefined
  /** Find device models that keep views of guest memory: `pc.domain.keptViews()`. Slow. */
  readonly checkMappings?: boolean | undefined
  /** Told of every access to a device; slow. */
  readonly trace?: ((record: IoTraceRecord) => void) | undefined
  /** `real` (default) follows the host's clock; `deterministic` derives time from what the guest executes. */
  readonly clock?: 'real' | 'deterministic' | undefined
  /** Wall-clock time at power-on, seconds from 1970; default the host's, or a fixed one where time is deterministic. */
  readonly epochSeconds?: number | undefined
  /** Arena for decoded instructions, in bytes. */
  readonly codeCacheBytes?: number | undefined
  /** Count how often each instruction form runs; see `X86Engine.executionCounts`. Slower. */
  readonly profile?: boolean | undefined
  /** Bits of linear addresses: 57 for CPUs with five-level paging, which Linux then uses. Default 48. */
  readonly linearAddressBits?: 48 | 57 | undefined
}

/** Starts a server whose models live in another thread or process. */
export type StartDeviceServer = (
  dispatch: IoDispatch,
  platform: DevicePlatform,
  realTime: boolean,
) => DomainServer | Promise<DomainServer>

/** Why {@link Pc.run} ended. */
export interface MachineExit {
  /** Why it ended; after `timeout` and `stopped` the machine can be run on. */
  readonly reason:
    | 'power-off'
    | 'reset'
    | 'debug-exit'
    | 'triple-fault'
    | 'guest-crash'
    | 'suspend'
    | 'timeout'
    | 'stopped'
    | 'internal-error'
  /** `debug-exit`: the process's exit status that the device asked for. */
  readonly code?: number
  /** `triple-fault`, `guest-crash` and `internal-error`. */
  readonly detail?: CrashDetail
}

/** Counts since power-on, over all vCPUs. */
export interface PcStatistics {
  /** Retired by all vCPUs. */
  readonly instructions: number
  /** How often vCPUs came back, by reason. */
  readonly exits: Readonly<Record<string, number>>
  /** Memory accesses that generated code could not finish: TLB misses, devices, page-crossing accesses. */
  readonly tlbMisses: number
  /** Page walks. */
  readonly walks: number
  /** Table entries that those walks have read. */
  readonly tableReads: number
  /** Instructions decoded. */
  readonly decodedInstructions: number
  /** Pages whose decoded instructions were dropped because they were written. */
  readonly codeInvalidations: number
  /** Instructions executed by TypeScript handlers. */
  readonly systemInstructions: number
  /** External interrupts delivered. */
  readonly interrupts: number
  /** Exceptions delivered. */
  readonly exceptions: number
  /** Accesses to I/O ports. */
  readonly portAccesses: number
  /** Accesses to device memory. */
  readonly mmioAccesses: number
  /** Accesses to a local APIC’s page. */
  readonly apicAccesses: number
  /** Accesses to task priority registers that trapped; `apicAccesses` has them too. */
  readonly tprTraps: number
  /** What the TPR patcher has done, where there is one. */
  readonly vapic: VapicStatistics | undefined
  /** The map of guest frames. */
  readonly p2m: P2mStatistics
  /** Machine memory in all: guest RAM, decoded code, vCPU state. */
  readonly machineBytes: number
}

const MIB = 1 << 20
/** vCPU state, logs, request pages and table frames, beside RAM and the code arena. */
const FIXED_OVERHEAD = 4 * MIB
const VCPU_OVERHEAD = 512 * 1024
/** Sixteen bytes for each frame of 4 KiB: its generation, its users, and its place in the allocator and the p2m. */
const FRAME_RECORD_SHARE = 256
/** 2026-01-01, for machines whose runs must agree. */
const DETERMINISTIC_EPOCH = 1_767_225_600
const CONSOLE_PORT = 0x3f8
/** 115200 baud, eight bits: kernels that only print leave their console as firmware has set it. */
const CONSOLE_SETTINGS = [
  [3, 0x83],
  [0, 1],
  [1, 0],
  [3, 0x03],
] as const
/** SeaBIOS and its like read the reset value of EDX as the CPUID signature. */
const CPU_SIGNATURE = 0x0002_06c2

/**
 * Assembles a PC: memory, vCPUs, interrupt controllers, board devices, ACPI tables, and what it starts.
 *
 * @throws MachineError, LoaderError, MemoryError or DeviceError, naming the value and what was expected
 */
export async function createPc(options: PcOptions): Promise<Pc> {
  return Pc.create(options)
}

/** A PC. Made by {@link createPc}. */
export class Pc {
  /** The machine’s inside: vCPUs, memory map, devices. */
  readonly domain: X86Domain
  /** Machine memory, which guest RAM is part of. */
  readonly memory: MachineMemory
  /** The first serial port. */
  readonly serial: SerialPort
  /** The console that Xen gives its guests, hvc0 of Linux; without Xen it is silent. */
  readonly xenConsole: SerialPort
  /** The Xen that the guest sees, with `hypervisor: 'xen'`. */
  readonly xen: XenGuest | undefined
  /** The TPR patcher, where there is one. */
  readonly vapic: DomainVapic | undefined
  #receive: (bytes: Uint8Array) => void = () => undefined
  #flush: () => Promise<void> = async () => undefined
  /** Settle when the servers that live elsewhere have their models. */
  readonly #ready: Promise<void>[] = []
  #failure: DeviceFailure | undefined
  readonly #models: readonly DeviceModel[]
  #firmware: FirmwareArea | undefined
  #transmit: (bytes: Uint8Array) => void = () => undefined
  #running = false
  readonly #map: PcMemoryMap
  readonly #acpi: AcpiBoard
  readonly #optionRoms: readonly OptionRom[]

  constructor(options: PcOptions) {
    const cpus = options.cpus ?? 1
    if (!Number.isInteger(cpus) || cpus < 1 || cpus > 128) {
      throw new MachineError('ERR_CPUS', `${cpus} CPUs: expected 1–128`)
    }
    if (options.kernel === undefined && options.firmware === undefined) {
      throw new MachineError('ERR_NOTHING_TO_RUN', 'neither a kernel nor a firmware image was given')
    }
    const map = pcMemoryMap(options.memoryBytes)
    const firmwareBytes = options.firmware?.length ?? 0
    const codeCacheBytes = options.codeCacheBytes ?? CODE_CACHE_BYTES
    const overhead =
      FIXED_OVERHEAD + cpus * VCPU_OVERHEAD + codeCacheBytes + firmwareBytes + options.memoryBytes / FRAME_RECORD_SHARE
    this.memory = MachineMemory.create({
      bytes: roundToLargePage(options.memoryBytes) + overhead,
      shared: options.sharedMemory ?? false,
    })
    const deterministic = options.clock === 'deterministic'
    const epoch = options.epochSeconds ?? (deterministic ? DETERMINISTIC_EPOCH : Math.floor(Date.now() / 1000))
    const random = deterministic ? fixedRandom(0x7265_7472) : hostRandom()
    const xen = options.hypervisor === 'xen'
    this.domain = new X86Domain({
      memory: this.memory,
      vcpus: cpus,
      clock: deterministic ? new DeterministicClock() : new RealClock(hostClock),
      random,
      sleeper: new HostSleeper(),
      codeCacheBytes,
      profile: options.profile ?? false,
      ...(xen && { ioApicPins: XEN_IOAPIC_PINS }),
      linearAddressBits: options.linearAddressBits ?? 48,
      ...(options.devicePlacement === 'deferred' && { deferDevices: laterTurn() }),
      ...(options.devicePolicy !== undefined && { policy: options.devicePolicy }),
      ...(options.deviceDeadlineMs !== undefined && { deviceDeadlineMs: options.deviceDeadlineMs }),
      checkMappings: options.checkMappings ?? false,
      ...(options.trace && { trace: options.trace }),
      onFailure: (failure) => {
        this.#failure ??= failure
        options.onDeviceFailure?.(failure)
      },
    })
    this.xen = xen ? plugXen(this.domain, xenOptions(map, epoch, random)) : undefined
    for (const range of map.ram) this.domain.p2m.populate(range.gpa / 4096, range.bytes / 4096)
    this.serial = {
      onTransmit: (listener) => {
        this.#transmit = listener
      },
      receive: (bytes) => {
        this.#receive(bytes)
        this.domain.wake()
      },
      pipeTo: (sink) => {
        this.#transmit = (bytes) => void sink.write(bytes)
      },
    }
    this.xenConsole = xenConsole(this.xen?.consoleRing)
    const acpi = this.#acpiBoard(map)
    this.#map = map
    this.#acpi = acpi
    this.#optionRoms = [...vapicRom(options.vapic), ...(options.optionRoms ?? [])].map((rom) => ({
      ...rom,
      bytes: checkOptionRom(rom),
    }))
    if (this.#optionRoms.length > 0) this.vapic = createVapic(this.domain, options.vapic, () => this.#firmware)
    const firmware =
      options.firmware === undefined
        ? null
        : { map, cpus, board: acpi, consolePort: CONSOLE_PORT, optionRoms: this.#optionRoms }
    this.#attachBoard({ map, cpus, epochSeconds: epoch, firmware, xen }, options.devicePlacement, !deterministic)
    this.#models = options.devices ?? []
    for (const model of this.#models) this.domain.attach(model)
  }

  /** Waits for servers that are elsewhere, and sets what firmware would have set. */
  async #prepare(options: PcOptions): Promise<void> {
    const { domain } = this
    for (const start of options.deviceServers ?? []) {
      const server = await start(domain.dispatch, domain.platform, !domain.clock.deterministic)
      domain.addServer(server)
      this.#ready.push(server.remote.ready)
    }
    await Promise.all(this.#ready)
    if (options.kernel === undefined) return
    for (const [register, value] of CONSOLE_SETTINGS) await domain.writePort(CONSOLE_PORT + register, 1, value)
  }

  /** @internal Use {@link createPc}. */
  static async create(options: PcOptions): Promise<Pc> {
    const pc = new Pc(options)
    try {
      await pc.#prepare(options)
    } catch (error) {
      pc.close()
      throw new MachineError('ERR_DEVICES', `the device models cannot be started: ${pc.#whyNot(error)}`, {
        cause: error,
      })
    }
    try {
      await pc.#start(options)
    } catch (error) {
      pc.close()
      throw error
    }
    return pc
  }

  #whyNot(error: unknown): string {
    const cause = this.#failure?.cause ?? error
    return cause instanceof Error ? cause.message : String(cause)
  }

  /** Ends what runs beside the machine: threads and processes of device models. */
  close(): void {
    this.domain.close()
  }

  /** The board's models in this thread, or in one of their own. */
  #attachBoard(description: BoardDescription, placement: PcOptions['devicePlacement'], realTime: boolean): void {
    const { domain } = this
    const hooks: BoardHooks = {
      transmit: (bytes) => this.#transmit(bytes),
      shadow: (range) => this.#firmware?.shadow(range),
    }
    if (typeof placement === 'function') {
      const remote = new RemoteBoard(
        placement,
        domain.dispatch,
        domain.platform,
        { board: description, realTime },
        hooks,
      )
      domain.pciInterrupt = (device, pin) => remote.interruptInput(device, pin)
      domain.addServer(remote.server)
      this.#ready.push(remote.server.remote.ready)
      this.#receive = (bytes) => remote.receive(bytes)
      this.#flush = () => remote.flush()
      return
    }
    const { models, uart, isaBridge } = createBoard(description, hooks)
    domain.pciInterrupt = (device, pin) => isaBridge.interruptInput(device, pin)
    domain.ownPciInterrupt = domain.pciInterrupt
    for (const model of models) domain.attach(model)
    this.#receive = (bytes) => uart.receive(bytes)
    this.#flush = async () => uart.flush()
  }

  /** Loads what runs first, and sets the processors to it. */
  async #start(options: PcOptions): Promise<void> {
    let state: InitialState = resetState(CPU_SIGNATURE)
    const { domain } = this
    const map = this.#map
    const board = this.#acpi
    if (options.firmware !== undefined) {
      const loaded = loadFirmware(options.firmware, CPU_SIGNATURE)
      this.#firmware = new FirmwareArea(domain, options.firmware, loaded.regions)
      state = loaded.state
    }
    if (options.kernel !== undefined) {
      // As firmware leaves it: RAM all over the area below 1 MiB.
      this.#firmware?.shadow({ gpa: 0xc_0000, bytes: 0x4_0000, readRam: true, writeRam: true })
      const acpi = buildAcpiTables(board)
      const writer: GuestMemoryWriter = {
        ramBytes: options.memoryBytes,
        e820: map.e820,
        write: (gpa, bytes) => {
          if (!domain.guestMemory.load(gpa, bytes)) throw new Error(`loader wrote outside RAM at ${gpa.toString(16)}`)
        },
      }
      writer.write(acpi.rsdpAddress, acpi.image)
      writeBiosData(writer, { serialPorts: [CONSOLE_PORT] })
      writeBiosServices(writer, { e820: map.e820, consolePort: CONSOLE_PORT, reset: board.reset })
      // Before the kernel is there: what a ROM uses of RAM is its own then.
      await initialiseOptionRoms(domain, this.#optionRoms)
      state = loadKernel(writer, {
        kernel: options.kernel,
        initrd: options.initrd,
        modules: options.modules,
        commandLine: options.commandLine,
        rsdpAddress: acpi.rsdpAddress,
      }).state
      // What firmware leaves behind: the boot processor's LINT0 takes the i8259's interrupts.
      domain.vcpus[0]?.apic.enterVirtualWireMode()
    }
    for (const vcpu of this.domain.vcpus) {
      vcpu.cpu.reset(vcpu.id === 0)
      if (options.kernel !== undefined) handOverMemoryTypes(vcpu.cpu, PHYSICAL_BITS)
    }
    this.domain.vcpus[0]?.cpu.load(state)
  }

  #acpiBoard(map: PcMemoryMap): AcpiBoard {
    const { vcpus } = this.domain
    return {
      apicIds: vcpus.map((vcpu) => vcpu.apic.apicId),
      localApicAddress: 0xfee0_0000,
      ioapic: { id: vcpus.length, address: 0xfec0_0000 },
      pmBase: ACPI_PM.base,
      sciIrq: ACPI_PM.sciIrq,
      smiCommand: { port: ACPI_PM.smiCommandPort, enable: ACPI_PM.acpiEnable, disable: ACPI_PM.acpiDisable },
      s5SleepType: ACPI_PM.s5SleepType,
      reset: { port: RESET_CONTROL.port, value: RESET_CONTROL.value },
      centuryIndex: CMOS_CENTURY,
      hpet: { address: HPET_BASE, capabilities: new Hpet().capabilities, minimumTick: 128 },
      pciMemory: { start: Math.max(PCI_HOLE_BASE, map.lowRamBytes), end: PCI_HOLE_LAST },
      isaBridgeDevice: ISA_BRIDGE_DEVICE,
      serialPorts: [{ iobase: CONSOLE_PORT, irq: 4 }],
      keyboardController: true,
    }
  }

  /**
   * Runs until the guest or the caller ends it.
   *
   * @param options.timeoutMs - host time after which it is stopped
   * @throws MachineError `ERR_STATE` if it runs already
   */
  async run(
    options: { readonly signal?: StopSignal | undefined; readonly timeoutMs?: number | undefined } = {},
  ): Promise<MachineExit> {
    if (this.#running) throw new MachineError('ERR_STATE', 'the machine runs already')
    this.#running = true
    let timedOut = false
    const { domain } = this
    const stop = (): void => domain.stop({ reason: 'stopped' })
    const timer =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true
            stop()
          }, options.timeoutMs)
    options.signal?.addEventListener('abort', stop)
    if (options.signal?.aborted === true) stop()
    try {
      const exit = await domain.run()
      await this.#flush()
      for (const model of this.#models) if (isBuffered(model)) model.flush()
      return timedOut && exit.reason === 'stopped' ? { reason: 'timeout' } : this.#exitOf(exit)
    } finally {
      if (timer !== undefined) clearTimeout(timer)
      options.signal?.removeEventListener('abort', stop)
      this.#running = false
    }
  }

  #exitOf(exit: DomainExit): MachineExit {
    switch (exit.reason) {
      case 'debug-exit':
        return { reason: 'debug-exit', code: exit.code }
      case 'vcpu-shutdown':
        return {
          reason: 'triple-fault',
          detail: describeCrash(this.domain, exit.vcpu, `vCPU ${exit.vcpu} shut down after a triple fault`),
        }
      case 'guest-shutdown': {
        if (exit.code === 'suspend') return { reason: 'suspend' }
        // It asks for its memory to survive; a PC that is reset starts without.
        if (exit.code === 'soft-reset') return { reason: 'reset' }
        const what =
          exit.code === 'watchdog' ? 'a watchdog of the guest has bitten' : 'the guest says that it has crashed'
        return { reason: 'guest-crash', detail: describeCrash(this.domain, exit.vcpu, what) }
      }
      case 'internal-error': {
        const text = exit.error instanceof Error ? (exit.error.stack ?? exit.error.message) : String(exit.error)
        return { reason: 'internal-error', detail: describeCrash(this.domain, exit.vcpu, text) }
      }
      case 'device-failure': {
        const { serverName, device, request, cause } = exit.failure
        const why = cause instanceof Error ? cause.message : String(cause)
        return {
          reason: 'internal-error',
          detail: { message: `device ${device} of server ${serverName} failed at ${request}: ${why}` },
        }
      }
      case 'memory-failure': {
        const { vcpu, gfn, cause } = exit.failure
        const text = `guest frame 0x${gfn.toString(16)} cannot be accessed: ${cause}`
        return { reason: 'internal-error', detail: describeCrash(this.domain, vcpu, text) }
      }
      default:
        return { reason: exit.reason }
    }
  }

  /** Returns counts since power-on. */
  statistics(): PcStatistics {
    const { vcpus, exits, instructions, engine } = this.domain
    const sum = (count: (vcpu: (typeof vcpus)[number]) => number): number =>
      vcpus.reduce((total, v) => total + count(v), 0)
    return {
      instructions,
      exits: { ...exits },
      tlbMisses: sum((v) => v.cpu.slowAccesses),
      walks: sum((v) => v.counts.walks),
      tableReads: sum((v) => v.counts.tableReads),
      decodedInstructions: engine.codeCache.decoded,
      codeInvalidations: engine.codeCache.invalidations,
      systemInstructions: sum((v) => v.cpu.counts.systemCalls),
      interrupts: sum((v) => v.cpu.counts.interrupts),
      exceptions: sum((v) => v.cpu.counts.faults),
      portAccesses: sum((v) => v.counts.portAccesses),
      mmioAccesses: sum((v) => v.counts.mmioAccesses),
      apicAccesses: sum((v) => v.counts.apicAccesses),
      tprTraps: sum((v) => v.counts.taskPriorityAccesses),
      vapic: this.vapic?.statistics(),
      p2m: this.domain.p2m.statistics(),
      machineBytes: this.memory.byteLength,
    }
  }
}

/** A model that keeps back what it has for the host: serial ports, the debug console. */
function isBuffered(model: DeviceModel): model is DeviceModel & { flush(): void } {
  return 'flush' in model && typeof model.flush === 'function'
}

/** The part of an `AbortSignal` that is used. */
export interface StopSignal {
  /** Whether the signal has been given. */
  readonly aborted: boolean
  /** Calls `listener` when the signal is given. */
  addEventListener(type: 'abort', listener: () => void): void
  /** Takes a listener back. */
  removeEventListener(type: 'abort', listener: () => void): void
}

/** Guest RAM wants whole 2 MiB leaves. */
function roundToLargePage(bytes: number): number {
  return Math.ceil(bytes / (2 * MIB)) * 2 * MIB
}
