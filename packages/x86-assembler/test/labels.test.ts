import { describe, expect, test } from 'vitest'
import * as x86 from '../src/index.ts'
import type { Program } from '../src/index.ts'

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (value) => value.toString(16).padStart(2, '0')).join(' ')
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof x86.AssemblerError) return error.code
    throw error
  }
  return 'nothing thrown'
}

/** A row of a table: its name, what is expected, and what is assembled. */
type Case<Expected extends unknown[]> = readonly [what: string, ...Expected, build: (asm: x86.Assembler) => unknown]

describe('branches', () => {
  test.each([
    { between: 127, forward: 'eb 7f' },
    { between: 128, forward: 'e9 80 00 00 00' },
  ])('forward over $between bytes are as short as they can be', ({ between, forward }) => {
    const asm = new x86.Assembler()
    const target = asm.label()
    const { bytes } = asm.jmp(target).fill(between).bind(target).assemble()
    expect(hexOf(bytes.subarray(0, bytes.length - between))).toBe(forward)
  })

  test.each([
    { between: 126, back: 'eb 80' },
    { between: 127, back: 'e9 7c ff ff ff' },
  ])('back over $between bytes are as short as they can be', ({ between, back }) => {
    const asm = new x86.Assembler()
    const target = asm.here()
    const { bytes } = asm.fill(between).jmp(target).assemble()
    expect(hexOf(bytes.subarray(between))).toBe(back)
  })

  test('that grow push others out of reach, until nothing changes', () => {
    const asm = new x86.Assembler()
    const first = asm.label()
    const second = asm.label()
    // The second jump fits only if the first between it and its target is short, which it is not.
    asm.jmp(first).fill(123).jmp(second).bind(first).fill(126).bind(second)
    const grown = asm.assemble().bytes
    expect(grown[0]).toBe(0xeb)
    expect(grown[125]).toBe(0xeb)
    asm.fill(0)
    const chained = new x86.Assembler()
    const a = chained.label()
    const b = chained.label()
    chained.jmp(a).jmp(b).fill(125).bind(a).fill(10).bind(b)
    const { bytes } = chained.assemble()
    // The inner one is too far by itself; with its five bytes the outer one is too.
    expect(hexOf(bytes.subarray(0, 10))).toBe('e9 82 00 00 00 e9 87 00 00 00')
  })

  test('over a section border reach', () => {
    const asm = new x86.Assembler({ address: 0x1000 })
    asm.section('far', { address: 0x20_0000 })
    const target = asm.here()
    asm.hlt().section('text').jmp(target)
    const [text] = asm.assemble().sections
    expect(hexOf(text?.bytes ?? new Uint8Array())).toBe('e9 fb ef 1f 00')
  })

  test.each([
    { bits: 16, bytes: 'e9 00 02' },
    { bits: 32, bytes: 'e9 00 02 00 00' },
    { bits: 64, bytes: 'e9 00 02 00 00' },
  ] as const)('in $bits-bit code have that displacement', ({ bits, bytes }) => {
    const asm = new x86.Assembler({ bits })
    const target = asm.label()
    asm.jmp(target).fill(0x200).bind(target)
    expect(hexOf(asm.assemble().bytes.subarray(0, bits === 16 ? 3 : 5))).toBe(bytes)
  })

  test('wrap at 64 KiB in 16-bit code', () => {
    const asm = new x86.Assembler({ bits: 16, address: 0xfff0 })
    asm.jmp(x86.near(0x10))
    expect(hexOf(asm.assemble().bytes)).toBe('e9 1d 00')
  })

  test('can be told their length', () => {
    const asm = new x86.Assembler()
    const target = asm.here()
    asm.jmp(x86.near(target)).jz(x86.near(target)).jmp(x86.short(target))
    expect(hexOf(asm.assemble().bytes)).toBe('e9 fb ff ff ff 0f 84 f5 ff ff ff eb f3')
    const tooFar = new x86.Assembler()
    const end = tooFar.label()
    tooFar.jmp(x86.short(end)).fill(200).bind(end)
    expect(codeOf(() => tooFar.assemble())).toBe('ERR_RANGE')
  })

  test('that are always short say when they do not reach', () => {
    const asm = new x86.Assembler()
    const target = asm.here()
    asm.fill(200).loop(target)
    expect(() => asm.assemble()).toThrow('the distance to L1 is -202, which does not fit in 8 bits')
  })

  test('go far with a size of their own', () => {
    const asm = new x86.Assembler({ bits: 16 })
    asm
      .jmp(x86.far16(0xf000, 0xfff0))
      .jmp(x86.far32(8, 0x10_0000))
      .bits(32)
      .call(x86.far32(8, 0x1234_5678))
      .bits(16)
      .operandSize(32)
      .retf()
    expect(hexOf(asm.assemble().bytes)).toBe('ea f0 ff 00 f0 66 ea 00 00 10 00 08 00 9a 78 56 34 12 08 00 66 cb')
  })
})

