import type { FoundCode } from '../found-code.ts'
import type { MissAction } from '../memory-sites.ts'
import type { CopiedExits, CopiedUnit } from './copied-unit.ts'
import type { UnitWriter } from './unit-writer.ts'

/** Copies instructions, with their exits: one object for all, which is told the number of each. */
export class InstructionCopier<Form> implements CopiedExits {
  readonly #found: FoundCode<Form>
  readonly #out: UnitWriter<Form>
  readonly #take: (i: number, target: number) => void
  #i = 0
  #leavesOnMiss = false

  /** @param take - writes what follows where an instruction goes elsewhere, to the address in a local if it is computed */
  constructor(found: FoundCode<Form>, out: UnitWriter<Form>, take: (i: number, target: number) => void) {
    this.#found = found
    this.#out = out
    this.#take = take
  }

  copy(i: number, unit: CopiedUnit<Form>, onMiss: MissAction): void {
    this.#i = i
    this.#leavesOnMiss = onMiss === 'leave'
    unit.copy(this.#out.code, i, this.#found.record[i]!, this)
    this.#out.inner = 0
  }

  pageBase(): void {
    this.#out.linear(this.#out.page.delta)
  }

  interpret(depth: number): void {
    this.#out.inner = depth
    this.#out.resume('rare', this.#out.firstReference(this.#i), this.#out.pending)
  }

  miss(depth: number): void {
    this.#out.inner = depth
    if (this.#leavesOnMiss) this.#out.resume('device', this.#out.firstReference(this.#i), this.#out.pending)
    else this.#out.slow()
  }

  fail(depth: number, status: number): void {
    this.#out.inner = depth
    this.#out.fail(status, this.#out.pending)
  }

  leaveIfGivenUp(depth: number): void {
    this.#out.inner = depth
    this.#out.leaveIfGivenUp(this.#out.firstReference(this.#i), this.#out.pending)
  }

  retire(depth: number): void {
    this.#out.inner = depth
    this.#out.resume('guard', this.#out.nextReference(this.#i), this.#out.pending + 1)
  }

  branch(depth: number): void {
    this.#out.inner = depth
    this.#take(this.#i, -1)
  }

  jump(depth: number, target: number): void {
    this.#out.inner = depth
    this.#take(this.#i, target)
  }
}
