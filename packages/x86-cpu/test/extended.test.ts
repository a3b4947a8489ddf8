/** Instructions of extended features, in both ways, beside references of our own and the digests and ciphers of OpenSSL. */
import { createCipheriv, createHash } from 'node:crypto'
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { MachineMemory } from '@retrap/memory'
import { cpuModel, loadInstructions, Processor } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { BareCpu, CODE, slowDevice } from './support/bare-cpu.ts'
import { handler, runBothWays, type Drawn } from './support/both-ways.ts'
import { BRAIN, HALF, SINGLE, converted, split } from './support/exact-numbers.ts'

const EVERYTHING = 'everything'
const IN = 0x6_0000
const OUT = 0x7_0000
const GP = 13
const PF = 14

test('an engine wants the instructions of its processor loaded', async () => {
  vi.resetModules()
  const fresh = await import('../src/index.ts')
  const engine = (): unknown => new fresh.X86Engine(MachineMemory.create({ bytes: 128 << 20 }), { cpu: 'max,+sm4' })
  await fresh.loadInstructions('max')
  expect(engine).toThrow(/max,\+sm4: call loadInstructions of this model first/)
  await fresh.loadInstructions('max,+sm4')
  expect(engine).not.toThrow()
  expect(new Processor(cpuModel('max,+sm4')).flags(7, 1, 0)).toBe((1 << 4) | (1 << 2))
})

beforeAll(() => loadInstructions(EVERYTHING))

type Elements = readonly bigint[]

function join(elements: Elements, bits: number): Uint8Array {
  return Uint8Array.from(
    elements.flatMap((value) => Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))),
  )
}

/** The operands: YMM0 before, YMM1, and YMM2 or memory; the result is YMM0. */
type Reference = (sum: Uint8Array, a: Uint8Array, b: Uint8Array) => Uint8Array

const number = (value: bigint, bits: number, signed: boolean): bigint => (signed ? BigInt.asIntN(bits, value) : value)
const clamp = (value: bigint, signed: boolean): bigint => {
  const [least, most] = signed ? [-(2n ** 31n), 2n ** 31n - 1n] : [0n, 2n ** 32n - 1n]
  return value < least ? least : value > most ? most : value
}

/** Products of `per` elements each are added to a doubleword. */
function dots(bits: 8 | 16, first: boolean, second: boolean, saturated: boolean): Reference {
  const per = 32 / bits
  return (sum, a, b) => {
    const [left, right] = [split(a, bits), split(b, bits)]
    const sums = split(sum, 32).map((start, i) => {
      let total = number(start, 32, first || second)
      for (let j = i * per; j < (i + 1) * per; j++)
        total += number(left[j]!, bits, first) * number(right[j]!, bits, second)
      return saturated ? clamp(total, first || second) : total
    })
    return join(sums, 32)
  }
}

const multiplyAdd52 =
  (shift: bigint): Reference =>
  (sum, a, b) => {
    const mask = 2n ** 52n - 1n
    const [left, right] = [split(a, 64), split(b, 64)]
    return join(
      split(sum, 64).map((start, i) => start + ((((left[i]! & mask) * (right[i]! & mask)) >> shift) & mask)),
      64,
    )
  }

const toBf16 = (bits: bigint): bigint => converted(SINGLE, BRAIN, bits, 'nearest', true)
const fromHalf = (half: bigint): bigint => converted(HALF, SINGLE, half, 'nearest')

const everySecond =
  (first: 0 | 1, convert: (value: bigint) => bigint): Reference =>
  (_, __, b) =>
    join(
      split(b, 16)
        .filter((___, i) => i % 2 === first)
        .map(convert),
      32,
    )
const repeated =
  (convert: (value: bigint) => bigint): Reference =>
  (sum, _, b) =>
    join(
      split(sum, 32).map(() => convert(split(b, 16)[0]!)),
      32,
    )
const widened = (value: bigint): bigint => value << 16n

