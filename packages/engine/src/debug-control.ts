import type { DebugPoints, WatchKind } from './debug-points.ts'

/** Reasons for a stop at the debugger's request, for any instruction set. */
export type PointStop =
  /** The instruction at a breakpoint is next. */
  | { readonly kind: 'breakpoint'; readonly address: bigint }
  /** An instruction has accessed watched data; it has retired. `address`: of the first watched byte it touched. */
  | { readonly kind: 'watch'; readonly address: bigint; readonly watch: WatchKind }
  /** A step has ended. */
  | { readonly kind: 'step' }

/** How a processor resumes after a stop for its debugger. */
export interface DebugResume {
  /** Stop after one instruction. Default false. */
  readonly step?: boolean
  /** With `step`: interrupts that wait are held off meanwhile. Default true. */
  readonly holdInterrupts?: boolean
  /** Does not stop at a breakpoint at the next instruction. Default false. */
  readonly passBreakpoint?: boolean
  /** Drops the exception that the processor stopped for: its instruction is executed again. Default false. */
  readonly dropFault?: boolean
}

/** Most bytes of one watchpoint. */
const MOST_WATCHED = 1 << 20

/** The processor of a {@link PointControl}. */
export interface PointOwner {
  /** The processor's breakpoints and watchpoints. */
  readonly points: DebugPoints
  /** Called when points have changed: the processor's knowledge of its pages is invalid. */
  changed(): void
  /** Returns the error for a debugger's mistake. */
  mistake(message: string): Error
}

/** Breakpoints and watchpoints of one processor, by linear (virtual) address: the part of a debugger common to all instruction sets. */
export class PointControl {
  readonly #owner: PointOwner

  constructor(owner: PointOwner) {
    this.#owner = owner
  }

  /** Stops before the instruction at an address is executed. */
  addBreakpoint(address: bigint): void {
    this.#owner.points.addBreakpoint(address)
    this.#owner.changed()
  }

  /** Removes a breakpoint. @returns whether it existed */
  removeBreakpoint(address: bigint): boolean {
    const removed = this.#owner.points.removeBreakpoint(address)
    this.#owner.changed()
    return removed
  }

  /**
   * Stops after an instruction has accessed one of `length` bytes from an address. The processor's own reads (instructions,
   * translation tables, descriptors) do not count.
   *
   * @throws the owner's error for a length of less than 1 byte or more than 1 MiB
   */
  addWatchpoint(address: bigint, length: number, kind: WatchKind): void {
    if (!(length >= 1 && length <= MOST_WATCHED))
      throw this.#owner.mistake(`a watchpoint of ${length} bytes: expected 1 to ${MOST_WATCHED}`)
    this.#owner.points.addWatch(address, length, kind)
    this.#owner.changed()
  }

  /** Removes a watchpoint. @returns whether it existed */
  removeWatchpoint(address: bigint, length: number, kind: WatchKind): boolean {
    const removed = this.#owner.points.removeWatch(address, length, kind)
    this.#owner.changed()
    return removed
  }
}
