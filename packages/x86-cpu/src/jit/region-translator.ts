import {
  HOT_COUNTER_MASK,
  HOT_COUNTER_SHIFT,
  LEFT_UNIT_AT,
  MISSED_BRANCHES,
  MISSED_BRANCHES_AT,
  MISSED_BRANCH_BYTES,
  OP_CALL_SPILLED,
  TLB_EXECUTE,
  UNIT_FAILED,
  UNIT_JUMP,
  UNIT_MISSED,
  UNIT_RESUME,
  UNIT_SLOW,
} from '@retrap/engine'
import { I32, I64, select } from '@retrap/wasm-emitter'
import type { Label, LoadOp, Local, Value } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import type { Library } from '../semantics/library.ts'
import { OP_UNIT, RECORD_BYTES, R_FUNCTION, R_OP } from '../record.ts'
import {
  MODE_64,
  SEG_BASE,
  S_AVX_GATE,
  S_ATTENTION,
  S_BUDGET,
  S_CANONICAL_SHIFT,
  S_EA,
  S_GPR,
  S_LOGGED,
  S_MMX_GATE,
  S_MODE,
  S_PAGE_BASE,
  S_RECORD,
  S_RIP_MASK,
  S_SEGMENTS,
  S_SLOTS,
  S_SSE_GATE,
  S_TWO_TO_28,
  S_VEX_GATE,
  S_X87_GATE,
  S_ZERO,
  CS,
  SEG_BYTES,
  SEG_RIGHTS,
  SEG_LIMIT,
  ES,
  DS,
  SS,
} from '../state-layout.ts'
import { TLB_INDEX_MASK } from '../tlb-layout.ts'
import type { MissAction } from './memory-sites.ts'
import { switchPosition } from './position-switch.ts'
import type { RegionBuilder } from './region-builder.ts'
import { RegionFlags } from './region-flags.ts'
import { RegionContext } from './region-context.ts'
import { firstRecord } from './region.ts'
import type { Region, RegionBlock, RegionInstruction } from './region.ts'
import { planVectors } from './vector-plan.ts'
import { VectorRegisters } from './vector-registers.ts'

/** A field of the state that a unit takes for granted. */
export interface Assumption {
  readonly op: LoadOp
  readonly offset: number
  readonly value: bigint
}

const PAGE = 0x1000
/** Bits of an exit's detail: instructions to charge; above them the page's number; above that the outcome. */
const EXIT_RETIRED = 0xffff
const EXIT_PAGE_SHIFT = 16
const EXIT_PAGE = 0xff
const EXIT_OUTCOME_SHIFT = 24
const CALL_SIGNATURE = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const

/** What a region is translated with. */
export interface TranslationParts {
  readonly memory: MachineMemory
  /** Machine address of the state whose fields are taken for granted. */
  readonly state: number
  readonly mode: number
  readonly library: Library
  /** Machine address of the record by which the unit is entered. */
  readonly unitRecord: number
  /** Machine address of the engine's counters of hot code. */
  readonly countersAt: number
  /** Index of the type of a form's function. */
  readonly callType: number
  /** What is done where the page of the instruction of a record is not in the TLB. */
  onMiss(record: number): MissAction
  /** Whether a form is called rather than generated anew. */
  isCalled(insn: RegionInstruction): boolean
}

/** Translates a region into the body of one function: (state, record, tlb) → `UNIT_*`. */
export class RegionTranslator {
  readonly #f: RegionBuilder
  readonly #region: Region
  readonly #parts: TranslationParts
  readonly #tlb: I32
  readonly #budget: Local<'i32'>
  readonly #flags: RegionFlags
  /** Linear address of the page that the region is entered in. */
  readonly #base: Local<'i64'>
  readonly #exitRecord: Local<'i32'>
  /** Instructions to charge, number of the page, and outcome: see {@link EXIT_PAGE_SHIFT}. */
  readonly #exitDetail: Local<'i32'>
  readonly #exitTarget: Local<'i64'>
  readonly #assumptions = new Map<number, Assumption>()
  readonly #labels: (Label | undefined)[] = []
  /** Kinds of flags that control has come with to a block where edges meet; null where they differ. */
  readonly #meeting: (number | null | undefined)[] = []
  #exit: Label = { depth: 0 }
  /** Instructions that have retired since the budget was charged. */
  #pending = 0
  #exits = 0

