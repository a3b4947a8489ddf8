/**
 * Compiles forms into decision trees over a few small properties of an instruction (ModRM fields, mandatory prefix, sizes).
 *
 * Each opcode of each map has a tree, whose leaves are codes. Most trees are a leaf or one switch on the operand size.
 */
import { OperandKind } from './kinds.ts'
import type { Form, Selector } from './rows.ts'

/** Bit places in the key by which a tree is walked. ModRM.rm and ModRM.reg are where the ModRM byte has them. */
export const KEY_RM: number = 0
export const KEY_REG: number = 3
export const KEY_MOD: number = 6
export const KEY_PP: number = 7
export const KEY_OPERAND_SIZE: number = 9
export const KEY_ADDRESS_SIZE: number = 11
export const KEY_W: number = 13
export const KEY_L: number = 14
export const KEY_B: number = 15

/** What a node switches on: an index into `WIDTHS` and `PLACES`. The child's index is the property's value. */
const DIMENSION_MOD = 0
const DIMENSION_REG = 1
const DIMENSION_RM = 2
const DIMENSION_PP = 3
const DIMENSION_W = 4
const DIMENSION_L = 5
const DIMENSION_OPERAND_SIZE = 6
const DIMENSION_ADDRESS_SIZE = 7
const DIMENSION_B = 8

/** Number of values of each dimension. */
const WIDTHS = [2, 8, 8, 4, 2, 2, 3, 3, 2] as const
/** Where the decoder's key has each dimension: shift in the low 5 bits, mask above. */
const PLACES = [
  KEY_MOD | (1 << 5),
  KEY_REG | (7 << 5),
  KEY_RM | (7 << 5),
  KEY_PP | (3 << 5),
  KEY_W | (1 << 5),
  KEY_L | (1 << 5),
  KEY_OPERAND_SIZE | (3 << 5),
  KEY_ADDRESS_SIZE | (3 << 5),
  KEY_B | (1 << 5),
] as const
/** Order in which dimensions are tried: what splits best comes first. */
const ORDER = [
  DIMENSION_REG,
  DIMENSION_PP,
  DIMENSION_MOD,
  DIMENSION_RM,
  DIMENSION_W,
  DIMENSION_L,
  DIMENSION_B,
  DIMENSION_ADDRESS_SIZE,
  DIMENSION_OPERAND_SIZE,
] as const

/** 16- and 32-bit modes. */
export const TREE_LEGACY: number = 0
/** 64-bit mode, as Intel processors decode it. */
export const TREE_LONG: number = 1
/** 64-bit mode, as AMD processors decode it. */
export const TREE_LONG_AMD: number = 2

/** Opcode maps per tree: 0 to 3 are one-byte, 0F, 0F38, 0F3A; 4 to 6 are VEX maps 1 to 3. */
export const MAPS: number = 7

/** Bits of a leaf: what decoding needs to know once the code is found. */
export const LEAF_IMMEDIATE: number = 15
export const LEAF_LOCK: number = 1 << 4
export const LEAF_IMPLIED_MEMORY: number = 7 << 5
export const LEAF_STRING_SOURCE: number = 1 << 5
export const LEAF_STRING_DESTINATION: number = 2 << 5
export const LEAF_XLAT: number = 3 << 5
export const LEAF_MASKMOV: number = 4 << 5
export const LEAF_CHECK: number = 7 << 8
export const LEAF_CHECK_SEGMENT: number = 1 << 8
export const LEAF_CHECK_SEGMENT_WRITE: number = 2 << 8
export const LEAF_CHECK_CONTROL: number = 3 << 8
export const LEAF_CHECK_DEBUG: number = 4 << 8
/** ModRM.reg has no REX.R: MMX, segment registers. */
export const LEAF_REG_3BIT: number = 1 << 11
/** ModRM.rm has no REX.B: MMX, x87. */
export const LEAF_RM_3BIT: number = 1 << 12
export const LEAF_VVVV: number = 1 << 13
export const LEAF_ANY_MOD: number = 1 << 14
export const LEAF_MODRM: number = 1 << 15
/** 66 is not allowed beside the mandatory prefix. */
export const LEAF_NO_66: number = 1 << 20
/** Operand size in bytes, 4 bits. */
export const LEAF_SIZE_SHIFT: number = 16

/** The compiled tables. */
export interface DecodeTables {
  /** `[(tree * MAPS + map) * 256 + opcode]`: a code (≥ 0) or the complement of a node's index. */
  readonly roots: Int32Array
  /** The same index: 1 if a ModRM byte follows the opcode. */
  readonly hasModrm: Uint8Array
  /** A node is shift and mask (5 bits, the rest) that extract its property from the key, then a child for each value. */
  readonly nodes: Int32Array
  /** Indexed by code: `LEAF_*` bits. */
  readonly leaves: Int32Array
}

type SizeSet = 'osLegacy' | 'osLong' | 'osAmd'
const SIZE_SETS: readonly SizeSet[] = ['osLegacy', 'osLong', 'osAmd']

