import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { hasProgram } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { CliError } from '@retrap/linux-guest/errors'
import { Program, runProgram } from '../../src/commands/command-line.ts'
import { addDisasm } from '../../src/commands/disasm/command.ts'
import { listingProgress, wantsColour } from '../../src/commands/disasm/disassemble.ts'
import { readElf } from '../../src/machine/programs/elf.ts'
import { peHeader, readPe } from '../../src/commands/disasm/pe.ts'
import { elfFile, peFile } from '../support/executables.ts'
import { runFake } from '../support/run-fake.ts'

const folder = temporaryFolder('disasm')

/** Runs the command on a file with these bytes. */
async function disasm(bytes: Uint8Array, ...args: readonly string[]) {
  const path = join(folder, 'image')
  writeFileSync(path, bytes)
  const { code, stdout, stderr, created } = await runFake('disasm', path, ...args)
  expect(created).toHaveLength(0)
  return { code, stdout: stdout.replace(`${path}: `, ''), stderr }
}

// helper: ret; main: push; call helper; mov eax, [rip+…]; jmp inside of main
const code = [0xc3, 0x50, 0xe8, 0xf9, 0xff, 0xff, 0xff, 0x8b, 0x05, 1, 0, 0, 0, 0xeb, 0xf3]
const FUNCTION = 0x12
const symbols = [
  { name: 'local', value: 0x401001, size: 14, info: 0x00 },
  { name: 'helper', value: 0x401000, size: 1, info: FUNCTION },
  { name: 'main', value: 0x401001, size: 14, info: FUNCTION },
  { name: 'data', value: 0x40100e, size: 4, info: 0x11 },
  { name: 'file.c', value: 0x401000, size: 99, info: 0x04 },
]

