import { codes } from '@retrap/x86-decoder'
import { describe, expect, test } from 'vitest'
import { mnemonicsSource } from '../build/generate.ts'
import { aliasesOf } from '../src/aliases.ts'
import { Assembler, al, ax, byte, cl, cr0, dword, eax, ptr, qword, rax, rbx, xmm1 } from '../src/index.ts'

/** The names of the methods whose types are generated. */
const typed = [...mnemonicsSource().matchAll(/^ {2}(\w+)\(.*\): this$/gm)].map(([, name]) => name!)

describe('the mnemonic methods', () => {
  const inTable = new Set(codes.slice(1).map(({ mnemonic }) => mnemonic.toLowerCase()))

  test('are one for each mnemonic of the decoder table, and one for each alias of such a mnemonic', () => {
    const aliases = [...aliasesOf].filter(([, name]) => inTable.has(name.toLowerCase()))
    const wanted = new Set([...inTable, ...aliases.map(([alias]) => alias.toLowerCase())])
    expect(typed).toEqual([...wanted].sort())
  })

  test('are there under the names that have types', () => {
    const prototype = Assembler.prototype as unknown as Record<string, unknown>
    expect(typed.filter((name) => typeof prototype[name] !== 'function')).toEqual([])
  })

  test('refuse at compile time what no form takes', () => {
    const asm = new Assembler()
    // @ts-expect-error the operands differ in size
    expect(() => asm.mov(eax, rbx)).toThrow(/no such form/)
    // @ts-expect-error the memory operand is too narrow
    expect(() => asm.mov(rax, dword(rbx))).toThrow(/no such form/)
    // @ts-expect-error a count is in CL or a number
    expect(() => asm.shl(eax, ax)).toThrow(/no such form/)
    // @ts-expect-error control registers move whole
    expect(() => asm.mov(cr0, al)).toThrow(/no such form/)
    // @ts-expect-error there is no such operand
    expect(() => asm.hlt(1)).toThrow(/no such form/)
    // A type says nothing of the index.
    expect(() => asm.mov(rax, qword(rbx, { index: xmm1 }))).toThrow(/no such form/)
    expect(() => asm.vaddps(xmm1, xmm1, ptr(rbx, { index: xmm1 }))).toThrow(/no such form/)
    // @ts-expect-error an immediate cannot be written to
    expect(() => asm.add(1, eax)).toThrow(/no such form/)
  })

  test('take what a form takes', () => {
    const asm = new Assembler()
    asm.mov(al, byte(rbx)).shl(eax, cl).mov(rax, cr0).movd(xmm1, eax).mov(eax, ptr(rbx)).movsb().movsd(xmm1, xmm1)
    expect(asm.assemble().bytes.length).toBe(18)
  })
})