function allowed(selector: Selector, dimension: number, sizes: SizeSet): number {
  switch (dimension) {
    case DIMENSION_MOD:
      return selector.mod
    case DIMENSION_REG:
      return selector.reg
    case DIMENSION_RM:
      return selector.rm
    case DIMENSION_PP:
      return selector.pp
    case DIMENSION_W:
      return selector.w
    case DIMENSION_L:
      return selector.l
    case DIMENSION_OPERAND_SIZE:
      return selector[sizes]
    case DIMENSION_ADDRESS_SIZE:
      return selector.as
    default:
      return selector.b
  }
}

function leafBits(form: Form): number {
  let bits: number = form.immediate
  if (form.attributes.has('lock')) bits |= LEAF_LOCK
  if (form.attributes.has('anymod')) bits |= LEAF_ANY_MOD
  if (form.attributes.has('maskmov')) bits |= LEAF_MASKMOV
  if (form.attributes.has('no66')) bits |= LEAF_NO_66
  if (form.modrm) bits |= LEAF_MODRM
  form.operands.forEach(({ kind }, position) => {
    switch (kind) {
      case OperandKind.STRING_SOURCE:
        bits = (bits & ~LEAF_IMPLIED_MEMORY) | LEAF_STRING_SOURCE
        break
      case OperandKind.STRING_DESTINATION:
        if ((bits & LEAF_IMPLIED_MEMORY) === 0) bits |= LEAF_STRING_DESTINATION
        break
      case OperandKind.XLAT:
        bits |= LEAF_XLAT
        break
      case OperandKind.SEGMENT_REG:
        bits |= LEAF_REG_3BIT | (position === 0 ? LEAF_CHECK_SEGMENT_WRITE : LEAF_CHECK_SEGMENT)
        break
      case OperandKind.CONTROL_REG:
        bits |= LEAF_CHECK_CONTROL
        break
      case OperandKind.DEBUG_REG:
        bits |= LEAF_CHECK_DEBUG
        break
      case OperandKind.MMX_REG:
        bits |= LEAF_REG_3BIT
        break
      case OperandKind.MMX_RM:
      case OperandKind.MMX_RM_REG:
      case OperandKind.STI:
        bits |= LEAF_RM_3BIT
        break
      case OperandKind.VVVV_REG:
      case OperandKind.XMM_VVVV:
        bits |= LEAF_VVVV
        break
      default:
    }
  })
  return bits | ((form.operandSize >> 3) << LEAF_SIZE_SHIFT)
}

/** Compiles `forms` (index = code). Forms of one opcode are alternatives; the first that fits wins. */
export function compileTables(forms: readonly Form[]): DecodeTables {
  const roots = new Int32Array(SIZE_SETS.length * MAPS * 256)
  const hasModrm = new Uint8Array(roots.length)
  const nodes: number[] = []
  const cells: (number[] | undefined)[] = []
  forms.forEach((form, code) => {
    if (code === 0) return
    const map = form.vex ? form.map + 3 : form.map
    for (let low = 0; low < (form.opcodeRegister ? 8 : 1); low++) {
      const cell = map * 256 + form.opcode + low
      const list = cells[cell]
      if (list === undefined) cells[cell] = [code]
      else list.push(code)
    }
  })

  // Many opcodes have trees of the same shape but never the same codes, so sharing is looked for inside one opcode only.
  let shared: Map<string, number> = new Map()
  const build = (candidates: readonly number[], depth: number, sizes: SizeSet): number => {
    if (candidates.length === 0) return 0
    for (let i = depth; i < ORDER.length; i++) {
      const dimension = ORDER[i] as number
      const width = WIDTHS[dimension] as number
      const all = (1 << width) - 1
      if (!candidates.some((code) => allowed((forms[code] as Form).selector, dimension, sizes) !== all)) continue
      const key = `${i}:${candidates.join()}`
      const known = shared.get(key)
      if (known !== undefined) return known
      const children: number[] = []
      for (let value = 0; value < width; value++) {
        const fitting = candidates.filter(
          (code) => ((allowed((forms[code] as Form).selector, dimension, sizes) >> value) & 1) !== 0,
        )
        children.push(build(fitting, i + 1, sizes))
      }
      let reference = children[0] as number
      if (children.some((child) => child !== reference)) {
        reference = ~nodes.length
        nodes.push(PLACES[dimension] as number, ...children)
      }
      shared.set(key, reference)
      return reference
    }
    return candidates[0] as number
  }

  SIZE_SETS.forEach((sizes, tree) => {
    cells.forEach((list, cell) => {
      if (list === undefined) return
      shared = new Map()
      const at = tree * MAPS * 256 + cell
      const candidates = list.filter((code) => (forms[code] as Form).selector[sizes] !== 0)
      if (candidates.length === 0) return
      hasModrm[at] = (forms[candidates[0] as number] as Form).modrm ? 1 : 0
      if (candidates.some((code) => (forms[code] as Form).modrm !== (hasModrm[at] === 1))) {
        throw new Error(`opcode table: rows of opcode ${cell.toString(16)} disagree about ModRM`)
      }
      roots[at] = build(candidates, 0, sizes)
    })
  })
  return { roots, hasModrm, nodes: Int32Array.from(nodes), leaves: Int32Array.from(forms, leafBits) }
}
