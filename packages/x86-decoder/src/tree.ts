/**
 * Compiles forms into decision trees over a few small properties of an instruction (ModRM fields, mandatory prefix, sizes).
 *
 * Each opcode of each map has a tree, whose leaves are codes. Most trees are a leaf or one switch on the operand size.
 */
import { evexBits } from './evex-leaf.ts'
import { type OperandClass, OperandKind, REGISTER_KINDS } from './kinds.ts'
import { Immediate } from './operand-column.ts'
import { featureBit } from './options.ts'
import type { Form } from './rows.ts'

/**
 * Bit places in the key by which a tree is walked. ModRM.rm and ModRM.reg are where the ModRM byte has them. Bits 19 to 30
 * are the mode's option bits: features that are absent.
 */
const KEY_RM = 0
const KEY_REG = 3
const KEY_MOD = 6
export const KEY_PP: number = 7
export const KEY_OPERAND_SIZE: number = 9
export const KEY_ADDRESS_SIZE: number = 11
export const KEY_W: number = 13
export const KEY_L: number = 14
export const KEY_B: number = 16
/** EVEX.SC, ND and NF of map 4, where L and B have no meaning. */
export const KEY_SCC: number = 14
export const KEY_ND: number = 18
export const KEY_NF: number = 19

/** Which of a selector's operand size sets a tree goes by. */
type SizeSet = 'osLegacy' | 'osLong' | 'osAmd'

// Properties that a node can switch on, in the order in which they are tried: what splits best comes first.
const REG = 0
const PP = 1
const MOD = 2
const RM = 3
const W = 4
const L = 5
const B = 6
const ADDRESS_SIZE = 7
const OPERAND_SIZE = 8
const SCC = 9
const ND = 10
const NF = 11
const DIMENSIONS = 12
/** Number of values of each; a child's index is the value. */
const WIDTHS = [8, 4, 2, 8, 2, 4, 2, 3, 3, 16, 2, 2] as const
/** Where the decoder's key has each: shift in the low 5 bits, mask above. */
const PLACES = [
  KEY_REG | (7 << 5),
  KEY_PP | (3 << 5),
  KEY_MOD | (1 << 5),
  KEY_RM | (7 << 5),
  KEY_W | (1 << 5),
  KEY_L | (3 << 5),
  KEY_B | (1 << 5),
  KEY_ADDRESS_SIZE | (3 << 5),
  KEY_OPERAND_SIZE | (3 << 5),
  KEY_SCC | (15 << 5),
  KEY_ND | (1 << 5),
  KEY_NF | (1 << 5),
] as const

/** Returns the number of a node's children, from its first number. */
export function nodeWidth(place: number): number {
  // All other dimensions are features: absent or present.
  return WIDTHS[(PLACES as readonly number[]).indexOf(place)] ?? 2
}

/** 16- and 32-bit modes. */
export const TREE_LEGACY: number = 0
/** 64-bit mode, as Intel processors decode it. */
export const TREE_LONG: number = 1
/** 64-bit mode, as AMD processors decode it. */
export const TREE_LONG_AMD: number = 2

/**
 * Opcode maps per tree: 0 to 3 are one-byte, 0F, 0F38, 0F3A; 4 to 6 are VEX maps 1 to 3, 7 to 9 XOP maps 8 to 10, 11 to 17 EVEX maps
 * 1 to 7, 18 and 19 VEX maps 5 and 7, 20 what the one-byte map has after REX2 only.
 */
export const MAPS: number = 21
/** The number of VEX map 5; that of VEX map 7 follows. */
export const VEX_MAP_5 = 18
export const MAP_REX2 = 20
/** EVEX map n is this plus n. */
export const MAP_EVEX = 10
/** The map of 3DNow!, whose opcodes come after the operands of 0F 0F. */
export const MAP_3DNOW = 10

