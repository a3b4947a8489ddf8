import type { MachineMemory } from '@retrap/memory'
import { I32, I64 } from '@retrap/wasm-emitter'
import type { I32Like, LoadOp, Local, ModuleBuilder, PrefixType, ValueOf } from '@retrap/wasm-emitter'
import { FORM_SIGNATURE, RECORD_BYTES, RegionFunction } from '../../src/index.ts'
import type * as engine from '../../src/index.ts'
import { R_IMMEDIATE, R_RD, R_RS, type ToyForm } from './decoder.ts'
import { SYSTEM, LINK_REGISTER, type Operation } from './encoding.ts'
import { IN_PAGE, ToyContext, emit } from './forms.ts'
import { S_BASE, S_REGISTERS, S_RESULT } from './state.ts'

const REGISTERS = 8
const ALL = (1 << REGISTERS) - 1

/** A unit's function, in which the fields of the current instruction's record are constants. */
class ToyFunction extends RegionFunction {
  memory: engine.RecordMemory | undefined
  record = 0

  override loadExpression<K extends LoadOp>(op: K, address: I32Like, offset = 0): ValueOf[PrefixType<K>] {
    const at = this.constantAddress(address, offset)
    const isField = at >= this.record && at < this.record + RECORD_BYTES
    return isField ? (this.#constant(op, at) as ValueOf[PrefixType<K>]) : super.loadExpression(op, address, offset)
  }

  #constant(op: LoadOp, at: number): I32 | I64 {
    const { u8, u16, u64 } = this.memory!
    switch (op) {
      case 'i64.load':
        return I64.of(BigInt.asIntN(64, u64[at >>> 3]!))
      case 'i64.load8_u':
        return I64.of(u8[at]!)
      case 'i64.load16_u':
        return I64.of(u16[at >>> 1]!)
      case 'i32.load16_u':
        return I32.of(u16[at >>> 1]!)
      default:
        throw new TypeError(`a record is not read by ${op}`)
    }
  }
}

/** The toy's part of a unit: registers and the result in locals. */
class ToyUnit implements engine.UnitSemantics<ToyForm> {
  readonly f: ToyFunction
  readonly layout: engine.StateLayout
  readonly access: engine.I32Callee
  readonly probe: engine.I32Callee
  readonly result: Local<'i64'>
  readonly #state: I32
  readonly #base: bigint
  readonly #registers: readonly Local<'i64'>[]
  #used = 0
  #written = 0

  constructor(module: ModuleBuilder, layout: engine.StateLayout, { state, memory }: engine.UnitDescription<ToyForm>) {
    const signature = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const
    this.access = module.importFunction('cpu', 'access', signature)
    this.probe = module.importFunction('cpu', 'probe', signature)
    const f = module.function('unit', FORM_SIGNATURE, { export: true, builder: ToyFunction })
    this.f = f as unknown as ToyFunction
    this.f.memory = memory
    this.layout = layout
    this.#state = f.param(0, 'i32').get
    this.#base = memory.u64[(state + S_BASE) >>> 3]!
    this.result = f.local('i64')
    this.#registers = Array.from({ length: REGISTERS }, () => f.local('i64'))
  }

  /** The number of the register that a field of a record names. */
  numberOf(record: number, field: number): number {
    return (this.f.memory!.u16[(record + field) >>> 1]! - S_REGISTERS) >>> 3
  }

  read(register: number): I64 {
    this.#used |= 1 << register
    return this.#registers[register]!.get
  }