describe('labels as values', () => {
  test.each<Case<[bytes: string]>>([
    ['RIP-relative by default', '48 8b 05 f9 ff ff ff', (asm) => asm.mov(x86.rax, x86.qword(asm.here()))],
    ['RIP-relative before an immediate', 'c7 05 f6 ff ff ff 01 00 00 00', (asm) => asm.mov(x86.dword(asm.here()), 1)],
    ['absolute on demand', '48 8b 04 25 00 10 00 00', (asm) => asm.mov(x86.rax, x86.qword(x86.abs(asm.here())))],
    [
      'as a table with an index',
      'ff 24 cd 00 10 00 00',
      (asm) => asm.jmp(x86.qword(asm.here(), { index: x86.rcx, scale: 8 })),
    ],
    ['as displacement', '8b 83 00 10 00 00', (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { disp: asm.here() }))],
    ['as an address in a register', '48 c7 c0 00 10 00 00', (asm) => asm.mov(x86.rax, asm.here())],
    ['with an offset', '48 8d 05 f9 00 00 00', (asm) => asm.lea(x86.rax, x86.ptr(x86.rip(asm.here().plus(0x100))))],
    ['in 64 bits on demand', '48 b8 00 10 00 00 00 00 00 00', (asm) => asm.mov(x86.rax, x86.imm64(asm.here()))],
  ])('%s', (_what, bytes, build) => {
    const asm = new x86.Assembler({ address: 0x1000 })
    build(asm)
    expect(hexOf(asm.assemble().bytes)).toBe(bytes)
  })

  test('an address that 32 bits cannot hold gets the longer form', () => {
    const asm = new x86.Assembler({ address: 0x1_0000_0000 })
    asm.mov(x86.rax, asm.here())
    expect(hexOf(asm.assemble().bytes)).toBe('48 b8 00 00 00 00 01 00 00 00')
    const kernel = new x86.Assembler({ address: 0xffff_ffff_8100_0000n })
    kernel.mov(x86.rax, kernel.here())
    expect(hexOf(kernel.assemble().bytes)).toBe('48 c7 c0 00 00 00 81')
  })

  test('in 16-bit code they are offsets', () => {
    const asm = new x86.Assembler({ bits: 16, address: 0xf_1000 })
    const here = asm.here()
    asm.mov(x86.ax, here.bits(0, 16)).mov(x86.bx, x86.word(here.bits(0, 16)))
    expect(hexOf(asm.assemble().bytes)).toBe('b8 00 10 8b 1e 00 10')
    const wide = new x86.Assembler({ bits: 16, address: 0xf_1000 })
    wide.mov(x86.ax, wide.here())
    expect(codeOf(() => wide.assemble())).toBe('ERR_RANGE')
  })

  test('data can hold differences and bit fields', () => {
    const asm = new x86.Assembler({ address: 0x1234_5678 })
    const start = asm.here('start')
    const end = asm.label('end')
    asm.dw(end.minus(start), start.bits(0, 16), start.bits(16, 16)).db(end.minus(start).minus(1)).dq(end).bind(end)
    const program = asm.assemble()
    expect(hexOf(program.bytes)).toBe('0f 00 78 56 34 12 0e 87 56 34 12 00 00 00 00')
    // Only what is an address moves with the image; bit fields do, differences do not.
    expect(program.relocations.map(({ offset, size }) => [offset, size])).toEqual([
      [2, 2],
      [4, 2],
      [7, 8],
    ])
  })
})

