import type { Clock, DeviceModel } from '@retrap/device'
import type { Keyboard, Screen } from '@retrap/display'
import type { GdbTarget } from '@retrap/gdb'
import type {
  BoardServerOptions,
  MachineDebugger,
  MachineExit,
  MachineRunOptions,
  PcForkOptions,
  PcGdbOptions,
  PcOptions,
  MachinePluggable,
  MachineRemovableDrive,
  PcReplay,
  ReplayDebugger,
  MachineSaveOptions,
  PcSnapshot,
  PcSnapshotSource,
  PcStatistics,
  MachineUnplugOptions,
  ReplayExit,
  ReplayPlace,
  StartDeviceServer,
  StartPartServer,
} from '@retrap/machine'
import type { CompileHelper } from '@retrap/engine'
import type { CodeKeeper, CodeMark, CompiledInstruction } from '@retrap/x86-cpu'
import type { ArmBoardServerOptions, ArmMachineOptions, ArmSnapshot, ArmSnapshotSource } from '@retrap/machine/arm'
import type { P2m, P2mStatistics } from '@retrap/p2m'

/** Guest code that has been compiled, of any machine. */
export interface DumpedCode {
  readonly module: Uint8Array
  /** Bits of the x86 mode that the code runs in; for Arm code, bits of an address. */
  readonly bits: 16 | 32 | 64
  readonly instructions: readonly CompiledInstruction[]
  readonly marks: readonly CodeMark[]
  /** Returns the text of an instruction; default x86's. */
  readonly disassemble?: (bytes: Uint8Array, address: bigint) => string
}

/** A saved machine. Its parts are private to the machine. */
export type MachineSnapshot = PcSnapshot | ArmSnapshot

/** A saved machine whose pages are read on demand. */
export type MachineSnapshotSource = PcSnapshotSource | ArmSnapshotSource

/**
 * The part of `@retrap/machine` that the command line stands on, so that its tests can put a machine of
 * their own in its place. `createPc` is a {@link CreateMachine}.
 */
export interface MachineOptions extends Omit<PcOptions, 'snapshot' | 'jit' | 'devicePlacement' | 'vapic'> {
  /** The architecture of its processors; default amd64. */
  readonly architecture?: 'amd64' | 'arm64'
  /** Version of the interrupt controller of an Arm board, which a PC is not. */
  readonly gic?: ArmMachineOptions['gic']
  readonly deviceNodes?: ArmMachineOptions['deviceNodes']
  readonly snapshot?: MachineSnapshotSource
  readonly cpus: number
  readonly devices: readonly DeviceModel[]
  readonly deviceServers: readonly StartDeviceServer[]
  readonly clock: 'real' | 'deterministic'
  /** Whether to compile hot code; `onCode` receives all compiled code. */
  readonly jit?:
    | boolean
    | {
        readonly onCode?: (code: DumpedCode) => void
        readonly keep?: CodeKeeper
        readonly codeBytes?: number
        readonly helper?: CompileHelper
      }
  readonly devicePlacement?: 'inline' | 'deferred' | StartPartServer<BoardServerOptions | ArmBoardServerOptions>
  readonly vapic?: boolean
}

/** The system under a machine. */
export type MachineImages = Pick<
  MachineOptions,
  'kernel' | 'initrd' | 'modules' | 'firmware' | 'commandLine' | 'optionRoms' | 'vgaBios' | 'preferredMode'
>

/** Options whose architecture is a PC's: a snapshot is a PC's too. */
export type PcMachineOptions = MachineOptions & { readonly snapshot?: PcSnapshotSource }

export type CreateMachine = (options: MachineOptions) => Promise<Machine>

/** The part of a `P2m` that is listed, and by which RAM is found. */
export type ListedMap = Pick<P2m, 'format' | 'isRam' | 'leaves' | 'root' | 'tableBytes'>

/** The PCI functions of a machine, by bus·256 + device·8 + function. */
export interface PciSource {
  /** Returns the name of the model that owns the PCI function; undefined if the place is free. */
  ownerAt(bdf: number): string | undefined
  /** Reads up to 4 bytes of configuration space. */
  read(bdf: number, register: number, size: number): number
}

/** The devices of one machine, besides its board's. */
export interface MachineDevices {
  readonly models: readonly DeviceModel[]
  /** Start the devices in other threads or processes. */
  readonly servers: readonly StartDeviceServer[]
}

/**
 * Makes a new set of the requested devices; a device belongs to one machine.
 *
 * @param leftMs - time left of the run
 */
