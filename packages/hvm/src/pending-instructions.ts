import type { RunLoopParts } from './run-loop-parts.ts'
import type { CpuExit, VirtualCpu } from './virtual-cpu.ts'

/** How long `finish` waits for an answer before it looks again by itself. */
const LOOK_AGAIN_MS = 50

const BLOCKED: CpuExit = { reason: 'blocked' }

/** The loop that executes the vCPUs. */
export interface InstructionLoop {
  /** Notes the vCPU that is executing now; null: none is. */
  setCurrent(vcpu: VirtualCpu | null): void
  /** Something has happened that a waiting loop must look at. */
  wake(): void
  /** Does what an exit asks for. */
  handle(vcpu: VirtualCpu, exit: CpuExit): unknown
  /** Lets host time pass. */
  sleep(ms: number): Promise<unknown>
}

/** Completes instructions that wait for an answer, without beginning others. */
export class PendingInstructions {
  readonly #parts: RunLoopParts
  readonly #loop: InstructionLoop

  constructor(parts: RunLoopParts, loop: InstructionLoop) {
    this.#parts = parts
    this.#loop = loop
  }

  /**
   * Prepares a flagged vCPU to go on: completes what is in the middle, then has the notice sent and waits for its end.
   *
   * @returns whether the vCPU may go on
   */
  mayGoOn(vcpu: VirtualCpu): boolean {
    const { invalidations, secondLevel, dispatch } = this.#parts
    if (invalidations.waits(vcpu.id)) return false
    if (vcpu.cpu.busy) {
      const exit = this.#settle(vcpu)
      if (exit !== undefined) {
        this.#loop.handle(vcpu, exit)
        // A vCPU that waits for its memory, and not for an answer, may wait for those that the notice goes to.
        if (!secondLevel.waits(vcpu.id)) return false
      }
    }
    const may = invalidations.resume(vcpu.id)
    if (!may && !dispatch.pending(vcpu.id)) this.#loop.wake()
    return may
  }

  /** Goes on with what a vCPU is in the middle of; no other party changes the map meanwhile. */
  #settle(vcpu: VirtualCpu): CpuExit | undefined {
    const { cpu } = vcpu
    const before = cpu.retired
    this.#loop.setCurrent(vcpu)
    const exit = cpu.settle()
    this.#loop.setCurrent(null)
    this.#parts.memoryChanges.stopped()
    this.#parts.clock.advance(cpu.retired - before)
    return exit
  }

  /** See `RunLoop.finish`. */
  async finish(deadlineMs: number, acknowledged: boolean): Promise<readonly number[]> {
    const { vcpus, servers, invalidations, secondLevel } = this.#parts
    const until = performance.now() + deadlineMs
    for (;;) {
      for (const server of servers) server.pump?.()
      const waiting: number[] = []
      for (const vcpu of vcpus) {
        const exit = invalidations.waits(vcpu.id) ? BLOCKED : this.#settle(vcpu)
        if (exit?.reason === 'blocked') {
          waiting.push(vcpu.id)
          if (secondLevel.waits(vcpu.id)) invalidations.resume(vcpu.id)
        } else if (exit !== undefined) this.#loop.handle(vcpu, exit)
        else if (acknowledged && !invalidations.resume(vcpu.id)) waiting.push(vcpu.id)
      }
      const left = until - performance.now()
      if (waiting.length === 0 || left <= 0) return waiting
      await this.#loop.sleep(Math.min(left, LOOK_AGAIN_MS))
    }
  }
}
