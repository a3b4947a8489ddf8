import { I32, I64, type FunctionBuilder } from '@retrap/wasm-emitter'
import * as index from '../../src/index.ts'
import type {
  DispatchLabels,
  DispatchLoop,
  FormCall,
  I32Callee,
  InterpreterForms,
  StateLayout,
} from '../../src/index.ts'
import { R_IMMEDIATE, R_RD, R_RS, formKey, type Target, type ToyForm } from './decoder.ts'
import { LINK_REGISTER } from './encoding.ts'
import { S_ATTENTION, S_BUDGET, S_DATA, S_ITERATIONS, S_PAGE_BASE, S_PC, S_REGISTERS, S_RESULT } from './state.ts'

/** Flag of the `access` import: a write. The rest of the flags is the size. */
export const WRITE = 0x100

/** Distances of accesses of four bytes that lie in the page are below this. */
export const IN_PAGE = 0x1001 - 4

/** What a {@link ToyContext} is made of: addresses, the import `access`, and the fields of the state. */
export interface ContextParts {
  readonly f: FunctionBuilder
  readonly state: I32
  readonly record: I32
  readonly tlb: I32
  readonly access: I32Callee
  readonly layout: StateLayout
}

/** What an operation sees of where it runs: in a function of its own, or in the dispatch loop. */
export abstract class ToyContext {
  readonly f: FunctionBuilder
  readonly state: I32
  readonly record: I32
  readonly #tlb: I32
  readonly #access: I32Callee
  readonly #layout: StateLayout

  constructor({ f, state, record, tlb, access, layout }: ContextParts) {
    this.f = f
    this.state = state
    this.record = record
    this.#tlb = tlb
    this.#access = access
    this.#layout = layout
  }

  abstract get result(): I64
  abstract setResult(value: I64): void
  /** Leaves with a status; nothing has changed. */
  abstract fail(status: I32): void
  /** Branches to the immediate: an offset in the page times 4, or relative to the page. */
  abstract branch(target: Target): void

