/** Floating point in compiled code: results, and the flags that it leaves in MXCSR and in the x87 status word. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler, Label } from '@retrap/x86-assembler'
import { runSoak } from '@retrap/tooling/soak'
import { SLICE_REPEAT, slicedCount, slicedSeed, sliceTests } from '@retrap/tooling/slice'
import { describe, expect, test as always } from 'vitest'
import type { BareCpu } from '../support/bare-cpu.ts'
import { handler, runBothWays } from '../support/both-ways.ts'
import { soak } from '../soak/jit-vectors.soak.ts'

const test = sliceTests(3)

const DATA = 0x1_0000
const CONTROL = 0x400
const FLAGS = 0x404
const LATER = 0x408
const OUT = 0x440

/** 32 bytes each, from RBX on. */
const NUMBERS = {
  one: 0x3ff0_0000_0000_0000n,
  three: 0x4008_0000_0000_0000n,
  tenth: 0x3fb9_9999_9999_999an,
  zero: 0n,
  denormal: 0x0000_0000_0001_0000n,
  /** 2^-1020. */
  tiny: 0x0030_0000_0000_0000n,
  /** 1.5 · 2^-1020. */
  lessTiny: 0x0038_0000_0000_0000n,
  huge: 0x7fe0_0000_0000_0000n,
  infinity: 0x7ff0_0000_0000_0000n,
  quiet: 0x7ff8_0000_0000_1234n,
  signalling: 0xfff0_0000_0000_5678n,
} as const
type Name = keyof typeof NUMBERS

const scalar = (name: Name): ReturnType<typeof x86.qword> =>
  x86.qword(x86.rbx, { disp: 32 * Object.keys(NUMBERS).indexOf(name) })
const packed = (name: Name): ReturnType<typeof x86.xmmword> =>
  x86.xmmword(x86.rbx, { disp: 32 * Object.keys(NUMBERS).indexOf(name) })
const wide = (name: Name): ReturnType<typeof x86.ymmword> =>
  x86.ymmword(x86.rbx, { disp: 32 * Object.keys(NUMBERS).indexOf(name) })
const out = (offset: number): ReturnType<typeof x86.qword> => x86.qword(x86.rbx, { disp: OUT + offset })

const { xmm0, xmm1, xmm2, ymm0, ymm1, ymm2, st0, st1 } = x86
const REGISTERS = { xmm0, xmm1, xmm2, ymm0, ymm1, ymm2, st0, st1 }

/** Code as text: of numbers that are no register the lowest element, two with `/2` and four with `/4`. */
const code =
  (text: string) =>
  (asm: Assembler): void => {
    const operand = (name: string): unknown => {
      const [number, elements] = name.split('/') as [Name, string?]
      if (!(number in NUMBERS)) return REGISTERS[name as keyof typeof REGISTERS] ?? Number(name)
      return elements === undefined ? scalar(number) : elements === '2' ? packed(number) : wide(number)
    }
    for (const one of text.split('; ')) {
      const [mnemonic, ...operands] = one.split(/,? /) as ['fadd', ...string[]]
      asm[mnemonic](...(operands.map(operand) as [never]))
    }
  }

/** Masks all, rounds to nearest; with PE set, as after any inexact result. */
const MASKED = 0x1f80
const [IE, DE, ZE, OE, UE, PE] = [1, 2, 4, 8, 0x10, 0x20]
const SETTLED = MASKED | PE

function prepare(control: number): (pc: BareCpu) => void {
  return (pc) => {
    pc.setRegister('rbx', DATA)
    for (const [i, bits] of Object.values(NUMBERS).entries()) {
      for (let lane = 0; lane < 4; lane++) pc.write64(DATA + 32 * i + 8 * lane, bits)
    }
    pc.write32(DATA + CONTROL, control)
    pc.write32(DATA + LATER, SETTLED | 0x2000)
  }
}

/** CR4.OSXSAVE, and XCR0 = 7. */
function enableAvx(asm: Assembler): void {
  asm.mov(x86.rax, x86.cr4).or(x86.eax, 0x4_0000).mov(x86.cr4, x86.rax)
  asm.xor(x86.ecx, x86.ecx).xor(x86.edx, x86.edx).mov(x86.eax, 7).xsetbv()
}

