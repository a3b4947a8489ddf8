import { PAGE_BYTES } from '@retrap/memory'
import { LINK_REGISTER, SYSTEM, operationOf } from './encoding.ts'
import { baseOf, originOf, type Seen, type ToyMachine, type ToyPage } from './machine.ts'
import { FAULT_DATA, FAULT_FETCH, FAULT_JUMP, FAULT_TRAP, FAULT_UNDEFINED } from './state.ts'

/** An exception: its number and the address that it is about. */
class Fault {
  readonly number: number
  readonly address: bigint
  constructor(number: number, address: bigint) {
    this.number = number
    this.address = address
  }
}

const PAGE = BigInt(PAGE_BYTES)
const EVENT_COST = 64

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value)

/** A plain interpreter of the toy instruction set, one instruction at a time, with no cache of anything. */
export class Reference {
  readonly #registers: bigint[]
  readonly #pages: (ToyPage | undefined)[]
  readonly #frames: Uint8Array[]
  readonly #relocated: boolean
  readonly #handler: bigint
  #pc: bigint
  #result = 0n
  #mode = 0
  #halted = false
  #attention = false
  #retired = 0
  #extra = 0
  #mayEnd = true
  readonly #log: string[] = []

  constructor({ relocated, pages, frames, registers, start, handler }: ToyMachine) {
    this.#relocated = relocated
    this.#pages = [...pages]
    this.#frames = frames.map((bytes) => bytes.slice())
    this.#registers = [...registers]
    this.#pc = originOf(relocated) + BigInt(start) - baseOf(relocated)
    this.#handler = originOf(relocated) + BigInt(handler) - baseOf(relocated)
  }