const REFERENCES: readonly (readonly [
  mnemonic: string,
  kind: 'three' | 'xmm' | 'sha' | 'load' | 'narrow' | 'broadcast',
  Reference?,
])[] = [
  ...['buu', 'bsu', 'bss', 'wuu', 'wus', 'wsu'].flatMap((kind) =>
    ['', 's'].map((end) => {
      const reference = dots(kind[0] === 'b' ? 8 : 16, kind[1] === 's', kind[2] === 's', end === 's')
      return [`vpdp${kind}d${end}`, 'three', reference] as const
    }),
  ),
  ['vpmadd52luq', 'three', multiplyAdd52(0n)],
  ['vpmadd52huq', 'three', multiplyAdd52(52n)],
  ['vcvtneps2bf16', 'narrow', (_, __, b) => join(split(b, 32).map(toBf16), 16)],
  ['vcvtneebf162ps', 'load', everySecond(0, widened)],
  ['vcvtneobf162ps', 'load', everySecond(1, widened)],
  ['vcvtneeph2ps', 'load', everySecond(0, fromHalf)],
  ['vcvtneoph2ps', 'load', everySecond(1, fromHalf)],
  ['vbcstnebf162ps', 'broadcast', repeated(widened)],
  ['vbcstnesh2ps', 'broadcast', repeated(fromHalf)],
  // What these are is told by OpenSSL below.
  ...['vsm4key4', 'vsm4rnds4'].map((mnemonic) => [mnemonic, 'three'] as const),
  ...['vsm3msg1', 'vsm3msg2', 'vsm3rnds2'].map((mnemonic) => [mnemonic, 'xmm'] as const),
  ...['vsha512rnds2', 'vsha512msg1', 'vsha512msg2'].map((mnemonic) => [mnemonic, 'sha'] as const),
]

/** Bytes that are often at the ends of their ranges. */
const edgy = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: 255 }), weight: 3 },
  { arbitrary: fc.constantFrom(0, 0xff, 0x7f, 0x80, 1, 0x7c, 0xfc, 0x3f), weight: 2 },
)
const vector = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .chain((plain) =>
    fc.array(edgy, { minLength: 32, maxLength: 32 }).map((edges) => (plain[0]! & 1 ? plain : Uint8Array.from(edges))),
  )

/** Places of an instruction's last operand, and widths. */
const inMemoryOf = {
  three: [false, true],
  xmm: [false, true],
  narrow: [false, true],
  sha: [false],
  load: [true],
  broadcast: [true],
}
const widthsOf = { xmm: [128], sha: [256] } as Partial<Record<string, readonly number[]>>

/** What a form of the table writes: the operands that it has, in 128 or 256 bits. */
const FORMS = REFERENCES.flatMap(([mnemonic, kind, reference]) =>
  (widthsOf[kind] ?? [128, 256]).flatMap((bits) =>
    inMemoryOf[kind].map((inMemory) => ({
      name: `${mnemonic} of ${bits} bits${inMemory ? ', memory' : ''}`,
      reference,
      bits,
      emit: (asm: Assembler): void => {
        const [v0, v1, v2] = bits === 128 ? [x86.xmm0, x86.xmm1, x86.xmm2] : [x86.ymm0, x86.ymm1, x86.ymm2]
        const place = kind === 'broadcast' ? x86.word : bits === 128 ? x86.xmmword : x86.ymmword
        const second = inMemory ? place(x86.rsi, { disp: 64 }) : v2
        const operands = {
          three: [v0, v1, second],
          xmm: [v0, v1, second, ...(mnemonic === 'vsm3rnds2' ? [16] : [])],
          narrow: [x86.xmm0, second],
          sha: mnemonic === 'vsha512rnds2' ? [v0, v1, x86.xmm2] : [v0, mnemonic.endsWith('1') ? x86.xmm2 : v2],
          load: [v0, second],
          broadcast: [v0, second],
        }
        ;(asm as unknown as Drawn)[mnemonic]!(...operands[kind])
      },
    })),
  ),
)

