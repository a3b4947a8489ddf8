/**
 * The language of the instruction tables, and its compiler.
 *
 * A row has the columns encoding, mnemonic, operands, attributes, two or more spaces apart; `#` starts a comment line.
 *
 * **Encoding**, most significant bit first: `0` and `1` are fixed, `-` is anything, a letter is a field, which may be in
 * several pieces. Fields of loads and stores: `t` `u` registers that are transferred, `n` base, `m` index, `s` status or
 * source, `c` condition, `i` immediate, `j` list of registers, `z` size, `Q` `l` vector size and lane, `v` SIMD&FP, `o` `p`
 * options, `e` `S` extend and shift, `a` `r` acquire and release, `w` addressing mode of a pair, `k` kind of shift; `P`, `W`,
 * `U` are the bits that A32 and T32 call so. The other tables say at their heads which letters they use.
 * `L` and `N` are choices: a row stands for one row for each value, `(x|y)` picks by `L`, `(w|x|y|z)` by `N`.
 *
 * **Mnemonic**: as the manual writes it. `<AR>` stands for the letters of acquire and release, `<S>` for that of the size,
 * `<PME>` and `<options>` for those of memory copies, `<cond>` for a condition, `<2>` for the 2 of the upper half (Q is 1). `.`
 * is none: the operand is all.
 *
 * **Operands**: text with placeholders; `.` is none.
 * - `<Wt>` is a register: its class, then its field. `W` `X` general-purpose, `R` W or X as field `f` (loads and stores: the
 *   size) says; 31 is the zero register, but in `<XSn>` the stack pointer. `B` `H` `S` `D` `Q` scalars of SIMD&FP; `F` S, D or
 *   H by `y`; `Y` B, H, S or D by `z`, and `Y+` the next larger one. `<Wt1>` is the register after `<Wt>`.
 * - `<Vd.T>` is a vector and its arrangement: `T` by `z` and `Q`; `P` half as many elements, twice as wide; `W` the same in a
 *   whole register; `F` of floating point, by `x` and `Q`; `8b/16b` by `Q`; others as they stand. `<Vm.h[hl]>` is one lane, whose
 *   number is field `h` and then `l`. `<list2>` is two vectors from `n` on.
 * - `<#i>` is the immediate of field `i`: `<#±i>` signed, `<#i*16>` multiplied, `<#j+1>` added to, `<#64-s>` subtracted from 64,
 *   `<#8<<z>` 8 shifted by `z`. Loads and stores: as the attribute `imm` says, and `<,#i>` is left out where it is 0.
 * - `<q>` is the number of field `q`, without `#`.
 * - Other words are named in `format-operands.ts`, those of loads and stores in `format-load-store-a64.ts` and
 *   `format-load-store-a32.ts`.
 *
 * **Attributes**: first the operation, in one word; loads and stores: with bytes of an element (or the operation of an atomic)
 * after a dot. An attribute in capitals is the architectural feature (`FEAT_` left off).
 *
 * Loads and stores: `imm=s*4` signed immediate, `u` unsigned, times 4 or `size`; `by` a fixed offset, `bytes` of an element;
 * `pre`, `post` writeback; `literal`; `extended`, `shifted` index; `pair` two registers `t` and `u`, `couple` two consecutive
 * ones, `multiple` a list, `vectors` consecutive SIMD&FP registers; `structure.2`, `sequence.2`, `replicate.2` SIMD structures
 * of two registers, of one `lane`, `spaced` or `doubled`; `sx` sign-extended; `acquire`, `release`; `unprivileged`; `pac`
 * authenticated; `tag` with tags, `block` of the size that DCZID_EL0 says. A32 and Thumb: `stack` by SP, `up` and `down`, `extra` by a word more,
 * `link` LR or PC too, `return` to the state of SPSR, `user` registers, `minus` subtracted, `base` not PC, `notpc` PC is a
 * hint.
 *
 * All other rows: `flags` are set, `minus` a difference, `long` and `high` products, `accumulate` and `dual` products that are added,
 * `greater` of two, `bytes` of an element, `castagnoli` the polynomial of CRC32C, `upper` the upper half; and conditions, all of which
 * an encoding meets. `z!=3`, `s<5` compare a field with a number,
 * `zQ=6` two fields, one after the other; `n=m`, `i<=w` compare two fields. The others are named in `conditions.ts`.
 *
 * A32 and Thumb: `<c>` is a condition, `<s>` an S where flags are set, `<Rd>` a general-purpose register; `<Sd>`, `<Dd>`, `<Qd>`
 * are registers of VFP and Advanced SIMD, `<Vd>` D or Q by `Q`, `<Dm[l]>` a lane. In data types `<z>` is the size of an element,
 * `<z+>` twice that, `<su>` S or U by `u`, `<f>` and `<fx>` F16 or F32 by `x`. A mnemonic ends in `.W` where T16 has the instruction
 * too. The others are named in `format-aarch32-operands.ts` and `format-aarch32-vectors.ts`.
 */

