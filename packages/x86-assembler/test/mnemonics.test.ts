import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Assembler, al, ax, byte, cl, cr0, dword, eax, ptr, rax, rbx, xmm1 } from '../src/index.ts'
import { mnemonicsSource } from './generate-mnemonics.ts'

/** The methods, each as one string: formatting is a tool's business, everything else must agree. */
function methodsOf(text: string): string[] {
  return text
    .slice(text.indexOf('interface'))
    .split('): this')
    .map((method) => method.replaceAll(/[\s|]/g, ''))
}

describe('the mnemonic methods', () => {
  test('are the ones of the decoder table (else run test/generate-mnemonics.ts)', () => {
    const committed = readFileSync(new URL('../src/mnemonics.ts', import.meta.url), 'utf8')
    const [old, current] = [methodsOf(committed), methodsOf(mnemonicsSource())]
    const differing = current.filter((method) => !old.includes(method)).map((method) => method.slice(0, 60))
    expect({ differing: differing.slice(0, 5), methods: old.length }).toEqual({
      differing: [],
      methods: current.length,
    })
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
    // @ts-expect-error an immediate cannot be written to
    expect(() => asm.add(1, eax)).toThrow(/no such form/)
  })

  test('take what a form takes', () => {
    const asm = new Assembler()
    asm.mov(al, byte(rbx)).shl(eax, cl).mov(rax, cr0).movd(xmm1, eax).mov(eax, ptr(rbx)).movsb().movsd(xmm1, xmm1)
    expect(asm.assemble().bytes.length).toBe(18)
  })
})
