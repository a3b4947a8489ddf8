import type { Blocks } from './blocks.ts'
import type { TracePlace, TraceRecord } from './record.ts'
import type { TraceKind, TraceSubject } from './spec.ts'

/** The events of a traced guest, from the part of the tracer that knows the instruction set. */
export interface Told {
  /** Where a vCPU is. */
  place(vcpu: number): TracePlace
  /** Whether records of a kind are still asked for. */
  wants(kind: TraceKind): boolean
  /** Hands a record over if it is asked for. @param make - makes it only then */
  tell(kind: TraceKind, subject: TraceSubject, make: () => TraceRecord): void
  /** Takes instructions, for the blocks that they make. */
  readonly blocks: Blocks
}

/** A guest of one instruction set. */
export interface TracedGuest {
  /** Has the processors tell of instructions, of events, and of page walks, from now on. */
  watch(steps: boolean, events: boolean, walks: boolean): void
  /** Instructions that a vCPU has retired; 0: there is no such vCPU. */
  retiredOf(vcpu: number): number
  /** The linear address of the instruction that a vCPU is at; undefined: there is no such vCPU. */
  addressOf(vcpu: number): bigint | undefined
  /** Has them tell nothing more. */
  end(): void
}
