import type {
  Clock,
  DeviceDma,
  DeviceMemory,
  Dma,
  InterruptLine,
  OwnedMemory,
  OwnedMemoryOptions,
  PciFunctionState,
  Timer,
  TimerCallback,
} from '@retrap/device'
import type { BufferedRing, IoreqSlot } from '@retrap/ioreq'
import type { Frame } from './frames.ts'

/** The saved form of a set of models: each model's own, by name, and its PCI functions. */
export interface DeviceHostState {
  /** Layout of this record. */
  readonly version: 2
  /** Saved states by the model's name; stateless models have none. */
  readonly devices: Readonly<Record<string, unknown>>
  /** Saved states by bus:device.function, where the bus is a root bus's number or a bridge's `busName`. */
  readonly functions: Readonly<Record<string, PciFunctionState>>
  /** Models that had been taken out. */
  readonly detached: readonly string[]
}

/** Describes memory of a device model to the machine that holds it. */
export interface PlatformMemoryOptions extends Omit<OwnedMemoryOptions, 'handler'> {
  /** Writes to `rom` go to the model, whose range is at the same address. */
  readonly trapsWrites: boolean
}

/** A place where a part of a model's memory is shown. */
export interface MemoryPlacement {
  /** Ends the placement. A second time does nothing. */
  remove(): void
}

/**
 * Memory of a device model, on the machine's side. Arguments have been checked.
 *
 * With asynchronous forms the bytes are in another process: `view` is null and synchronous forms throw.
 */
export interface PlatformMemory
  extends
    Pick<OwnedMemory, 'view' | 'setMode' | 'read' | 'write' | 'modified' | 'logWrites' | 'takeDirty'>,
    Partial<Pick<OwnedMemory, 'readAsync' | 'writeAsync' | 'takeDirtyAsync'>> {
  /** Where a Worker that shares the machine's memory finds the bytes; absent without such memory. */
  readonly location?: number
  /** Shows `bytes` of it from `offset` on at a guest-physical address, where the guest has nothing. */
  place(gpa: number, offset: number, bytes: number): MemoryPlacement
  /** Gives the memory back. */
  free(): void
}

/** The rest of the machine, as device models reach it. The machine supplies it. */
export interface DevicePlatform {
  /** The machine's virtual time. */
  readonly clock: Clock
  /** Makes a timer on that clock, for instance `TimerQueue.create`. */
  timer(callback: TimerCallback): Timer
  /** Guest RAM. Without the asynchronous forms, the synchronous ones serve for them. */
  readonly dma: Dma & Partial<DeviceDma>
  /**
   * Gives a device model its own access to guest RAM, which records the model's mappings. Without it, models copy by `dma`
   * and cannot map.
   *
   * @param device - whose it is: a model's name, or a server's
   */
  openMemory?(device: string): DeviceMemory
  /**
   * Allocates memory of a device model's own. Without it, models have none (`ERR_PERMISSION`).
   *
   * @throws DeviceError `ERR_NO_SPACE` where the machine has no room, `ERR_EXISTS` for a name that the model has used
   */
  ownMemory?(device: string, options: PlatformMemoryOptions): PlatformMemory
  /** A timer has been set by models elsewhere, while the machine may be asleep until the next deadline that it knows of. */
  timerArmed?(): void
  /**
   * The object that a Worker needs to reach guest RAM by itself, to be posted to it; absent where the machine's memory is not
   * shared.
   */
  readonly sharedMemory?: unknown
  /** A model that reaches guest memory by itself has written frames of it. */
  modifiedMemory?(gfn: number, count: number): void
  /** Whether models announce writes to guest memory before, as with a checkpoint. Default false. */
  announcesWrites?(): boolean
  /** A model is about to write guest frames itself, or holds them for writing. */
  writingMemory?(gfn: number, count: number): void
  /** Opens an interrupt controllers' input. */
  interruptLine(irq: number): InterruptLine
  /** The wire of one function's INTx pin (1–4). Without it, functions have no wire. */
  pciInterrupt?(device: number, pin: number): InterruptLine
  /** Whether a PCI function may have port 0, as where processors have no ports of their own. Default: it may not. */
  hasPortZero?(): boolean
  /**
   * Delivers a message interrupt.
   *
   * @param requester - bus·256 + device·8 + function that the message comes from
   */
  signalMsi(address: number, data: number, requester: number): void
  /** Makes the gate of a server whose models live elsewhere, where the machine is recorded. Default: there is none. */
  gate?(server: GatedServer): ServerGate
  /** The guest asked for its power to be cut. */
  powerOff(): void
  /** The guest asked for a system reset. */
  reset(): void
  /** The guest asked that the machine's process end with this status. */
  exit(code: number): void
}

/**
 * The part of a server in the domain that a gate uses: an `IoreqServer`, which is not named here, because it knows the platform.
 */
export interface GatedSlots {
  /** The policy for a failure of its models; null: the domain's. */
  readonly policy: 'crash' | 'detach' | null
  /** Null: the server takes no buffered requests. */
  readonly ring: BufferedRing | null
  /** Returns a vCPU's slot. */
  slot(vcpu: number): IoreqSlot
  /** Called when the slot of a vCPU holds the answer to its request. */
  answered(vcpu: number): void
}

/** The machine's side of a server as its gate sees it: a `RemoteServer`. */
export interface GatedServer {
  /** Names the server in errors and traces. */
  readonly name: string
  /** The server in the domain. */
  readonly server: GatedSlots
  /** Has a frame of the models take effect. */
  apply(frame: Frame): void
  /** Tells the models that a transfer has ended. */
  reply(call: number, ok: boolean): void
  /** Whether the machine has yet to wait for the effects of a sent frame. */
  readonly unsettled: boolean
  /** The machine was restored: it does not wait for reactions to frames sent meanwhile, such as levels of wires. */
  putBack(): void
  /** Ends the server. @param error - why it has failed; undefined: it has not, and is taken out */
  end(error: unknown): void
  /** Brings the models to rest: see `RemoteServer.quiesce`. */
  quiesce(deadlineMs: number): Promise<void>
  /** Returns the models' state, as of `RemoteServer`. */
  save(deadlineMs: number): Promise<DeviceHostState>
  /** Lets the models continue. */
  resume(): void
}

/**
 * Stands between models elsewhere and a machine that is recorded: the models' own actions take effect when the gate says so.
 * See `DevicePlatform.gate`.
 */
export interface ServerGate {
  /** Messages of the machine's side are no requests of the guest's: nothing waits for the models' reaction. */
  readonly postsFreely: boolean
  /** A frame goes to the models. */
  sends(frame: Frame): void
  /**
   * Takes a frame of the models'.
   *
   * @returns whether it takes effect now; otherwise the gate gives it to `RemoteServer.apply` later
   */
  arrived(frame: Frame): boolean
  /** A vCPU's request has been published in the server's slot, and the models do not know of it yet. */
  asked(vcpu: number): void
  /** Called, once or more often, when the slot of a vCPU holds the answer to its request. */
  answered(vcpu: number): void
  /** Whether a vCPU waits for models that answer at once where nothing is recorded: such a wait takes no time. */
  waitsForNothing(vcpu: number): boolean
  /** Puts the models' writes to guest memory, made and still to come, over data that was read. */
  overlay(gpa: number, bytes: Uint8Array): void
  /**
   * The server has failed. Absent: it ends at once.
   *
   * @returns whether the gate calls `GatedServer.end` when it is to end
   */
  failed?(error: unknown): boolean
  /** The server has ended. */
  closed?(): void
}