/** Runs a body sixty times, each time with MXCSR as given, which is stored behind the body. */
function sixty(control: number, body: (asm: Assembler) => void): BareCpu {
  const [plain] = runBothWays({
    code: (asm) => {
      const loop = asm.label('loop')
      enableAvx(asm)
      asm.mov(x86.r14, 60).bind(loop)
      asm.ldmxcsr(x86.dword(x86.rbx, { disp: CONTROL }))
      body(asm)
      asm.stmxcsr(x86.dword(x86.rbx, { disp: FLAGS }))
      asm
        .mov(x86.eax, x86.dword(x86.rbx, { disp: FLAGS }))
        .rol(x86.rdx, 5)
        .add(x86.rdx, x86.rax)
      asm.dec(x86.r14).jne(loop).hlt()
    },
    prepare: prepare(control),
  })
  return plain
}

const flagsOf = (control: number, body: (asm: Assembler) => void): number =>
  sixty(control, body).read32(DATA + FLAGS) & 0x3f

/** A row of a table: what is given, the bits that it sets, its code, and the control word. */
type Case = [given: string, bits: number, body: string, control?: number]

describe('a flag of MXCSR is raised', () => {
  test.each<Case>([
    ['by the first inexact result', PE, 'movsd xmm0, one; addsd xmm0, three; divsd xmm0, three', MASKED],
    [
      'by none of several exact results, zero among them',
      0,
      'movsd xmm0, one; addsd xmm0, three; mulsd xmm0, three; mulsd xmm0, zero; subsd xmm0, xmm0; movsd xmm1, three; divsd xmm1, one',
      MASKED,
    ],
    ['by a denormal operand from memory', PE | DE, 'movsd xmm0, one; addsd xmm0, denormal'],
    [
      'by one in a register that held a normal number',
      PE | DE,
      'movsd xmm0, one; addsd xmm0, xmm0; movsd xmm1, three; addsd xmm1, xmm0; movsd xmm0, denormal; addsd xmm1, xmm0',
    ],
    [
      'by a copy of one',
      PE | DE,
      'movsd xmm0, denormal; movsd xmm1, one; addsd xmm1, xmm1; movapd xmm2, xmm1; movapd xmm2, xmm0; addsd xmm1, xmm2',
    ],
    [
      'by a denormal product that is an operand again',
      PE | DE | UE,
      'movsd xmm0, lessTiny; mulsd xmm0, tenth; movsd xmm1, one; addsd xmm1, xmm0',
    ],
    [
      'by no exact denormal difference',
      0,
      'movsd xmm0, tiny; divsd xmm0, one; movsd xmm1, tiny; addsd xmm1, tiny; subsd xmm1, xmm0',
      MASKED,
    ],
    [
      'by the upper element of a vector',
      PE | DE,
      'movapd xmm0, one/2; movhpd xmm0, denormal; movapd xmm1, three/2; mulpd xmm1, three/2; addpd xmm1, xmm0',
    ],
    [
      'by the lowest element where the vector was normal',
      PE | DE,
      'movapd xmm0, three/2; mulpd xmm0, three/2; movlpd xmm0, denormal; addpd xmm0, one/2',
    ],
    [
      'by the upper lane of AVX',
      PE | DE,
      'vmovapd ymm0, three/4; vmulpd ymm0, ymm0, three/4; vmovapd ymm1, denormal/4; vinsertf128 ymm1, ymm1, one/2, 0; vaddpd ymm2, ymm0, ymm1',
    ],
    [
      'by the upper lane above a normal result of SSE',
      PE | DE,
      'vmovapd ymm0, three/4; vmulpd ymm0, ymm0, three/4; vmovapd ymm1, denormal/4; movapd xmm1, three/2; mulpd xmm1, three/2; vaddpd ymm2, ymm0, ymm1',
    ],
    ['by an infinite result', PE | OE, 'movsd xmm0, huge; addsd xmm0, huge'],
    ['by none that comes of an infinity', 0, 'movsd xmm0, infinity; addsd xmm0, one; mulsd xmm0, three', MASKED],
    ['by a division by zero', PE | ZE, 'movsd xmm0, three; divsd xmm0, zero'],
    ['by infinity less infinity', PE | IE, 'movsd xmm0, infinity; subsd xmm0, infinity'],
    ['by a signalling NaN', PE | IE, 'movsd xmm0, one; addsd xmm0, signalling'],
    ['by COMISD of a quiet NaN, not by UCOMISD', PE, 'movsd xmm0, quiet; ucomisd xmm0, one'],
    ['by COMISD of a quiet NaN', PE | IE, 'movsd xmm0, quiet; comisd xmm0, one'],
    ['by a conversion that rounds', PE, 'movsd xmm0, tenth; cvtsd2ss xmm1, xmm0', MASKED],
    ['by FMA whose sum is rounded', PE, 'movsd xmm0, three; movsd xmm1, tenth; vfmadd213sd xmm0, xmm1, three', MASKED],
    [
      'by no FMA that is exact',
      0,
      'vmovapd ymm0, three/4; vmovapd ymm1, three/4; vfmadd213pd ymm0, ymm1, one/4',
      MASKED,
    ],
  ])('%s', (_given, flags, body, control = SETTLED) => {
    expect(flagsOf(control, code(body))).toBe(flags)
  })
})

