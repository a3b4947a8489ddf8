// The messages between a page and the Worker of its machine. Both come from one build, so the protocol has no versions.
import type { KeyboardLayoutName } from '@retrap/display'
import type { GuestPages } from '@retrap/hvm'
import type { GuestTrouble, MachineExit, PcStatistics } from '@retrap/machine'
import type { ArmStatistics } from '@retrap/machine/arm'
import type { Snapshot, SnapshotFrames } from '@retrap/snapshot'
import type { DebuggerCalls, RunPosition, TravelStop } from './debugger.ts'
import type { FileCalls } from './files.ts'
import type { AddressView, CompiledView, Impairment, MachineView } from './inspection.ts'
import type { DriveOptions, MachineOptions, NetworkOptions, Progress } from './options.ts'

/** An image, in a form that can be sent. */
export type SentSource =
  | { readonly url: string }
  | { readonly blob: Blob }
  | { readonly bytes: Uint8Array<ArrayBuffer> }

/** The images of a machine, by option. */
export const IMAGE_OPTIONS = ['kernel', 'initrd', 'firmware', 'vgaBios', 'snapshot', 'recording'] as const
/** The name of an image option. */
export type ImageOption = (typeof IMAGE_OPTIONS)[number]

/** A drive, in a form that can be sent. */
export interface SentDrive extends Omit<DriveOptions, 'source' | 'id'> {
  readonly id: string
  readonly source: SentSource | null
}

/** A network in a form that can be sent, with its complete address. */
export type SentNetwork = Pick<NetworkOptions, 'card' | 'macAddress'> &
  (
    | { readonly kind: 'fetch' | 'none' }
    | { readonly kind: 'tabs'; readonly name: string }
    | { readonly kind: 'relay' | 'wisp'; readonly url: string }
  )

/** A machine's options, in a form that can be sent. */
export interface SentOptions extends Omit<
  MachineOptions,
  ImageOption | 'network' | 'drives' | 'transport' | 'onProgress' | 'signal' | 'createWorker'
> {
  readonly images: Readonly<Partial<Record<ImageOption, SentSource>>>
  readonly drives: readonly SentDrive[] | null
  readonly network?: SentNetwork
  /** Whether pixels go through shared memory. */
  readonly shared: boolean
}

/** Options of a machine that its snapshots have. */
export type SavedOptions = Pick<
  SentOptions,
  | 'memoryBytes'
  | 'cpus'
  | 'cpu'
  | 'board'
  | 'commandLine'
  | 'vga'
  | 'tablet'
  | 'hypervisor'
  | 'sound'
  | 'files'
  | 'network'
>

/** Counts since power-on. Counts of PCs alone are absent on an Arm board. */
export type MachineStatistics = Pick<PcStatistics, keyof PcStatistics & keyof ArmStatistics> & Partial<PcStatistics>

/** A snapshot before it is packed into a file. */
export interface SavedSnapshot extends Snapshot {
  /** Number of the instant, unique in one machine. */
  readonly instant: number
  readonly pages: GuestPages
  /** All frames of the guest. */
  readonly frames: readonly SnapshotFrames[]
}

/** The answer about a new machine. */
export interface OpenedMachine {
  /** The name of a lock held during the Worker's lifetime; null without locks. */
  readonly lock: string | null
  /** See `Machine.turns`. */
  readonly turns: string | null
}

/** Requests of the page that have an answer. */
export interface Calls extends FileCalls, DebuggerCalls {
  /** Makes the machine. */
  open(options: SentOptions): OpenedMachine
  run(): void
  pause(): void
  reset(): void
  powerButton(): boolean
  type(text: string, layout: KeyboardLayoutName | undefined): boolean
  screenText(): string | null
  statistics(): MachineStatistics
  inspect(): MachineView
  inspectAddress(address: bigint, cpu: number): AddressView
  /** @param since - last instant with a complete file: the pages written since are saved, or all if unknown */
  save(since: number | null): SavedSnapshot
  /** Of a Worker that has no machine: makes a snapshot's file. @param before - that of the instant since which pages were written */
  pack(snapshot: SavedSnapshot, before: Blob | null): Blob
  restore(source: SentSource): void
  compiledCode(): CompiledView[]
  impairDevice(name: string, impairment: Impairment): void
  step(vcpu: number): boolean
  attachDevices(name: string, port: MessagePort): void
  detachDevices(name: string): boolean
  hear(port: MessagePort): void
  connectNetwork(network: SentNetwork): void
  insert(drive: string, source: SentSource | null): void
}

