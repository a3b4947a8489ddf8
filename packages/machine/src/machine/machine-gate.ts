import type { DeviceModel, InputBackend } from '@retrap/device'
import type { Domain, DomainRest, DomainServer, DomainState, FrameSet, OutsideInputs } from '@retrap/hvm'
import type { MachineRestoreOptions } from '../lifecycle/machine-life.ts'
import type { MachineOptions } from '../options/machine-options.ts'
import type { FormerPages, MachineSnapshotSource } from '../snapshot/snapshots.ts'
import type { MachineKind } from './board.ts'
import type { HotPlug, PlugTurns } from './hot-plug.ts'

/** The outputs of a guest that people read, each with a number: 0 is the first serial port; others are consoles, and ports that replays show. */
export class GuestConsole {
  /** Number of bytes received from each output. */
  readonly heard: number[] = [0]
  /** Called with the guest's output. */
  onSent: ((output: number, bytes: Uint8Array) => void) | null = null

  /** Takes the guest's output. */
  hear(output: number, bytes: Uint8Array): void {
    this.heard[output]! += bytes.length
    this.onSent?.(output, bytes)
  }
}

/** The snapshots of a machine behind a gate. */
export interface GatedSnapshots<K extends MachineKind> {
  /**
   * Brings the machine's devices to rest, while no vCPU executes. The caller ends the rest.
   *
   * @throws MachineError `ERR_SNAPSHOT`
   */
  rest(deadlineMs: number): Promise<DomainRest>
  /** Saves the machine at rest, but for the contents of its RAM, which are the state's until the rest ends. @throws as `rest` */
  saveState(rest: DomainRest): Promise<K['state']>
  /** Puts the machine back, as `Pc.restore` does. @param before - known facts about the snapshot's pages */
  restore(
    snapshot: MachineSnapshotSource<K['state']>,
    options: MachineRestoreOptions,
    before?: FormerPages,
  ): Promise<void>
  /** Begins to log writes since the snapshot that the machine was made from. The machine has not run. */
  noteSince(pages: FormerPages['pages']): Promise<void>
  /** Returns frames that may have been written since the machine was made from a snapshot, or restored to it; undefined: unknown. */
  writtenSince(pages: FormerPages['pages']): FrameSet | undefined
}

/** The parts of a machine that its gate uses. */
export interface GatedMachine<K extends MachineKind> {
  /** Inside. */
  readonly domain: K['domain']
  /** Runs an action while no vCPU executes, between two instructions; see `MachineLife.pause`. */
  pause<T>(action: () => Promise<T>): Promise<T>
  /** Saves the machine, and puts it back. */
  snapshots(): Promise<GatedSnapshots<K>>
}

/** Stands between a machine and its back ends, so that inputs enter at chosen instants. See `recordPc`. */
export interface MachineGate<K extends MachineKind> {
  /** Decides when inputs enter. */
  readonly gate: OutsideInputs
  /** Receives the guest's output for people. */
  readonly console: GuestConsole
  /** The run is being recorded, and not replayed. */
  readonly isRecording: boolean
  /** Whether the guest's output is handed over; otherwise an earlier run has handed it over. */
  readonly isHeard: boolean
  /** Attaches the machine after its creation. */
  start(machine: GatedMachine<K>): void
  /** All models of the machine are attached; it has not begun, and is not restored yet. */
  attached(): void
  /** Adds the states of recorded models to a stopped machine's; in a replay, their names. */
  saveModels(devices: DomainState['devices'], deadlineMs: number): Promise<DomainState['devices']>
  /** The instants at which devices come and go at root ports. */
  readonly plugs: PlugTurns
  /** Sets the root ports, and plugs in devices that the saved machine had beyond its options. @param load - loads the way */
  hasPorts(load: () => Promise<HotPlug>): Promise<void>
  /** Puts itself before all back ends of the options. */
  options<Options extends Partial<MachineOptions>>(options: Options): Options
  /**
   * Divides models of this thread.
   *
   * @param domain - the domain of the devices
   * @param models - in the order to attach them in
   * @param runsAgain - whether a replay has a model as well: it takes nothing from the host
   * @returns models that are attached, and the server of the others, which is to be added to the domain
   */
  place(
    domain: Pick<Domain, 'dispatch' | 'platform'>,
    models: readonly DeviceModel[],
    runsAgain: (model: DeviceModel) => boolean,
  ): { readonly models: readonly DeviceModel[]; readonly server?: DomainServer }
  /** Puts itself before the input of a serial port, or of the console that Xen gives. @returns a function for the other end's bytes */
  serial(port: number | 'xen', receive: (bytes: Uint8Array) => void): (bytes: Uint8Array) => void
  /** Wraps the back end of a keyboard or a mouse. */
  input(which: 'keyboard' | 'mouse', backend: InputBackend): InputBackend
  /** Wraps moves of the wall clock. @returns a function that moves it by nanoseconds when the move has entered the machine */
  wallClock(move: (ns: number) => void): (ns: number) => void
  /** Wraps a button. @returns a function that presses the button, and resolves when the press has entered the machine */
  button(press: () => boolean | Promise<boolean>): () => Promise<boolean>
}