/** A field of an encoding: its pieces, the most significant first. */
export interface Field {
  /** Each piece as `shift | width << 8`. */
  readonly pieces: readonly number[]
  /** In bits. */
  readonly width: number
}

/** One instruction form: a row of a table. */
export interface Form {
  /** Index of the form in its set's table. */
  readonly index: number
  /** Upper-case mnemonic of the manual. */
  readonly mnemonic: string
  /** The mnemonic up to its first placeholder, type or suffix: `VADD` of `VADD<c>.I<z>`, `''` where it is one. */
  readonly name: string
  /** The integers' sign that the name says, as of SMULL, UADDLV and FCVTNU; `''` where it says none. */
  readonly sign: '' | 'S' | 'U'
  /** The letter of the rounding mode of FCVTNS, FRINTX and the like, or `''`. */
  readonly rounding: string
  /** The operand column: text with placeholders. */
  readonly operands: string
  /** The operation in one word: the first attribute. */
  readonly operation: string
  /** Bytes of one access; 0: decided by fields. */
  readonly size: number
  /** Words of the attribute column. */
  readonly attributes: ReadonlySet<string>
  /** `FEAT_` name, or `''` for the base architecture. */
  readonly feature: string
  /** Mask of the fixed bits, and their values. */
  readonly mask: number
  /** The fixed bits. */
  readonly value: number
  /** The fields of the encoding, by their letter. */
  readonly fields: ReadonlyMap<string, Field>
  /** The immediate is signed. */
  readonly immediateSigned: boolean
  /** The factor of the immediate; 0 = no immediate. */
  readonly immediateScale: number
  /** Fixed offset or writeback in bytes. */
  readonly by: number
  /** SIMD structures: how many registers; 0 for all else. */
  readonly registers: number
}

/** One row before its letters are interpreted. */
export interface Row {
  readonly encoding: string
  readonly mnemonic: string
  readonly operands: string
  readonly attributes: readonly string[]
}

/** Splits a table's text into rows. */
export function parseRows(text: string): Row[] {
  const rows: Row[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [encoding = '', mnemonic = '', operands = '', attributes = ''] = line.split(/ {2,}/)
    rows.push({ encoding: encoding.replaceAll(' ', ''), mnemonic, operands, attributes: attributes.split(' ') })
  }
  return rows
}

/** Expands the choices `L` and `N` of a row to all of their values. */
export function expandChoices(row: Row): Row[] {
  const choose = (rows: readonly Row[], letter: string, group: RegExp): Row[] =>
    rows.flatMap((each) => {
      const width = each.encoding.split(letter).length - 1
      if (width === 0) return [each]
      return Array.from({ length: 1 << width }, (_, value) => {
        const pick = (text: string): string =>
          text.replaceAll(group, (_match, inside: string) => inside.split('|')[value]!)
        let left = width
        return {
          encoding: each.encoding.replaceAll(letter, () => String((value >> --left) & 1)),
          mnemonic: pick(each.mnemonic),
          operands: pick(each.operands),
          attributes: each.attributes.map(pick).filter((word) => word !== ''),
        }
      })
    })
  return choose(choose([row], 'L', /\(([^|()]*\|[^|()]*)\)/g), 'N', /\(([^|()]*\|[^|()]*\|[^|()]*\|[^|()]*)\)/g)
}

/** The columns that follow from a mnemonic's letters, to which the manual gives the same meaning everywhere. */
function nameColumns(mnemonic: string): Pick<Form, 'name' | 'sign' | 'rounding'> {
  const name = /^[A-Z0-9]*/.exec(mnemonic)![0]
  const [, converted, sign, integral] = /^(?:FCVT([ANMPZ])([SU])|FRINT(?:32|64)?([ANMPXZI]))$/.exec(name) ?? []
  const first = /^[SU]/.exec(name)?.[0] ?? ''
  return { name, sign: (sign ?? first) as Form['sign'], rounding: converted ?? integral ?? '' }
}