test('a place is shown as the sum that it is', () => {
  const asm = new x86.Assembler()
  const [from, to] = [asm.label('from'), asm.label('to')]
  const shown = [to.plus(5), to.plus(-5), to.plus(0), to.plus(-5).minus(from), to.plus(7).bits(8, 16)].map(String)
  expect(shown).toEqual(['to + 5', 'to - 5', 'to', 'to - from - 5', '(to + 7)[23:8]'])
})

describe('forcing a longer form', () => {
  test.each<Case<[bytes: string]>>([
    ['an immediate', '81 c3 01 00 00 00', (asm) => asm.add(x86.ebx, x86.imm32(1))],
    ['the shortest one', '83 c3 01', (asm) => asm.add(x86.ebx, 1)],
    ['a displacement of 8 bits', '8b 43 00', (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { dispBits: 8 }))],
    ['a displacement of 32 bits', '8b 83 00 00 00 00', (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { dispBits: 32 }))],
    ['a form by name', '03 c3', (asm) => asm.form('ADD r32, r/m32', x86.eax, x86.ebx)],
    ['a pushed word', '66 68 05 00', (asm) => asm.push(x86.imm16(5))],
    ['a byte that is sign-extended', '48 83 e0 fe', (asm) => asm.and(x86.rax, x86.imm8(-2))],
  ])('%s', (_what, bytes, build) => {
    const asm = new x86.Assembler()
    build(asm)
    expect(hexOf(asm.assemble().bytes)).toBe(bytes)
  })
})

describe('sections', () => {
  function program(): Program {
    const asm = new x86.Assembler({ address: 0x1000 })
    asm.jmp(0x2000).section('data').dd(1).section('reset', { address: 0xfff0, load: 0x1100 }).hlt()
    asm.section('bss', { address: 0x9000, load: 'none' }).fill(16)
    return asm.assemble()
  }

  test('without an address follow the one before, aligned', () => {
    expect(program().sections.map(({ name, address }) => [name, address])).toEqual([
      ['text', 0x1000n],
      ['data', 0x1010n],
      ['reset', 0xfff0n],
      ['bss', 0x9000n],
    ])
  })

  test('lie in the image where they load; those that load nowhere do not', () => {
    const image = program().flatten({ fill: 0xff })
    expect(image.length).toBe(0x101)
    expect(hexOf(image.subarray(0x10, 0x15))).toBe('01 00 00 00 ff')
    expect(image[0x100]).toBe(0xf4)
  })

  test.each<Case<[code: string]>>([
    ['overlap', 'ERR_LAYOUT', (asm) => asm.fill(32).section('b', { address: 16 }).hlt().assemble().flatten()],
    ['leave the image', 'ERR_LAYOUT', (asm) => asm.fill(32).assemble().flatten({ size: 16 })],
    ['begin before the image', 'ERR_LAYOUT', (asm) => asm.fill(4).assemble().flatten({ base: 16 })],
    ['go back', 'ERR_LAYOUT', (asm) => asm.fill(32).org(16).assemble()],
    ['move', 'ERR_LAYOUT', (asm) => asm.section('text', { address: 16 })],
    ['load somewhere', 'ERR_LAYOUT', (asm) => asm.section('text', { load: 16 })],
    ['load nowhere', 'ERR_LAYOUT', (asm) => asm.section('text', { load: 'none' })],
    ['have another alignment', 'ERR_LAYOUT', (asm) => asm.section('text', { align: 32 })],
    ['are several', 'ERR_LAYOUT', (asm) => asm.hlt().section('b').hlt().assemble().bytes],
  ])('that %s are refused', (_what, code, build) => {
    expect(codeOf(() => build(new x86.Assembler()))).toBe(code)
  })

  test.each([
    { what: 'nothing', options: {} },
    { what: 'the same address', options: { address: 0x100 } },
    { what: 'the same place in the image', options: { load: 0x40 } },
    { what: 'the same alignment', options: { align: 8 } },
    { what: 'all that it has', options: { address: 0x100n, load: 0x40n, align: 8 } },
  ])('go on where somebody asks for $what', ({ options }) => {
    const asm = new x86.Assembler()
    asm.section('data', { address: 0x100, load: 0x40, align: 8 }).db(1).section('text').hlt().section('data', options)
    expect(hexOf(asm.db(2).assemble().flatten().subarray(0x40))).toBe('01 02')
  })

  test('pad with zeros, any byte, or no-operations', () => {
    const asm = new x86.Assembler()
    asm.hlt().align(4).hlt().align(4, 0xcc).hlt().alignCode(4).hlt().org(0x10, 0xee).hlt().alignCode(16)
    expect(hexOf(asm.assemble().bytes)).toBe(
      'f4 00 00 00 f4 cc cc cc f4 0f 1f 00 f4 ee ee ee f4 66 0f 1f 84 00 00 00 00 00 66 0f 1f 44 00 00',
    )
  })
})