  get seen(): Seen {
    return {
      registers: [...this.#registers],
      pc: this.#pc,
      result: this.#result,
      mode: this.#mode,
      halted: this.#halted,
      retired: this.#retired,
      cost: this.#retired + this.#extra,
      log: [...this.#log],
      memory: this.#frames.map((bytes) => bytes.slice()),
    }
  }

  run(budget: number): void {
    const end = this.#retired + this.#extra + budget
    for (;;) {
      if (this.#mayEnd && this.#attention) {
        this.#attention = false
        this.#log.push(`${this.#retired} attention`)
      }
      const remaining = end - this.#retired - this.#extra
      if (this.#halted || (this.#mayEnd && remaining <= 0)) return
      try {
        this.#step(remaining)
      } catch (fault) {
        if (!(fault instanceof Fault)) throw fault
        this.#log.push(`${this.#retired} fault ${fault.number} ${fault.address.toString(16)}`)
        this.#registers[7] = this.#pc
        this.#pc = this.#handler
        this.#extra += EVENT_COST
        this.#mayEnd = true
      }
    }
  }

  #page(address: bigint, fault: number): ToyPage {
    const index = (address - originOf(this.#relocated)) / PAGE
    const page = address < originOf(this.#relocated) ? undefined : this.#pages[Number(index)]
    if (page === undefined) throw new Fault(fault, address)
    return page
  }

  #linear(pc: bigint): bigint {
    return wrap(pc + baseOf(this.#relocated))
  }

  #counter(linear: bigint): bigint {
    return BigInt.asUintN(this.#relocated ? 32 : 64, linear - baseOf(this.#relocated))
  }

  #byte(linear: bigint): number {
    const { frame } = this.#page(wrap(linear), FAULT_FETCH)
    return this.#frames[frame]![Number(linear % PAGE)]!
  }

  #access(address: bigint, write: boolean): (readonly [frame: Uint8Array, offset: number])[] {
    return [0n, 1n, 2n, 3n].map((i) => {
      const at = wrap(address + i)
      const page = this.#page(at, FAULT_DATA)
      if (write && !page.writable) throw new Fault(FAULT_DATA, at)
      return [this.#frames[page.frame]!, Number(at % PAGE)] as const
    })
  }

  /** @param remaining - what is left of the turn: `count` makes that many iterations, and always one */
  #step(remaining: number): void {
    const pc = this.#pc
    const from = this.#linear(pc)
    const [op, length] = operationOf(this.#byte(from), this.#mode) ?? [undefined, 1]
    const bytes = Array.from({ length }, (_, i) => this.#byte(from + BigInt(i)))
    const signed = (i: number, n: number): bigint => {
      const value = bytes.slice(i, i + n).reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
      return BigInt.asIntN(8 * n, value)
    }
    const r = this.#registers
    const [rd, rs] = [(bytes[1] ?? 0) & 7, ((bytes[1] ?? 0) >> 3) & 7]
    let to = from + BigInt(length)
    let finished = true
    switch (op) {
      case undefined:
        throw new Fault(FAULT_UNDEFINED, from)
      case 'nop':
        break
      case 'movi':
        r[rd] = wrap(signed(2, 4))
        break
      case 'adr':
        r[rd] = wrap(from + signed(2, 2))
        break
      case 'add':
        this.#result = r[rd] = wrap(r[rd]! + r[rs]!)
        break
      case 'sub':
        this.#result = r[rd] = wrap(r[rd]! - r[rs]!)
        break
      case 'xor':
        this.#result = r[rd] = r[rd]! ^ r[rs]!
        break
      case 'addz':
        this.#result = r[rd] = wrap(r[rd]! + r[rs]! + (this.#result === 0n ? 1n : 0n))
        break
      case 'mul':
        r[rd] = wrap(r[rd]! * r[rs]!)
        break
      case 'load': {
        const places = this.#access(wrap(r[rs]! + signed(2, 1)), false)
        const value = places.reduceRight((sum, [frame, at]) => sum * 256n + BigInt(frame[at]!), 0n)
        r[rd] = wrap(BigInt.asIntN(32, value))
        break
      }
      case 'store': {
        const places = this.#access(wrap(r[rd]! + signed(2, 1)), true)
        for (const [i, [frame, at]] of places.entries()) frame[at] = Number((r[rs]! >> BigInt(8 * i)) & 0xffn)
        break
      }
      case 'bz':
        if (this.#result === 0n) to += signed(1, 1)
        break
      case 'jmp':
        to += signed(1, 2)
        break
      case 'call':
        r[LINK_REGISTER] = this.#counter(wrap(to))
        to += signed(1, 2)
        break
      case 'jr': {
        const target = r[rs]!
        if (target >= 1n << 63n) throw new Fault(FAULT_JUMP, target)
        to = this.#linear(this.#counter(target))
        break
      }
      case 'count':
        for (let left = remaining - 1; r[rs] !== 0n; left--) {
          if (left < remaining - 1 && (left <= 0 || this.#attention)) {
            finished = false
            break
          }
          r[rs] = wrap(r[rs]! - 1n)
          r[rd] = wrap(r[rd]! + 1n)
          this.#extra++
        }
        break
      case 'sys':
        to = this.#system(bytes[1]! & 7, to)
        break
    }
    if (!finished) {
      this.#mayEnd = true
      return
    }
    this.#retired++
    this.#pc = this.#counter(wrap(to))
    const [a, b] = [from, this.#linear(this.#pc)]
    this.#mayEnd = a / PAGE !== b / PAGE || b % PAGE <= a % PAGE
  }

  /** @returns the linear address of the next instruction */
  #system(number: number, next: bigint): bigint {
    const r = this.#registers
    switch (number) {
      case SYSTEM.halt:
        this.#halted = true
        break
      case SYSTEM.increment:
        r[0] = wrap(r[0]! + 1n)
        break
      case SYSTEM.go:
        return this.#linear(this.#counter(r[1]!))
      case SYSTEM.trap:
        throw new Fault(FAULT_TRAP, this.#linear(this.#pc))
      case SYSTEM.mode:
        this.#mode ^= 1
        break
      case SYSTEM.attention:
        this.#attention = true
        break
      case SYSTEM.remap: {
        const [a, b] = [Number(r[2]! & 3n), Number(r[3]! & 3n)]
        const page = this.#pages[a]
        this.#pages[a] = this.#pages[b]
        this.#pages[b] = page
        break
      }
      case SYSTEM.dma: {
        const frame = this.#frames[Number(r[3]! & 3n) % this.#frames.length]!
        const at = Number(r[2]! & 0xffcn)
        for (let i = 0; i < 4; i++) frame[at + i] = Number((r[4]! >> BigInt(8 * i)) & 0xffn)
        break
      }
      default:
    }
    return next
  }
}
