import type { Blocks } from './blocks.ts'
import type { TracePlace, TraceRecord } from './record.ts'
import type { TraceKind, TraceSubject } from './spec.ts'

/** The events of a traced guest, from the part of the tracer that knows the instruction set. */
export interface Told {
  /** Returns the position of a vCPU. */
  place(vcpu: number): TracePlace
  /** Whether records of a kind are still asked for. */
  wants(kind: TraceKind): boolean
  /** Hands a record over if it is asked for. @param make - makes it only then */
  tell(kind: TraceKind, subject: TraceSubject, make: () => TraceRecord): void
  /** Takes instructions, and makes blocks of them. */
  readonly blocks: Blocks
}

/** A traced guest, for any instruction set. */
export interface TracedGuest {
  /** Makes the processors report instructions, events and page walks from now on. */
  watch(steps: boolean, events: boolean, walks: boolean): void
  /** Returns the number of instructions retired by a vCPU; 0 for an unknown vCPU. */
  retiredOf(vcpu: number): number
  /** Returns the linear address of a vCPU's instruction; undefined for an unknown vCPU. */
  addressOf(vcpu: number): bigint | undefined
  /** Ends the reports. */
  end(): void
}