describe('results', () => {
  /** What the body leaves in XMM0. */
  const resultOf = (control: number, body: (asm: Assembler) => void): bigint =>
    sixty(control, (asm) => {
      body(asm)
      asm.movsd(out(0), x86.xmm0)
    }).read64(DATA + OUT)

  test('NaNs have the payload of the first operand', () => {
    const body = (asm: Assembler): Assembler =>
      asm.movsd(x86.xmm0, scalar('quiet')).addsd(x86.xmm0, scalar('signalling')).mulsd(x86.xmm0, scalar('three'))
    expect(resultOf(SETTLED, body)).toBe(NUMBERS.quiet)
  })

  test.each([
    { given: 'to nearest', rounding: 0, bits: 0x3fd5_5555_5555_5555n },
    { given: 'down', rounding: 1, bits: 0x3fd5_5555_5555_5555n },
    { given: 'up', rounding: 2, bits: 0x3fd5_5555_5555_5556n },
    { given: 'to zero', rounding: 3, bits: 0x3fd5_5555_5555_5555n },
  ])('a third is rounded $given', ({ rounding, bits }) => {
    const body = (asm: Assembler): Assembler => asm.movsd(x86.xmm0, scalar('one')).divsd(x86.xmm0, scalar('three'))
    expect(resultOf(SETTLED | (rounding << 13), body)).toBe(bits)
  })

  test('a difference of zero is negative when rounding is down', () => {
    const body = (asm: Assembler): Assembler => asm.movsd(x86.xmm0, scalar('one')).subsd(x86.xmm0, scalar('one'))
    expect(resultOf(SETTLED | 0x2000, body)).toBe(1n << 63n)
    expect(resultOf(SETTLED, body)).toBe(0n)
  })

  test('DAZ takes denormal operands for zero, FTZ makes tiny results zero', () => {
    const sum = (asm: Assembler): Assembler => asm.movsd(x86.xmm0, scalar('denormal')).mulsd(x86.xmm0, scalar('huge'))
    expect(resultOf(SETTLED | 0x40, sum)).toBe(0n)
    const product = (asm: Assembler): Assembler => asm.movsd(x86.xmm0, scalar('tiny')).mulsd(x86.xmm0, scalar('tenth'))
    expect(resultOf(SETTLED | 0x8000, product)).toBe(0n)
    expect(resultOf(SETTLED, product)).not.toBe(0n)
  })

  test('LDMXCSR in a loop changes what follows it', () => {
    // The second division rounds down.
    const body = (asm: Assembler): Assembler =>
      asm
        .movsd(x86.xmm1, scalar('one'))
        .divsd(x86.xmm1, scalar('tenth'))
        .ldmxcsr(x86.dword(x86.rbx, { disp: LATER }))
        .movsd(x86.xmm0, scalar('one'))
        .movsd(x86.xmm2, scalar('tenth'))
        .addsd(x86.xmm0, x86.xmm2)
        .divsd(x86.xmm0, scalar('three'))
        .subsd(x86.xmm0, x86.xmm1)
    const first = resultOf(SETTLED, body)
    expect(first).not.toBe(0n)
    expect(resultOf(SETTLED | 0x2000, body)).not.toBe(0n)
  })
})

