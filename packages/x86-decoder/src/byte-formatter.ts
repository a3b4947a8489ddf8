/**
 * Lines as bytes, for programs that print many: no allocation, and a line takes only a few times as long as copying its bytes.
 */
import * as byteProgram from './byte-program.ts'
import { makeNames, type ByteSyntax, lineKind, markRegisters, programOf } from './byte-program.ts'
import { codeInfo } from './codes.ts'
import { operandsOf } from './decode.ts'
import { DecoderError, requireOptions, shown } from './errors.ts'
import { type FormatOptions, type Field, LineWriter } from './line-writer.ts'
import type { Instruction } from './instruction.ts'
import * as K from './kinds.ts'
import { hashOf, keyForm, keyMemory, keyRegisters, requireFormatOptions } from './line-cache.ts'

/**
 * Bytes that text is added to. Lines are ASCII, one byte a character, without a newline; a formatter writes from `length` on, and
 * sets `length` behind the line.
 */
export interface ByteSink {
  /** The text's buffer, which `reserve` replaces if it is too short. */
  bytes: Uint8Array
  /** Number of bytes of text. After an error the text may end within a line: reset this to the line's start. */
  length: number
  /**
   * Makes room for this many bytes after `length`, and keeps the text. It is asked at the start of each line for the longest line,
   * 512 bytes and `mnemonicWidth` more, and for as many again after each call of `symbols`, which reserves for its own names.
   */
  reserve(more: number): void
}

/**
 * How to print as bytes: in lower case, numbers as `0x1f`. `mnemonicWidth` is 0 to 1,000 characters.
 *
 * Of `FormatOptions` there are no `upperCase`, `hex`, `address` and loose `spacing`; the address is an argument of `write`.
 */
export interface ByteFormatOptions extends Pick<FormatOptions, 'mnemonicWidth'> {
  /** As in `FormatOptions`. */
  readonly spacing?: 'tight' | 'normal'
  /**
   * Adds the name of an address to `out` and returns true, or returns false if it has none: what it has added then is dropped.
   * It calls `out.reserve` before it adds. A name may have any bytes, such as UTF-8.
   *
   * The address is a pair of signed words. It is asked for as `FormatOptions.symbols` is.
   */
  readonly symbols?: (low: number, high: number, out: ByteSink) => boolean
}

/** Prefixes that may have a word in a line. */
const WORTH_A_WORD =
  K.PREFIX_LOCK | K.PREFIX_REP | K.PREFIX_REPNE | K.PREFIX_REPNE_LAST | K.PREFIX_ADDRESS_SIZE | K.PREFIX_SEGMENT
/** Prefixes that change the names of byte registers. */
const BYTE_NAMES = K.PREFIX_REX | K.PREFIX_EVEX

/** Bits of the second word of a key without registers, which a key with registers does not have. */
const WITHOUT_REGISTERS = 1 << 30

const CODES = 1 << 13
const PLACE_BITS = 13
/** Words of a place: the key, and where the program is. */
const PLACE_WORDS = 4
/** Room for the programs; when it is full, all places are given up. */
const ARENA_BYTES = 1 << 16
/** The most that a line has besides symbols and the blanks up to the column of its operands. */
const LINE_BYTES = 512

const MINUS = 0x2d
const PLUS = 0x2b
const DOLLAR = 0x24
const ZERO = 0x30
const LETTER_X = 0x78

const DIGITS: Uint8Array = /*#__PURE__*/ Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))

/** Everything but numbers and register names that a line depends on, in the second word of a key. */
function keyAddress(insn: Instruction): number {
  const { base, index, segmentOverride } = insn
  let key = WITHOUT_REGISTERS | (insn.operandSize << 20)
  if (insn.isMemory === 0) return segmentOverride < 0 ? key : key | (segmentOverride + 1)
  key |= 1 << 6
  if (insn.dispSize !== 0) key |= 1 << 7
  if (base >= 0) key |= base === K.REGISTER_RIP ? 1 << 8 : 1 << 9
  // An index without a base is in the line as it is.
  if (index >= 0) key |= (base >= 0 ? 1 << 10 : (index + 2) << 10) | (insn.scale << 18)
  if (segmentOverride >= 0 || base < 0) key |= (segmentOverride + 1) | (insn.segment << 3)
  return key
}