/** Bits of a leaf: what decoding needs to know once the code is found. */
export const LEAF_IMMEDIATE: number = 15
export const LEAF_LOCK: number = 1 << 4
export const LEAF_IMPLIED_MEMORY: number = 7 << 5
export const LEAF_STRING_SOURCE: number = 1 << 5
export const LEAF_STRING_DESTINATION: number = 2 << 5
const LEAF_XLAT = 3 << 5
export const LEAF_MASKMOV: number = 4 << 5
export const LEAF_CHECK: number = 7 << 8
const LEAF_CHECK_SEGMENT = 1 << 8
export const LEAF_CHECK_SEGMENT_WRITE: number = 2 << 8
export const LEAF_CHECK_CONTROL: number = 3 << 8
export const LEAF_CHECK_DEBUG: number = 4 << 8
/** There are eight masks and eight tiles; the tiles of one instruction differ. */
export const LEAF_CHECK_MASK: number = 5 << 8
export const LEAF_CHECK_TILE: number = 6 << 8
/** There are four bound registers; with `LEAF_RM_3BIT` ModRM.rm may be one too. */
export const LEAF_CHECK_BOUND: number = 7 << 8
/** ModRM.reg has no REX.R: MMX, segment registers. */
export const LEAF_REG_3BIT: number = 1 << 11
/** ModRM.rm has no REX.B: MMX, x87. */
export const LEAF_RM_3BIT: number = 1 << 12
export const LEAF_VVVV: number = 1 << 13
export const LEAF_ANY_MOD: number = 1 << 14
/** The index is a vector register: there is a SIB byte. */
export const LEAF_VSIB: number = 1 << 15
/** 66 is not allowed beside the mandatory prefix. */
export const LEAF_NO_66: number = 1 << 20
/** Destination, index and mask must differ. */
export const LEAF_DISTINCT: number = 1 << 21
/** Memory must be named with a SIB byte. */
export const LEAF_SIB: number = 1 << 23
/** The immediate byte is an opcode of `MAP_3DNOW`. */
export const LEAF_3DNOW: number = 1 << 22
/** An EVEX form: `evexLeaves` has more. */
export const LEAF_EVEX: number = 1 << 24
/** Memory must not be RIP-relative. */
export const LEAF_NO_RIP: number = 1 << 25
/** Not after REX2. */
export const LEAF_NO_REX2: number = 1 << 26
/** Operand size in bytes, 4 bits. */
export const LEAF_SIZE_SHIFT: number = 16

/** Leaf bits that most forms do not have: what they ask for is done at the end. */
export const LEAF_RARE: number =
  LEAF_CHECK |
  LEAF_REG_3BIT |
  LEAF_RM_3BIT |
  LEAF_IMPLIED_MEMORY |
  LEAF_NO_66 |
  LEAF_ANY_MOD |
  LEAF_VSIB |
  LEAF_3DNOW |
  LEAF_SIB |
  LEAF_EVEX |
  LEAF_NO_REX2

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
  /** Indexed by code: `EVEX_*` bits of EVEX forms; of others which registers are vectors'. */
  readonly evexLeaves: Int32Array
}

const SIZE_SETS: readonly SizeSet[] = ['osLegacy', 'osLong', 'osAmd']

/** Classes whose registers have numbers of three bits in ModRM.rm, whatever the prefixes say. */
const THREE_BITS: readonly OperandClass[] = ['mmx', 'mask', 'bound', 'x87']

/** Checks of the number in ModRM.reg; EVEX has its own of masks and tiles. */
const REG_BITS: { readonly [Class in OperandClass]?: number } = {
  segment: LEAF_REG_3BIT,
  control: LEAF_CHECK_CONTROL,
  debug: LEAF_CHECK_DEBUG,
  mmx: LEAF_REG_3BIT,
  bound: LEAF_CHECK_BOUND,
}

function leafBitsOfReg({ evex }: Form, registerClass: OperandClass, position: number): number {
  if (registerClass === 'mask') return evex ? 0 : LEAF_CHECK_MASK
  if (registerClass === 'tile') return evex ? 0 : LEAF_CHECK_TILE
  const isSegment = registerClass === 'segment'
  const segment = !isSegment ? 0 : position === 0 ? LEAF_CHECK_SEGMENT_WRITE : LEAF_CHECK_SEGMENT
  return (REG_BITS[registerClass] ?? 0) | segment
}

