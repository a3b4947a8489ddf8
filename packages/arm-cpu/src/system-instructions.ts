import { extract, findA64 } from '@retrap/arm-decoder'
import { STATUS_DONE, STATUS_EXIT, STATUS_FAULT } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { R_WORD } from './record.ts'
import type { ArmCounter } from './host.ts'
import { PSTATE_DIT, PSTATE_SSBS } from './registers.ts'
import type { ArmRegisters } from './registers.ts'
import { S_FAULT_SYNDROME, S_PC } from './state-layout.ts'
import { callSyndrome, EC_BRK64, EC_SVC64, UNDEFINED } from './syndrome.ts'

/** A system register of EL0, by op0, op1, CRn, CRm and op2 in one number. */
interface SystemRegister {
  readonly read: (registers: ArmRegisters) => bigint
  readonly write?: (registers: ArmRegisters, value: bigint) => void
}

const register = (op0: number, op1: number, n: number, m: number, op2: number): number =>
  (op0 << 14) | (op1 << 11) | (n << 7) | (m << 3) | op2

/** FPCR's bits that are there: AHP, DN, FZ, RMode, FZ16. */
const FPCR_BITS = 0x07c8_0000n
/** FPSR's: QC, and the cumulative flags IDC, IXC, UFC, OFC, DZC and IOC. */
const FPSR_BITS = 0x0800_009fn

/** Cache lines of 64 bytes, and code that is coherent: DIC and IDC. */
const CTR_EL0 = 0x9444_c004n | (1n << 28n) | (1n << 29n)
/** DC ZVA clears 64 bytes. */
const DCZID_EL0 = 4n

/** A bit of PSTATE as a register of its own. */
const flag = (bit: number): SystemRegister => ({
  read: (r) => BigInt(r.pstate & bit),
  write: (r, value) => (r.pstate = (r.pstate & ~bit) | (Number(value & 0xffff_ffffn) & bit)),
})

/** Registers of the counter, where there is one. */
const COUNTER_REGISTERS: ReadonlyMap<number, (counter: ArmCounter) => bigint> = new Map([
  [register(3, 3, 14, 0, 0), ({ frequency }: ArmCounter) => BigInt(frequency)],
  [register(3, 3, 14, 0, 2), (counter: ArmCounter) => BigInt.asUintN(64, counter.count())],
])

const REGISTERS: ReadonlyMap<number, SystemRegister> = new Map<number, SystemRegister>([
  [register(3, 3, 0, 0, 1), { read: () => CTR_EL0 }],
  [register(3, 3, 0, 0, 7), { read: () => DCZID_EL0 }],
  [
    register(3, 3, 4, 2, 0),
    { read: (r) => BigInt(r.nzcv), write: (r, value) => (r.nzcv = Number(value & 0xf000_0000n)) },
  ],
  [register(3, 3, 4, 4, 0), { read: (r) => BigInt(r.fpcr), write: (r, value) => (r.fpcr = Number(value & FPCR_BITS)) }],
  [register(3, 3, 4, 4, 1), { read: (r) => BigInt(r.fpsr), write: (r, value) => (r.fpsr = Number(value & FPSR_BITS)) }],
  [register(3, 3, 4, 2, 5), flag(PSTATE_DIT)],
  [register(3, 3, 4, 2, 6), flag(PSTATE_SSBS)],
  [register(3, 3, 13, 0, 2), { read: (r) => r.tpidr, write: (r, value) => (r.tpidr = value) }],
  [register(3, 3, 13, 0, 3), { read: (r) => r.tpidrro }],
])

/** Executes the instructions that generated code does not, and raises exceptions for those that are not there. */
export class SystemInstructions {
  readonly #memory: MachineMemory
  readonly #u32: Uint32Array
  readonly #u64: BigUint64Array
  readonly #registers: ArmRegisters
  readonly #counter: ArmCounter | undefined

  /** @param state - machine address of the processor's state */
  constructor(memory: MachineMemory, state: number, registers: ArmRegisters, counter: ArmCounter | undefined) {
    this.#memory = memory
    this.#u32 = memory.u32.subarray(state >>> 2)
    this.#u64 = memory.u64.subarray(state >>> 3)
    this.#registers = registers
    this.#counter = counter
  }

  /** The import of generated code: executes the instruction of a record. @returns a status */
  execute(record: number): number {
    const word = this.#memory.u32[(record + R_WORD) >>> 2]!
    const row = findA64(word)
    if (row === undefined) return this.#raise(UNDEFINED)
    const field = (letter: string): number => extract(row.fields.get(letter), word)
    switch (row.operation) {
      case 'exception':
        return this.#exception(row.mnemonic, field('i'))
      case 'pstate':
        return this.#pstate((field('o') << 3) | field('w'), (field('y') & 1) === 1)
      case 'system-register':
        return this.#systemRegister(row.mnemonic === 'MRS', word & 31, (word >>> 5) & 0xffff)
      default:
        return this.#raise(UNDEFINED)
    }
  }

  #exception(mnemonic: string, number: number): number {
    if (mnemonic === 'SVC') {
      // It has retired: the exception returns to the instruction behind it.
      this.#u64[S_PC >>> 3] = this.#u64[S_PC >>> 3]! + 4n
      this.#raise(callSyndrome(EC_SVC64, number))
      return STATUS_EXIT
    }
    return this.#raise(mnemonic === 'BRK' ? callSyndrome(EC_BRK64, number) : UNDEFINED)
  }

  /** MSR of an immediate: op1 and op2 say which field. */
  #pstate(field: number, on: boolean): number {
    const bit = field === 0o32 ? PSTATE_DIT : field === 0o31 ? PSTATE_SSBS : 0
    if (bit === 0) return this.#raise(UNDEFINED)
    const registers = this.#registers
    registers.pstate = on ? registers.pstate | bit : registers.pstate & ~bit
    return STATUS_DONE
  }

  #systemRegister(reads: boolean, general: number, number: number): number {
    const read = this.#counter === undefined ? undefined : COUNTER_REGISTERS.get(number)
    const found: SystemRegister | undefined =
      read === undefined ? REGISTERS.get(number) : { read: () => read(this.#counter!) }
    if (found === undefined) return this.#raise(UNDEFINED)
    if (reads) {
      const value = found.read(this.#registers)
      if (general !== 31) this.#registers.setX(general, value)
      return STATUS_DONE
    }
    if (found.write === undefined) return this.#raise(UNDEFINED)
    found.write(this.#registers, general === 31 ? 0n : this.#registers.x(general))
    return STATUS_DONE
  }

  #raise(syndrome: number): number {
    this.#u32[S_FAULT_SYNDROME >>> 2] = syndrome
    return STATUS_FAULT
  }
}
