import type { PhysicalRange } from '@retrap/hvm'
import type { Instant } from '@retrap/recording'
import type { CpuStop, MachineWatchKind, PlaceAccess } from '../debugger/debugged-cpu.ts'
import type { MachineRunOptions } from '../lifecycle/machine-life.ts'
import type { MachineKind } from '../machine/board.ts'
import type { Machine } from '../machine/machine.ts'
import type { ReplayExit } from './replay-hits.ts'
import type { LastWriter } from './who-wrote.ts'

/** Why a replay that is debugged has stopped. */
export type ReplayStop =
  /** The instruction at a breakpoint is next. */
  | { readonly reason: 'breakpoint'; readonly cpu: number; readonly address: bigint }
  /** Watched bytes are accessed: by the instruction before this place, or, backwards, by the one that is next. */
  | { readonly reason: 'watch'; readonly cpu: number; readonly address: bigint; readonly watch: MachineWatchKind }
  /** Forwards, the previous instruction or an iteration of it has reached the place; backwards, the next instruction will. */
  | (Omit<PlaceAccess, 'kind'> & { readonly reason: PlaceAccess['kind']; readonly cpu: number })
  /**
   * An exception: `fault`, or `exception` of an Arm processor, it is about to be delivered; `handler`, the first instruction of its handler is next. Backwards, the
   * instruction that causes it is next. `address`: of a page fault.
   */
  | (Omit<Extract<CpuStop, { readonly kind: 'exception' }>, 'kind'> & {
      readonly reason: 'exception'
      readonly cpu: number
    })
  | {
      readonly reason: 'fault' | 'handler'
      readonly cpu: number
      readonly vector: number
      readonly errorCode: number
      readonly address: bigint
    }
  /** A step back has ended. */
  | { readonly reason: 'step' }
  /** The machine is at power-on, or at the beginning of the remaining recording. */
  | { readonly reason: 'begin' }
  /** The replay could not get further, as in `PcReplay.run`. */
  | ReplayExit

/** Options for moving a replay. */
export interface TravelOptions extends MachineRunOptions {
  /** Nothing of the guest's output before this instant is handed over. Default: where the machine is. */
  readonly heardFrom?: Instant | undefined
}

/** A machine of any board that a debugger goes through the run of. */
export type TravelledMachine = Pick<Machine<MachineKind>, 'domain' | 'debugger'>

/** A replay under a debugger. */
export interface TravellingMachine<M extends TravelledMachine> {
  /** The current machine. */
  readonly pc: M
  /** Number of instructions that its vCPUs have retired. */
  readonly instructions: number
  /** The first instruction that can be gone to. */
  readonly begin: number
  /** Last instruction of the recording; Infinity: the run continues. */
  readonly end: number
  /** Called before a command runs forwards: a past that has reached the present becomes the machine that is recorded. */
  forwards?(): void
  /** Goes to an instruction. */
  goto(instruction: number, options: TravelOptions): Promise<ReplayExit>
  /** Takes a checkpoint of this instant, if possible. */
  keep(): Promise<void>
  /** Brings the machine to the last checkpoint that is not after an instruction. */
  makeNear(instruction: number): Promise<void>
  /** Runs the machine on to an instruction, which may be behind the end by one. */
  goOn(instruction: number, options: TravelOptions): Promise<ReplayExit>
  /** Finds the last writer of ranges of RAM. */
  whoWrote(ranges: readonly PhysicalRange[], options: MachineRunOptions): Promise<LastWriter>
}
