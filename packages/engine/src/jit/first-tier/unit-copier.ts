import { PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import { RECORD_BYTES } from '../../record.ts'
import { NO_TARGET } from '../found-code.ts'
import type { FoundCode } from '../found-code.ts'
import type { MemorySites, MissAction } from '../memory-sites.ts'
import { fallsThrough } from '../region.ts'
import { CopiedCalls } from './copied-calls.ts'
import type { CopiedUnit } from './copied-unit.ts'
import { BLOCK, END, I64_EQ, I64_SUB, IF, LOOP } from './code-writer.ts'
import { InstructionCopier } from './instruction-copier.ts'
import { BASE, NEXT, POSITION, TARGET } from './unit-locals.ts'
import type { UnitWriter } from './unit-writer.ts'

/** Targets that a computed address is compared with: more are found as other units are. */
const MOST_COMPARED = 16

/**
 * Copies code into the body of one function of the first tier.
 *
 * The code keeps the order of its positions. Each place that a branch leads to ends a Wasm block, all of which begin at the
 * top: forward branches leave them. Around all of it is one loop, for branches back: at its head `NEXT` says where to go on.
 */
export class UnitCopier<Form> {
  readonly #memory: MachineMemory
  readonly #sites: MemorySites
  readonly #isCalled: (form: Form, record: number) => boolean
  #found!: FoundCode<Form>
  #out!: UnitWriter<Form>
  #unit!: CopiedUnit<Form>
  #copier!: InstructionCopier<Form>
  #calls!: CopiedCalls<Form>
  /** The instructions in the order of their positions, and each one's place in it. */
  #order!: Uint8Array
  readonly #rank = new Uint8Array(256)
  /** Which instructions branches lead to, and which of them branches back, by number. */
  readonly #isJoined = new Uint8Array(256)
  readonly #isHead = new Uint8Array(256)
  /** Number of each joined instruction's block, from the innermost; and of each head's entry of the loop's table. */
  readonly #block = new Uint8Array(256)
  readonly #entry = new Uint8Array(256)
  #blocks = 0
  /** Blocks that have ended before the code that is written. */
  #ended = 0
  #compared: (readonly number[])[] = []
  /** Positions of further entries, by their numbers from 1 on. */
  entries: number[] = []

  /** @param isCalled - returns whether a form is called rather than copied */
  constructor(memory: MachineMemory, sites: MemorySites, isCalled: (form: Form, record: number) => boolean) {
    this.#memory = memory
    this.#sites = sites
    this.#isCalled = isCalled
  }

  /** Writes the function's body. @param out - empty */
  copy(found: FoundCode<Form>, unit: CopiedUnit<Form>, out: UnitWriter<Form>): void {
    this.#found = found
    this.#unit = unit
    this.#out = out
    this.#copier = new InstructionCopier(found, out, (i, target) => this.#takeBranch(i, target))
    this.#calls = new CopiedCalls(this.#memory, found, unit, out)
    this.#order = found.inOrder()
    this.#findJoins()
    this.#plan()
    out.beginBody(unit)
    this.#writeBlocks()
    out.endBody(unit)
  }

  // ---------------------------------------------------------------- joins

  #findJoins(): void {
    const { count } = this.#found
    const order = this.#order
    for (let n = 0; n < count; n++) this.#rank[order[n]!] = n
    this.#isJoined.fill(0)
    this.#isHead.fill(0)
    const returnSites = this.#found.returnSites()
    for (let i = 0; i < count; i++) this.#findEdges(i, returnSites)
    // The first entry is where the loop begins, unless other code lies before it.
    if (this.#rank[0] !== 0) this.#isHead[0] = this.#isJoined[0] = 1
    this.#blocks = 0
    this.entries = []
    for (let n = 0; n < count; n++) {
      const i = order[n]!
      if (this.#isJoined[i] !== 0) this.#block[i] = this.#blocks++
      // Number 0 is the unit's own.
      if (this.#isHead[i] !== 0) this.#entry[i] = i === 0 ? 0 : this.entries.push(this.#found.at[i]!)
    }
  }

  #findEdges(i: number, returnSites: readonly number[]): void {
    const found = this.#found
    const flow = found.flow[i]!
    if (found.target[i] !== NO_TARGET && flow !== 'leave') this.#join(i, found.numberAt(found.target[i]!))
    const compared = found.comparedTargets(i, returnSites).slice(0, MOST_COMPARED)
    this.#compared[i] = compared
    for (const to of compared) this.#join(i, to)
    if (flow === 'call') this.#addEntry(found.numberAt(found.target[i]!), found.numberAt(found.next[i]!))
    if (!fallsThrough(flow)) return
    const next = found.numberAt(found.next[i]!)
    if (next >= 0 && this.#rank[next] !== this.#rank[i]! + 1) this.#join(i, next)
  }

  /** Where functions begin, and where calls return to: other units lead there. */
  #addEntry(...places: readonly number[]): void {
    const { crosses, flow } = this.#found
    for (const to of places) {
      if (to >= 0 && crosses[to] === 0 && flow[to] !== 'leave') this.#isJoined[to] = this.#isHead[to] = 1
    }
  }

  #join(from: number, to: number): void {
    if (to < 0) return
    this.#isJoined[to] = 1
    if (this.#rank[to]! <= this.#rank[from]!) this.#isHead[to] = 1
  }

  // ---------------------------------------------------------------- plan

  #plan(): void {
    const found = this.#found
    const { count } = found
    let after = -1
    for (let n = 0; n < count; n++) {
      const i = this.#order[n]!
      if (after !== found.at[i] || this.#isJoined[i] !== 0 || n === 0) this.#unit.forget()
      const flow = found.flow[i]!
      const form = found.form[i]
      const record = found.record[i]!
      if (this.#isInPlace(i)) this.#unit.plan(i, form!, record, this.#onMiss(i))
      else if (flow !== 'leave') this.#unit.planCall(i, form, record, flow)
      after = fallsThrough(flow) ? found.next[i]! : -1
    }
  }

  #isInPlace(i: number): boolean {
    const flow = this.#found.flow[i]!
    if (flow === 'leave' || flow === 'host' || flow === 'far' || flow === 'repeat') return false
    return !this.#isCalled(this.#found.form[i]!, this.#found.record[i]!)
  }

  #onMiss(i: number): MissAction {
    const { record, crosses, flow } = this.#found
    const action = this.#sites.actionOf(record[i]! - (crosses[i] === 0 ? 0 : RECORD_BYTES))
    return action === 'call' && flow[i] !== 'next' ? 'leave' : action
  }

  // ---------------------------------------------------------------- structure

  /** Whether the loop's head chooses where to go on. */
  get #chooses(): boolean {
    return this.entries.length > 0 || this.#rank[0] !== 0
  }

  #writeBlocks(): void {
    const out = this.#out
    const { code } = out
    const isLoop = this.entries.length > 0 || this.#isHead[0] !== 0
    if (isLoop) code.begin(LOOP)
    for (let n = 0; n < this.#blocks; n++) code.begin(BLOCK)
    out.depth = (isLoop ? 1 : 0) + this.#blocks
    this.#ended = 0
    if (isLoop && this.#chooses) this.#writeTable()
    let isReached = this.#rank[0] === 0
    for (const i of this.#order) {
      if (this.#isJoined[i] !== 0) {
        if (isReached) out.charge()
        code.u8(END)
        out.depth--
        out.pending = 0
        this.#ended++
        isReached = true
      }
      if (isReached) isReached = this.#writeInstruction(i)
    }
    if (isLoop) {
      code.u8(END)
      out.depth--
    }
  }

  /** Writes where the loop goes on: in the first code, or at a head. */
  #writeTable(): void {
    const { code } = this.#out
    const isFirst = this.#rank[0] === 0 && this.#isHead[0] === 0
    if (isFirst) code.begin(BLOCK)
    const shift = isFirst ? 1 : 0
    const depths: number[] = [isFirst ? 0 : this.#block[0]! + shift]
    for (const i of this.#order) if (this.#isHead[i] !== 0 && i !== 0) depths.push(this.#block[i]! + shift)
    code.get(NEXT)
    code.brTable(depths)
    if (isFirst) code.u8(END)
  }

  /** Writes: control goes from an instruction to another one. */
  #goTo(from: number, to: number): void {
    const out = this.#out
    const { code } = out
    const pending = out.pending
    out.charge()
    out.pending = pending
    if (this.#rank[to]! > this.#rank[from]!) {
      code.br(out.inner + this.#block[to]! - this.#ended)
      return
    }
    if (this.#chooses) {
      code.i32(this.#entry[to]!)
      code.set(NEXT)
    }
    code.br(out.inner + this.#blocks - this.#ended)
  }

  // ---------------------------------------------------------------- instructions

  /** @returns whether control reaches what follows */
  #writeInstruction(i: number): boolean {
    const found = this.#found
    const out = this.#out
    const flow = found.flow[i]!
    out.begin(i)
    if (flow === 'leave') {
      // The interpreter checks the second page of an instruction in two pages.
      out.resume('system', out.firstReference(i), out.pending)
      return false
    }
    const page = found.pages[found.page[i]!]!
    if (found.crosses[i] !== 0) out.checkCrossing(page.delta + PAGE_BYTES)
    if (this.#isInPlace(i)) {
      const onMiss = this.#onMiss(i)
      this.#copier.copy(i, this.#unit, onMiss)
      if (onMiss === 'call') out.leaveIfGivenUp(out.nextReference(i), out.pending + 1)
    } else this.#calls.write(i)
    if (!fallsThrough(flow)) return false
    out.pending++
    return this.#writeNext(i)
  }

  /** Writes: control goes on after an instruction. @returns whether it reaches what follows */
  #writeNext(i: number): boolean {
    const found = this.#found
    const out = this.#out
    const at = found.next[i]!
    const next = found.numberAt(at)
    if (next < 0) {
      out.jumpTo('target', at)
      return false
    }
    if (found.page[next] !== found.page[i]) {
      out.checkTurn(at)
      out.checkPage(found.page[next]!, at)
    }
    if (this.#rank[next] === this.#rank[i]! + 1) return true
    this.#goTo(i, next)
    return false
  }

  /** Writes: an instruction has retired, and control goes elsewhere. @param target - number of the local with the address */
  #takeBranch(i: number, target: number): void {
    const out = this.#out
    const { pending } = out
    out.pending = pending + 1
    if (this.#found.target[i] === NO_TARGET) this.#takeComputed(i, target)
    else this.#takeKnown(i, this.#found.target[i]!)
    out.pending = pending
  }

  #takeKnown(i: number, target: number): void {
    const found = this.#found
    const out = this.#out
    const to = found.numberAt(target)
    if (to < 0) {
      out.jumpTo('target', target)
      return
    }
    const isElsewhere = found.page[to] !== found.page[i]
    // No forward branch within a page ends a turn.
    if (isElsewhere || target <= found.at[i]!) out.checkTurn(target)
    if (isElsewhere) out.checkPage(found.page[to]!, target)
    this.#goTo(i, to)
  }

  #takeComputed(i: number, target: number): void {
    const found = this.#found
    const out = this.#out
    const { code } = out
    const compared = this.#compared[i]!
    code.get(target)
    code.set(TARGET)
    if (compared.length > 0) {
      out.checkTurn(undefined)
      code.get(TARGET)
      code.get(BASE)
      code.u8(I64_SUB)
      code.set(POSITION)
      for (const to of compared) {
        code.get(POSITION)
        code.i64(found.at[to]!)
        code.u8(I64_EQ)
        code.begin(IF)
        out.inner++
        if (found.page[to] !== found.page[i]) out.checkPage(found.page[to]!, found.at[to]!)
        this.#goTo(i, to)
        out.inner--
        code.u8(END)
      }
    }
    out.leaveComputed(found.flow[i] === 'return')
  }
}
