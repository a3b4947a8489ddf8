import type { MachineMemory } from '@retrap/memory'
import { R_FUNCTION } from '../../record.ts'
import { STATUS_EXIT, STATUS_HANDLER, STATUS_JUMP } from '../../status.ts'
import type { FoundCode } from '../found-code.ts'
import * as wasm from './code-writer.ts'
import type { CopiedUnit } from './copied-unit.ts'
import { BUDGET, STATE, STATUS, TARGET, TLB } from './unit-locals.ts'
import type { UnitWriter } from './unit-writer.ts'

/** Instructions of a unit that functions outside it execute: those of the interpreter, and the host's. As `UnitCalls` has them. */
export class CopiedCalls<Form> {
  readonly #memory: MachineMemory
  readonly #found: FoundCode<Form>
  readonly #unit: CopiedUnit<Form>
  readonly #out: UnitWriter<Form>

  constructor(memory: MachineMemory, found: FoundCode<Form>, unit: CopiedUnit<Form>, out: UnitWriter<Form>) {
    this.#memory = memory
    this.#found = found
    this.#unit = unit
    this.#out = out
  }

  /** Writes the call of the writer's instruction, and what follows from its status. */
  write(i: number): void {
    switch (this.#found.flow[i]) {
      case 'host':
        this.#host(i)
        break
      case 'far':
        this.#far(i)
        break
      case 'repeat':
        this.#repeat(i)
        break
      default:
        this.#form(i)
    }
  }

  #entryOf(i: number): number {
    return this.#memory.u16[(this.#found.record[i]! + R_FUNCTION) >>> 1]!
  }

  #ifStatus(write: () => void): void {
    this.#out.code.get(STATUS)
    this.#arm(write)
  }

  #ifStatusIs(status: number, write: () => void): void {
    const { code } = this.#out
    code.get(STATUS)
    code.i32(status)
    code.u8(wasm.I32_EQ)
    this.#arm(write)
  }

  #arm(write: () => void): void {
    const out = this.#out
    out.code.begin(wasm.IF)
    out.inner++
    write()
    out.inner--
    out.code.u8(wasm.END)
  }

  #form(i: number): void {
    const out = this.#out
    this.#call(i)
    this.#ifStatus(() => out.fail(STATUS, out.pending))
    // The instruction may have written this unit's code.
    out.leaveIfGivenUp(out.nextReference(i), out.pending + 1)
  }

  /** The function charges the budget for each of its iterations. */
  #repeat(i: number): void {
    const out = this.#out
    // As in the dispatch loop, the current instruction has been charged before its iterations.
    this.#storeBudget()
    this.#call(i)
    this.#loadBudget()
    this.#ifStatus(() => {
      this.#resumeIfHandler(i)
      out.fail(STATUS, out.pending)
    })
    out.leaveIfGivenUp(out.nextReference(i), out.pending + 1)
  }

  /** The function sets the program counter. */
  #far(i: number): void {
    const out = this.#out
    this.#call(i)
    this.#reloadTlb()
    this.#ifStatusIs(STATUS_JUMP, () => this.#follow())
    this.#resumeIfHandler(i)
    out.fail(STATUS, out.pending)
  }

  /** Exits before an instruction that the interpreter is to execute by its handler. */
  #resumeIfHandler(i: number): void {
    const out = this.#out
    this.#ifStatusIs(STATUS_HANDLER, () => out.resume('system', out.firstReference(i), out.pending))
  }

  #host(i: number): void {
    const out = this.#out
    const { code, page } = out
    const { layout, system } = out.module
    this.#storeProgramCounter(this.#found.at[i]!)
    this.#storePageBase()
    code.get(STATE)
    out.slotsOf(page.number)
    code.access(wasm.I32_STORE, layout.slots)
    code.get(STATE)
    out.recordOf(i)
    code.access(wasm.I32_STORE, layout.record)
    this.#storeBudget()
    this.#unit.spill(code, i)
    // As `UnitCalls` has it: the number may be another one in another run.
    out.recordOf(i)
    code.access(wasm.I32_LOAD16_U, R_FUNCTION)
    out.recordOf(i)
    code.call(system)
    code.set(STATUS)
    this.#unit.reload(code, i)
    this.#reloadTlb()
    this.#loadBudget()
    this.#ifStatus(() => {
      this.#ifStatusIs(STATUS_JUMP, () => this.#follow())
      this.#ifStatusIs(STATUS_EXIT, () => out.fail(STATUS, out.pending + 1))
      out.fail(STATUS, out.pending)
    })
    out.leaveIfGivenUp(out.nextReference(i), out.pending + 1)
  }

  /** Calls the function of a form. */
  #call(i: number): void {
    const out = this.#out
    const { code } = out
    this.#storePageBase()
    this.#unit.spill(code, i)
    code.get(STATE)
    out.recordOf(i)
    code.get(TLB)
    code.i32(this.#entryOf(i))
    code.callIndirect(out.module.callType)
    code.set(STATUS)
    this.#unit.reload(code, i)
  }

  #storePageBase(): void {
    const out = this.#out
    out.code.get(STATE)
    out.linear(out.page.delta)
    out.code.access(wasm.I64_STORE, out.module.layout.pageBase)
  }

  /** The instruction has been charged for before the function is called. */
  #storeBudget(): void {
    const { code, pending, module } = this.#out
    code.get(STATE)
    code.get(BUDGET)
    code.i32(pending + 1)
    code.u8(wasm.I32_SUB)
    code.access(wasm.I32_STORE, module.layout.budget)
  }

  #loadBudget(): void {
    const { code, pending, module } = this.#out
    code.get(STATE)
    code.access(wasm.I32_LOAD, module.layout.budget)
    code.i32(pending + 1)
    code.u8(wasm.I32_ADD)
    code.set(BUDGET)
  }

  /** Accesses use the TLB set of the state from here on. */
  #reloadTlb(): void {
    const { code, module } = this.#out
    code.get(STATE)
    code.access(wasm.I32_LOAD, module.layout.tlb)
    code.set(TLB)
  }

  /** The state's program counter is set to the instruction at a position. */
  #storeProgramCounter(at: number): void {
    const out = this.#out
    const { code } = out
    const { programCounter, programCounterBase, programCounterMask } = out.module.layout
    code.get(STATE)
    out.linear(at)
    if (programCounterBase !== undefined) this.#withField(programCounterBase, wasm.I64_SUB)
    if (programCounterMask !== undefined) this.#withField(programCounterMask, wasm.I64_AND)
    code.access(wasm.I64_STORE, programCounter)
  }

  #withField(offset: number, op: number): void {
    const { code } = this.#out
    code.get(STATE)
    code.access(wasm.I64_LOAD, offset)
    code.u8(op)
  }

  /** Exits for the program counter, which the instruction has set, which has retired. */
  #follow(): void {
    const out = this.#out
    const { code } = out
    const { programCounter, programCounterBase } = out.module.layout
    code.get(STATE)
    code.access(wasm.I64_LOAD, programCounter)
    if (programCounterBase !== undefined) this.#withField(programCounterBase, wasm.I64_ADD)
    code.set(TARGET)
    out.jump('target', out.pending + 1)
  }
}