  constructor(f: RegionBuilder, region: Region, parts: TranslationParts) {
    this.#f = f
    this.#region = region
    this.#parts = parts
    this.#tlb = f.param(2, 'i32').get
    this.#flags = new RegionFlags(f, parts.library.flags)
    const plan = planVectors(
      parts.memory,
      region.blocks.flatMap(({ instructions }) => instructions),
    )
    if (plan !== undefined) f.vectors = new VectorRegisters(f, plan)
    this.#budget = f.local('i32')
    this.#base = f.local('i64')
    this.#exitRecord = f.local('i32')
    this.#exitDetail = f.local('i32')
    this.#exitTarget = f.local('i64')
    f.beforeArm = () => this.#flags.beginArm()
    f.afterArm = () => this.#flags.endArm()
  }

  /** Number of places where the function is left. */
  get exits(): number {
    return this.#exits
  }

  build(): void {
    const f = this.#f
    f.structuredBlock((exit) => {
      this.#exit = exit
      this.#emitTree(0)
    })
    this.#emitExit()
    f.prepend(() => this.#emitEntry())
  }

  // ---------------------------------------------------------------- entry and exit

  #emitEntry(): void {
    const f = this.#f
    const state = f.param(0, 'i32').get
    const first = this.#region.blocks[0]!.instructions[0]!
    const record = firstRecord(first)
    for (const { op, offset, value } of this.#assumptions.values()) {
      const wide = op.startsWith('i64')
      const differs = wide
        ? (f.loadExpression(op as 'i64.load', state, offset) as I64).ne(value)
        : (f.loadExpression(op as 'i32.load', state, offset) as I32).ne(Number(BigInt.asIntN(32, value)))
      f.structuredIf(differs, () => {
        f.store('i32.store', state, I32.of(record), S_RECORD)
        f.store('i32.store', state, I32.of(first.page.page.slots), S_SLOTS)
        f.return(UNIT_RESUME)
      })
    }
    f.set(this.#budget, f.loadExpression('i32.load', state, S_BUDGET))
    f.set(this.#base, f.loadExpression('i64.load', state, S_PAGE_BASE))
    for (const [i, register] of f.registers.entries()) {
      if (((f.used >>> i) & 1) !== 0) f.set(register, f.loadExpression('i64.load', state, S_GPR + 8 * i))
    }
    f.loadVectors()
    this.#flags.load(state)
  }

  #emitExit(): void {
    const f = this.#f
    // The plain parameter: here registers go to memory.
    const state = f.param(0, 'i32').get
    for (const [i, register] of f.registers.entries()) {
      if (((f.written >>> i) & 1) !== 0) f.store('i64.store', state, register.get, S_GPR + 8 * i)
    }
    f.vectors?.store(state)
    this.#flags.store(state)
    const detail = this.#exitDetail.get
    f.store('i32.store', state, this.#budget.get.sub(detail.and(EXIT_RETIRED)), S_BUDGET)
    f.store('i32.store', state, this.#exitRecord.get, S_RECORD)
    f.store('i64.store', state, this.#exitTarget.get, S_EA)
    const outcome = f.let(detail.shrU(EXIT_OUTCOME_SHIFT))
    this.#chain(outcome)
    const page = f.let(detail.shrU(EXIT_PAGE_SHIFT).and(EXIT_PAGE))
    for (const [i, { delta, page: code }] of this.#region.pages.entries()) {
      f.structuredIf(page.eq(i), () => {
        f.store('i32.store', state, I32.of(code.slots), S_SLOTS)
        f.store('i64.store', state, this.#linear(delta), S_PAGE_BASE)
      })
    }
    f.return(outcome)
  }

  /** Goes on with the unit at the target of a jump, where there is one and the turn goes on: what the dispatch loop would do. */
  #chain(outcome: I32): void {
    const f = this.#f
    const state = f.param(0, 'i32').get
    const budget = f.loadExpression('i32.load', state, S_BUDGET)
    const pauses = budget.leS(0).or(f.loadExpression('i32.load', state, S_ATTENTION))
    f.structuredBlock((none) => {
      f.brIf(outcome.ne(UNIT_JUMP).or(pauses), none)
      const target = this.#exitTarget.get
      const page = f.let(target.and(-4096n))
      const entry = f.let(this.#tlb.add(target.shrU(8).toI32().and(TLB_INDEX_MASK)))
      f.brIf(f.loadExpression('i64.load', entry, TLB_EXECUTE).ne(page), none)
      const slots = f.let(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8))
      const record = f.let(f.loadExpression('i32.load', slots.add(target.toI32().and(0xfff).shl(2))))
      // Where nothing is decoded, this is the field of address 0, which belongs to no record.
      f.brIf(f.loadExpression('i32.load16_u', record, R_OP).ne(OP_UNIT).or(record.eqz()), none)
      f.store('i32.store', state, slots, S_SLOTS)
      f.store('i64.store', state, page, S_PAGE_BASE)
      const unit = f.loadExpression('i32.load16_u', record, R_FUNCTION)
      f.returnCallIndirect(CALL_SIGNATURE, this.#parts.callType, unit, state, record, this.#tlb)
    })
  }

  /** Leaves the function. @param retired - instructions since the budget was charged */
  #leave(code: I32 | number, insn: RegionInstruction, record: number, retired: number, target?: I64): void {
    const f = this.#f
    this.#exits++
    if (code === UNIT_SLOW) this.#noteUnit()
    this.#flags.materialise()
    f.set(this.#exitRecord, I32.of(record))
    const page = this.#region.pages.indexOf(insn.page)
    const outcome = I32.of(code).shl(EXIT_OUTCOME_SHIFT)
    f.set(this.#exitDetail, outcome.or(retired | (page << EXIT_PAGE_SHIFT)))
    if (target !== undefined) f.set(this.#exitTarget, target)
    f.br(this.#exit)
  }

  /** Linear address of a position. */
  #linear(at: number): I64 {
    const linear = this.#base.get.add(at)
    return this.#isLong || at === 0 ? linear : linear.and(0xffff_ffffn)
  }

  get #isLong(): boolean {
    return this.#parts.mode === MODE_64
  }

  // ---------------------------------------------------------------- structure

  /** A block, and all that it dominates. */
  #emitTree(block: number): void {
    const { graph } = this.#region
    const followers = graph.children[block]!.filter((child) => graph.isMerge[child])
    const inner = (): void => this.#emitNested(block, followers.toReversed())
    if (!graph.isLoop[block]) {
      inner()
      return
    }
    // What comes round again is not known yet.
    this.#flags.settle()
    this.#flags.forget()
    if (this.#f.vectors !== undefined) this.#f.vectors.knowledge = []
    this.#charge()
    this.#f.structuredLoop((label) => {
      this.#labels[block] = label
      inner()
    })
  }

  /** Block `block` within Wasm blocks that `followers`, the last one outermost, come after. */
  #emitNested(block: number, followers: readonly number[]): void {
    const [follower, ...rest] = followers
    if (follower === undefined) {
      this.#emitBlock(this.#region.blocks[block]!, block)
      return
    }
    this.#f.structuredBlock((label) => {
      this.#labels[follower] = label
      this.#emitNested(block, rest)
    })
    this.#flags.meet(this.#meeting[follower] ?? undefined)
    if (this.#f.vectors !== undefined) this.#f.vectors.knowledge = []
    this.#pending = 0
    this.#emitTree(follower)
  }

  /** Charges the budget for what has retired. */
  #charge(): void {
    if (this.#pending === 0) return
    this.#f.set(this.#budget, this.#budget.get.sub(this.#pending))
    this.#pending = 0
  }

  /** Control goes on at a block of the region. */
  #goTo(from: number, to: number): void {
    const { graph } = this.#region
    const mark = this.#flags.enter()
    const pending = this.#pending
    const { vectors } = this.#f
    const knowledge = vectors?.knowledge
    if (graph.isBack(from, to) || graph.isMerge[to]) {
      this.#flags.materialise()
      this.#charge()
      const known = this.#meeting[to]
      const kind = this.#flags.knownKind
      this.#meeting[to] = known === undefined || known === kind ? kind : null
      this.#f.br(this.#labels[to]!)
    } else this.#emitTree(to)
    this.#flags.leave(mark)
    this.#pending = pending
    if (vectors !== undefined && knowledge !== undefined) vectors.knowledge = knowledge
  }

  // ---------------------------------------------------------------- instructions

  #emitBlock(block: RegionBlock, number: number): void {
    const { instructions } = block
    for (const [i, insn] of instructions.entries()) {
      if (insn.source === undefined) {
        this.#leave(UNIT_RESUME, insn, insn.record, this.#pending)
        return
      }
      this.#f.scope(() => this.#emitInstruction(insn, block, number))
      if (insn.flow !== 'next' && insn.flow !== 'branch') return
      this.#pending++
      const last = i === instructions.length - 1
      if ((insn.next & -PAGE) !== insn.page.delta) {
        const next = last ? block.next : undefined
        if (last && next === undefined) {
          this.#leave(UNIT_JUMP, insn, insn.record, this.#pending, this.#linear(insn.next))
          return
        }
        const page = last ? this.#region.blocks[next!]!.instructions[0]!.page : instructions[i + 1]!.page
        this.#checkTurn(insn, insn.next)
        this.#checkPage(insn, page.delta, page.page.slots, insn.next)
      }
      if (!last) continue
      if (block.next === undefined) this.#leave(UNIT_JUMP, insn, insn.record, this.#pending, this.#linear(insn.next))
      else if (!this.#region.graph.isIrreducible(number, block.next)) this.#goTo(number, block.next)
      else this.#leave(UNIT_RESUME, insn, insn.record + RECORD_BYTES, this.#pending)
    }
  }

  #emitInstruction(insn: RegionInstruction, block: RegionBlock, number: number): void {
    const f = this.#f
    const source = insn.source!
    f.know(
      {
        field: (op, offset) => this.#knownField(op, offset, insn),
        record: (op, address) => this.#recordField(op, address),
      },
      insn.record,
    )
    if (insn.crosses !== 0) this.#checkCrossing(insn)
    if (this.#parts.isCalled(insn)) {
      this.#emitCall(insn)
      return
    }
    const onMiss = this.#parts.onMiss(firstRecord(insn))
    const context = new RegionContext(
      f,
      source,
      this.#parts.library,
      insn.record,
      this.#tlb,
      this.#flags,
      {
        interpret: () => this.#leave(UNIT_RESUME, insn, firstRecord(insn), this.#pending),
        miss: () => {
          const outcome = onMiss === 'leave' ? UNIT_RESUME : UNIT_SLOW
          this.#leave(outcome, insn, firstRecord(insn), this.#pending)
        },
        leaveIfGivenUp: () => this.#leaveIfGivenUp(insn, firstRecord(insn), this.#pending),
        retire: () => this.#leave(UNIT_RESUME, insn, insn.record + RECORD_BYTES, this.#pending + 1),
        branch: () => this.#takeBranch(insn, block, number, undefined),
        jump: (target) => this.#takeBranch(insn, block, number, target),
      },
      onMiss === 'fill',
    )
    if (source.semantics.conditionalFlags === true) this.#flags.settle()
    if (source.form.vex) context.requireVex()
    source.semantics.emit(context)
  }