describe('a listing', () => {
  test('shows address, bytes, labels and source', () => {
    const asm = new x86.Assembler({ address: 0x7c00 })
    const loop = asm.here('loop')
    asm
      .lock()
      .add(x86.qword(x86.rbx, { index: x86.rcx, scale: 8, disp: -16 }), 1)
      .rep()
      .movsb()
      .jmp(loop)
      .asciz('a long text that is cut')
      .db(255, 10)
      .float32(0.5, 12)
    expect(asm.assemble().listing()).toBe(`; section text at 0x7c00
loop:
7c00  f0 48 83 44 cb f0 01               lock add qword [rbx + rcx*8 - 0x10], 1
7c07  f3 a4                              rep movsb
7c09  eb f5                              jmp loop
7c0b  61 20 6c 6f 6e 67 20 74 65 78 +14  asciz "a long text that is cut"
7c23  ff 0a                              db 0xff, 0xa
7c25  00 00 00 3f 00 00 40 41            float32 0.5, 0xc
`)
  })
})

test('a listing can show all bytes of long data', () => {
  const asm = new x86.Assembler({ address: 0x100 })
  asm.asciz('a long text that wraps').hlt()
  expect(asm.assemble().listing({ allBytes: true })).toBe(`; section text at 0x100
100  61 20 6c 6f 6e 67 20 74 65 78      asciz "a long text that wraps"
10a  74 20 74 68 61 74 20 77 72 61
114  70 73 00
117  f4                                 hlt
`)
})

describe('mistakes with labels', () => {
  test.each<Case<[message: string]>>([
    ['bound nowhere', 'label x is used and not bound; call bind', (asm) => asm.jmp(asm.label('x')).assemble()],
    ['bound twice', 'label x is bound twice', (asm) => asm.bind(asm.here('x')) && asm.bind(asm.here('y'))],
    ['named twice', 'there is a label x already', (asm) => asm.here('x') && asm.here('x')],
    ['added to after taking bits', '(x)[15:0] is a bit field', (asm) => asm.here('x').bits(0, 16).plus(1)],
    ['subtracted twice', 'already subtracts', (asm) => asm.here('x').minus(asm.here('y')).minus(asm.here('z'))],
  ])('%s', (_what, message, build) => {
    expect(() => build(new x86.Assembler())).toThrow(message)
  })
})

