import type { FrameWriters } from '@retrap/engine'
import { FRAME_MONITORED, PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { MONITOR_LINE_BYTES } from '../state/architecture.ts'
import { S_MONITOR_ADDRESS, S_MONITOR_LINE } from '../state/state-layout.ts'
import { ACTIVITY_MWAIT, ACTIVITY_RUNNING, S_ACTIVITY } from '../state/system-state.ts'

/**
 * The lines that the vCPUs of a machine memory monitor.
 *
 * A frame with such a line has `FRAME_MONITORED` in `codeBits`, so that no vCPU's TLB holds it for writing: stores of
 * vCPUs come here by their slow path, those of all other writers by `noteWrite`. A store to any other frame costs nothing.
 *
 * A guest arms a line whenever it is idle, and hundreds of machines may share the memory: nothing here looks at all vCPUs.
 */
export class MonitoredLines {
  readonly #memory: MachineMemory
  readonly #writers: FrameWriters
  /** By frame: the first monitor that has a line there; {@link LineMonitor.next} leads to the others. */
  readonly #monitors = new Map<number, LineMonitor>()

  /** @param writers - all TLBs whose vCPUs may store to the lines */
  constructor(memory: MachineMemory, writers: FrameWriters) {
    this.#memory = memory
    this.#writers = writers
    memory.onCodeWrite((frame, first, last) => this.#written(frame, first, last))
  }

  /** A vCPU monitors its line from now on. */
  watch(monitor: LineMonitor): void {
    const frame = monitor.line >>> 12
    const first = this.#monitors.get(frame)
    monitor.next = first
    this.#monitors.set(frame, monitor)
    if (first !== undefined) return
    this.#memory.frameBits.set(frame, FRAME_MONITORED)
    this.#writers.drop(frame * PAGE_BYTES)
  }

  /** A vCPU no longer monitors a line. */
  release(line: number, monitor: LineMonitor): void {
    const frame = line >>> 12
    const { next } = monitor
    monitor.next = undefined
    const first = this.#monitors.get(frame)
    if (first !== monitor) {
      let before = first
      while (before !== undefined && before.next !== monitor) before = before.next
      if (before !== undefined) before.next = next
    } else if (next !== undefined) this.#monitors.set(frame, next)
    else {
      this.#monitors.delete(frame)
      this.#memory.frameBits.clear(frame, FRAME_MONITORED)
    }
  }

  #written(frame: number, first: number, last: number): void {
    if ((this.#memory.codeBits[frame]! & FRAME_MONITORED) === 0) return
    for (let monitor = this.#monitors.get(frame); monitor !== undefined;) {
      // A monitor whose line was written is no longer among them.
      const { line, next } = monitor
      const offset = line & (PAGE_BYTES - 1)
      if (first < offset + MONITOR_LINE_BYTES && last >= offset) monitor.trigger()
      monitor = next
    }
  }
}

/** The address range that one vCPU's MONITOR has armed. Kept in the state area. */
export class LineMonitor {
  readonly #u32: Uint32Array
  readonly #lines: MonitoredLines
  readonly #wake: () => void
  /** Another monitor with a line in the same frame; for {@link MonitoredLines}. */
  next: LineMonitor | undefined = undefined

  /**
   * @param u32 - the state area
   * @param wake - a vCPU that waited in MWAIT can go on
   */
  constructor(u32: Uint32Array, lines: MonitoredLines, wake: () => void) {
    this.#u32 = u32
    this.#lines = lines
    this.#wake = wake
  }

  /** Machine address of the line; 0: nothing is armed, for no guest owns the first machine frame. */
  get line(): number {
    return this.#u32[S_MONITOR_LINE >>> 2]!
  }

  /**
   * Arms the line of a byte.
   *
   * @param gpa - its guest-physical address
   * @param ma - its machine address; -1: no RAM, which cannot be armed
   */
  arm(gpa: number, ma: number): void {
    this.trigger()
    if (ma < 0) return
    const line = (ma & -MONITOR_LINE_BYTES) >>> 0
    const start = gpa - (gpa % MONITOR_LINE_BYTES)
    this.#u32[S_MONITOR_LINE >>> 2] = line
    this.#u32[S_MONITOR_ADDRESS >>> 2] = start >>> 0
    this.#u32[(S_MONITOR_ADDRESS >>> 2) + 1] = Math.floor(start / 0x1_0000_0000)
    this.#lines.watch(this)
  }

  /** The armed line may be elsewhere in machine memory now. @param ma - of a byte of it; -1: it is no RAM any more */
  moved(ma: number): void {
    const before = this.line
    const line = (ma & -MONITOR_LINE_BYTES) >>> 0
    if (before === 0 || line === before) return
    if (ma < 0) {
      this.trigger()
      return
    }
    this.#u32[S_MONITOR_LINE >>> 2] = line
    this.#lines.release(before, this)
    this.#lines.watch(this)
  }

  /** Guest-physical address of the armed line; -1: nothing is armed. */
  get address(): number {
    if (this.line === 0) return -1
    const word = S_MONITOR_ADDRESS >>> 2
    return this.#u32[word]! + this.#u32[word + 1]! * 0x1_0000_0000
  }

  /**
   * Ends the monitoring: the line was written, or an event has come that ends it whatever was written. A vCPU that waits
   * in MWAIT goes on.
   */
  trigger(): void {
    if (this.line !== 0) this.#release(this.line)
  }

  /** The vCPU executes no more. */
  close(): void {
    if (this.line !== 0) this.#lines.release(this.line, this)
  }

  #release(line: number): void {
    this.#u32[S_MONITOR_LINE >>> 2] = 0
    this.#u32[S_MONITOR_ADDRESS >>> 2] = 0
    this.#u32[(S_MONITOR_ADDRESS >>> 2) + 1] = 0
    this.#lines.release(line, this)
    if (this.#u32[S_ACTIVITY >>> 2] !== ACTIVITY_MWAIT) return
    this.#u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
    this.#wake()
  }
}
