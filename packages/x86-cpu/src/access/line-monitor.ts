import { FRAME_MONITORED, PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import { S_MONITOR_ADDRESS, S_MONITOR_LINE } from '../state-layout.ts'
import { ACTIVITY_MWAIT, ACTIVITY_RUNNING, S_ACTIVITY } from '../system/system-state.ts'

/** Bytes of a monitored range, which is aligned to its size: a cache line (CPUID leaf 5). */
export const MONITOR_LINE_BYTES = 64

/** A vCPU as {@link MonitoredLines} sees it. */
export interface MonitorClient {
  /** Drops translations that allow writes to a machine frame. */
  dropWritable(frameMa: number): void
}

/**
 * The lines that the vCPUs of a machine monitor.
 *
 * A frame with such a line has `FRAME_MONITORED` in `codeBits`, so that no vCPU's TLB holds it for writing: stores of
 * vCPUs come here by their slow path, those of all other writers by `noteWrite`. A store to any other frame costs nothing.
 */
export class MonitoredLines {
  readonly #memory: MachineMemory
  readonly #clients: MonitorClient[] = []
  readonly #monitors: LineMonitor[] = []

  constructor(memory: MachineMemory) {
    this.#memory = memory
    memory.onCodeWrite((frame, first, last) => this.#written(frame, first, last))
  }

  /** Adds a vCPU. */
  add(client: MonitorClient, monitor: LineMonitor): void {
    this.#clients.push(client)
    this.#monitors.push(monitor)
  }

  /** Takes a vCPU out that executes no more. */
  remove(client: MonitorClient): void {
    const index = this.#clients.indexOf(client)
    if (index < 0) return
    this.#clients.splice(index, 1)
    const [monitor] = this.#monitors.splice(index, 1)
    if (monitor!.line !== 0) this.release(monitor!.line)
  }

  /** A vCPU monitors a line from now on. */
  watch(line: number): void {
    const frame = line >>> 12
    const { codeBits } = this.#memory
    if ((codeBits[frame]! & FRAME_MONITORED) !== 0) return
    codeBits[frame]! |= FRAME_MONITORED
    for (const client of this.#clients) client.dropWritable(frame * PAGE_BYTES)
  }

  /** A vCPU no longer monitors a line. */
  release(line: number): void {
    const frame = line >>> 12
    for (const monitor of this.#monitors) if (monitor.line >>> 12 === frame) return
    this.#memory.codeBits[frame]! &= ~FRAME_MONITORED
  }

  #written(frame: number, first: number, last: number): void {
    if ((this.#memory.codeBits[frame]! & FRAME_MONITORED) === 0) return
    for (const monitor of this.#monitors) {
      const { line } = monitor
      const offset = line & (PAGE_BYTES - 1)
      if (line >>> 12 === frame && first < offset + MONITOR_LINE_BYTES && last >= offset) monitor.trigger()
    }
  }
}

/** The address range that one vCPU's MONITOR has armed. Kept in the state area. */
export class LineMonitor {
  readonly #u32: Uint32Array
  readonly #lines: MonitoredLines
  readonly #wake: () => void

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
    this.#lines.watch(line)
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
    this.#lines.release(before)
    this.#lines.watch(line)
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

  #release(line: number): void {
    this.#u32[S_MONITOR_LINE >>> 2] = 0
    this.#u32[S_MONITOR_ADDRESS >>> 2] = 0
    this.#u32[(S_MONITOR_ADDRESS >>> 2) + 1] = 0
    this.#lines.release(line)
    if (this.#u32[S_ACTIVITY >>> 2] !== ACTIVITY_MWAIT) return
    this.#u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
    this.#wake()
  }
}
