/**
 * The flags of a 64-bit IMUL, which are derived when something reads them: CF and OF say whether the product has more than the
 * 64 bits that are kept (Intel SDM vol. 2, IMUL). Each reader of flags, by itself and after instructions that keep CF, has to
 * see those of the product that BigInt computes.
 */
import { al, qword, r8, r9, rax, rbx, rcx, rdi, rdx, rsi } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { saveVcpu } from '../../src/inspect.ts'
import type { BareCpu } from '../support/bare-cpu.ts'
import { runBothWays } from '../support/both-ways.ts'

const [CF, ZF, SF, OF] = [1n << 0n, 1n << 6n, 1n << 7n, 1n << 11n]
const [FACTORS, RESULTS] = [0x2_0000, 0x2_8000]

interface Flags {
  readonly carry: boolean
  readonly zero: boolean
  readonly sign: boolean
  readonly overflow: boolean
}

/** RAX = RBX · RCX, by each form; by an immediate, where RCX has that. */
const IMMEDIATE = -0x4000_0001
const MULTIPLY: Readonly<Record<string, (asm: Assembler) => Assembler>> = {
  'of registers': (asm) => asm.mov(rax, rbx).imul(rax, rcx),
  'of memory': (asm) => asm.mov(rax, rbx).imul(rax, qword(rsi, { disp: 8 })),
  'of an immediate': (asm) => asm.imul(rax, rbx, IMMEDIATE),
}

/** Bit 0 of RAX becomes what each reader says. ZF and SF, which the SDM calls undefined, are those of the result here. */
const READERS: Readonly<Record<string, readonly [(asm: Assembler) => Assembler, (flags: Flags) => boolean]>> = {
  SETO: [(asm) => asm.seto(al), ({ overflow }) => overflow],
  SETB: [(asm) => asm.setb(al), ({ carry }) => carry],
  SETBE: [(asm) => asm.setbe(al), ({ carry, zero }) => carry || zero],
  SETL: [(asm) => asm.setl(al), ({ sign, overflow }) => sign !== overflow],
  SETLE: [(asm) => asm.setle(al), ({ sign, overflow, zero }) => zero || sign !== overflow],
  SETS: [(asm) => asm.sets(al), ({ sign }) => sign],
  CMOVO: [(asm) => asm.mov(rax, 0).cmovo(rax, r9), ({ overflow }) => overflow],
  ADC: [(asm) => asm.mov(rax, 0).adc(rax, 0), ({ carry }) => carry],
  SBB: [(asm) => asm.mov(rax, 0).sbb(rax, 0), ({ carry }) => carry],
  RCL: [(asm) => asm.mov(rax, 0).rcl(rax, 1), ({ carry }) => carry],
  'INC, then SETB': [(asm) => asm.inc(rax).setb(al), ({ carry }) => carry],
  'DEC, then SETB': [(asm) => asm.dec(rax).setb(al), ({ carry }) => carry],
  'CMC, then SETAE': [(asm) => asm.cmc().setae(al), ({ carry }) => carry],
  'STC, then SETO': [(asm) => asm.stc().seto(al), ({ overflow }) => overflow],
  'LAHF, SAHF and SETB': [(asm) => asm.lahf().sahf().setb(al), ({ carry }) => carry],
  'PUSHFQ, its OF': [(asm) => asm.pushfq().pop(rax).shr(rax, 11), ({ overflow }) => overflow],
}

const EDGES = [0n, 1n, -1n, 2n, 1n << 31n, 1n << 32n, (1n << 62n) - 1n, 1n << 62n, (1n << 63n) - 1n, -(1n << 63n), 3n]
const factor = fc.oneof(
  fc.constantFrom(...EDGES),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  // The product of two of these is about as long as what is kept.
  fc.bigInt({ min: -(1n << 33n), max: 1n << 33n }),
)

function flagsOf(a: bigint, b: bigint): Flags & { readonly low: bigint } {
  const product = a * b
  const low = BigInt.asIntN(64, product)
  const overflow = low !== product
  return { low, carry: overflow, overflow, zero: low === 0n, sign: low < 0n }
}

type Pair = readonly [bigint, bigint]

/** RSI walks over pairs of factors; RDI over places for the bits of all readers, the first one's highest. */
function program(pairs: readonly Pair[], multiply: (asm: Assembler) => Assembler): BareCpu {
  const readers = Object.values(READERS)
  const [plain] = runBothWays({
    prepare: (pc) => {
      for (const [i, pair] of pairs.entries()) {
        for (const [k, value] of pair.entries()) pc.write64(FACTORS + 16 * i + 8 * k, BigInt.asUintN(64, value))
      }
    },
    code: (asm) => {
      const again = asm.label()
      asm.mov(r9, 1).mov(rsi, FACTORS).mov(rdi, RESULTS).mov(rdx, pairs.length).bind(again)
      asm
        .mov(rbx, qword(rsi))
        .mov(rcx, qword(rsi, { disp: 8 }))
        .mov(r8, 0)
      for (const [read] of readers) {
        // The flags before are not those of the product.
        asm.cmp(r9, 1)
        multiply(asm)
        read(asm)
        asm.and(rax, 1).add(r8, r8).or(r8, rax)
      }
      asm.mov(qword(rdi), r8).add(rdi, 8).add(rsi, 16).dec(rdx).jne(again)
      asm.mov(rsi, FACTORS)
      multiply(asm).hlt()
    },
  })
  return plain
}

test.each(Object.entries(MULTIPLY))('every reader sees the flags of a product %s', (name, multiply) => {
  const readers = Object.values(READERS)
  const edges = EDGES.flatMap((a) => EDGES.map((b): Pair => [a, b]))
  const random = fc.array(fc.tuple(factor, factor), { minLength: 50, maxLength: 50 })
  const property = (given: readonly Pair[]): void => {
    const all = name === 'of an immediate' ? given.map(([a]): Pair => [a, BigInt(IMMEDIATE)]) : given
    const plain = program(all, multiply)
    const found = all.map((pair, i) => [...pair, plain.read64(RESULTS + 8 * i)])
    expect(found).toEqual(
      all.map((pair) => [
        ...pair,
        readers.reduce((sum, [, holds]) => 2n * sum + (holds(flagsOf(...pair)) ? 1n : 0n), 0n),
      ]),
    )
    // TypeScript reads those of the last product, too: RBX and RCX are the last pair's, memory has the first one's.
    const [a, b] = [all.at(-1)![0], name === 'of memory' ? all[0]![1] : all.at(-1)![1]]
    const { low, carry, zero, sign, overflow } = flagsOf(a, b)
    expect(BigInt.asIntN(64, plain.register('rax'))).toBe(low)
    const rflags = BigInt(saveVcpu(plain.cpu).registers['rflags']!)
    const expected = (carry ? CF : 0n) | (zero ? ZF : 0n) | (sign ? SF : 0n) | (overflow ? OF : 0n)
    expect(rflags & (CF | ZF | SF | OF)).toBe(expected)
  }
  property(edges)
  fc.assert(fc.property(random, property), { numRuns: 5 })
})