  write(register: number, value: I64): void {
    this.#used |= 1 << register
    this.#written |= 1 << register
    this.f.set(this.#registers[register]!, value)
  }

  // ---------------------------------------------------------------- entry and exit

  checkAssumptions(leaveIf: (condition: I32) => void): void {
    leaveIf(this.f.loadExpression('i64.load', this.#state, S_BASE).ne(this.#base))
  }

  assumptions(): readonly engine.StateAssumption[] {
    return [{ offset: S_BASE, bytes: 8, value: this.#base }]
  }

  load(): void {
    this.f.set(this.result, this.f.loadExpression('i64.load', this.#state, S_RESULT))
    for (const [i, at] of this.#fields(this.#used)) {
      this.f.set(this.#registers[i]!, this.f.loadExpression('i64.load', this.#state, at))
    }
  }

  store(): void {
    this.f.store('i64.store', this.#state, this.result.get, S_RESULT)
    for (const [i, at] of this.#fields(this.#written)) {
      this.f.store('i64.store', this.#state, this.#registers[i]!.get, at)
    }
  }

  *#fields(registers: number): Generator<readonly [number: number, at: number]> {
    for (let i = 0; i < REGISTERS; i++) if (((registers >>> i) & 1) !== 0) yield [i, S_REGISTERS + 8 * i]
  }

  // ---------------------------------------------------------------- control flow: the locals are always settled

  settle(): void {}
  beginLoop(): void {}
  meet(): void {}
  merge(): void {}

  aside(build: () => void): void {
    build()
  }

  // ---------------------------------------------------------------- instructions

  emit({ form, record }: engine.RegionInstruction<ToyForm>, exits: engine.InstructionExits): void {
    this.f.record = record
    const c = new UnitContext(this, record, exits)
    if (form!.op === 'jr') c.jump()
    else emit(c, form!)
  }

  spill(): void {
    this.#used = this.#written = ALL
    this.store()
  }

  reload(): void {
    this.load()
  }
}

class UnitContext extends ToyContext {
  readonly #unit: ToyUnit
  readonly #exits: engine.InstructionExits
  readonly #record: number

  constructor(unit: ToyUnit, record: number, exits: engine.InstructionExits) {
    const { f, access, layout } = unit
    const [state, tlb] = [f.param(0, 'i32').get, f.param(2, 'i32').get]
    super({ f, state, record: I32.of(record), tlb, access, layout })
    this.#unit = unit
    this.#exits = exits
    this.#record = record
  }

  get result(): I64 {
    return this.#unit.result.get
  }

  setResult(value: I64): void {
    this.f.set(this.#unit.result, value)
  }

  override read(field: number): I64 {
    return this.#unit.read(this.#unit.numberOf(this.#record, field))
  }

  override write(value: I64): void {
    this.#unit.write(this.#unit.numberOf(this.#record, R_RD), value)
  }

  override writeLink(value: I64): void {
    this.#unit.write(LINK_REGISTER, value)
  }

  override linear(offset: I64): I64 {
    return this.#exits.pageBase().add(offset)
  }

  fail(): void {
    this.#exits.interpret()
  }

  branch(): void {
    this.#exits.branch()
  }

  /** `jr`: to the program counter in rs, or an exception. */
  jump(): void {
    const rs = this.read(R_RS)
    this.f.if(rs.ltS(0), () => this.#exits.interpret())
    const base = this.#unit.layout.programCounterBase
    const counter = this.counter(rs)
    this.#exits.jump(base === undefined ? counter : counter.add(this.f.loadExpression('i64.load', this.state, base)))
  }

  override access(table: number, at: (host: I32) => void, flags: number): void {
    const { f } = this
    const { ea, entry, distance: found } = this.lookUp(table)
    const distance = f.local('i64')
    f.set(distance, found)
    f.if(distance.get.geU(IN_PAGE), () => {
      if (this.#exits.onMiss === 'call') this.#exits.interpret()
      else if (this.#exits.onMiss === 'fill') {
        const status = f.call(this.#unit.probe, ea.toI32(), ea.shrU(32).toI32(), I32.of(4 | flags))
        f.if(status, () => this.#exits.miss())
        this.#exits.leaveIfGivenUp()
        f.set(distance, ea.sub(f.loadExpression('i64.load', entry, table)))
        f.if(distance.get.geU(IN_PAGE), () => this.#exits.miss())
      } else this.#exits.miss()
    })
    at(f.loadExpression('i32.load', entry, table + 8).add(distance.get.toI32()))
  }
}

/** The toy instruction set, as the engine compiles hot code of it. */
export class ToyCompiled implements engine.CompiledInstructionSet<ToyForm> {
  readonly name = 'toy'
  readonly configuration: string
  readonly layout: engine.StateLayout
  readonly assumedBytes = S_BASE + 8
  readonly emitterKind = {}
  readonly nameOf = (form: ToyForm): string => JSON.stringify(form)
  readonly #memory: MachineMemory
  readonly #called: ReadonlySet<Operation>
  readonly #onEmission: (isOver: boolean) => void

  /**
   * @param called - operations whose functions units call
   * @param onEmission - called before and after a unit is emitted
   */
  constructor(
    memory: MachineMemory,
    layout: engine.StateLayout,
    called: ReadonlySet<Operation>,
    onEmission: (isOver: boolean) => void = () => {},
  ) {
    this.#onEmission = onEmission
    this.layout = layout
    this.#memory = memory
    this.#called = called
    this.configuration = `${this.isWide()} ${[...called].join()}`
  }

  isWide(): boolean {
    return this.layout.programCounterBase === undefined
  }

  flowOf({ form: { op, target }, record }: engine.DecodedInstruction<ToyForm>): engine.InstructionFlow {
    if (op === 'count') return { flow: 'leave' }
    if (op === 'jr') return { flow: this.#isReturn(record) ? 'return' : 'indirect' }
    const flow: engine.Flow | undefined = FLOWS[op]
    if (flow === undefined) return { flow: 'next' }
    const immediate = Number(BigInt.asIntN(64, this.#memory.u64[(record + R_IMMEDIATE) >>> 3]!))
    return { flow, target: target === 'far' ? immediate : immediate >> 2 }
  }

  #isReturn(record: number): boolean {
    return this.#memory.u16[(record + R_RS) >>> 1] === S_REGISTERS + 8 * LINK_REGISTER
  }

  isCalled({ op }: ToyForm): boolean {
    return this.#called.has(op)
  }

  isHostCalled(fn: number): boolean {
    return fn !== SYSTEM.undefined
  }

  beginUnit(module: ModuleBuilder, unit: engine.UnitDescription<ToyForm>): engine.UnitSemantics<ToyForm> {
    this.#onEmission(false)
    const semantics = new ToyUnit(module, this.layout, unit)
    const assumptions = semantics.assumptions()
    semantics.assumptions = () => {
      this.#onEmission(true)
      return assumptions
    }
    return semantics
  }
}

const FLOWS: Readonly<Partial<Record<Operation, engine.Flow>>> = { bz: 'branch', jmp: 'jump', call: 'call' }