export type CreateDevices = (leftMs: number) => Promise<MachineDevices>

export interface Machine {
  /** Machine memory, which the map of guest frames leads to. */
  readonly memory: { readonly u8: Uint8Array }
  readonly domain: {
    /** The guest's time. */
    readonly clock?: Clock
    readonly timers?: { create(callback: () => void): { armAfter(ns: number): void } }
    readonly p2m: ListedMap
    /** Where a guest-physical address is in machine memory; below 0: nowhere. */
    readonly secondLevel: { peek(gpa: number): number }
    /** The models of this process, with their PCI functions. */
    readonly devices?: { readonly functions: PciSource; onLeaving?(port: string): void }
    /** Returns writes of devices to memory that they had released, if such writes are monitored. */
    keptViews?(): readonly { readonly device: string; readonly gpa: number; readonly length: number }[]
  }
  /** The serial ports, from COM1 on. */
  readonly serialPorts: readonly MachineSerial[]
  /** Xen's console; silent in a machine without Xen. */
  readonly xenConsole?: MachineSerial
  /** CD and floppy drives, in the order of the options. */
  readonly removableDrives?: readonly MachineRemovableDrive[]
  /** Plugs a device into a root port while it runs; absent from replays. */
  plug?(device: MachinePluggable): Promise<void>
  /** Asks the guest for the device behind a root port, or takes it. */
  unplug?(port: string, options?: MachineUnplugOptions): Promise<void>
  /** Resets the machine in place; absent from replays. */
  reset?(images: MachineImages): Promise<void>
  run(options: { readonly signal?: AbortSignal; readonly timeoutMs?: number }): Promise<MachineExit>
  /** See `Pc`; absent: the machine cannot tell. */
  readonly isHaltedForGood?: boolean
  statistics(): MachineStatistics
  /** Saves the whole machine between two instructions. A machine that runs goes on. */
  save?(options?: MachineSaveOptions): Promise<MachineSnapshot>
  /** Makes a machine that goes on from the same instant; absent from replays. */
  fork?(options: PcForkOptions): Promise<Machine>
  /** Keyboard and screen, which commands use. */
  readonly keyboard?: Pick<Keyboard, 'press'>
  readonly screen?: Pick<Screen, 'height' | 'pixels' | 'refresh' | 'toPng' | 'width'>
  /** The debugger, which reads registers for commands. */
  debugger?(): Promise<Pick<MachineDebugger, 'cpus' | 'isStopped' | 'register' | 'resume' | 'stop'>>
  /** Shows the machine to gdb. */
  gdbTarget?(options: PcGdbOptions): Promise<GdbTarget>
  /** Presses the power button. @returns whether the guest has asked for its event */
  powerButton(): Promise<boolean>
  /** Presses the sleep button, if the machine has one. @returns whether the guest has enabled its event */
  sleepButton?(): Promise<boolean>
  /** The device tree that the guest finds, of an Arm machine. */
  readonly deviceTree?: Uint8Array
  /** Closes threads and other resources of the machine. */
  close?(): void
}

/** Runs a machine: the machine itself, or a wrapper that shares the run. */
export type MachineRunner = Pick<Machine, 'run' | 'gdbTarget'>

export interface MachineSerial {
  /** Names the listener that gets the guest's output. The bytes are the listener's to keep. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /** Queues bytes for the guest. @returns false if so many wait that the sender should pause until `onDrain` */
  receive(bytes: Uint8Array): boolean
  /** Sets the listener for available room. */
  onDrain(listener: () => void): void
}

export interface MachineStatistics {
  readonly instructions: number
  readonly exits: Readonly<Record<string, number>>
  readonly tlbMisses: number
  readonly p2m: P2mStatistics
  /** Accesses to task priority registers that trapped, of a PC. */
  readonly tprTraps?: number
  /** Statistics of the TPR patcher, if the machine has one. */
  readonly vapic?: PcStatistics['vapic']
}

/** The part of a `PcReplay` that a session uses; a replay of an Arm board has it too. */
export interface ReplayedRun extends Pick<
  PcReplay,
  'begin' | 'end' | 'endNs' | 'instructions' | 'isCut' | 'marks' | 'ns'
> {
  readonly pc: Machine
  run(limits: MachineRunOptions): Promise<ReplayExit>
  goto(place: ReplayPlace, limits?: MachineRunOptions): Promise<ReplayExit>
  debugger(): Promise<Pick<ReplayDebugger, 'whoWrote'>>
  gdbTarget(options: PcGdbOptions): Promise<GdbTarget>
  close(): void
}