  /** The instruction, which is the last one of its block, has retired, and control goes elsewhere. */
  #takeBranch(insn: RegionInstruction, block: RegionBlock, number: number, target: I64 | undefined): void {
    const f = this.#f
    const pending = this.#pending
    this.#pending = pending + 1
    const { graph, blocks } = this.#region
    const known = insn.target
    if (known === undefined) {
      const linear = f.let(target!)
      const targets = block.computed.filter((to) => !graph.isIrreducible(number, to))
      if (targets.length > 0) {
        this.#checkTurn(insn, linear)
        const firsts = targets.map((to) => blocks[to]!.instructions[0]!)
        const position = f.let(linear.sub(this.#base.get))
        const positions = firsts.map(({ at }) => at)
        switchPosition(f, position, positions, (i) => {
          const { page, at } = firsts[i]!
          if (page !== insn.page) this.#checkPage(insn, page.delta, page.page.slots, at)
          this.#goTo(number, targets[i]!)
        })
      }
      this.#leave(this.#noteMiss(insn, linear), insn, insn.record, this.#pending, linear)
    } else if (block.target === undefined || graph.isIrreducible(number, block.target)) {
      this.#leave(UNIT_JUMP, insn, insn.record, this.#pending, this.#linear(known))
    } else {
      const { page } = blocks[block.target]!.instructions[0]!
      const inPage = insn.source!.form.operands[0]!.kind !== 'rel'
      if (!inPage || known <= insn.at) this.#checkTurn(insn, known)
      if (page !== insn.page) this.#checkPage(insn, page.delta, page.page.slots, known)
      this.#goTo(number, block.target)
    }
    this.#pending = pending
  }

  /** Says which unit is left: it may not be the one that the dispatch loop has called. */
  #noteUnit(): void {
    const { countersAt, unitRecord } = this.#parts
    this.#f.store('i32.store', I32.of(countersAt + LEFT_UNIT_AT), I32.of(unitRecord))
  }