describe('a listing', () => {
  test('of an ELF file has its addresses, names and mode', async () => {
    const { code: exit, stdout, stderr } = await disasm(elfFile(64, code, symbols))
    expect(stderr).toBe('')
    expect(exit).toBe(0)
    expect(stdout).toBe(`ELF, 64-bit

.text:

helper:
401000  c3                    ret

main:
401001  50                    push    rax
401002  e8 f9 ff ff ff        call    helper  ; 0x401000
401007  8b 05 01 00 00 00     mov     eax, dword ptr [rip+data]  ; 0x40100e
40100d  eb f3                 jmp     main+0x1  ; 0x401002
`)
  })

  test.each([
    {
      given: 'a 32-bit ELF file, in AT&T syntax',
      bytes: elfFile(
        32,
        [0x8b, 0x44, 0x24, 0x04, 0xe8, 0xf7, 0xff, 0xff, 0xff],
        [{ ...symbols[1]!, name: 'f', size: 9 }],
      ),
      args: ['--syntax', 'att'],
      lines: [
        'ELF, 32-bit',
        '',
        '.text:',
        '',
        'f:',
        '401000  8b 44 24 04           mov     0x4(%esp),%eax',
        '401004  e8 f7 ff ff ff        call    f  # 0x401000',
      ],
    },
    {
      given: 'a PE file with an export',
      bytes: peFile([0xeb, 0xfe], 'Start'),
      args: ['--stop', '0x140001002'],
      lines: [
        'PE, 64-bit',
        '',
        '.text:',
        '',
        'Start:',
        '140001000  eb fe                 jmp     Start  ; 0x140001000',
      ],
    },
    {
      given: 'plain 16-bit code at an address, for NASM',
      bytes: Uint8Array.of(0xeb, 0xfe, 0x66, 0xb8, 1, 0, 0, 0, 0x0f),
      args: ['--mode', '16', '--address', '0x7c00', '--syntax', 'nasm'],
      lines: [
        'plain code, 16-bit',
        '',
        'code:',
        '7c00  eb fe                 jmp     short 0x7c00',
        '7c02  66 b8 01 00 00 00     mov     eax, 0x1',
        '7c08  0f                    (bad)  ; the bytes end too early',
      ],
    },
    {
      given: 'a part of plain code, with a byte that is no instruction',
      bytes: Uint8Array.of(0x90, 0x06, 0xc3, 0x90),
      args: ['--address', '4096', '--start', '0x1001', '--stop', '0x1003'],
      lines: [
        'plain code, 64-bit',
        '',
        'code:',
        '1001  06                    (bad)  ; no such instruction in this mode',
        '1002  c3                    ret',
      ],
    },
    {
      given: 'an ELF file that is taken as plain code',
      bytes: elfFile(64, code, symbols).subarray(0, 2),
      args: ['--raw'],
      lines: ['plain code, 64-bit', '', 'code:', '0000  7f 45                 jg      0x47'],
    },
  ])('of $given', async ({ bytes, args, lines }) => {
    const { code: exit, stdout } = await disasm(bytes, ...args)
    expect(stdout.split('\n').slice(0, -1)).toEqual(lines)
    expect(exit).toBe(0)
  })

  test('has colours if asked for, which change nothing else', async () => {
    const image = elfFile(64, code, symbols)
    const plain = await disasm(image)
    const coloured = await disasm(image, '--color', 'always')
    expect(coloured.stdout).toContain('\u001B[1mcall\u001B[0m')
    // oxlint-disable-next-line no-control-regex -- that is what is looked for
    expect(coloured.stdout.replaceAll(/\u001B\[[\d;]*m/g, '')).toBe(plain.stdout)
  })

  test.skipIf(!hasProgram('objdump'))('has the lines that objdump has', async () => {
    const { code: exit, stdout } = await runFake('disasm', '/bin/true')
    expect(exit).toBe(0)
    const addresses = (text: string, line: RegExp): string[] =>
      [...text.matchAll(line)].map(([, address]) => parseInt(address as string, 16).toString(16))
    const theirs = execFileSync('objdump', ['-d', '-w', '/bin/true'], { encoding: 'utf8', maxBuffer: 1 << 28 })
    const stubs = (text: string, line: RegExp): string[] => [...text.matchAll(line)].map(([, name]) => name as string)
    expect(stubs(stdout, /^(\S+@plt):$/gm)).toEqual(stubs(theirs, /<(\S+@plt)>:$/gm))
    const ours = addresses(stdout, /^([0-9a-f]+) {2}/gm)
    expect(ours).toEqual(addresses(theirs, /^ *([0-9a-f]+):\t/gm))
    expect(ours.length).toBeGreaterThan(100)
  })
})

describe('of A64 code', () => {
  // helper: ret; main: bl helper; adr x0, data; b.ne main; UDF's neighbour, which is none
  const words = [0xd65f03c0, 0x97ffffff, 0x10000060, 0x54ffffc1, 0x00010000]
  const bytes = new Uint8Array([...new Uint8Array(Uint32Array.from(words).buffer), 0xaa, 0xbb])
  const names = [
    { name: '$x', value: 0x401000, size: 0, info: 0x00 },
    { name: 'helper', value: 0x401000, size: 4, info: FUNCTION },
    { name: 'main', value: 0x401004, size: 16, info: FUNCTION },
  ]
  const elf = elfFile(64, [...bytes], names).with(18, 183)

  test('an ELF file has its addresses and names', async () => {
    const { code: exit, stdout, stderr } = await disasm(elf)
    expect(stderr).toBe('')
    expect(exit).toBe(0)
    expect(stdout).toBe(`ELF, arm64

.text:

helper:
401000  d65f03c0  ret

main:
401004  97ffffff  bl      helper  // 0x401000
401008  10000060  adr     x0, 0x401014
40100c  54ffffc1  b.ne    main  // 0x401004
401010  00010000  .inst   0x00010000
401014            .byte   0xaa, 0xbb
`)
  })

  test('plain code has the address that it is given', async () => {
    const part = ['--start', '0x8004', '--stop', '0x800c']
    const { stdout } = await disasm(bytes, '--arch', 'arm64', '--address', '0x8000', ...part)
    expect(stdout).toBe(`plain code, arm64

code:
8004  97ffffff  bl      0x8000
8008  10000060  adr     x0, 0x8014
`)
  })

  test('a word that comes again has its own target', async () => {
    // nop, bl .+4, each twice
    const again = Uint32Array.from([0xd503201f, 0x94000001, 0xd503201f, 0x94000001])
    const { stdout } = await disasm(new Uint8Array(again.buffer), '--arch', 'arm64')
    expect(stdout).toBe(`plain code, arm64

code:
0000  d503201f  nop
0004  94000001  bl      0x8
0008  d503201f  nop
000c  94000001  bl      0x10
`)
  })

  test('colour and PE', async () => {
    const arm = peFile([...bytes.subarray(0, 4)], 'f')
      .with(0x44, 0x64)
      .with(0x45, 0xaa)
    const { stdout } = await disasm(arm, '--color', 'always')
    expect(stdout).toContain('PE, arm64')
    expect(stdout).toContain('d65f03c0  \u001B[1mret\u001B[0m\n')
  })
})

describe('of A32 and Thumb code', () => {
  // In A32: bl half; bx lr. Data. In Thumb: cmp, it eq, addeq, beq.w, bx lr.
  const words = [0xeb00_0001, 0xe12f_ff1e, 0x1234_5678]
  const halves = [0x2800, 0xbf08, 0x3001, 0xf43f, 0xaffb, 0x4770, 0xde00]
  const bytes = [...new Uint8Array(Uint32Array.from(words).buffer), ...new Uint8Array(Uint16Array.from(halves).buffer)]
  const names = [
    { name: '$a', value: 0x401000, size: 0, info: 0x00 },
    { name: 'whole', value: 0x401000, size: 12, info: FUNCTION },
    { name: '$d', value: 0x401008, size: 0, info: 0x00 },
    { name: '$t', value: 0x40100c, size: 0, info: 0x00 },
    { name: 'half', value: 0x40100d, size: 12, info: FUNCTION },
  ]
  const elf = elfFile(32, bytes, names).with(18, 40)

  test('an ELF file says which is which, and what is data', async () => {
    const { code: exit, stdout, stderr } = await disasm(elf)
    expect(stderr).toBe('')
    expect(exit).toBe(0)
    expect(stdout).toBe(`ELF, thumb

.text:

whole:
401000  eb000001   bl      half  @ 0x40100c
401004  e12fff1e   bx      lr
401008  12345678   .word   0x12345678

half:
40100c  2800       cmp     r0, #0
40100e  bf08       it      eq
401010  3001       addeq   r0, #1
401012  f43f affb  beq.w   half  @ 0x40100c
401016  4770       bx      lr
401018  de00       udf     #0
`)
  })

  test('plain code is of the set that is named', async () => {
    const thumb = Uint8Array.from([0x70, 0x47, 0xff, 0xff, 0xff, 0xff, 0x00, 0xf0])
    expect((await disasm(thumb, '--arch', 'thumb')).stdout).toBe(`plain code, thumb

code:
0000  4770       bx      lr
0002  ffff ffff  .inst.w 0xffffffff
0006             .byte   0x00, 0xf0
`)
    expect((await disasm(Uint8Array.from(bytes), '--arch', 'arm', '--stop', '4')).stdout).toBe(`plain code, arm

code:
0000  eb000001  bl      0xc
`)
    expect((await disasm(elf, '--arch', 'arm', '--stop', '0x401010', '--start', '0x40100c')).stdout).toContain(
      '40100c  bf082800  svclt   #534528',
    )
  })
})

describe('a mistake gets one line that says what to do', () => {
  const elf = elfFile(64, code, symbols)
  const arm = elf.with(18, 183)
  // Each of many symbols has nearly all of one long name.
  const first = { name: 'n'.repeat(10_000), value: 0x401000, size: 1, info: FUNCTION }
  const shared = elfFile(64, code, [first, ...Array.from({ length: 600 }, () => ({ ...first, name: '' }))])
  const names = new DataView(shared.buffer)
  for (let i = 0; i < 600; i++) names.setUint32(0x100 + code.length + 24 * i, 1 + i, true)
  test.each([
    { bytes: elf, args: ['--address', '0'], exit: 2, says: '--raw ignores them' },
    { bytes: elf, args: ['--start', '5', '--stop', '5'], exit: 2, says: '--stop 0x5 is not after --start 0x5' },
    { bytes: elf, args: ['--start', 'main'], exit: 2, says: 'write it as 0x401000 or 4198400' },
    { bytes: elf, args: ['--stop', '0x10000000000000000'], exit: 2, says: 'is not an address' },
    { bytes: elf, args: ['--mode', '8'], exit: 2, says: 'Allowed choices are 16, 32, 64' },
    { bytes: elf, args: ['--arch', 'arm64', '--mode', '32'], exit: 2, says: '--mode is for x86 code' },
    { bytes: arm, args: ['--mode', '32'], exit: 2, says: '--mode is for x86 code' },
    { bytes: arm, args: ['--syntax', 'att'], exit: 2, says: '--syntax att is for x86 code' },
    { bytes: elf, args: ['--arch', 'mips'], exit: 2, says: 'Allowed choices are x86, arm64, arm, thumb' },
    { bytes: elf, args: ['--syntax', 'masm'], exit: 2, says: 'Allowed choices are intel, att, nasm' },
    { bytes: elf, args: ['--stop', '0x1000'], exit: 74, says: '.text from 0x401000 to 0x40100f' },
    { bytes: elf.subarray(0, 300), args: [], exit: 74, says: '--raw takes it as plain code' },
    { bytes: shared, args: [], exit: 74, says: 'its names lie upon one another; --raw' },
    { bytes: elf.with(18, 8), args: [], exit: 74, says: 'for another processor (machine 8)' },
    { bytes: peFile([0xc3], 'f').with(0x44, 0x63), args: [], exit: 74, says: 'for another processor' },
    { bytes: new Uint8Array(), args: [], exit: 74, says: 'there is no code in it' },
  ])('$args: $says', async ({ bytes, args, exit, says }) => {
    const { code: result, stdout, stderr } = await disasm(bytes, ...args)
    expect(result).toBe(exit)
    expect(stderr).toMatch(/^retrap: [^\n]+\n$/)
    expect(stderr).toContain(says)
    expect(stdout).toBe('')
  })

  test.each([
    ['there is no such file', join(folder, 'none')],
    // It may have no end.
    ['it is a device', '/dev/zero'],
  ])('a file that cannot be read: %s', async (says, path) => {
    expect(await runFake('disasm', path)).toMatchObject({ code: 74, stderr: expect.stringContaining(says) as string })
  })

  test('an address that the code runs beyond', async () => {
    const { code: exit, stderr } = await disasm(Uint8Array.of(0x90, 0x90), '--address', '0xffffffffffffffff')
    expect(exit).toBe(2)
    expect(stderr).toContain('leaves no room for the 2 bytes')
  })
})

test('damaged files are told from whole ones, and nothing else happens', () => {
  for (const [image, read] of [
    [elfFile(64, code, symbols), readElf],
    [elfFile(32, code, symbols), readElf],
    [peFile(code, 'name'), (bytes: Uint8Array) => readPe(bytes, peHeader(bytes) ?? 0)],
  ] as const) {
    const change = fc.tuple(fc.nat(image.length - 1), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(image.length), (changes, length) => {
        const bytes = image.slice(0, length)
        for (const [at, value] of changes) if (at < length) bytes[at] = value
        try {
          read(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(CliError)
        }
      }),
      { numRuns: 500 },
    )
  }
})

test.each([
  { when: 'auto', isTTY: true, environment: {}, colour: true },
  { when: 'auto', isTTY: false, environment: {}, colour: false },
  { when: 'auto', isTTY: true, environment: { NO_COLOR: '1' }, colour: false },
  { when: 'auto', isTTY: true, environment: { NO_COLOR: '' }, colour: true },
  { when: 'auto', isTTY: true, environment: { TERM: 'dumb' }, colour: false },
  { when: 'always', isTTY: false, environment: { NO_COLOR: '1' }, colour: true },
  { when: 'never', isTTY: true, environment: {}, colour: false },
] as const)('colour $when, terminal $isTTY, $environment: $colour', ({ when, isTTY, environment, colour }) => {
  expect(wantsColour(when, { isTTY }, environment)).toBe(colour)
})

test.each([32, 64] as const)('an ELF file of %i bits has its number of sections elsewhere if they are many', (bits) => {
  const image = elfFile(bits, code, symbols)
  const expected = readElf(image)
  const view = new DataView(image.buffer)
  const headers = bits === 64 ? Number(view.getBigUint64(40, true)) : view.getUint32(32, true)
  const [count, names] = bits === 64 ? [60, 62] : [48, 50]
  // System V ABI, "ELF Header": e_shnum is 0 and e_shstrndx SHN_XINDEX; sh_size and sh_link of section 0 have the numbers.
  view.setUint32(headers + (bits === 64 ? 32 : 20), view.getUint16(count, true), true)
  view.setUint32(headers + (bits === 64 ? 40 : 24), view.getUint16(names, true), true)
  view.setUint16(count, 0, true)
  view.setUint16(names, 0xffff, true)
  expect(readElf(image)).toEqual(expected)
  view.setUint32(headers + (bits === 64 ? 36 : 20), 0xffff_ffff, true)
  expect(() => readElf(image)).toThrow(CliError)
})

test('reads the standard input where the file is -', async () => {
  let listing = ''
  const output = {
    write: (data: string | Uint8Array) =>
      (listing += String(typeof data === 'string' ? data : new TextDecoder().decode(data))),
    on: () => {},
    once: () => {},
  }
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(0x90, 0x0f)
    yield Uint8Array.of(0x05, 0xc3)
  }
  const program = new Program({ stdout: output, stderr: output })
  addDisasm(program, output, output, {}, input)
  expect(await runProgram(program, ['disasm', '-', '--address', '0x1000'], { stdout: output, stderr: output })).toBe(0)
  expect(listing.split('\n').slice(3)).toEqual([
    '1000  90                    nop',
    '1001  0f 05                 syscall',
    '1003  c3                    ret',
    '',
  ])
})

