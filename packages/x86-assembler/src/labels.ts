import { requireWhole, AssemblerError } from './checks.ts'

/** A whole number as the encoder keeps it. Throws `ERR_OPERAND` unless it is a bigint or a safe integer. */
export function asWhole(value: number | bigint): bigint {
  if (typeof value === 'bigint') return value
  // Callers in plain JavaScript may pass any value.
  if (!Number.isSafeInteger(value)) {
    const what = typeof value === 'number' ? value : typeof value
    throw new AssemblerError('ERR_OPERAND', `${what} is not an integer that a number holds exactly`)
  }
  return BigInt(value)
}

/** The value of a {@link Label} or {@link LabelExpression} once every address is known. */
export interface AddressMap {
  /** Returns the address of a label. Throws `ERR_LABEL` for an unbound one. */
  addressOf(label: Label): bigint
}

/**
 * A value that depends on addresses that the assembler does not know yet: `(plus - minus + addend) >> shift`,
 * of which `width` bits are kept (0: all of it).
 *
 * Made by {@link Label.plus}, {@link Label.minus} and {@link Label.bits}; immutable.
 */
export class LabelExpression {
  /** Tells the kinds of operand apart. */
  readonly type = 'expression' as const
  /** The label that the expression starts from. */
  readonly base: Label
  /** The subtracted label. */
  readonly subtrahend: Label | undefined
  /** Bytes to add. */
  readonly addend: bigint
  /** Bits that are shifted out at the low end. */
  readonly shift: number
  /** Number of bits kept; 0: all. */
  readonly width: number

  constructor(base: Label, subtrahend: Label | undefined, addend: bigint, shift: number, width: number) {
    this.base = base
    this.subtrahend = subtrahend
    this.addend = addend
    this.shift = shift
    this.width = width
  }

  /** This value and `bytes` more. Throws `ERR_LABEL` after {@link LabelExpression.bits}. */
  plus(bytes: number | bigint): LabelExpression {
    this.#requireWhole()
    return new LabelExpression(this.base, this.subtrahend, this.addend + asWhole(bytes), 0, 0)
  }

  /** The distance from another label, or `bytes` less. Throws `ERR_LABEL` on a second label. */
  minus(other: Label | number | bigint): LabelExpression {
    if (!(other instanceof Label)) return this.plus(-asWhole(other))
    this.#requireWhole()
    if (this.subtrahend !== undefined) {
      throw new AssemblerError('ERR_LABEL', `${this.toString()} already subtracts a label`)
    }
    return new LabelExpression(this.base, other, this.addend, 0, 0)
  }

  /**
   * A bit field of this value, as descriptors and gates want it: `handler.bits(16, 16)`.
   *
   * @param low - the lowest bit, 0..63
   * @param width - how many bits, 1..64
   *
   * Throws `ERR_RANGE` on other numbers.
   */
  bits(low: number, width: number): LabelExpression {
    this.#requireWhole()
    requireWhole(low, 'the lowest bit of a field', 0, 63)
    requireWhole(width, 'the width of a field', 1, 64)
    return new LabelExpression(this.base, this.subtrahend, this.addend, low, width)
  }

  /** The value, with the addresses that a layout gave. Bit fields are taken from two's complement, 64 bits wide. */
  evaluate(addresses: AddressMap): bigint {
    let value = addresses.addressOf(this.base) + this.addend
    if (this.subtrahend !== undefined) value -= addresses.addressOf(this.subtrahend)
    if (this.width === 0) return value
    return (BigInt.asUintN(64, value) >> BigInt(this.shift)) & ((1n << BigInt(this.width)) - 1n)
  }

  /** True where moving the whole image moves the value: it counts as an address, not a distance. */
  get isAddress(): boolean {
    return this.subtrahend === undefined
  }

  /** Formats the expression for listings. */
  toString(): string {
    const minus = this.subtrahend === undefined ? '' : ` - ${this.subtrahend.name}`
    const sign = this.addend < 0n ? '-' : '+'
    const size = this.addend < 0n ? -this.addend : this.addend
    const sum = `${this.base.name}${minus}${size === 0n ? '' : ` ${sign} ${size}`}`
    return this.width === 0 ? sum : `(${sum})[${this.shift + this.width - 1}:${this.shift}]`
  }

  #requireWhole(): void {
    if (this.width !== 0) {
      throw new AssemblerError('ERR_LABEL', `${this.toString()} is a bit field; do the sum first`)
    }
  }
}

/**
 * A place in the program. `Assembler.label()` makes one, `Assembler.bind()` or `Assembler.here()` puts it somewhere.
 *
 * It stands for its address wherever an immediate, a displacement, a data item or a branch target may stand.
 */
export class Label {
  /** Tells the kinds of operand apart. */
  readonly type = 'label' as const
  /** Name in listings and symbols. */
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  /** Returns the place `bytes` after this one. */
  plus(bytes: number | bigint): LabelExpression {
    return asExpression(this).plus(bytes)
  }

  /** Returns the distance from another label, or the place `bytes` before this one. */
  minus(other: Label | number | bigint): LabelExpression {
    return asExpression(this).minus(other)
  }

  /** A bit field of the address; see {@link LabelExpression.bits}. */
  bits(low: number, width: number): LabelExpression {
    return asExpression(this).bits(low, width)
  }

  /** Formats the label for listings. */
  toString(): string {
    return this.name
  }
}

/** A label as an expression, or the expression itself. */
export function asExpression(value: Label | LabelExpression): LabelExpression {
  return value instanceof Label ? new LabelExpression(value, undefined, 0n, 0, 0) : value
}