export function compileRow(row: Row, index: number): Form {
  const { encoding } = row
  let mask = 0
  let value = 0
  const pieces = new Map<string, number[]>()
  for (let start = 0; start < encoding.length;) {
    const letter = encoding.charAt(start)
    let end = start + 1
    while (encoding.charAt(end) === letter) end++
    const shift = encoding.length - end
    const ones = (2 ** (end - start) - 1) * 2 ** shift
    if (letter === '0' || letter === '1') {
      mask += ones
      if (letter === '1') value += ones
    } else if (letter !== '-') {
      const list = pieces.get(letter) ?? []
      list.push(shift | ((end - start) << 8))
      pieces.set(letter, list)
    }
    start = end
  }
  const fields = new Map<string, Field>()
  for (const [letter, list] of pieces) {
    fields.set(letter, { pieces: list, width: list.reduce((sum, piece) => sum + (piece >> 8), 0) })
  }
  const [operation = '', ...rest] = row.attributes
  const [name = '', size = '0'] = operation.split('.')
  const attributes = new Set<string>()
  let feature = ''
  let immediate = ''
  let by = 0
  let registers = 0
  let bytes = Number(size) || 0
  if (size === 'block') attributes.add('block')
  else if (Number.isNaN(Number(size))) attributes.add(size)
  for (const attribute of rest) {
    if (attribute.startsWith('imm=')) immediate = attribute.slice(4)
    else if (attribute.startsWith('by=')) by = Number(attribute.slice(3))
    else if (attribute.startsWith('bytes=')) bytes = Number(attribute.slice(6))
    else if (/^(?:structure|sequence|replicate)\.\d$/.test(attribute)) {
      attributes.add(attribute.slice(0, -2))
      registers = Number(attribute.slice(-1))
    } else if (/^[A-Z]/.test(attribute)) feature = attribute
    else attributes.add(attribute)
  }
  const [sign = '', scale = '1'] = immediate.split('*')
  return {
    index,
    mnemonic: row.mnemonic,
    ...nameColumns(row.mnemonic),
    operands: row.operands === '.' ? '' : row.operands,
    operation: name,
    size: bytes,
    attributes,
    feature,
    mask: mask >>> 0,
    value: value >>> 0,
    fields,
    immediateSigned: sign === 's',
    immediateScale: immediate === '' ? 0 : scale === 'size' ? bytes : Number(scale),
    by,
    registers,
  }
}

/** Returns a field's value in an encoding; 0 without the field. */
export function extract(field: Field | undefined, word: number): number {
  let value = 0
  if (field !== undefined) {
    for (const piece of field.pieces) {
      const width = piece >> 8
      value = (value << width) | ((word >>> (piece & 255)) & ((1 << width) - 1))
    }
  }
  return value
}

/** The value of the field that a letter names; 0 where a form has none of that letter. */
export const fieldOf = (form: Form, letter: string, word: number): number => extract(form.fields.get(letter), word)

/** Returns the concatenated values of several fields, the most significant first. */
export function fieldsOf(form: Form, letters: string, word: number): number {
  let bits = 0
  for (const letter of letters) bits = (bits << form.fields.get(letter)!.width) | fieldOf(form, letter, word)
  return bits
}

/** `<#8<<z>` has a bracket inside. */
const PLACEHOLDER = /<((?:[^<>]|<<)*)>/

/** Texts of a table's rows: literal parts and placeholders, alternating. */
export class Templates<Operand> {
  readonly #operand: (name: string) => Operand
  readonly #known: WeakMap<Form, readonly (string | Operand)[]>

  /** @param operand - resolves a placeholder */
  constructor(operand: (name: string) => Operand) {
    this.#operand = operand
    this.#known = new WeakMap()
  }

  /** Returns mnemonic and operands of a row; fixed text is in lower case. */
  of(form: Form): readonly (string | Operand)[] {
    let template = this.#known.get(form)
    if (template === undefined) {
      template = this.#split(form)
      this.#known.set(form, template)
    }
    return template
  }

  #split({ mnemonic, operands }: Form): (string | Operand)[] {
    // SYS and HINT have no mnemonic: the operand is all, `nop`.
    const text = mnemonic === '.' ? operands : `${mnemonic} ${operands}`.trimEnd()
    return text
      .split(PLACEHOLDER)
      .map((piece, index) => (index % 2 === 0 ? piece.toLowerCase() : this.#operand(piece)))
      .filter((piece) => piece !== '')
  }
}

/** A field's value as a signed number. */
export function signedField(form: Form, letter: string, word: number): number {
  const { width } = form.fields.get(letter)!
  const value = fieldOf(form, letter, word)
  return value >= 2 ** (width - 1) ? value - 2 ** width : value
}

/** Immediates: `#i`, `#±i`, `#i*16`, `#j+1`, `#64-s`, `#8<<z`, `#r*180+90`. */
export function immediate(name: string): (form: Form, word: number) => string {
  const match = /^#(?:(\d+)(-|<<))?(±?)([a-z])(?:\*(\d+))?(?:\+(\d+))?$/.exec(name)!
  const [, left, operator, sign, letter = '', factor = 1, more = 0] = match
  if (operator === '-') return (form, word) => `#${Number(left) - fieldOf(form, letter, word)}`
  if (operator === '<<') return (form, word) => `#${Number(left) << fieldOf(form, letter, word)}`
  const value = sign === '' ? fieldOf : signedField
  return (form, word) => `#${value(form, letter, word) * Number(factor) + Number(more)}`
}

/** Floating-point constants of 8 bits: a sign, three bits of exponent, four of fraction, as `VFPExpandImm` says. */
export function floatConstant(bits: number): number {
  const exponent = ((bits >> 4) & 7) ^ 4
  const value = ((16 + (bits & 15)) / 16) * 2 ** (exponent - 3)
  return (bits & 0x80) === 0 ? value : -value
}