test('an unmasked exception is raised where it arises, with what preceded it', () => {
  const [plain] = runBothWays({
    code: (asm) => {
      const [loop, next] = [asm.label('loop'), asm.label('next')]
      asm.mov(x86.r14, 60).bind(loop)
      asm.ldmxcsr(x86.dword(x86.rbx, { disp: CONTROL }))
      asm.movsd(x86.xmm0, scalar('one')).addsd(x86.xmm0, scalar('three'))
      asm.movsd(x86.xmm3, scalar('three')).mulsd(x86.xmm3, x86.xmm0)
      // Divides by zero in every iteration.
      asm.divsd(x86.xmm0, scalar('zero'))
      asm.mov(x86.rdx, -1)
      asm.bind(next).dec(x86.r14).jne(loop).hlt()
    },
    prepare: (pc, label) => {
      prepare(SETTLED & ~0x200)(pc)
      handler(pc, 19, (asm) => asm.hlt())
      const address = 0x5000 + 0x100 * (19 & 15)
      const next = label('next')
      // INC ECX; MOV [RSP], next; IRETQ
      pc.load(address, [0xff, 0xc1, 0x48, 0xc7, 0x04, 0x24, next & 0xff, next >>> 8, 0, 0, 0x48, 0xcf])
    },
  })
  expect(plain.register('rcx')).toBe(60n)
  expect(plain.register('rdx')).toBe(0n)
})

describe('parts of registers', () => {
  test('MOVSD and MOVSS between registers keep the rest, from memory they clear it', () => {
    const [plain] = runBothWays({
      code: (asm) => {
        const loop = asm.label('loop')
        asm.mov(x86.r14, 60).bind(loop)
        asm
          .movapd(x86.xmm0, packed('three'))
          .movsd(x86.xmm1, scalar('one'))
          .addsd(x86.xmm1, x86.xmm1)
          .movsd(x86.xmm0, x86.xmm1)
        asm.movupd(x86.xmmword(x86.rbx, { disp: OUT }), x86.xmm0)
        asm.movapd(x86.xmm0, packed('three')).addsd(x86.xmm0, x86.xmm0).movsd(x86.xmm0, scalar('one'))
        asm.movupd(x86.xmmword(x86.rbx, { disp: OUT + 16 }), x86.xmm0)
        asm.movapd(x86.xmm0, packed('tenth')).movss(x86.xmm0, x86.xmm1)
        asm.movupd(x86.xmmword(x86.rbx, { disp: OUT + 32 }), x86.xmm0)
        asm.dec(x86.r14).jne(loop).hlt()
      },
      prepare: prepare(SETTLED),
    })
    const two = 0x4000_0000_0000_0000n
    const stored = [0, 8, 16, 24, 32, 40].map((offset) => plain.read64(DATA + OUT + offset))
    const low = (NUMBERS.tenth >> 32n) << 32n
    expect(stored).toEqual([two, NUMBERS.three, NUMBERS.one, 0n, low, NUMBERS.tenth])
  })

  test('VEX clears upper halves, legacy instructions keep them', () => {
    const [plain] = runBothWays({
      code: (asm) => {
        const loop = asm.label('loop')
        enableAvx(asm)
        asm.mov(x86.r14, 60).bind(loop)
        asm.vmovapd(x86.ymm0, wide('three')).vmovapd(x86.ymm1, wide('three')).vmovapd(x86.ymm2, wide('three'))
        asm.vaddpd(x86.ymm3, x86.ymm3, wide('one'))
        asm.addsd(x86.xmm0, scalar('one')).vaddsd(x86.xmm1, x86.xmm1, scalar('one')).vmovapd(x86.xmm2, x86.xmm1)
        asm.vmovupd(x86.ymmword(x86.rbx, { disp: OUT }), x86.ymm0)
        asm.vmovupd(x86.ymmword(x86.rbx, { disp: OUT + 32 }), x86.ymm1)
        asm.vmovupd(x86.ymmword(x86.rbx, { disp: OUT + 64 }), x86.ymm2)
        asm.dec(x86.r14).jne(loop).hlt()
      },
      prepare: prepare(SETTLED),
    })
    const lane = (register: number): bigint[] =>
      [0, 1, 2, 3].map((i) => plain.read64(DATA + OUT + 32 * register + 8 * i))
    const four = 0x4010_0000_0000_0000n
    expect(lane(0)).toEqual([four, NUMBERS.three, NUMBERS.three, NUMBERS.three])
    expect(lane(1)).toEqual([four, NUMBERS.three, 0n, 0n])
    expect(lane(2)).toEqual([four, NUMBERS.three, 0n, 0n])
  })

  test('a unit that is left in the middle has stored them', () => {
    // The store crosses a page: the interpreter makes it, and the comparison of registers follows HLT.
    runBothWays({
      code: (asm) => {
        const loop = asm.label('loop')
        asm.mov(x86.r14, 60).xorpd(x86.xmm0, x86.xmm0).bind(loop)
        asm.addsd(x86.xmm0, scalar('tenth')).movapd(x86.xmm1, packed('three')).mulsd(x86.xmm1, x86.xmm0)
        asm.movsd(x86.qword(x86.rbx, { disp: 0xffc }), x86.xmm1)
        asm.movapd(x86.xmm2, x86.xmm1).dec(x86.r14).jne(loop).hlt()
      },
      prepare: prepare(MASKED),
    })
  })
})

