import type { BlockRecord, CodeMode, TracePlace } from './record.ts'

/** An instruction that is about to be executed. */
interface Executed extends TracePlace {
  readonly address: bigint
  readonly mode: CodeMode
  readonly cpl: number
}

/** The block that a vCPU is in. */
interface Begun {
  readonly first: Executed
  /** Address behind the last instruction so far. */
  end: bigint
  executed: number
}

/** Puts instructions together that follow each other in memory. */
export class Blocks {
  readonly #told: (block: BlockRecord) => void
  readonly #begun = new Map<number, Begun>()

  /** @param told - called with each finished block */
  constructor(told: (block: BlockRecord) => void) {
    this.#told = told
  }

  /** Called before an instruction is executed. @param length - returns its length in bytes */
  add(instruction: Executed, length: () => number): void {
    const { vcpu, address, mode, cpl, hostMs } = instruction
    let block = this.#begun.get(vcpu)
    if (block !== undefined && (block.end !== address || block.first.cpl !== cpl || block.first.mode !== mode)) {
      this.#end(vcpu, hostMs)
      block = undefined
    }
    if (block === undefined) {
      block = { first: instruction, end: address, executed: 0 }
      this.#begun.set(vcpu, block)
    }
    block.executed++
    block.end = address + BigInt(length())
  }

  /** Ends the vCPU's block: an event precedes its next instruction. */
  interrupt(vcpu: number): void {
    this.#end(vcpu, performance.now())
  }

  /** Ends the trace of instructions. */
  end(): void {
    for (const vcpu of this.#begun.keys()) this.#end(vcpu, performance.now())
  }

  #end(vcpu: number, endMs: number): void {
    const block = this.#begun.get(vcpu)
    if (block === undefined) return
    this.#begun.delete(vcpu)
    const { first, end, executed } = block
    const { mode: _mode, ...begun } = first
    this.#told({ kind: 'block', ...begun, end, executed, endMs })
  }
}
