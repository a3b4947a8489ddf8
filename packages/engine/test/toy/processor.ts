import { MachineMemory, PAGE_BYTES } from '@retrap/memory'
import { ModuleBuilder } from '@retrap/wasm-emitter'
import * as engine from '../../src/index.ts'
import type { CodeSpace, FunctionTable, InterpreterCode, JitOptions } from '../../src/index.ts'
import { ToyCompiled } from './compiled.ts'
import { ToyDecoder, type ToyForm } from './decoder.ts'
import { LONGEST_BYTES, SYSTEM, type Operation } from './encoding.ts'
import { ToyForms, WRITE } from './forms.ts'
import { baseOf, originOf, type Seen, type ToyMachine, type ToyPage } from './machine.ts'
import * as S from './state.ts'

/** The interpreter's module for a set of inlined forms. */
interface Compiled {
  readonly code: InterpreterCode<ToyForm>
  readonly module: WebAssembly.Module
}

const compiled = new Map<string, Compiled>()

/** Generates the toy's interpreter. @param isCounted - hot code is compiled */
function toyInterpreter(hot: ReadonlySet<string>, relocated: boolean, isCounted: boolean): Compiled {
  const key = [relocated, isCounted, ...hot].join()
  let known = compiled.get(key)
  if (known === undefined) {
    const module = new ModuleBuilder()
    engine.importMachineMemory(module, false)
    const access = module.importFunction('cpu', 'access', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
    const imports = engine.importDispatch(module)
    const layout = relocated ? S.RELOCATED : S.WIDE
    const code = engine.generateInterpreter(module, imports, layout, new ToyForms(hot, access, layout), {
      hot: isCounted,
    })
    known = { code, module: new WebAssembly.Module(Uint8Array.from(code.bytes)) }
    compiled.set(key, known)
  }
  return known
}

interface ToyTranslation {
  ma: number
  cacheable: boolean
  writable: boolean
  global: boolean
  pageBytes: number
  key: number
}

const newTranslation = (): ToyTranslation => ({
  ma: -1,
  cacheable: true,
  writable: false,
  global: false,
  pageBytes: PAGE_BYTES,
  key: 0,
})

/** How a toy processor is made. */
export interface ToyOptions {
  /** Keys of the inlined forms. */
  readonly hot: ReadonlySet<string>
  /** Each instruction is executed alone. */
  readonly alone?: boolean
  readonly arenaBytes?: number
  /** Returns whether a call of the host ends with STATUS_ERROR; by default none does. */
  readonly breaks?: () => boolean
  /** Hot code is compiled; absent, nothing is. */
  readonly jit?: JitOptions & {
    /** Operations whose functions units call; none by default. */
    readonly called?: readonly Operation[]
    /** Called when a unit is about to be emitted, and when it has been. */
    readonly onEmission?: (isOver: boolean) => void
  }
}

/** A processor of the toy instruction set, made of the engine's parts. */
export class ToyProcessor implements CodeSpace<ToyTranslation> {
  readonly executeSet = 0
  readonly secondPageSet = 0
  readonly cache: engine.CodeCache
  readonly jit: engine.Jit<ToyForm> | undefined
  readonly #relocated: boolean
  readonly #memory: MachineMemory
  readonly #state: number
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array
  readonly #pages: (ToyPage | undefined)[]
  readonly #frames: readonly number[]
  readonly #handler: bigint
  readonly #tlb: engine.Tlb
  readonly #turn: engine.Turn
  readonly #fetch: engine.CodeFetch<ToyTranslation>
  readonly #interpret: (state: number, record: number) => number
  readonly #alone: boolean
  readonly #breaks: ToyOptions['breaks']
  readonly #scratch = newTranslation()
  readonly #bytes = new Uint8Array(LONGEST_BYTES)
  #halted = false
  readonly #log: string[] = []

  constructor(machine: ToyMachine, { hot, alone = false, arenaBytes = 256 << 10, breaks, jit }: ToyOptions) {
    const { relocated } = machine
    this.#relocated = relocated
    this.#alone = alone
    this.#breaks = breaks
    const memory = MachineMemory.create({ bytes: 4 << 20 })
    this.#memory = memory
    const hotAt = jit === undefined ? undefined : memory.allocate(engine.HOT_COUNTER_BYTES, 8, 'counters of hot code')
    this.#state = memory.allocate(S.S_TLB_SETS + engine.tlbBytes(1), 64, 'toy processor')
    this.#u32 = memory.u32.subarray(this.#state >>> 2)
    this.#u64 = memory.u64.subarray(this.#state >>> 3)
    this.#frames = machine.frames.map((bytes) => {
      const at = memory.allocate(PAGE_BYTES, PAGE_BYTES, 'frame')
      memory.write(at, bytes)
      return at
    })
    this.#pages = [...machine.pages]
    const { code, module } = toyInterpreter(hot, relocated, hotAt !== undefined)
    const layout = relocated ? S.RELOCATED : S.WIDE
    this.cache = new engine.CodeCache(memory, new ToyDecoder(memory, code.codes), arenaBytes)
    this.#tlb = new engine.Tlb(memory, this.#state + S.S_TLB_SETS, 1)
    this.cache.addClient(this.#tlb)
    this.#fetch = new engine.CodeFetch(memory, this.#state, layout, this.cache, this.#tlb, this)
    this.#turn = new engine.Turn(memory.i32.subarray(this.#state >>> 2), layout)
    this.#u32[S.S_COUNTERS >>> 2] = hotAt ?? 0
    this.#u32[S.S_TLB >>> 2] = this.#tlb.setAddress(0)
    this.#u64[S.S_BASE >>> 3] = baseOf(relocated)
    this.#u64[S.S_MASK >>> 3] = 0xffff_ffffn
    this.#handler = originOf(relocated) + BigInt(machine.handler) - baseOf(relocated)
    this.#u64[S.S_PC >>> 3] = originOf(relocated) + BigInt(machine.start) - baseOf(relocated)
    for (const [i, value] of machine.registers.entries()) this.#u64[i] = value
    const { exports } = new WebAssembly.Instance(module, {
      cpu: {
        memory: memory.memory,
        access: (lo: number, hi: number, flags: number) => this.#access(lo >>> 0, hi >>> 0, flags),
        system: (number: number, record: number) => this.#system(number, record >>> 0),
        fetch: (lo: number, hi: number) => this.#fetch.fetch(lo >>> 0, hi >>> 0),
        cross: (record: number) => this.#fetch.cross(record),
        hot: (record: number) => this.jit?.hot(record >>> 0, runner) ?? record,
      },
    })
    const runner = {
      state: this.#state,
      executeSlots: (lo: number, hi: number) => this.#tlb.lookup(0, engine.TLB_EXECUTE, lo, hi),
    }
    const units = new engine.UnitTable({
      table: exports['table'] as FunctionTable,
      imports: {
        memory: memory.memory,
        access: (lo: number, hi: number, flags: number) => this.#access(lo >>> 0, hi >>> 0, flags),
        probe: (lo: number, hi: number, flags: number) => this.#probe(lo >>> 0, hi >>> 0, flags),
        system: (number: number, record: number) => this.#system(number, record >>> 0),
      },
    })
    if (jit !== undefined && hotAt !== undefined) {
      const { called, onEmission, ...options } = jit
      const instructionSet = new ToyCompiled(memory, layout, new Set(called), onEmission)
      this.jit = new engine.Jit({ memory, cache: this.cache, code, countersAt: hotAt, instructionSet }, options)
      this.jit.addTable(units)
    }
    this.#interpret = exports['run'] as (state: number, record: number) => number
  }

  /** Writes a byte of the first frame as another thread does, whose notice is still to come. */
  writeElsewhere(offset: number, byte: number): void {
    this.#memory.u8[this.#frames[0]! + offset] = byte
  }

  get seen(): Seen {
    return {
      registers: Array.from({ length: 8 }, (_, i) => this.#u64[i]!),
      pc: this.#u64[S.S_PC >>> 3]!,
      result: this.#u64[S.S_RESULT >>> 3]!,
      mode: this.#u32[S.S_MODE >>> 2]!,
      halted: this.#halted,
      retired: this.#turn.retired,
      cost: this.#turn.cost,
      log: [...this.#log],
      memory: this.#frames.map((at) => this.#memory.read(at, PAGE_BYTES)),
    }
  }

  run(budget: number): void {
    const turn = this.#turn
    this.jit?.beginTurn()
    turn.begin(budget)
    for (;;) {
      if (turn.mayEnd && this.#u32[S.S_ATTENTION >>> 2] !== 0) {
        this.#u32[S.S_ATTENTION >>> 2] = 0
        this.#log.push(`${turn.retired} attention`)
      }
      if (this.#halted || (turn.mayEnd && turn.remaining <= 0)) return
      let status = this.#alone ? this.#step() : this.#slice()
      if (status === engine.STATUS_STEP) status = this.#step()
      if (status === engine.STATUS_FAULT) this.#deliver()
      else if (status < 0 || status > engine.STATUS_LEAVE)
        throw new Error(`status ${status}`, { cause: this.#fetch.error })
    }
  }

  #slice(): number {
    const turn = this.#turn
    const slice = turn.allowSlice()
    const status = this.#interpret(this.#state, 0)
    turn.settle(slice)
    if (status === engine.STATUS_EXIT) this.#leaveRecord()
    else turn.mayEnd = status === engine.STATUS_LEAVE || status === engine.STATUS_CONTINUE
    return status
  }

  /** `halt` has set the program counter: the turn may end where a branch to there would let it. */
  #leaveRecord(): void {
    const record = this.#u32[S.S_RECORD >>> 2]!
    const lo = this.#u32[S.S_PAGE_BASE >>> 2]! + this.#memory.u16[(record + engine.R_OFFSET) >>> 1]!
    this.#turn.departFrom(lo, this.#u32[(S.S_PAGE_BASE >>> 2) + 1]!)
    this.#turn.arrive(engine.STATUS_EXIT)
  }

  /** Executes one instruction from a copy of its record, which nothing overwrites. */
  #step(): number {
    const pc = this.#u64[S.S_PC >>> 3]! + baseOf(this.#relocated)
    const [lo, hi] = [Number(pc & 0xffff_ffffn), Number((pc >> 32n) & 0xffff_ffffn)]
    const { u8, u16, u32 } = this.#memory
    const pinned = this.#state + S.S_PINNED
    this.#u32[S.S_ALONE >>> 2] = 1
    let record = this.#fetch.fetchOne(lo, hi)
    if (record === 0) {
      const reason = this.#u32[S.S_FETCH_STATUS >>> 2]!
      const status = reason === engine.STATUS_STEP ? this.#fetchBytes(pinned, pc) : reason
      if (status !== engine.STATUS_DONE) return status
    } else {
      if (u16[(record + engine.R_OP) >>> 1] === engine.OP_UNIT) record = u32[(record + engine.R_LINK) >>> 2]!
      if (u16[(record + engine.R_OP) >>> 1] === engine.OP_CROSS) record += engine.RECORD_BYTES
      u32.copyWithin(pinned >>> 2, record >>> 2, (record + engine.RECORD_BYTES) >>> 2)
    }
    u16[(pinned + engine.R_OP) >>> 1]! &= engine.OP_DEAD - 1
    // The link of a branch would lead past the one instruction.
    u32[(pinned + engine.R_LINK) >>> 2] = 0
    const next = pinned + engine.RECORD_BYTES
    u16[(next + engine.R_OP) >>> 1] = engine.OP_LEAVE
    u16[(next + engine.R_OFFSET) >>> 1] = u16[(pinned + engine.R_OFFSET) >>> 1]! + u8[pinned + engine.R_LENGTH]!
    this.#turn.depart()
    this.#turn.allow(1)
    const status = this.#interpret(this.#state, pinned)
    this.#turn.settle(1)
    this.#turn.arrive(status)
    this.#u32[S.S_ALONE >>> 2] = 0
    return status
  }

  /** Decodes an instruction whose bytes generated code cannot reach. */
  #fetchBytes(record: number, pc: bigint): number {
    const lo = Number(pc & 0xffff_ffffn)
    this.#fetch.leaveAt(lo, Number(pc >> 32n))
    for (let count = 0; ; count++) {
      const offset = lo & (PAGE_BYTES - 1)
      if (count > 0) {
        const mode = this.#u32[S.S_MODE >>> 2]!
        if (this.cache.decodeBytes(record, this.#bytes, count, mode, offset) <= count) return engine.STATUS_DONE
      }
      const at = pc + BigInt(count)
      const [atLo, atHi] = [Number(at & 0xffff_ffffn), Number(at >> 32n)]
      if (!this.#locate(atLo, atHi, this.#scratch)) return S.raise(this.#u32, S.FAULT_FETCH, atLo, atHi)
      this.#bytes[count] = this.#memory.u8[this.#scratch.ma]!
    }
  }

  #deliver(): void {
    const { retired } = this.#turn
    const address = this.#u64[S.S_FAULT_ADDRESS >>> 3]!
    this.#log.push(`${retired} fault ${this.#u32[S.S_FAULT >>> 2]} ${address.toString(16)}`)
    this.#u32[S.S_FAULT >>> 2] = 0
    this.#u64[7] = this.#u64[S.S_PC >>> 3]!
    this.#u64[S.S_PC >>> 3] = this.#handler
    this.#turn.addEvent()
    this.#turn.mayEnd = true
    this.#u32[S.S_ALONE >>> 2] = 0
  }

  // ---------------------------------------------------------------- linear memory

  #page(lo: number, hi: number): ToyPage | undefined {
    const address = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)
    const origin = originOf(this.#relocated)
    return address < origin ? undefined : this.#pages[Number((address - origin) / BigInt(PAGE_BYTES))]
  }

  /** Finds the byte of a linear address, also of a device. */
  #locate(lo: number, hi: number, into: ToyTranslation): boolean {
    const page = this.#page(lo, hi)
    if (page === undefined) return false
    into.ma = this.#frames[page.frame]! + (lo & (PAGE_BYTES - 1))
    into.writable = page.writable
    into.cacheable = !page.device
    return true
  }

  check(): number {
    return engine.STATUS_DONE
  }

  translate(lo: number, hi: number, into: ToyTranslation): number {
    if (!this.#locate(lo, hi, into)) return S.raise(this.#u32, S.FAULT_FETCH, lo, hi)
    if (!into.cacheable) into.ma = -1
    return engine.STATUS_DONE
  }

  newTranslation(): ToyTranslation {
    return newTranslation()
  }

  checkSecondPage(): number {
    return engine.STATUS_DONE
  }

  nextHigh(hi: number): number {
    return this.#relocated ? hi : (hi + 1) >>> 0
  }

  dropFault(): void {
    this.#u32[S.S_FAULT >>> 2] = 0
  }

  /** The import `access`: four bytes that the TLB does not have, in two pages, or of a device. */
  #access(lo: number, hi: number, flags: number): number {
    const write = (flags & WRITE) !== 0
    const data = this.#state + S.S_DATA
    const { u8 } = this.#memory
    const bytes = [0, 1, 2, 3].map((i) => {
      const at = lo + i
      return [at >>> 0, at > 0xffff_ffff ? (hi + 1) >>> 0 : hi] as const
    })
    for (const [atLo, atHi] of bytes) {
      const known = this.#locate(atLo, atHi, this.#scratch)
      if (!known || (write && !this.#scratch.writable)) return S.raise(this.#u32, S.FAULT_DATA, atLo, atHi)
    }
    const whole = (lo & (PAGE_BYTES - 1)) <= PAGE_BYTES - 4
    for (const [i, [atLo, atHi]] of bytes.entries()) {
      this.#locate(atLo, atHi, this.#scratch)
      const { ma } = this.#scratch
      if (!write) u8[data + i] = u8[ma]!
      else if (!whole) this.#memory.writeU8(ma, u8[data + i]!)
      else if (i === 0) this.#memory.writeU32(ma, this.#memory.u32[data >>> 2]!)
    }
    this.#fill(lo, hi, write)
    return engine.STATUS_DONE
  }

  /** Has the TLB hold the page of an address, unless it is a device's, or written and has code in it. */
  #fill(lo: number, hi: number, write: boolean): void {
    this.#locate(lo, hi, this.#scratch)
    const frame = (this.#scratch.ma & ~(PAGE_BYTES - 1)) >>> 0
    const set = { global: false, pageBytes: PAGE_BYTES, key: 0 }
    if (!this.#scratch.cacheable) return
    if (!write) this.#tlb.fill(0, engine.TLB_READ, lo, hi, frame, set)
    else if (this.#tlb.mayWrite(frame)) this.#tlb.fill(0, engine.TLB_WRITE, lo, hi, frame, set)
  }

  /** The import `probe` of units: looks for the page of an access, which is not made. */
  #probe(lo: number, hi: number, flags: number): number {
    const write = (flags & WRITE) !== 0
    const known = this.#locate(lo, hi, this.#scratch)
    if (!known || (write && !this.#scratch.writable)) return engine.STATUS_FAULT
    this.#fill(lo, hi, write)
    return engine.STATUS_DONE
  }

  // ---------------------------------------------------------------- the host's functions

  #system(number: number, record: number): number {
    if (this.#breaks?.() === true) return engine.STATUS_ERROR
    const pc = this.#u64[S.S_PC >>> 3]!
    const linear = pc + baseOf(this.#relocated)
    const next = pc + BigInt(this.#memory.u8[record + engine.R_LENGTH]!)
    const fault = (kind: number, address: bigint): number =>
      S.raise(this.#u32, kind, Number(address & 0xffff_ffffn), Number(address >> 32n))
    const registers = this.#u64
    // One form leaves instructions to the host.
    switch (number < engine.HOST_OF_FORM ? number : SYSTEM.badJump) {
      case SYSTEM.halt:
        this.#halted = true
        this.#u64[S.S_PC >>> 3] = next
        return engine.STATUS_EXIT
      case SYSTEM.increment:
        registers[0]!++
        return engine.STATUS_DONE
      case SYSTEM.go: {
        const target = registers[1]! - baseOf(this.#relocated)
        this.#u64[S.S_PC >>> 3] = this.#relocated ? target & 0xffff_ffffn : target
        return engine.STATUS_JUMP
      }
      case SYSTEM.trap:
        return fault(S.FAULT_TRAP, linear)
      case SYSTEM.mode:
        this.#u32[S.S_MODE >>> 2]! ^= 1
        this.#tlb.flushExecute()
        this.#u64[S.S_PC >>> 3] = next
        return engine.STATUS_JUMP
      case SYSTEM.attention:
        this.#u32[S.S_ATTENTION >>> 2] = engine.ATTENTION_ASKED
        return engine.STATUS_DONE
      case SYSTEM.remap: {
        const [a, b] = [Number(registers[2]! & 3n), Number(registers[3]! & 3n)]
        const page = this.#pages[a]
        this.#pages[a] = this.#pages[b]
        this.#pages[b] = page
        for (const i of [a, b]) {
          const address = originOf(this.#relocated) + BigInt(i * PAGE_BYTES)
          this.#tlb.invalidatePage(Number(address & 0xffff_ffffn), Number(address >> 32n))
        }
        this.#u64[S.S_PC >>> 3] = next
        return engine.STATUS_JUMP
      }
      case SYSTEM.dma: {
        const frame = this.#frames[Number(registers[3]! & 3n) % this.#frames.length]!
        this.#memory.writeU32(frame + Number(registers[2]! & 0xffcn), Number(registers[4]! & 0xffff_ffffn))
        return engine.STATUS_DONE
      }
      case SYSTEM.badJump: {
        const rs = (this.#memory.u16[(record + 10) >>> 1]! - S.S_REGISTERS) >>> 3
        return fault(S.FAULT_JUMP, registers[rs]!)
      }
      default:
        return fault(S.FAULT_UNDEFINED, linear)
    }
  }
}