/** The page asks, or tells. */
export type ToWorker =
  | {
      readonly [K in keyof Calls]: { readonly call: K; readonly id: number; readonly given: Parameters<Calls[K]> }
    }[keyof Calls]
  | { readonly tell: 'serial'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** The terminal has printed this many bytes. */
  | { readonly tell: 'printed'; readonly bytes: number }
  | { readonly tell: 'keys'; readonly keys: readonly KeyChange[] }
  | { readonly tell: 'pointer'; readonly events: readonly PointerChange[] }
  | { readonly tell: 'diskDelay'; readonly ms: number }
  | { readonly tell: 'diskFailure'; readonly on: boolean }
  | { readonly tell: 'prepareArm' }
  /** The Worker compiles for the machine of another one, or executes a vCPU of it. */
  | { readonly tell: 'compile' | 'execute'; readonly port: MessagePort }
  /** The page wants frames, or no more. */
  | { readonly tell: 'watch'; readonly on: boolean }
  /** The page has drawn a frame, and is ready for another one. */
  | { readonly tell: 'drawn' }

/** The parts of values that are moved, and not copied, with a message: ports, and the memory of a snapshot. */
export const movedParts = (values: readonly unknown[]): Transferable[] =>
  values.flatMap((value): Transferable[] => {
    if (value instanceof MessagePort) return [value]
    const { pages } = (value ?? {}) as Partial<Snapshot>
    return pages === undefined ? [] : [pages.gfns.buffer, pages.bytes.buffer].map((buffer) => buffer as ArrayBuffer)
  })

/** A key of the keyboard goes down or up. */
export interface KeyChange {
  /** Code of the key, as in `KeyboardEvent.code`. */
  readonly code: string
  /** Down, or up. */
  readonly down: boolean
}

/** The mouse is moved, or a button or the wheel is used. */
export type PointerChange =
  | {
      readonly kind: 'move'
      /** Counts, right and down, for a relative pointer. */
      readonly dx: number
      readonly dy: number
      /** Place on the screen, 0 to 1, for an absolute pointer. */
      readonly x: number
      readonly y: number
    }
  | {
      readonly kind: 'button'
      readonly button: 'left' | 'right' | 'middle' | 'back' | 'forward'
      readonly down: boolean
    }
  | { readonly kind: 'wheel'; readonly vertical: number }

/** A rectangle of a picture, with RGBA pixels for a canvas unless pixels are in shared memory. */
export interface SentRectangle {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly pixels: Uint32Array<ArrayBuffer> | null
}

/** The changes on the screen. A width of 0: the display is off. */
export interface SentFrame {
  readonly width: number
  readonly height: number
  /** All pixels of the picture, in the same format, if memory is shared. Sent with each change of size. */
  readonly shared: Uint32Array | null
  readonly dirty: readonly SentRectangle[]
}

/** An activity of a machine: `off` has ended or was never run. */
export type MachineState = 'off' | 'running' | 'paused' | 'asleep'

/** The Worker answers, or tells. */
export type FromWorker =
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly error: SentError }
  | { readonly event: 'progress'; readonly progress: Progress }
  | { readonly event: 'serial'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** The machine continues from another instant, with this end of the serial port's output. */
  | { readonly event: 'console'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly event: 'frame'; readonly frame: SentFrame }
  | { readonly event: 'state'; readonly state: MachineState }
  | { readonly event: 'pointer'; readonly pointer: 'none' | 'relative' | 'absolute' }
  | { readonly event: 'warning'; readonly message: string }
  | { readonly event: 'trouble'; readonly trouble: GuestTrouble }
  | { readonly event: 'exit'; readonly exit: MachineExit }
  /** The debugger has moved, or the machine has reached a stop. */
  | { readonly event: 'position'; readonly position: RunPosition; readonly stop: TravelStop | null }

/** An error, in a form that can be sent. */
export interface SentError {
  readonly code: 'ERR_OPTION' | 'ERR_SOURCE' | 'ERR_MACHINE'
  readonly message: string
}