test('all on vectors, both widths, from registers and memory, interpreted and compiled', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(vector, vector, vector), { minLength: 8, maxLength: 8 }), (cases) => {
      const [pc] = runBothWays({
        cpu: EVERYTHING,
        code: (asm) => {
          asm.mov(x86.rsi, IN).mov(x86.rdi, OUT).mov(x86.rcx, cases.length)
          const next = asm.here('next')
          for (const { emit } of FORMS) {
            asm.vmovdqu(x86.ymm0, x86.ymmword(x86.rsi)).vmovdqu(x86.ymm1, x86.ymmword(x86.rsi, { disp: 32 }))
            emit(asm.vmovdqu(x86.ymm2, x86.ymmword(x86.rsi, { disp: 64 })))
            asm.vmovdqu(x86.ymmword(x86.rdi), x86.ymm0).add(x86.rdi, 32)
          }
          asm.add(x86.rsi, 96).dec(x86.rcx).jnz(next).hlt()
        },
        prepare: (cpu) => {
          cpu.enableState(7)
          for (const [i, part] of cases.flat().entries()) cpu.load(IN + 32 * i, part)
        },
      })
      for (const [i, parts] of cases.entries())
        for (const [j, { name, reference, bits }] of FORMS.entries()) {
          const [sum, a, b] = parts.map((part) => part.subarray(0, bits / 8)) as [Uint8Array, Uint8Array, Uint8Array]
          const expected = new Uint8Array(32)
          const at = pc.host.ramMa + OUT + 32 * (FORMS.length * i + j)
          // One with an operand in memory is as the one before it, on registers.
          if (reference !== undefined) expected.set(reference(sum, a, b))
          else expected.set(pc.memory.u8.subarray(at - (name.endsWith('memory') ? 32 : 0), at + 32).subarray(0, 32))
          expect([name, pc.memory.u8.slice(at, at + 32)]).toEqual([name, expected])
        }
    }),
    { numRuns: 2 },
  )
})