test('a listing of many pages and pieces has each line once, labels among them', async () => {
  const bytes = new Uint8Array(200_000).fill(0x90)
  const { stdout } = await disasm(bytes, '--address', '0xff0')
  const lines = stdout.split('\n').slice(3, -1)
  expect(lines).toHaveLength(bytes.length)
  const wrong = lines.filter(
    (line, i) => line !== `${(0xff0 + i).toString(16).padStart(5, '0')}  90                    nop`,
  )
  expect(wrong).toEqual([])
})

describe('progress of a listing that goes elsewhere', () => {
  test('appears after half a second, a few times a second, and leaves nothing behind', () => {
    let time = 0
    let written = ''
    const progress = listingProgress({ write: (data) => (written += data) }, 'vmlinux', 1000, () => time)
    progress.report(100)
    expect(written).toBe('')
    time = 500
    progress.report(333)
    time = 600
    progress.report(400)
    time = 700
    progress.report(500)
    progress.end()
    expect(written).toBe('\rvmlinux: 33 %\u001B[K\rvmlinux: 50 %\u001B[K\r\u001B[K')
  })

  test('is nothing at all where it is done soon', () => {
    let written = ''
    const progress = listingProgress({ write: (data) => (written += data) }, 'true', 10, () => 0)
    progress.report(5)
    progress.end()
    expect(written).toBe('')
  })
})