  /** Notes where a computed branch leads out of the unit to. @returns the outcome */
  #noteMiss({ record }: RegionInstruction, linear: I64): I32 {
    const f = this.#f
    const { countersAt, unitRecord } = this.#parts
    const index = this.#budget.get.and(MISSED_BRANCHES - 1).mul(MISSED_BRANCH_BYTES)
    const missed = f.let(index.add(countersAt + MISSED_BRANCHES_AT))
    f.store('i64.store', missed, linear)
    f.store('i32.store', missed, I32.of(record), 8)
    f.store('i32.store', missed, I32.of(unitRecord), 12)
    this.#noteUnit()
    const counter = I32.of(countersAt + ((record >>> HOT_COUNTER_SHIFT) & HOT_COUNTER_MASK))
    const count = f.let(f.loadExpression('i32.load', counter).sub(1))
    f.store('i32.store', counter, count)
    return select(count.eqz(), I32.of(UNIT_MISSED), I32.of(UNIT_JUMP))
  }

  /** Leaves where a turn may end, if it does. */
  #checkTurn(insn: RegionInstruction, target: number | I64): void {
    const f = this.#f
    const over = this.#budget.get.leS(this.#pending)
    const attention = f.loadExpression('i32.load', f.param(0, 'i32').get, S_ATTENTION)
    f.structuredIf(over.or(attention), () => {
      const linear = typeof target === 'number' ? this.#linear(target) : target
      this.#leave(UNIT_JUMP, insn, insn.record, this.#pending, linear)
    })
  }

  /** Leaves unless another page of the region is what is executed there. */
  #checkPage(insn: RegionInstruction, delta: number, slots: number, target: number): void {
    const f = this.#f
    f.structuredIf(this.#isElsewhere(delta, slots), () =>
      this.#leave(UNIT_JUMP, insn, insn.record, this.#pending, this.#linear(target)),
    )
  }

  #checkCrossing(insn: RegionInstruction): void {
    this.#f.structuredIf(this.#isElsewhere(insn.page.delta + PAGE, insn.crosses), () =>
      this.#leave(UNIT_RESUME, insn, firstRecord(insn), this.#pending),
    )
  }

  #isElsewhere(delta: number, slots: number): I32 {
    const f = this.#f
    const page = f.let(this.#linear(delta))
    const entry = f.let(this.#tlb.add(page.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const tag = f.loadExpression('i64.load', entry, TLB_EXECUTE)
    return tag.ne(page).or(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).ne(slots))
  }

  /** Calls the interpreter's function of a form. */
  #emitCall(insn: RegionInstruction): void {
    const f = this.#f
    const { memory, callType } = this.#parts
    const { u16 } = memory
    const { record } = insn
    const state = f.param(0, 'i32').get
    const usesFlags = u16[(record + R_OP) >>> 1] === OP_CALL_SPILLED
    f.store('i64.store', state, this.#linear(insn.page.delta), S_PAGE_BASE)
    for (const [i, register] of f.registers.entries()) f.store('i64.store', state, register.get, S_GPR + 8 * i)
    f.used = f.written = (1 << f.registers.length) - 1
    if (usesFlags) {
      this.#flags.settle()
      this.#flags.store(state)
    }
    const fn = I32.of(u16[(record + R_FUNCTION) >>> 1] as number)
    const call = (): I32 => f.callIndirect(CALL_SIGNATURE, callType, fn, state, I32.of(record), this.#tlb) as I32
    const status = f.vectors !== undefined && usesVectors(insn) ? f.vectors.around(state, call) : call()
    f.refreshMxcsr()
    for (const [i, register] of f.registers.entries()) {
      f.set(register, f.loadExpression('i64.load', state, S_GPR + 8 * i))
    }
    if (usesFlags) {
      this.#flags.load(state)
      this.#flags.forget()
    }
    f.structuredIf(status, () => this.#leave(status.add(UNIT_FAILED), insn, record, this.#pending))
    // What it has written may have been this region's code.
    this.#leaveIfGivenUp(insn, record + RECORD_BYTES, this.#pending + 1)
  }

  /** Leaves where a write has ended the unit. */
  #leaveIfGivenUp(insn: RegionInstruction, record: number, retired: number): void {
    const op = this.#f.loadExpression('i32.load16_u', I32.of(this.#parts.unitRecord), R_OP)
    this.#f.structuredIf(op.ne(OP_UNIT), () => this.#leave(UNIT_RESUME, insn, record, retired))
  }

  // ---------------------------------------------------------------- what is known

  #knownField(op: LoadOp, offset: number, insn: RegionInstruction): Value | undefined {
    switch (offset) {
      case S_ZERO:
        return constant(op, 0n)
      case S_TWO_TO_28:
        return constant(op, 0x1000_0000n)
      case S_LOGGED:
        return constant(op, 0n)
      case S_MODE:
        return constant(op, BigInt(this.#parts.mode))
      case S_RIP_MASK:
        return constant(op, this.#isLong ? -1n : 0xffff_ffffn)
      case S_PAGE_BASE:
        return this.#linear(insn.page.delta)
      default:
        return ASSUMED.has(offset) ? constant(op, this.#assume(op, offset)) : undefined
    }
  }

  #assume(op: LoadOp, offset: number): bigint {
    const known = this.#assumptions.get(offset)
    if (known !== undefined) {
      if (known.op !== op) throw new TypeError(`state field ${offset} is read by ${known.op} and by ${op}`)
      return known.value
    }
    const value = readMemory(this.#parts.memory, op, this.#parts.state + offset)
    this.#assumptions.set(offset, { op, offset, value })
    return value
  }

  #recordField(op: LoadOp, address: number): Value {
    return constant(op, readMemory(this.#parts.memory, op, address))
  }
}

/** Fields that system instructions and events change, and that a unit checks when it is entered. */
const ASSUMED: ReadonlySet<number> = new Set([
  S_SSE_GATE,
  S_X87_GATE,
  S_MMX_GATE,
  S_AVX_GATE,
  S_VEX_GATE,
  S_CANONICAL_SHIFT,
  S_SEGMENTS + SEG_BYTES * CS + SEG_BASE,
  S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT,
  ...[ES, CS, SS, DS].map((segment) => S_SEGMENTS + SEG_BYTES * segment + SEG_RIGHTS),
])

function constant(op: LoadOp, value: bigint): Value {
  return op.startsWith('i64') ? I64.of(BigInt.asIntN(64, value)) : I32.of(Number(BigInt.asIntN(32, value)))
}

function readMemory(memory: MachineMemory, op: LoadOp, at: number): bigint {
  const { u8 } = memory
  let value = 0n
  const [bytes, signed] = MEMORY_READS[op] ?? []
  if (bytes === undefined) throw new TypeError(`a known field is not read by ${op}`)
  for (let i = bytes - 1; i >= 0; i--) value = (value << 8n) | BigInt(u8[at + i] as number)
  return signed === true ? BigInt.asIntN(8 * bytes, value) : value
}

const MEMORY_READS: Readonly<Partial<Record<LoadOp, readonly [bytes: number, signed: boolean]>>> = {
  'i32.load': [4, true],
  'i32.load8_u': [1, false],
  'i32.load8_s': [1, true],
  'i32.load16_u': [2, false],
  'i32.load16_s': [2, true],
  'i64.load': [8, true],
  'i64.load8_u': [1, false],
  'i64.load8_s': [1, true],
  'i64.load16_u': [2, false],
  'i64.load16_s': [2, true],
  'i64.load32_u': [4, false],
  'i64.load32_s': [4, true],
}

/** Whether a form's function may read or write vector registers. */
function usesVectors(insn: RegionInstruction): boolean {
  const { operands, mnemonic } = insn.source!.form
  return mnemonic.startsWith('V') || operands.some(({ kind }) => kind === 'xmm' || kind === 'vsib')
}