/**
 * Prints instructions as bytes, in one syntax and style: for listings, since most lines are written without a string. Create
 * one with `bytesIntel`, `bytesAtt` or `bytesNasm`, and keep it: it has 200 KB of memory for the forms that it has met.
 */
export interface ByteFormatter {
  /**
   * Adds the line of an instruction.
   *
   * @param insn - filled in by `decodeInto`
   * @param low - low word, signed, of the offset of the instruction's first byte in its code segment
   * @param high - high word of the address, signed
   * @param out - receives the line: ASCII, and the output of `symbols`
   * @throws DecoderError `ERR_ADDRESS` on a word that is not a number, `ERR_TARGET` on what is no decoded instruction
   */
  write(insn: Instruction, low: number, high: number, out: ByteSink): void
}

/** The formatter of any syntax. */
export class SyntaxBytes implements ByteFormatter {
  readonly #write: (out: LineWriter) => void
  readonly #syntax: ByteSyntax
  readonly #style: FormatOptions
  readonly #symbols: ((low: number, high: number, out: ByteSink) => boolean) | undefined
  readonly #room: number
  readonly #names: Uint8Array = makeNames()
  /** By code: a `KIND_*`. */
  readonly #kinds: Uint8Array = new Uint8Array(CODES)
  readonly #places: Int32Array = new Int32Array(PLACE_WORDS << PLACE_BITS)
  readonly #programs: Uint8Array = new Uint8Array(ARENA_BYTES)
  #used = 0
  /** Fields without an operation of their own. */
  readonly #fields: Field[] = []

  constructor(write: (out: LineWriter) => void, syntax: ByteSyntax, options: ByteFormatOptions) {
    requireOptions(options)
    const { symbols, ...style } = options
    requireFormatOptions(style)
    const { hex, upperCase, spacing } = style as FormatOptions
    if (hex === 'suffix' || upperCase === true || spacing === 'loose') {
      throw new DecoderError(
        'ERR_OPTION',
        'bytes are printed in lower case, with prefixed numbers and without loose spacing; use formatIntel and its kind for another style',
      )
    }
    if (symbols !== undefined && typeof symbols !== 'function') {
      throw new DecoderError('ERR_OPTION', `symbols is ${shown(symbols)}, expected a function`)
    }
    this.#write = write
    this.#syntax = syntax
    this.#style = style
    this.#symbols = symbols
    this.#room = LINE_BYTES + (style.mnemonicWidth ?? 0)
  }

  write(insn: Instruction, low: number, high: number, out: ByteSink): void {
    if (typeof low !== 'number' || typeof high !== 'number') throw wordError(low, high)
    let pc = this.#find(insn)
    const programs = this.#programs
    const names = this.#names
    out.reserve(this.#room)
    let { bytes } = out
    let at = out.length
    for (;;) {
      const operation = programs[pc++]!
      if (operation < byteProgram.OP_END) bytes[at++] = operation
      else if (operation >= byteProgram.OP_REGISTER) {
        const register = operation - byteProgram.OP_REGISTER
        const source = (register / byteProgram.NAME_CLASSES) | 0
        let name = (register - source * byteProgram.NAME_CLASSES) * byteProgram.CLASS_BYTES
        if (source === byteProgram.SOURCE_REG) name += insn.reg * byteProgram.NAME_BYTES
        else if (source === byteProgram.SOURCE_RM) name += insn.rm * byteProgram.NAME_BYTES
        else if (source === byteProgram.SOURCE_BASE) name += insn.base * byteProgram.NAME_BYTES
        else if (source === byteProgram.SOURCE_OPCODE) name += insn.opcodeReg * byteProgram.NAME_BYTES
        else if (source === byteProgram.SOURCE_VVVV) name += insn.vvvv * byteProgram.NAME_BYTES
        else name += insn.index * byteProgram.NAME_BYTES
        const end = name + names[name + byteProgram.NAME_LENGTH]!
        while (name < end) bytes[at++] = names[name++]!
      } else if (operation === byteProgram.OP_END) break
      else {
        out.length = at
        this.#writeNumber(operation, programs[pc]!, insn, low, high, out)
        if (operation === byteProgram.OP_FIELD) pc++
        bytes = out.bytes
        at = out.length
      }
    }
    out.length = at
  }

  /** Finds the program that writes an instruction's line. */
  #find(insn: Instruction): number {
    const { code } = insn
    let kind = this.#kinds[code]!
    if (kind === byteProgram.KIND_UNKNOWN) {
      kind = lineKind(codeInfo(code))
      this.#kinds[code] = kind
    }
    let form = 0
    let address = WITHOUT_REGISTERS
    let memory = 0
    if (kind === byteProgram.KIND_FORM || kind === byteProgram.KIND_BYTE_FORM) {
      const prefixes = insn.prefixes & (kind === byteProgram.KIND_FORM ? WORTH_A_WORD : WORTH_A_WORD | BYTE_NAMES)
      form = code | (prefixes << 13) | ((insn.mode >> 5) << 25) | ((insn.addressSize >> 5) << 27)
      address = keyAddress(insn)
    } else if (kind !== byteProgram.KIND_INVALID) {
      form = keyForm(insn)
      address = keyRegisters(insn)
      memory = keyMemory(insn)
    }
    const places = this.#places
    const place = PLACE_WORDS * (hashOf(form, address, memory) >>> (32 - PLACE_BITS))
    if (places[place] === form && places[place + 1] === address && places[place + 2] === memory)
      return places[place + 3]!
    // The second place holds a line with the same hash.
    const other = place ^ PLACE_WORDS
    if (places[other] === form && places[other + 1] === address && places[other + 2] === memory)
      return places[other + 3]!
    const program = this.#compile(insn, kind)
    if (kind === byteProgram.KIND_IRREGULAR) return program
    if (places[place + 1] !== 0) places.copyWithin(other, place, place + PLACE_WORDS)
    places[place] = form
    places[place + 1] = address
    places[place + 2] = memory
    places[place + 3] = program
    return program
  }