describe('digests and ciphers', () => {
  const pc = (): BareCpu => {
    const made = new BareCpu({ cpu: EVERYTHING })
    made.enableState(7)
    return made
  }
  /** Executes one instruction on YMM0, YMM1 and YMM2. */
  const execute = (cpu: BareCpu, code: (asm: Assembler) => void, ...vectors: readonly Uint8Array[]): Uint8Array => {
    for (const [i, bytes] of vectors.entries()) cpu.load(IN + 32 * i, bytes)
    cpu.program((asm) => {
      asm.mov(x86.rsi, IN).vmovdqu(x86.ymm0, x86.ymmword(x86.rsi))
      asm.vmovdqu(x86.ymm1, x86.ymmword(x86.rsi, { disp: 32 }))
      code(asm.vmovdqu(x86.ymm2, x86.ymmword(x86.rsi, { disp: 64 })))
      asm.vmovdqu(x86.ymmword(x86.rsi, { disp: 96 }), x86.ymm0).hlt()
    })
    cpu.rip = CODE
    for (let i = 0; i < 6; i++) cpu.step()
    const at = cpu.host.ramMa + IN + 96
    return cpu.memory.u8.slice(at, at + 32)
  }
  const bytesOf = fc.uint8Array({ minLength: 64, maxLength: 64 })
  const wordsOf = (bytes: Uint8Array, size: 4 | 8): bigint[] => split(bytes.toReversed(), 8 * size).toReversed()
  const padded = (message: Uint8Array, block: number): Uint8Array => {
    const bytes = Uint8Array.from({ length: block }, (_, i) => message[i] ?? 0)
    bytes[message.length] = 0x80
    new DataView(bytes.buffer).setUint32(block - 4, 8 * message.length)
    return bytes
  }
  const digest = (words: Elements, size: 4 | 8): string =>
    words
      .map((word) =>
        BigInt.asUintN(8 * size, word)
          .toString(16)
          .padStart(2 * size, '0'),
      )
      .join('')

  test('SHA-512', () => {
    const primes = Array.from({ length: 410 }, (_, i) => i + 2).filter((n) =>
      Array.from({ length: n }, (_, i) => i).every((d) => d < 2 || n % d !== 0),
    )
    /** The largest whole number whose power is not above a value. */
    const root = (value: bigint, power: bigint): bigint => {
      let found = 0n
      for (let bit = 1n << 70n; bit > 0n; bit >>= 1n) if ((found + bit) ** power <= value) found += bit
      return BigInt.asUintN(64, found)
    }
    const constants = primes.slice(0, 80).map((p) => root(BigInt(p) << 192n, 3n))
    const initial = primes.slice(0, 8).map((p) => root(BigInt(p) << 128n, 2n))
    fc.assert(
      fc.property(bytesOf, (message) => {
        const cpu = pc()
        const words = wordsOf(padded(message, 128), 8)
        while (words.length < 80) {
          const t = words.length
          const [w0, w4, w9, w12] = [16, 12, 7, 4].map((back) => words.slice(t - back, t - back + 4)) as Elements[]
          const begun = execute(cpu, (asm) => asm.vsha512msg1(x86.ymm0, x86.xmm1), join(w0!, 64), join(w4!, 64))
          const sums = split(begun, 64).map((sum, i) => sum + w9![i]!)
          const all = execute(cpu, (asm) => asm.vsha512msg2(x86.ymm0, x86.ymm1), join(sums, 64), join(w12!, 64))
          words.push(...split(all, 64))
        }
        const [a, b, c, d, e, f, g, h] = initial as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint]
        let [abef, cdgh] = [join([f, e, b, a], 64), join([h, g, d, c], 64)]
        for (let t = 0; t < 80; t += 2) {
          const keyed = join([words[t]! + constants[t]!, words[t + 1]! + constants[t + 1]!, 0n, 0n], 64)
          const next = execute(cpu, (asm) => asm.vsha512rnds2(x86.ymm0, x86.ymm1, x86.xmm2), cdgh, abef, keyed)
          ;[abef, cdgh] = [next, abef]
        }
        const [ff, ee, bb, aa] = split(abef, 64) as [bigint, bigint, bigint, bigint]
        const [hh, gg, dd, cc] = split(cdgh, 64) as [bigint, bigint, bigint, bigint]
        const sums = [aa, bb, cc, dd, ee, ff, gg, hh].map((word, i) => word + initial[i]!)
        expect(digest(sums, 8)).toBe(createHash('sha512').update(message).digest('hex'))
      }),
      { numRuns: 1 },
    )
  })

  test('SM3', () => {
    const rotate = (x: bigint, by: bigint): bigint => BigInt.asUintN(32, (x << by) | (x >> (32n - by)))
    const initial = wordsOf(Buffer.from('7380166f4914b2b9172442d7da8a0600a96f30bc163138aae38dee4db0fb0e4e', 'hex'), 4)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 55 }), (message) => {
        const cpu = pc()
        const words = wordsOf(padded(message, 64), 4)
        while (words.length < 68) {
          const from = words.length - 16
          const part = (at: number): Uint8Array => join(words.slice(from + at, from + at + 4), 32)
          const begun = execute(cpu, (asm) => asm.vsm3msg1(x86.xmm0, x86.xmm1, x86.xmm2), part(7), part(13), part(0))
          const all = execute(cpu, (asm) => asm.vsm3msg2(x86.xmm0, x86.xmm1, x86.xmm2), begun, part(3), part(10))
          words.push(...split(all.subarray(0, 16), 32))
        }
        const [a, b, c, d, e, f, g, h] = initial as [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint]
        let abef = join([f, e, b, a], 32)
        // The instruction rotates C, D, G and H when it uses them.
        let cdgh = join([rotate(h, 13n), rotate(g, 13n), rotate(d, 23n), rotate(c, 23n)], 32)
        for (let t = 0; t < 64; t += 2) {
          const four = join([words[t]!, words[t + 1]!, words[t + 4]!, words[t + 5]!], 32)
          const next = execute(cpu, (asm) => asm.vsm3rnds2(x86.xmm0, x86.xmm1, x86.xmm2, t), cdgh, abef, four)
          ;[abef, cdgh] = [next.subarray(0, 16), abef]
        }
        const [ff, ee, bb, aa] = split(abef, 32) as [bigint, bigint, bigint, bigint]
        const [hh, gg, dd, cc] = split(cdgh, 32) as [bigint, bigint, bigint, bigint]
        const last = [aa, bb, rotate(cc, 9n), rotate(dd, 9n), ee, ff, rotate(gg, 19n), rotate(hh, 19n)]
        expect(
          digest(
            last.map((word, i) => word ^ initial[i]!),
            4,
          ),
        ).toBe(createHash('sm3').update(message).digest('hex'))
      }),
      { numRuns: 1 },
    )
  })

  test('SM4, two blocks at a time', () => {
    const family = wordsOf(Buffer.from('a3b1bac656aa3350677d9197b27022dc', 'hex'), 4)
    const parameters = Array.from({ length: 32 }, (_, i) =>
      [0, 1, 2, 3].reduce((word, j) => (word << 8n) | BigInt(((4 * i + j) * 7) & 0xff), 0n),
    )
    fc.assert(
      fc.property(bytesOf, (bytes) => {
        const cpu = pc()
        const [key, blocks] = [bytes.subarray(0, 16), bytes.subarray(32, 64)]
        let keys = join(
          wordsOf(key, 4).map((word, i) => word ^ family[i]!),
          32,
        )
        let state = join([...wordsOf(blocks.subarray(0, 16), 4), ...wordsOf(blocks.subarray(16), 4)], 32)
        const none = new Uint8Array(32)
        for (let i = 0; i < 32; i += 4) {
          const constants = join(parameters.slice(i, i + 4), 32)
          keys = execute(cpu, (asm) => asm.vsm4key4(x86.xmm0, x86.xmm1, x86.xmm2), none, keys, constants).subarray(
            0,
            16,
          )
          const both = Uint8Array.of(...keys, ...keys)
          state = execute(cpu, (asm) => asm.vsm4rnds4(x86.ymm0, x86.ymm1, x86.ymm2), none, state, both)
        }
        const words = split(state, 32)
        const text = digest([...words.slice(0, 4).toReversed(), ...words.slice(4).toReversed()], 4)
        const cipher = createCipheriv('sm4-ecb', key, null).setAutoPadding(false)
        expect(text).toBe(cipher.update(blocks, undefined, 'hex'))
      }),
      { numRuns: 1 },
    )
  })
})