describe('mistakes with operands', () => {
  test.each<Case<[code: string, message: string]>>([
    [
      'no such form',
      'ERR_NO_FORM',
      'mov word [rax], al: no such form in 64-bit mode; the nearest are: mov r/m8, r8',
      (asm) => asm.instruction('mov', x86.word(x86.rax), x86.al),
    ],
    [
      'no such instruction',
      'ERR_NO_FORM',
      'there is no instruction FROBNICATE',
      (asm) => asm.instruction('frobnicate'),
    ],
    [
      'a slip of the pen',
      'ERR_NO_FORM',
      'there is no instruction VADPS; did you mean vandps, vaddps, andps?',
      (asm) => asm.instruction('vadps'),
    ],
    [
      'a register where an address must be',
      'ERR_NO_FORM',
      'lea eax, ebx: no such form in 64-bit mode; the nearest are: lea r32, m; lea r16, m; lea r64, m',
      (asm) => asm.instruction('lea', x86.eax, x86.ebx),
    ],
    [
      'a count in the wrong register',
      'ERR_NO_FORM',
      'the nearest are: shl r/m32, cl; shl r/m32, imm8; shl r/m32, 1',
      (asm) => asm.instruction('shl', x86.eax, x86.ax),
    ],
    [
      'a broadcast of the wrong count',
      'ERR_NO_FORM',
      'vaddps zmm1, zmm1, dword [rax]{1to8}: no such form in 64-bit mode; the nearest are: vaddps zmm {k}{z}, zmm, zmm/m512/m32bcst {er}',
      (asm) => asm.vaddps(x86.zmm1, x86.zmm1, x86.dword(x86.rax).bcst(8)),
    ],
    [
      'a gather without a mask',
      'ERR_NO_FORM',
      'the nearest are: vgatherdps zmm {k}, vm32z',
      (asm) => asm.vgatherdps(x86.zmm1, x86.dword(x86.rax, { index: x86.zmm2 })),
    ],
    [
      'a register that the encoding cannot name',
      'ERR_NO_FORM',
      'addps xmm, xmm/m128; registers from 16 on need EVEX, or REX2 if they are general registers',
      (asm) => asm.instruction('addps', x86.xmm16, x86.xmm1),
    ],
    ['MOV to CS', 'ERR_OPERAND', 'cs cannot be loaded; a far jump', (asm) => asm.mov(x86.cs, x86.ax)],
    [
      'a scale of 3',
      'ERR_OPERAND',
      'an index is multiplied by 1, 2, 4 or 8, not by 3',
      () => x86.dword(x86.rax, { index: x86.rcx, scale: 3 as 4 }),
    ],
    [
      'RSP as index',
      'ERR_OPERAND',
      'rsp cannot be an index; make it the base',
      (asm) => asm.mov(x86.eax, x86.dword(x86.rax, { index: x86.rsp })),
    ],
    ['not in this mode', 'ERR_NO_FORM', 'aaa: exists in 16 and 32-bit mode, not in 64-bit mode', (asm) => asm.aaa()],
    [
      'a size that nothing tells',
      'ERR_AMBIGUOUS_SIZE',
      'say how large the memory operand is (1, 2, 4, 8 bytes are possible)',
      (asm) => asm.mov(x86.ptr(x86.rax), 1),
    ],
    ['a value that does not fit', 'ERR_RANGE', 'mov: 0x100 does not fit in 8 bits', (asm) => asm.mov(x86.al, 256)],
    [
      'a value that sign extension would change',
      'ERR_RANGE',
      'does not fit in 32 bits sign-extended to 64',
      (asm) => asm.add(x86.rax, 0x8000_0000),
    ],
    ['a fraction', 'ERR_OPERAND', '1.5 is not an integer', (asm) => asm.mov(x86.eax, 1.5)],
    [
      'a displacement that does not fit',
      'ERR_RANGE',
      'the displacement does not fit in 32 bits',
      (asm) => asm.mov(x86.eax, x86.dword(x86.rbx, { disp: 0x8000_0000 })),
    ],
    ['LOCK where it is not allowed', 'ERR_PREFIX', 'MOV cannot be locked', (asm) => asm.lock().mov(x86.eax, x86.ebx)],
    [
      'LOCK on registers',
      'ERR_PREFIX',
      'ADD cannot be locked with these operands',
      (asm) => asm.lock().add(x86.eax, x86.ebx),
    ],
    ['REP where nothing repeats', 'ERR_PREFIX', 'ADD does not repeat', (asm) => asm.rep().add(x86.eax, x86.ebx)],
    [
      'base and index of two widths',
      'ERR_OPERAND',
      'base and index differ in width',
      (asm) => asm.mov(x86.al, x86.byte(x86.rax, { index: x86.ebx })),
    ],
    [
      '16-bit addresses in 64-bit mode',
      'ERR_OPERAND',
      'there are no 16-bit addresses in 64-bit mode',
      (asm) => asm.mov(x86.al, x86.byte(x86.bx)),
    ],
    [
      'a gather whose index is its destination',
      'ERR_OPERAND',
      'vpgatherdd: its registers must differ',
      (asm) => asm.vpgatherdd(x86.xmm1, x86.dword(x86.rax, { index: x86.xmm1 }), x86.xmm2),
    ],
    [
      'a gather by VEX whose index is one of the upper sixteen',
      'ERR_NO_FORM',
      'vpgatherdd',
      (asm) => asm.form('VPGATHERDD xmm, vm32x, xmm', x86.xmm1, x86.dword(x86.rax, { index: x86.xmm16 }), x86.xmm2),
    ],
    [
      'an immediate that the usual form cannot hold',
      'ERR_RANGE',
      'push: 0xffffffff does not fit in 32 bits sign-extended to 64',
      (asm) => asm.push(0xffff_ffff),
    ],
    [
      'an encoding that is not there',
      'ERR_NO_FORM',
      "add rax, rbx: no such form with encoding 'vex'",
      (asm) => asm.encoding('vex').add(x86.rax, x86.rbx),
    ],
    [
      'a prefix without instruction',
      'ERR_PREFIX',
      'no instruction came after it',
      (asm) => asm.hlt().lock().assemble(),
    ],
    [
      'a section of a terabyte',
      'ERR_LAYOUT',
      'more than 4 GiB',
      (asm) =>
        asm
          .hlt()
          .align(2 ** 40)
          .assemble(),
    ],
  ])('%s', (_what, code, message, build) => {
    expect(codeOf(() => build(new x86.Assembler()))).toBe(code)
    expect(() => build(new x86.Assembler())).toThrow(message)
  })

  test('a value of the wrong kind leaves the program as it was', () => {
    const asm = new x86.Assembler()
    expect(codeOf(() => asm.hlt().mov(x86.al, 256))).toBe('ERR_RANGE')
    expect(hexOf(asm.assemble().bytes)).toBe('f4')
  })
})