function leafBits(form: Form): number {
  let bits: number = form.immediate
  if (form.attributes.has('lock')) bits |= LEAF_LOCK
  if (form.attributes.has('anymod')) bits |= LEAF_ANY_MOD
  if (form.attributes.has('maskmov')) bits |= LEAF_MASKMOV
  if (form.map === 4 && !form.evex) bits |= LEAF_3DNOW | Immediate.U8
  if (form.attributes.has('no66')) bits |= LEAF_NO_66
  if (form.attributes.has('sib')) bits |= LEAF_SIB
  if (form.attributes.has('norip')) bits |= LEAF_NO_RIP
  if (form.attributes.has('distinct')) bits |= LEAF_DISTINCT
  if (form.attributes.has('norex2')) bits |= LEAF_NO_REX2
  // The check of EVEX.vvvv is with EVEX's own.
  if (form.evex) bits |= LEAF_EVEX | LEAF_VVVV
  for (const [position, { kind }] of form.operands.entries()) {
    const [registerClass = 'general', place] = REGISTER_KINDS[kind] ?? []
    if (kind === OperandKind.STRING_SOURCE) bits = (bits & ~LEAF_IMPLIED_MEMORY) | LEAF_STRING_SOURCE
    else if (kind === OperandKind.STRING_DESTINATION)
      bits |= (bits & LEAF_IMPLIED_MEMORY) === 0 ? LEAF_STRING_DESTINATION : 0
    else if (kind === OperandKind.XLAT) bits |= LEAF_XLAT
    else if (place === 'index') bits |= LEAF_VSIB
    else if (place === 'vvvv') bits |= LEAF_VVVV
    else if (place === 'reg') bits |= leafBitsOfReg(form, registerClass, position)
    else if (place !== 'fixed' && THREE_BITS.includes(registerClass)) bits |= LEAF_RM_3BIT
  }
  return bits | ((form.operandSize >> 3) << LEAF_SIZE_SHIFT)
}

/** Builds the trees, one mode kind after another. */
class TreeBuilder {
  readonly nodes: number[]
  readonly #forms: readonly Form[]
  /** `[code * DIMENSIONS + dimension]`: the set of values that the form allows. */
  readonly #allowed: Uint16Array
  /** By code: bit set of the dimensions that the form restricts. */
  readonly #restricted: Uint16Array
  /** Trees of the opcode at hand by dimension and candidates: reserved rows make the same ones again and again. */
  #shared: Map<string, number>
  readonly #known: Map<string, number>

  constructor(forms: readonly Form[]) {
    this.nodes = []
    this.#known = new Map()
    this.#forms = forms
    this.#allowed = new Uint16Array(forms.length * DIMENSIONS)
    this.#restricted = new Uint16Array(forms.length)
    this.#shared = new Map()
    for (let code = 1; code < forms.length; code++) {
      const { reg, pp, mod, rm, w, l, b, as, scc, nd, nf } = forms[code]!.selector
      this.#restrict(code, REG, reg)
      this.#restrict(code, PP, pp)
      this.#restrict(code, MOD, mod)
      this.#restrict(code, RM, rm)
      this.#restrict(code, W, w)
      this.#restrict(code, L, l)
      this.#restrict(code, B, b)
      this.#restrict(code, ADDRESS_SIZE, as)
      this.#restrict(code, SCC, scc)
      this.#restrict(code, ND, nd)
      this.#restrict(code, NF, nf)
    }
  }

  /** Chooses the kind of mode. */
  setSizes(sizes: SizeSet): void {
    for (let code = 1; code < this.#forms.length; code++) {
      this.#restrict(code, OPERAND_SIZE, this.#forms[code]!.selector[sizes])
    }
  }