describe('stores that compute', () => {
  const CONDITIONS = ['o', 'no', 'b', 'nb', 'z', 'nz', 'be', 'nbe', 's', 'ns', 'p', 'np', 'l', 'nl', 'le', 'nle']
  const values = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 1n, 2n ** 63n, 2n ** 31n, 2n ** 32n - 1n),
  )

  test.each([4, 8] as const)('CMPccXADD of %d bytes does what CMP, Jcc and ADD do', (size) => {
    const [old, compared, addend] = size === 8 ? [x86.r8, x86.r9, x86.r10] : [x86.r8d, x86.r9d, x86.r10d]
    const memory = (size === 8 ? x86.qword : x86.dword)(x86.rdi)
    fc.assert(
      fc.property(fc.tuple(values, values, values, fc.boolean()), ([x, y, z, isEqual]) => {
        const [pc] = runBothWays({
          cpu: EVERYTHING,
          code: (asm) => {
            const drawn = asm as unknown as Drawn
            asm.mov(x86.rdi, OUT).mov(x86.ecx, 3)
            const next = asm.here('next')
            for (const name of CONDITIONS) {
              const isMet = asm.label(`met ${name}`)
              const load = (): Assembler =>
                asm
                  .mov(x86.r8, x)
                  .mov(x86.r9, isEqual ? x : y)
                  .mov(x86.r10, z)
                  .mov(x86.qword(x86.rdi), x86.r8)
              load()
              drawn[`cmp${name}xadd`]!(memory, compared, addend)
              asm.pushfq().pop(x86.rax)
              asm.mov(x86.qword(x86.rdi, { disp: 8 }), x86.r9).mov(x86.qword(x86.rdi, { disp: 16 }), x86.rax)
              asm.add(x86.rdi, 24)
              load()
              drawn['cmp']!(old, compared)
              asm.pushfq().pop(x86.rax)
              asm.mov(x86.qword(x86.rdi, { disp: 16 }), x86.rax)
              drawn[`j${name}`]!(isMet)
              ;(asm as unknown as Drawn)['xor']!(addend, addend)
              asm.bind(isMet)
              drawn['mov']!(old, old)
              asm.mov(x86.qword(x86.rdi, { disp: 8 }), x86.r8)
              drawn['add']!(memory, addend)
              asm.add(x86.rdi, 24)
            }
            asm.dec(x86.ecx).jnz(next).hlt()
          },
        })
        for (const [i, name] of CONDITIONS.entries()) {
          const seen = [0, 24].map((from) => [0, 8, 16].map((at) => pc.read64(OUT + 48 * i + from + at)))
          expect([name, seen[0]]).toEqual([name, seen[1]])
        }
      }),
      { numRuns: 2 },
    )
  })

  test('RAO-INT changes memory and no flags', () => {
    fc.assert(
      fc.property(values, values, (x, y) => {
        const [pc] = runBothWays({
          cpu: EVERYTHING,
          code: (asm) => {
            const drawn = asm as unknown as Drawn
            asm.mov(x86.rdi, OUT).mov(x86.ecx, 3)
            const next = asm.here('next')
            for (const name of ['add', 'and', 'or', 'xor'])
              for (const [memory, register] of [
                [x86.qword(x86.rdi), x86.r9],
                [x86.dword(x86.rdi, { disp: 16 }), x86.r9d],
              ] as const) {
                for (const at of [0, 8, 16, 24]) asm.mov(x86.r8, x).mov(x86.qword(x86.rdi, { disp: at }), x86.r8)
                asm.mov(x86.r9, y).cmp(x86.r9, x86.r8).pushfq()
                drawn[`a${name}`]!(memory, register)
                asm.pushfq().pop(x86.rax).pop(x86.rdx).sub(x86.rax, x86.rdx)
                asm.mov(x86.qword(x86.rdi, { disp: 32 }), x86.rax)
                drawn[name]!(
                  register === x86.r9 ? x86.qword(x86.rdi, { disp: 8 }) : x86.dword(x86.rdi, { disp: 24 }),
                  register,
                )
                asm.add(x86.rdi, 40)
              }
            asm.dec(x86.ecx).jnz(next).hlt()
          },
        })
        for (let i = 0; i < 8; i++) {
          const at = OUT + 40 * i
          const from = i % 2 === 0 ? 0 : 16
          expect([pc.read64(at + from), pc.read64(at + 32)]).toEqual([pc.read64(at + from + 8), 0n])
        }
      }),
      { numRuns: 2 },
    )
  })

  /** Has #GP go on at the label `after`, and count in R15. */
  const countGp = (pc: BareCpu, at: (label: string) => number): void =>
    handler(pc, GP, (asm) => asm.add(x86.rsp, 8).mov(x86.qword(x86.rsp), at('after')).inc(x86.r15).iretq())

  test.each([
    ['cmpzxadd', (asm: Assembler) => asm.cmpzxadd(x86.dword(x86.rdi, { disp: 2 }), x86.eax, x86.ecx)],
    ['aadd', (asm: Assembler) => asm.aadd(x86.qword(x86.rdi, { disp: 4 }), x86.rax)],
    [
      'movdir64b',
      (asm: Assembler) => asm.lea(x86.rdx, x86.qword(x86.rdi, { disp: 32 })).movdir64b(x86.rdx, x86.zmmword(x86.rdi)),
    ],
  ])('%s to a place that is not aligned raises #GP(0)', (_, code) => {
    runBothWays({
      cpu: EVERYTHING,
      code: (asm) => {
        asm.mov(x86.rdi, OUT).mov(x86.ebx, 3)
        const next = asm.here('next')
        code(asm)
        asm.bind(asm.label('after')).dec(x86.ebx).jnz(next).hlt()
      },
      prepare: countGp,
    }).forEach((pc) => {
      expect(pc.register('r15')).toBe(3n)
      expect(pc.read64(OUT)).toBe(0n)
    })
  })

  test('MOVDIR64B asks a slow device once for each part, and MOVRS and MOVDIRI move', () => {
    const DEVICE = 0x2_0000
    const pairs = runBothWays({
      cpu: EVERYTHING,
      code: (asm) => {
        asm.mov(x86.rdi, OUT).mov(x86.rsi, DEVICE).mov(x86.ebx, 3)
        const next = asm.here('next')
        asm.movdir64b(x86.rdi, x86.zmmword(x86.rsi, { disp: 8 }))
        asm.lea(x86.rdx, x86.qword(x86.rsi, { disp: 0x40 })).movdir64b(x86.rdx, x86.zmmword(x86.rdi))
        asm.movrs(x86.rax, x86.qword(x86.rdi)).movrs(x86.cl, x86.byte(x86.rdi, { disp: 1 }))
        asm.movdiri(x86.qword(x86.rdi, { disp: 64 }), x86.rax)
        asm.dec(x86.ebx).jnz(next).hlt()
      },
      prepare: (pc) => void pc.host.devices.set(DEVICE >>> 12, slowDevice()),
    })
    for (const pc of pairs) {
      expect(pc.host.seen.filter((access) => access.startsWith('mmio read'))).toHaveLength(24)
      expect(pc.read64(OUT + 8)).toBe(0x9_e377_9b18n)
      expect(pc.read64(OUT + 64)).toBe(pc.read64(OUT))
      expect(pc.register('rcx')).toBe(0xcdn)
    }
  })

  test('MOVDIR64B of 32-bit code takes an address of 32 bits, or of 16 with a prefix', () => {
    const [pc] = runBothWays({
      cpu: EVERYTHING,
      mode: 'protected',
      code: (asm) => {
        asm.mov(x86.edi, 0x1_0040).mov(x86.esi, IN).mov(x86.ecx, 3)
        const next = asm.here('next')
        asm.mov(x86.dword(x86.esi, { disp: 60 }), x86.ecx).movdir64b(x86.edi, x86.zmmword(x86.esi))
        asm.mov(x86.ebx, 0x9000).movdir64b(x86.di, x86.zmmword(x86.bx)).dec(x86.ecx).jnz(next).hlt()
      },
      prepare: (cpu) => cpu.load(0x9000, [7]),
    })
    expect([pc.read32(0x1_007c), pc.read32(0x40)]).toEqual([1, 7])
  })

  test('ENQCMD and ENQCMDS: devices take a command, RAM does not; #GP for bits that are to be zeros', () => {
    const DEVICE = 0x2_0000
    const given = fc.record({
      first: fc.constantFrom(0, 1, 0x1_2345, 0x8000_0000, 0x10_0000, 0x4000_0001),
      pasid: fc.constantFrom(0x8001_2345n, 0x1_2345n),
      isSupervisor: fc.boolean(),
      to: fc.constantFrom(DEVICE, DEVICE + 0x40, OUT, DEVICE + 8),
    })
    fc.assert(
      fc.property(given, ({ first, pasid, isSupervisor, to }) => {
        const pairs = runBothWays({
          cpu: EVERYTHING,
          code: (asm) => {
            asm.mov(x86.ecx, 0xd93).mov(x86.eax, pasid).xor(x86.edx, x86.edx).wrmsr()
            asm.mov(x86.rdx, to).mov(x86.rsi, IN).mov(x86.ebx, 3)
            const next = asm.here('next')
            asm.mov(x86.r8, -1).add(x86.r8, x86.r8)
            ;(asm as unknown as Drawn)[isSupervisor ? 'enqcmds' : 'enqcmd']!(x86.rdx, x86.zmmword(x86.rsi))
            asm.pushfq().pop(x86.r9).bind(asm.label('after')).dec(x86.ebx).jnz(next).hlt()
          },
          prepare: (pc, at) => {
            countGp(pc, at)
            pc.host.devices.set(DEVICE >>> 12, slowDevice())
            pc.write32(IN, first)
            pc.write32(IN + 60, 7)
          },
        })
        const isAllowed = isSupervisor ? (first & 0x7ff0_0000) === 0 : first === 0 && pasid >> 31n === 1n
        const isRefused = to % 64 !== 0 || !isAllowed
        const isTaken = !isRefused && to !== OUT
        for (const pc of pairs) {
          expect(pc.register('r15')).toBe(isRefused ? 3n : 0n)
          if (!isRefused) expect(pc.register('r9') & 0x8d5n).toBe(isTaken ? 0n : 0x40n)
          const writes = pc.host.seen.filter((access) => access.startsWith('mmio write'))
          expect(writes).toHaveLength(isTaken ? 24 : 0)
          const ends = [isSupervisor ? first : Number(pasid & 0xf_ffffn), 0x7_0000_0000]
          if (isTaken)
            expect([writes[0], writes[7]].map((one, i) => one!.endsWith(`=${ends[i]!.toString(16)}`))).toEqual([
              true,
              true,
            ])
          expect(pc.read64(OUT)).toBe(0n)
        }
      }),
      { numRuns: 8 },
    )
  })

  test.each([
    [0x277, 1, 0x80, '#GP of UWRMSR alone', 1n],
    [0x277, 1, 0x7f, '#GP', 2n],
    [0x277, 0, 0x80, '#UD', 0x200n],
    [0x4000, 1, 0xff, '#GP', 2n],
    // No processor has this register.
    [0x3fff, 1, 0xff, '#GP', 2n],
  ])('URDMSR and UWRMSR of %i with IA32_USER_MSR_CTL %i and bits %i: %s', (index, enabled, bits, _, faults) => {
    const BITMAP = 0x6_2000
    const [plain] = runBothWays({
      cpu: EVERYTHING,
      code: (asm) => {
        asm.mov(x86.ecx, 0x1c).mov(x86.eax, BITMAP + enabled)
        asm.xor(x86.edx, x86.edx).wrmsr()
        asm.mov(x86.r8d, index).mov(x86.ebx, 3)
        const next = asm.here('next')
        asm.urdmsr(x86.r9, x86.r8).uwrmsr(x86.r8, x86.r9).dec(x86.ebx).jnz(next).hlt()
      },
      prepare: (pc) => {
        for (const [vector, counted] of [
          [GP, 1],
          [6, 0x100],
        ] as const)
          handler(pc, vector, (asm) => {
            if (vector === GP) asm.add(x86.rsp, 8)
            asm.add(x86.qword(x86.rsp), 6).add(x86.r15, counted).iretq()
          })
        for (const half of [0, 0x800]) pc.load(BITMAP + half + (index >>> 3), [bits])
      },
    })
    expect(plain.register('r15')).toBe(3n * faults)
    expect(plain.register('r9')).toBe(faults === 1n ? 0x7_0406_0007_0406n : 0n)
  })

  test('MOVDIR64B to a page that is not there writes nothing', () => {
    // Above 4 GiB, where the lower half of the address has memory.
    const NOTHING = 0x1_0000_0000 + OUT + 0x1000
    runBothWays({
      cpu: EVERYTHING,
      code: (asm) => {
        asm.mov(x86.rdi, NOTHING).mov(x86.rsi, OUT).mov(x86.ebx, 3)
        const next = asm.here('next')
        asm.movdir64b(x86.rdi, x86.zmmword(x86.rsi, { disp: 1 }))
        asm.bind(asm.label('after')).dec(x86.ebx).jnz(next).hlt()
      },
      prepare: (pc, at) =>
        handler(pc, PF, (asm) => asm.pop(x86.r14).mov(x86.qword(x86.rsp), at('after')).inc(x86.r15).iretq()),
    }).forEach((pc) => expect([pc.register('r15'), pc.register('r14')]).toEqual([3n, 2n]))
  })
})
