import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Assembler, al, ax, byte, cl, cr0, dword, eax, ptr, qword, rax, rbx, xmm1 } from '../src/index.ts'
import { generatedSources } from './generate-mnemonics.ts'

/** A source without what a formatter may change, in pieces. */
function piecesOf(text: string, separator: string): string[] {
  return text.split(separator).map((piece) => piece.replaceAll(/[\s|,]/g, ''))
}

describe('the mnemonic methods', () => {
  test.each([
    { file: 'mnemonic-index', separator: '\n' },
    { file: 'mnemonics', separator: '): this' },
    { file: 'signatures', separator: 'export type' },
  ] as const)('$file are those of the decoder table (else run test/generate-mnemonics.ts)', ({ file, separator }) => {
    const committed = readFileSync(new URL(`../src/${file}.ts`, import.meta.url), 'utf8')
    const old = new Set(piecesOf(committed, separator).slice(1))
    const current = piecesOf(generatedSources()[file], separator).slice(1)
    const differing = current.filter((piece) => !old.has(piece)).map((piece) => piece.slice(0, 60))
    expect({ differing: differing.slice(0, 5), pieces: old.size }).toEqual({ differing: [], pieces: current.length })
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