describe('what the compiler would have refused', () => {
  // As callers in plain JavaScript may have it.
  const wrong = (value: unknown): never => value as never
  test.each<Case<[code: string]>>([
    ['no operand', 'ERR_OPERAND', (asm) => asm.mov(x86.rax, wrong(undefined))],
    ['null', 'ERR_OPERAND', (asm) => asm.push(wrong(null))],
    ['a string', 'ERR_OPERAND', (asm) => asm.mov(x86.rax, wrong('rbx'))],
    ['memory without a place', 'ERR_OPERAND', () => x86.dword(wrong({ index: x86.rax }))],
    ['no data', 'ERR_OPERAND', (asm) => asm.db(wrong(undefined))],
    ['no label', 'ERR_LABEL', (asm) => asm.bind(wrong('x'))],
    ['a fraction of a byte', 'ERR_OPERAND', (asm) => asm.here().plus(1.5)],
    ['a bit below the lowest', 'ERR_RANGE', (asm) => asm.here().bits(-1, 16)],
    ['an address that is none', 'ERR_OPERAND', (asm) => asm.org(Number.NaN)],
    ['a start that is none', 'ERR_OPERAND', () => new x86.Assembler({ address: 1.5 })],
    ['bits', 'ERR_OPERAND', (asm) => asm.bits(wrong(63))],
    ['bits as text', 'ERR_OPERAND', () => new x86.Assembler({ bits: wrong('64') })],
  ])('%s', (_what, code, build) => {
    expect(codeOf(() => build(new x86.Assembler()))).toBe(code)
  })
})

describe('a move to a segment register has no prefix for its size (SDM vol. 2B, MOV)', () => {
  test.each([
    { bits: 16, source: x86.ax, hex: '8e d8' },
    { bits: 32, source: x86.ax, hex: '8e d8' },
    { bits: 64, source: x86.ax, hex: '8e d8' },
    { bits: 16, source: x86.eax, hex: '8e d8' },
    { bits: 64, source: x86.rax, hex: '8e d8' },
  ] as const)('mov ds, $source.name in $bits-bit code', ({ bits, source, hex }) => {
    expect(hexOf(new x86.Assembler({ bits }).instruction('mov', x86.ds, source).assemble().bytes)).toBe(hex)
  })

  test('unless it is asked for', () => {
    expect(hexOf(new x86.Assembler({ bits: 32 }).operandSize(16).mov(x86.ds, x86.ax).assemble().bytes)).toBe('66 8e d8')
    expect(codeOf(() => new x86.Assembler({ bits: 32 }).mov(x86.ds, x86.rax))).toBe('ERR_NO_FORM')
  })
})

test('an image may have no bytes', () => {
  expect(new x86.Assembler({ bits: 32 }).assemble().flatten({ size: 0 })).toEqual(new Uint8Array(0))
})