  /** Makes the program of a line. An irregular one lasts until the next is made. */
  #compile(insn: Instruction, kind: number): number {
    const isMarked = kind === byteProgram.KIND_FORM || kind === byteProgram.KIND_BYTE_FORM
    const operands = insn.code === 0 ? [] : operandsOf(insn, 0n)
    const writer = new LineWriter(insn, this.#style, undefined, isMarked ? markRegisters(insn, operands) : operands)
    const program = programOf(writer.template(this.#write), insn, this.#syntax, this.#fields)
    if (this.#used + program.length > ARENA_BYTES) {
      this.#places.fill(0)
      this.#used = 0
    }
    const at = this.#used
    this.#programs.set(program, at)
    if (kind !== byteProgram.KIND_IRREGULAR) this.#used += program.length
    return at
  }

  #writeNumber(operation: number, field: number, insn: Instruction, low: number, high: number, out: ByteSink): void {
    switch (operation) {
      case byteProgram.OP_TARGET:
      case byteProgram.OP_TARGET_32:
      case byteProgram.OP_TARGET_16:
      case byteProgram.OP_TARGET_ABSOLUTE:
        this.#writeTarget(operation, insn, low, high, out)
        break
      case byteProgram.OP_ABSOLUTE: {
        const { addressSize, dispLo, dispHi } = insn
        const lo = addressSize === 16 ? dispLo & 0xffff : dispLo
        const hi = addressSize === 64 ? dispHi : 0
        if (!this.#writeSymbol(lo, hi, out)) writeHex(lo, hi, out)
        break
      }
      case byteProgram.OP_RELATIVE:
      case byteProgram.OP_RELATIVE_BEFORE:
      case byteProgram.OP_RELATIVE_START:
        this.#writeRelative(operation, insn, low, high, out)
        break
      case byteProgram.OP_DISPLACEMENT:
        writeDisplacement(insn.dispLo, insn.dispHi, out)
        break
      case byteProgram.OP_SIGNED_DISPLACEMENT:
        writeSigned(insn.dispLo, insn.dispHi, out)
        break
      case byteProgram.OP_IMMEDIATE:
        writeHex(insn.immLo, insn.immHi, out)
        break
      case byteProgram.OP_SIGNED_IMMEDIATE:
        writeSigned(insn.immLo, insn.immHi, out)
        break
      case byteProgram.OP_IMMEDIATE_32:
        writeHex(insn.immLo, 0, out)
        break
      case byteProgram.OP_IMMEDIATE_16:
        writeHex(insn.immLo & 0xffff, 0, out)
        break
      case byteProgram.OP_IMMEDIATE_8:
        writeHex(insn.immLo & 0xff, 0, out)
        break
      case byteProgram.OP_SELECTOR:
        writeHex(insn.imm2, 0, out)
        break
      case byteProgram.OP_FAR_OFFSET:
        writeHex(insn.immLo, 0, out)
        break
      default:
        this.#writeField(this.#fields[field]!, insn, out)
    }
  }

  #writeTarget(operation: number, insn: Instruction, low: number, high: number, out: ByteSink): void {
    let lo = insn.immLo
    let hi = insn.immHi
    if (operation !== byteProgram.OP_TARGET_ABSOLUTE) {
      const sum = (low >>> 0) + (lo >>> 0) + insn.length
      lo = sum | 0
      hi = operation === byteProgram.OP_TARGET ? (high + hi + Math.floor(sum / 2 ** 32)) | 0 : 0
      if (operation === byteProgram.OP_TARGET_16) lo &= 0xffff
    }
    if (!this.#writeSymbol(lo, hi, out)) writeHex(lo, hi, out)
  }

  #writeRelative(operation: number, insn: Instruction, low: number, high: number, out: ByteSink): void {
    const sum = (low >>> 0) + (insn.dispLo >>> 0) + insn.length
    const lo = sum | 0
    const hi = insn.addressSize === 64 ? (high + insn.dispHi + Math.floor(sum / 2 ** 32)) | 0 : 0
    const start = out.length
    if (operation === byteProgram.OP_RELATIVE) out.bytes[out.length++] = PLUS
    if (this.#writeSymbol(lo, hi, out)) return
    out.length = start
    if (operation === byteProgram.OP_RELATIVE) writeDisplacement(insn.dispLo, insn.dispHi, out)
    else if (operation === byteProgram.OP_RELATIVE_BEFORE) writeSigned(insn.dispLo, insn.dispHi, out)
    else {
      // From the instruction's start.
      out.bytes[out.length++] = DOLLAR
      const distance = insn.dispLo + insn.length
      writeDisplacement(distance | 0, distance < 0 ? -1 : 0, out)
    }
  }

  #writeSymbol(low: number, high: number, out: ByteSink): boolean {
    const symbols = this.#symbols
    if (symbols === undefined) return false
    const start = out.length
    const isWritten = symbols(low, high, out)
    if (isWritten === false) out.length = start
    // The sink has used room of the line, also where it returned false.
    out.reserve(this.#room)
    if (isWritten === true) return true
    if (isWritten !== false) {
      throw new DecoderError(
        'ERR_OPTION',
        `symbols returned ${shown(isWritten)}, expected whether it has written a name`,
      )
    }
    return false
  }

  /** Writes a field through the other formatters' code. */
  #writeField(field: Field, insn: Instruction, out: ByteSink): void {
    const writer = new LineWriter(insn, this.#style)
    field(writer)
    const { text } = writer
    for (let i = 0; i < text.length; i++) out.bytes[out.length++] = text.charCodeAt(i)
  }
}

function wordError(low: unknown, high: unknown): DecoderError {
  const wrong = typeof low === 'number' ? high : low
  return new DecoderError('ERR_ADDRESS', `a word of the address is ${shown(wrong)}, expected a number`)
}

/** A signed number of two words with its sign, as after a base: `+0x10`, `-0x8`. */
function writeDisplacement(lo: number, hi: number, out: ByteSink): void {
  if (hi >= 0) out.bytes[out.length++] = PLUS
  writeSigned(lo, hi, out)
}

/** A signed number of two words: `-0x8`. */
function writeSigned(lo: number, hi: number, out: ByteSink): void {
  if (hi >= 0) {
    writeHex(lo, hi, out)
    return
  }
  out.bytes[out.length++] = MINUS
  writeHex(-lo | 0, lo === 0 ? -hi | 0 : ~hi, out)
}

/** The unsigned number of two words: `0x1f`. */
function writeHex(lo: number, hi: number, out: ByteSink): void {
  const { bytes } = out
  let at = out.length
  bytes[at] = ZERO
  bytes[at + 1] = LETTER_X
  at += 2
  if (hi !== 0) {
    for (let shift = (31 - Math.clz32(hi)) & ~3; shift >= 0; shift -= 4) bytes[at++] = DIGITS[(hi >>> shift) & 15]!
  }
  for (let shift = hi === 0 ? (31 - Math.clz32(lo | 1)) & ~3 : 28; shift >= 0; shift -= 4)
    bytes[at++] = DIGITS[(lo >>> shift) & 15]!
  out.length = at
}