describe('x87', () => {
  test.each<Case>([
    ['a sum that is exact', 0, 'fld one; fadd three'],
    ['a sum that is rounded up', 0x20, 'fld tenth; fadd huge'],
    ['a product', 0x220, 'fld tenth; fmul tenth'],
    ['a denormal operand', 0x22, 'fld denormal; fadd one'],
    ['a signalling NaN', 1, 'fld signalling; fadd one'],
    ['a difference of zero', 0, 'fld three; fld three; fsubp st1, st0'],
    ['a register that is empty', 0x41, 'fld one; fadd st0, st1'],
    ['53 bits', 0x220, 'fld tenth; fmul tenth', 0x27f],
  ])('%s', (_given, status, body, control = 0x37f) => {
    const [plain] = runBothWays({
      code: (asm) => {
        const loop = asm.label('loop')
        asm.mov(x86.r14, 60).bind(loop)
        asm.fninit().fldcw(x86.ptr(x86.rbx, { disp: CONTROL }))
        code(body)(asm)
        asm.fnstsw(x86.ptr(x86.rbx, { disp: FLAGS })).fstp(out(0))
        asm.dec(x86.r14).jne(loop).hlt()
      },
      prepare: prepare(control),
    })
    expect(plain.read32(DATA + FLAGS) & 0x27f).toBe(status)
  })
})

