import { fromLittleEndian, littleEndian, toHex } from './hex.ts'

/** Registers that differ by their number only. */
export const many = (count: number, make: (i: number) => Register): readonly Register[] =>
  Array.from({ length: count }, (_, i) => make(i))

/** Types of 128 bits of floating point. */
export const FLOAT_VECTORS =
  '<vector id="v4f" type="ieee_single" count="4"/>\n<vector id="v2d" type="ieee_double" count="2"/>'

/** Returns a type of flags. @param fields - their names and bits, of several bits the first and the last: `CF 0, EL 2-3` */
export function flagsType(id: string, fields: string): string {
  const described = Array.from(
    fields.matchAll(/(\w*) (\d+)(?:-(\d+))?/g),
    ([, name, start, end = start]) => `<field name="${name}" start="${start}" end="${end}"/>`,
  )
  return `<flags id="${id}" size="4">${described.join('')}</flags>`
}

/** Codes of {@link GdbError}. */
export type GdbErrorCode =
  /** A register set without a needed register, or with one twice. */
  'ERR_REGISTERS'

/** A caller's mistake. Clients' mistakes are answered with error packets. */
export class GdbError extends Error {
  /** The class’s name. */
  override readonly name: string = 'GdbError'
  /** Stable code to switch on. */
  readonly code: GdbErrorCode

  constructor(code: GdbErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** One register of a target description. */
export interface Register {
  /** Name, of gdb's where gdb knows the register. */
  readonly name: string
  /** Size. */
  readonly bits: number
  /** Type, of the description language; default `int`. */
  readonly type?: string
  /** The register's group in listings; default `general`. */
  readonly group?: string
}

/** The list of a debugger that a register is in. */
export type RegisterList = 'general' | 'system' | 'vector'

/** A register for people, who look at a vector register whole: gdb has its upper parts by names of their own. */
export interface ShownRegister {
  /** The list that shows the register; masks, floating point and tiles are among the vectors. */
  readonly list: RegisterList
  /** Name of the whole. */
  readonly name: string
  /** Size of the whole. */
  readonly bits: number
  /** Undefined: not known. */
  readonly value: bigint | undefined
}

const UPPER_PART = /^[yz]mm\d+h$/
const MASK = /^k\d$/

function listOf({ name, bits, group }: Register): RegisterList {
  if (group === 'system') return 'system'
  return bits > 64 || group === 'float' || group === 'vector' || MASK.test(name) ? 'vector' : 'general'
}

/** A group of registers, with their types. */
export interface RegisterFeature {
  /** `org.gnu.gdb.…` where gdb knows the feature. */
  readonly name: string
  /** Elements of the description language that come first. */
  readonly types?: string
  /** Registers by number. */
  readonly registers: readonly Register[]
}

/** All registers of a processor, as a target description gives them. */
export class RegisterSet {
  /** Registers in the order of their numbers, which the client uses. */
  readonly registers: readonly Register[]
  /** The description that the client reads as `target.xml`. */
  readonly xml: string
  /** The program counter's name. */
  readonly programCounter: string
  /** Number of registers, from the first, in packets of all registers. */
  readonly general: number
  readonly #numbers = new Map<string, number>()

  /**
   * @param architecture - gdb's name: `i386:x86-64`
   * @param general - features, from the first, whose registers are in packets of all registers
   * @throws GdbError `ERR_REGISTERS` for two of one name, or a size that is not whole bytes
   */
  constructor(
    architecture: string,
    features: readonly RegisterFeature[],
    programCounter: string,
    general: number = features.length,
  ) {
    this.registers = features.flatMap(({ registers }) => registers)
    this.general = features.slice(0, general).flatMap(({ registers }) => registers).length
    for (const [i, { name, bits }] of this.registers.entries()) {
      if (this.#numbers.has(name)) throw new GdbError('ERR_REGISTERS', `register ${name} is there twice`)
      if (!(bits > 0 && bits % 8 === 0))
        throw new GdbError('ERR_REGISTERS', `register ${name} of ${bits} bits: expected whole bytes`)
      this.#numbers.set(name, i)
    }
    if (!this.#numbers.has(programCounter))
      throw new GdbError('ERR_REGISTERS', `there is no program counter ${programCounter}`)
    this.programCounter = programCounter
    this.xml = [
      '<?xml version="1.0"?>',
      '<!DOCTYPE target SYSTEM "gdb-target.dtd">',
      '<target version="1.0">',
      `<architecture>${architecture}</architecture>`,
      ...features.map(({ name, types = '', registers }) => {
        const lines = registers.map(
          ({ name: register, bits, type = 'int', group }) =>
            `<reg name="${register}" bitsize="${bits}" type="${type}"${group === undefined ? '' : ` group="${group}"`}/>`,
        )
        return [`<feature name="${name}">`, types, ...lines, '</feature>'].join('\n')
      }),
      '</target>',
      '',
    ].join('\n')
  }

  /** Returns the registers for people. @param list - only those; default all @param read - reads a register of the description */
  shown(read: (name: string) => bigint | undefined, list?: RegisterList): ShownRegister[] {
    return this.registers
      .filter((one) => !UPPER_PART.test(one.name) && (list === undefined || listOf(one) === list))
      .map((one) => ({ list: listOf(one), ...this.#wholeOf(one, read) }))
  }

  #wholeOf({ name, bits }: Register, read: (name: string) => bigint | undefined): Omit<ShownRegister, 'list'> {
    let whole = { name, bits, value: read(name) }
    for (const width of name.startsWith('xmm') ? ['ymm', 'zmm'] : []) {
      const upper = name.replace('xmm', width)
      const part = this.numberOf(`${upper}h`) < 0 ? undefined : read(`${upper}h`)
      if (part === undefined || whole.value === undefined) return whole
      whole = { name: upper, bits: 2 * whole.bits, value: whole.value | (part << BigInt(whole.bits)) }
    }
    return whole
  }

  /** Returns the number of a register; −1 if unknown. */
  numberOf(name: string): number {
    return this.#numbers.get(name) ?? -1
  }
}

/** A register's value as the protocol writes it; `x` for each digit that is not known. */
export function formatRegister({ bits }: Register, value: bigint | undefined): string {
  return value === undefined ? 'x'.repeat(bits / 4) : toHex(littleEndian(value, bits / 8))
}

/** The value of a register's bytes. */
export function registerValue(bytes: Uint8Array): bigint {
  return fromLittleEndian(bytes)
}