  /** Machine address of a register. */
  #register(field: number): I32 {
    return this.state.add(this.f.loadExpression('i32.load16_u', this.record, field))
  }

  read(field: number): I64 {
    return this.f.load('i64.load', this.#register(field))
  }

  write(value: I64): void {
    this.f.store('i64.store', this.#register(R_RD), value)
  }

  /** Writes the register that returns go by. */
  writeLink(value: I64): void {
    this.f.store('i64.store', this.state, value, S_REGISTERS + 8 * LINK_REGISTER)
  }

  get immediate(): I64 {
    return this.f.loadExpression('i64.load', this.record, R_IMMEDIATE)
  }

  /** Linear address of the page plus an offset. */
  linear(offset: I64): I64 {
    return this.f.loadExpression('i64.load', this.state, S_PAGE_BASE).add(offset)
  }

  /** The program counter of a linear address. */
  counter(linear: I64): I64 {
    const { programCounterBase, programCounterMask } = this.#layout
    const field = (offset: number): I64 => this.f.loadExpression('i64.load', this.state, offset)
    const base = programCounterBase === undefined ? I64.of(0) : field(programCounterBase)
    const mask = programCounterMask === undefined ? I64.of(-1) : field(programCounterMask)
    return linear.sub(base).and(mask)
  }

  /** The program counter of the next instruction. */
  next(): I64 {
    const { f, record } = this
    const length = f.loadExpression('i64.load8_u', record, index.R_LENGTH)
    return this.counter(this.linear(f.loadExpression('i64.load16_u', record, index.R_OFFSET).add(length)))
  }

  /** Makes a 4-byte access at rs + displacement through the TLB. */
  access(table: number, at: (host: I32) => void, flags: number): void {
    const { f } = this
    const { ea, entry, distance } = this.lookUp(table)
    f.if(
      distance.ltU(IN_PAGE),
      () => at(f.loadExpression('i32.load', entry, table + 8).add(distance.toI32())),
      () => {
        if (table === index.TLB_WRITE) at(this.state.add(S_DATA))
        const status = f.call(this.#access, ea.toI32(), ea.shrU(32).toI32(), I32.of(4 | flags))
        f.if(status, () => this.fail(status))
        if (table === index.TLB_READ) at(this.state.add(S_DATA))
      },
    )
  }

  /** The linear address of an access, its entry of the TLB, and its distance from the page that the entry is of. */
  lookUp(table: number): { readonly ea: I64; readonly entry: I32; readonly distance: I64 } {
    const { f } = this
    const ea = f.let(this.read(table === index.TLB_READ ? R_RS : R_RD).add(this.immediate))
    const entry = f.let(this.#tlb.add(ea.shrU(8).toI32().and(index.TLB_INDEX_MASK)))
    return { ea, entry, distance: f.let(ea.sub(f.loadExpression('i64.load', entry, table))) }
  }
}

/** An operation as a function of the table. */
class FunctionContext extends ToyContext {
  constructor(f: FunctionBuilder, access: I32Callee, layout: StateLayout) {
    const [state, record, tlb] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    super({ f, state, record, tlb, access, layout })
  }

  get result(): I64 {
    return this.f.load('i64.load', this.state, S_RESULT)
  }

  setResult(value: I64): void {
    this.f.store('i64.store', this.state, value, S_RESULT)
  }

  fail(status: I32): void {
    this.f.return(status)
  }

  branch(target: Target): void {
    this.jump(this.linear(target === 'far' ? this.immediate : this.immediate.shrU(2)))
  }

  /** Ends with the program counter at a linear address. */
  jump(linear: I64): void {
    this.f.store('i64.store', this.state, this.counter(linear), S_PC)
    this.f.return(index.STATUS_JUMP)
  }
}

/** An operation inlined in the dispatch loop. */
class InlineContext extends ToyContext {
  readonly #loop: DispatchLoop
  readonly #labels: DispatchLabels

  constructor(f: FunctionBuilder, access: I32Callee, layout: StateLayout, loop: DispatchLoop, labels: DispatchLabels) {
    super({ f, state: f.param(0, 'i32').get, record: loop.locals.record.get, tlb: loop.tlb, access, layout })
    this.#loop = loop
    this.#labels = labels
  }

  get result(): I64 {
    return this.f.loadExpression('i64.load', this.state, S_RESULT)
  }

  setResult(value: I64): void {
    this.f.store('i64.store', this.state, value, S_RESULT)
  }

  fail(status: I32): void {
    this.f.set(this.#loop.locals.status, status)
    this.f.br(this.#labels.fail)
  }

  branch(target: Target): void {
    const { f } = this
    if (target === 'far') {
      f.set(this.#loop.locals.target, this.#loop.pageBase.add(this.immediate))
      f.br(this.#labels.jump)
      return
    }
    this.#loop.branchInPage(this.#labels, this.immediate.toI32(), target === 'forward')
  }
}

/** The operations that work on two registers. */
const ALU = {
  add: (a: I64, b: I64): I64 => a.add(b),
  sub: (a: I64, b: I64): I64 => a.sub(b),
  xor: (a: I64, b: I64): I64 => a.xor(b),
}

/** Emits the semantics of an operation, but for those that are functions only. */
export function emit(c: ToyContext, { op, target }: ToyForm): void {
  const { f } = c
  switch (op) {
    case 'movi':
      c.write(c.immediate)
      break
    case 'adr':
      c.write(c.linear(f.loadExpression('i64.load16_u', c.record, index.R_OFFSET)).add(c.immediate))
      break
    case 'add':
    case 'sub':
    case 'xor': {
      const value = f.let(ALU[op](c.read(R_RD), c.read(R_RS)))
      c.write(value)
      c.setResult(value)
      break
    }
    case 'addz': {
      const value = f.let(c.read(R_RD).add(c.read(R_RS)).add(c.result.eqz().toI64U()))
      c.write(value)
      c.setResult(value)
      break
    }
    case 'mul':
      c.write(f.let(c.read(R_RD).mul(c.read(R_RS))))
      break
    case 'load': {
      const value = f.local('i64')
      c.access(index.TLB_READ, (host) => f.set(value, f.loadExpression('i64.load32_s', host)), 0)
      c.write(value.get)
      break
    }
    case 'store': {
      const value = c.read(R_RS)
      c.access(index.TLB_WRITE, (host) => f.store('i64.store32', host, value), WRITE)
      break
    }
    case 'bz':
      f.if(c.result.eqz(), () => c.branch(target!))
      break
    case 'jmp':
      c.branch(target!)
      break
    case 'call':
      c.writeLink(c.next())
      c.branch(target!)
      break
    default:
  }
}

function emitCount(c: FunctionContext): void {
  const { f, state } = c
  const budget = f.local('i32')
  const left = f.local('i64')
  f.set(left, c.read(R_RS))
  f.set(budget, f.loadExpression('i32.load', state, S_BUDGET))
  const rs = state.add(f.loadExpression('i32.load16_u', c.record, R_RS))
  f.if(left.get.eqz(), () => f.return(index.STATUS_DONE))
  f.loop((again) => {
    f.store('i64.store', rs, f.let(c.read(R_RS).sub(1)))
    c.write(f.let(c.read(R_RD).add(1)))
    f.set(left, c.read(R_RS))
    f.set(budget, budget.get.sub(1))
    f.store('i32.store', state, budget.get, S_BUDGET)
    f.store('i32.store', state, f.loadExpression('i32.load', state, S_ITERATIONS).add(1), S_ITERATIONS)
    f.if(left.get.eqz(), () => f.return(index.STATUS_DONE))
    // Executed alone it stops after each iteration; so it must stop here too when attention is requested.
    f.brIf(budget.get.gtS(0).and(f.loadExpression('i32.load', state, S_ATTENTION).eqz()), again)
  })
  f.return(index.STATUS_CONTINUE)
}

/** Operations that are functions only: one uses the budget, the other may be left to the host. */
const FUNCTIONS_ONLY: ReadonlySet<string> = new Set(['count', 'jr'])

const FORMS: readonly ToyForm[] = [
  ...(['nop', 'movi', 'add', 'sub', 'xor', 'addz', 'mul', 'load', 'store', 'jr', 'count', 'adr'] as const).map(
    (op) => ({ op }),
  ),
  ...(['bz', 'jmp', 'call'] as const).flatMap((op) =>
    (['forward', 'back', 'far'] as const).map((target) => ({ op, target })),
  ),
]

/** Keys of the forms that can be inlined. */
export const INLINABLE: readonly string[] = FORMS.filter(({ op }) => !FUNCTIONS_ONLY.has(op)).map(formKey)

/** The toy's forms, with any of them inlined. */
export class ToyForms implements InterpreterForms<ToyForm> {
  readonly forms = FORMS
  readonly hot: ReadonlySet<string>
  readonly #access: I32Callee
  readonly #layout: StateLayout

  constructor(hot: ReadonlySet<string>, access: I32Callee, layout: StateLayout) {
    this.hot = hot
    this.#access = access
    this.#layout = layout
  }

  keyOf(form: ToyForm): string {
    return formKey(form)
  }

  emitFunction(f: FunctionBuilder, form: ToyForm): FormCall {
    const c = new FunctionContext(f, this.#access, this.#layout)
    switch (form.op) {
      case 'count':
        emitCount(c)
        return 'control'
      case 'jr': {
        const target = c.read(R_RS)
        f.if(target.ltS(0), () => f.return(index.STATUS_HANDLER))
        c.jump(target)
        return 'control'
      }
      case 'bz':
      case 'jmp':
      case 'call':
        emit(c, form)
        return 'control'
      case 'add':
      case 'sub':
      case 'xor':
      case 'addz':
        emit(c, form)
        return 'spilled'
      default:
        emit(c, form)
        return 'plain'
    }
  }

  emitInline(f: FunctionBuilder, form: ToyForm, loop: DispatchLoop, labels: DispatchLabels): void {
    emit(new InlineContext(f, this.#access, this.#layout, loop, labels), form)
  }
}