  #restrict(code: number, dimension: number, values: number): void {
    this.#allowed[code * DIMENSIONS + dimension] = values
    const bit = 1 << dimension
    const others = this.#restricted[code]! & ~bit
    this.#restricted[code] = values === (1 << WIDTHS[dimension]!) - 1 ? others : others | bit
  }

  /** The tree of one opcode: a code, or the complement of a node's index. */
  root(candidates: readonly number[]): number {
    if (this.#shared.size > 0) this.#shared = new Map()
    return this.#build(candidates, 0)
  }

  #build(candidates: readonly number[], depth: number): number {
    if (candidates.length === 0) return 0
    let restricted = 0
    for (const code of candidates) restricted |= this.#restricted[code]!
    restricted >>= depth
    if (restricted === 0) return this.#first(candidates, 0)
    // The lowest restricted dimension.
    const dimension = depth + 31 - Math.clz32(restricted & -restricted)
    const key = candidates.length > 3 ? `${dimension}:${candidates.join()}` : ''
    const known = this.#shared.get(key)
    if (known !== undefined) return known
    const width = WIDTHS[dimension]!
    const children: number[] = []
    for (let value = 0; value < width; value++) {
      const fitting: number[] = []
      for (const code of candidates) {
        if (((this.#allowed[code * DIMENSIONS + dimension]! >> value) & 1) !== 0) fitting.push(code)
      }
      children.push(this.#build(fitting, dimension + 1))
    }
    let reference = children[0]!
    if (children.some((child) => child !== reference)) reference = this.#node(PLACES[dimension]!, children)
    if (key !== '') this.#shared.set(key, reference)
    return reference
  }

  /** Returns the first candidate from `from` on, or a later one for processors without its feature. */
  #first(candidates: readonly number[], from: number): number {
    const code = candidates[from] ?? 0
    const form = this.#forms[code]!
    if (!form.attributes.has('else')) return code
    const otherwise = this.#first(candidates, from + 1)
    return this.#node(featureBit(form.feature) | (1 << 5), [code, otherwise])
  }

  /** Makes a node, or reuses an identical one: opcodes and modes share many. */
  #node(place: number, children: readonly number[]): number {
    const key = `${place},${children.join()}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const reference = ~this.nodes.length
    this.nodes.push(place, ...children)
    this.#known.set(key, reference)
    return reference
  }
}

/** Compiles `forms` (index = code). Forms of one opcode are alternatives; the first that fits wins. */
export function compileTables(forms: readonly Form[]): DecodeTables {
  const roots = new Int32Array(SIZE_SETS.length * MAPS * 256)
  const hasModrm = new Uint8Array(roots.length)
  const builder = new TreeBuilder(forms)
  const cells: (number[] | undefined)[] = []
  forms.forEach((form, code) => {
    if (code === 0) return
    const map = decoderMap(form)
    if (map === MAP_3DNOW) {
      // Any of these opcodes stands for all until the opcode is read.
      cells[256 + 0x0f] ??= [code]
    }
    for (let low = 0; low < (form.opcodeRegister ? 8 : 1); low++) {
      const cell = map * 256 + form.opcode + low
      const list = cells[cell]
      if (list === undefined) cells[cell] = [code]
      else list.push(code)
    }
  })
  SIZE_SETS.forEach((sizes, tree) => {
    builder.setSizes(sizes)
    cells.forEach((list, cell) => {
      if (list === undefined) return
      const at = tree * MAPS * 256 + cell
      // Most opcodes are the same for AMD.
      if (tree === TREE_LONG_AMD && list.every((code) => sameOnAmd(forms[code]!))) {
        roots[at] = roots[TREE_LONG * MAPS * 256 + cell]!
        hasModrm[at] = hasModrm[TREE_LONG * MAPS * 256 + cell]!
        return
      }
      const candidates = list.filter((code) => forms[code]!.selector[sizes] !== 0)
      const first = forms[candidates[0]!]
      if (first === undefined) return
      if (candidates.some((code) => forms[code]!.modrm !== first.modrm)) {
        throw new Error(`opcode table: rows of opcode ${cell.toString(16)} disagree about ModRM`)
      }
      hasModrm[at] = first.modrm ? 1 : 0
      roots[at] = builder.root(candidates)
    })
  })
  return {
    roots,
    hasModrm,
    nodes: Int32Array.from(builder.nodes),
    leaves: Int32Array.from(forms, leafBits),
    evexLeaves: Int32Array.from(forms, evexBits),
  }
}

/** The decoder's number for the opcode map of a form. */
function decoderMap({ vex, evex, rex2, map }: Form): number {
  if (rex2) return MAP_REX2
  if (evex) return MAP_EVEX + map
  if (vex) return map >= 8 ? map - 1 : map > 3 ? (map >> 1) + VEX_MAP_5 - 2 : map + 3
  return map === 4 ? MAP_3DNOW : map
}

const sameOnAmd = ({ selector }: Form): boolean => selector.osLong === selector.osAmd
