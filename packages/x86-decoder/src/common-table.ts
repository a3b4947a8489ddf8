/**
 * A table of the instructions that nearly all code consists of: those of the one-byte map and of 0F, with no prefix but
 * REX, that need neither checks nor odd immediates. Here one look tells what otherwise a walk and two tables do.
 */
import { byteClasses, CLASS_OPCODE } from './byte-classes.ts'
import { Immediate } from './operand-column.ts'
import * as trees from './tree.ts'
import type { DecodeTables } from './tree.ts'

/**
 * Entries by map, opcode and REX.W, first of 64-bit mode, then of 32-bit mode. 0: not a common instruction. Negative: the
 * complement of where its entries by ModRM are, `COMMON_REGISTER` and ModRM.reg apart.
 */
export const COMMON_LEGACY = 1024
/** Added for the second opcode map. */
export const COMMON_ESCAPE = 512
/** Added if ModRM names a register. */
export const COMMON_REGISTER = 8

// Bits of an entry: the code, the size of the immediate in bytes, the operand size in bytes, and two flags.
export const COMMON_CODE = 0xffff
export const COMMON_IMMEDIATE_SHIFT = 16
export const COMMON_SIZE_SHIFT = 20
export const COMMON_MODRM: number = 1 << 24
/** The immediate is signed. The highest bit but the sign of the entry. */
export const COMMON_SIGNED: number = 1 << 30

/** The bits of the key that an instruction without prefixes has; ModRM decides the rest, or makes the instruction uncommon. */
const KNOWN =
  (3 << trees.KEY_PP) |
  (3 << trees.KEY_OPERAND_SIZE) |
  (3 << trees.KEY_ADDRESS_SIZE) |
  (1 << trees.KEY_W) |
  (3 << trees.KEY_L)
/** ModRM.reg and whether mod is 3. */
const KNOWN_OF_MODRM = 0x78

/** Where all instructions whose keys agree with `key` in the bits `known` lead: a code, or -1 if not to the same. */
function settle(nodes: Int32Array, reference: number, key: number, known: number): number {
  if (reference >= 0) return reference
  const place = nodes[~reference]!
  const shift = place & 31
  const mask = place >> 5
  const child = (value: number): number => settle(nodes, nodes[value - reference]!, key, known)
  if (((mask << shift) & ~known) === 0) return child((key >> shift) & mask)
  const first = child(0)
  for (let value = 1; value < trees.nodeWidth(place); value++) if (child(value) !== first) return -1
  return first
}

/** The entry of a code, or 0 if there is more to it than an entry says. */
export function entryOf(code: number, leaf: number, modrm: number): number {
  const immediate = leaf & trees.LEAF_IMMEDIATE
  if (code <= 0 || (leaf & trees.LEAF_RARE) !== 0 || immediate > Immediate.S32) return 0
  // The plain immediates come in pairs, unsigned and signed.
  const size = immediate === 0 ? 0 : 1 << ((immediate - 1) >> 1)
  const signed = immediate !== 0 && (immediate & 1) === 0 ? COMMON_SIGNED : 0
  const operandSize = (leaf >> trees.LEAF_SIZE_SHIFT) & 15
  return (
    code |
    (size << COMMON_IMMEDIATE_SHIFT) |
    (operandSize << COMMON_SIZE_SHIFT) |
    (modrm === 0 ? 0 : COMMON_MODRM) |
    signed
  )
}

export function makeCommonTable({ roots, hasModrm, nodes, leaves }: DecodeTables): Int32Array {
  const table = Array.from<number>({ length: 2 * COMMON_LEGACY }).fill(0)
  const add = (at: number, cell: number, treesOfMode: readonly number[], key: number): void => {
    const indices = treesOfMode.map((tree) => tree * trees.MAPS * 256 + cell)
    const modrm = hasModrm[indices[0]!]!
    const codeAt = (modrmBits: number): number => {
      const [code, ...others] = indices.map((index) =>
        settle(nodes, roots[index]!, key | modrmBits, KNOWN | KNOWN_OF_MODRM),
      )
      return others.every((other) => other === code) ? (code as number) : -1
    }
    const isOne = indices.every((index) => roots[index]! >= 0)
    const entries = Array.from({ length: isOne ? 1 : 16 }, (_, i) => {
      const code = codeAt(i << 3)
      return entryOf(code, leaves[code] ?? 0, modrm)
    })
    if (entries.every((entry) => entry === entries[0])) table[at] = entries[0]!
    else if (modrm !== 0) {
      table[at] = ~table.length
      table.push(...entries)
    }
  }
  for (let opcode = 0; opcode < 512; opcode++) {
    const byte = opcode & 0xff
    const isEscape = opcode >= 256
    const at = opcode << 1
    // Opcodes after 0F 38 and 0F 3A are in maps of their own.
    if (isEscape && (byte === 0x38 || byte === 0x3a)) continue
    for (const operandSize of [1, 2]) {
      if (!isEscape && byteClasses[256 + byte] !== CLASS_OPCODE) break
      const key = (operandSize << trees.KEY_OPERAND_SIZE) | (2 << trees.KEY_ADDRESS_SIZE)
      // Opcodes that AMD processors decode differently are not common.
      add(at + operandSize - 1, opcode, [trees.TREE_LONG, trees.TREE_LONG_AMD], key)
    }
    if (!isEscape && byteClasses[byte] !== CLASS_OPCODE) continue
    const key = (1 << trees.KEY_OPERAND_SIZE) | (1 << trees.KEY_ADDRESS_SIZE)
    add(COMMON_LEGACY + at, opcode, [trees.TREE_LEGACY], key)
  }
  return Int32Array.from(table)
}