describe('a register that arithmetic takes at the head of a loop', () => {
  // The sum is an ordinary number, from which nothing can be seen.

  /** Zero or a denormal number, by the lowest bit of a counter. */
  const picked = (asm: Assembler, counter: typeof x86.ecx): typeof x86.rax => {
    asm.mov(x86.eax, counter).and(x86.eax, 1).shl(x86.eax, 5)
    return x86.rax
  }
  const at = { disp: 32 * Object.keys(NUMBERS).indexOf('zero') }
  const kinds = [
    {
      kind: 'a double',
      load: (asm: Assembler, by: typeof x86.rax) => asm.movsd(x86.xmm1, x86.qword(x86.rbx, { index: by, ...at })),
      use: (asm: Assembler) => asm.addsd(x86.xmm0, x86.xmm1),
    },
    {
      kind: 'a single',
      load: (asm: Assembler, by: typeof x86.rax) => asm.movss(x86.xmm1, x86.dword(x86.rbx, { index: by, ...at })),
      use: (asm: Assembler) => asm.addss(x86.xmm0, x86.xmm1),
    },
    {
      kind: 'a copy of a double',
      load: (asm: Assembler, by: typeof x86.rax) => asm.movsd(x86.xmm2, x86.qword(x86.rbx, { index: by, ...at })),
      use: (asm: Assembler) => asm.movapd(x86.xmm1, x86.xmm2).addsd(x86.xmm0, x86.xmm1),
    },
    {
      kind: 'two doubles',
      load: (asm: Assembler, by: typeof x86.rax) => asm.movapd(x86.xmm1, x86.xmmword(x86.rbx, { index: by, ...at })),
      use: (asm: Assembler) => asm.addpd(x86.xmm0, x86.xmm1),
    },
    {
      kind: 'four singles',
      load: (asm: Assembler, by: typeof x86.rax) => asm.movaps(x86.xmm1, x86.xmmword(x86.rbx, { index: by, ...at })),
      use: (asm: Assembler) => asm.addps(x86.xmm0, x86.xmm1),
    },
    {
      kind: 'four doubles, in the upper lane only',
      load: (asm: Assembler, by: typeof x86.rax) =>
        asm
          .vmovapd(x86.ymm1, x86.ymmword(x86.rbx, { index: by, ...at }))
          .vperm2f128(x86.ymm1, x86.ymm1, x86.ymm1, 0x08),
      use: (asm: Assembler) => asm.vaddpd(x86.ymm0, x86.ymm0, x86.ymm1),
    },
  ]

  /** Loads a number that is denormal in some rounds, and goes on with a loop. */
  const expectDe = ({ load }: (typeof kinds)[number], rest: (asm: Assembler, inner: Label) => void): void => {
    const flags = flagsOf(SETTLED, (asm) => {
      asm.vmovapd(x86.ymm0, wide('tenth'))
      load(asm, picked(asm, x86.r14d))
      const inner = asm.label('inner')
      rest(asm, inner)
      asm.dec(x86.ecx).jne(inner)
    })
    expect(flags & DE).toBe(DE)
  }

  test.each(kinds)('raises DE if it is denormal where the loop is entered: $kind', (kind) =>
    expectDe(kind, (asm, inner) => {
      // A jump enters the loop's own unit.
      asm.mov(x86.ecx, 8).jmp(inner).hlt().bind(inner)
      kind.use(asm)
    }),
  )

  test.each(kinds)('raises DE if it has become denormal in a round: $kind', (kind) =>
    expectDe(kind, (asm, inner) => {
      asm.mov(x86.ecx, 8).bind(inner)
      kind.use(asm)
      kind.load(asm, picked(asm, x86.ecx))
    }),
  )

  test.each(kinds)('raises DE if it is denormal on one of two ways that meet: $kind', (kind) =>
    expectDe(kind, (asm, inner) => {
      const other = asm.label('other')
      kind.use(asm)
      asm.mov(x86.ecx, 8).bind(inner).test(x86.ecx, 2).je(other)
      kind.load(asm, picked(asm, x86.ecx))
      asm.bind(other)
      kind.use(asm)
    }),
  )
})

describe('COMISD and UCOMISD', () => {
  test.each(['comisd', 'ucomisd'] as const)('%s: conditions and flags of all pairs, branches among them', (compare) => {
    const names = Object.keys(NUMBERS) as Name[]
    runBothWays({
      code: (asm) => {
        const loop = asm.label('loop')
        asm.mov(x86.r14, 60).bind(loop)
        asm.ldmxcsr(x86.dword(x86.rbx, { disp: CONTROL }))
        for (const first of names) {
          for (const second of names) {
            const [above, parity] = [asm.label(`above ${first} ${second}`), asm.label(`parity ${first} ${second}`)]
            asm.movsd(x86.xmm0, scalar(first))[compare](x86.xmm0, scalar(second))
            asm.ja(above).rol(x86.rdx, 3).bind(above)
            asm.movsd(x86.xmm0, scalar(first))[compare](x86.xmm0, scalar(second))
            asm.jp(parity).rol(x86.rdx, 5).bind(parity)
            asm[compare](x86.xmm0, scalar(second)).setbe(x86.al).rol(x86.rdx, 1).add(x86.dl, x86.al)
            asm[compare](x86.xmm0, scalar(second)).lahf().rol(x86.rdx, 1).add(x86.dl, x86.ah)
          }
        }
        asm.stmxcsr(x86.dword(x86.rbx, { disp: FLAGS }))
        asm.dec(x86.r14).jne(loop).hlt()
      },
      prepare: prepare(MASKED),
    })
  })
})

always(
  'loops of floating point run alike interpreted and compiled',
  async () => {
    const { violations, smallest } = await runSoak(soak, { count: slicedCount(60, 6), seed: slicedSeed(1) })
    expect(smallest, SLICE_REPEAT).toBeUndefined()
    expect(violations).toBe(0)
  },
  240_000,
)
