import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { runCli } from '../../src/cli.ts'
import { type ControlRegisters, DumpMemory, elfCore, fourLevelMemory, limeFile } from '../support/dumps.ts'
import { FakeHost } from '../support/fake-machine.ts'
import { runFake } from '../support/run-fake.ts'

const folder = temporaryFolder('walk')
const path = join(folder, 'dump')

/** Runs the command on a file with these bytes. */
async function walk(bytes: Uint8Array, ...args: readonly string[]) {
  writeFileSync(path, bytes)
  const { code, stdout, stderr, created } = await runFake('walk', path, ...args)
  expect(created).toHaveLength(0)
  return { code, stdout: stdout.replaceAll(`${path}: `, ''), stderr: stderr.replaceAll(path, 'DUMP') }
}

/** A core file whose one segment of memory begins at an offset near 2^64. */
function withFarMemory(core: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(core)
  // The second program header, behind the notes': p_offset.
  new DataView(copy.buffer).setBigUint64(64 + 56 + 8, 0xffff_ffff_0000_0000n, true)
  return copy
}

const KERNEL = '0xffffffff81000123'

describe('a walk', () => {
  test('of plain memory shows each entry and the page', async () => {
    const { code, stdout, stderr } = await walk(fourLevelMemory().bytes, KERNEL, '0x1234', '--cr3', '0x1000')
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toBe(`plain memory, 4-level paging, tables at 0x1000 WP NXE PGE
0xffffffff81000123
  PML4E  511  0x1ff8         0x0000000000003023  table P R/W A
  PDPTE  510  0x3ff0         0x0000000000005023  table P R/W A
  PDE      8  0x5040         0x0000000000006023  table P R/W A
  PTE      0  0x6000         0x8000000001000163  page P R/W A XD D G
  = 0x1000123, 4 KiB page, supervisor, rw-, global, dirty, PAT 0
0x1234
  PML4E    0  0x1000         0x0000000000002027  table P R/W U/S A
  PDPTE    0  0x2000         0x0000000000004027  table P R/W U/S A
  PDE      0  0x4000         0x00000000006000e7  page P R/W U/S A D PS
  = 0x601234, 2 MiB page, user, rwx, dirty, PAT 0
`)
  })

  test.each([
    {
      what: 'a write by a user',
      args: ['--access', 'write', '--user'],
      result: 'page fault, error code 0x7 (P W/R U/S)',
    },
    { what: 'a fetch', args: ['--access', 'fetch'], result: 'page fault, error code 0x11 (P I/D)' },
    { what: 'a read', args: [], result: '0x1000123, 4 KiB page, supervisor, rw-, global, dirty, PAT 0' },
    {
      what: 'memory types',
      args: ['--pat', '0x0007040600070406'],
      result: '0x1000123, 4 KiB page, supervisor, rw-, global, dirty, WB',
    },
    {
      what: 'SMEP instead of NXE',
      args: ['--cr4', '0x100020', '--efer', '0x500'],
      result: 'page fault, error code 0x9 (P RSVD)',
    },
  ])('with $what ends in $result', async ({ args, result }) => {
    const { stdout } = await walk(fourLevelMemory().bytes, KERNEL, '--cr3', '4096', ...args)
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(`  = ${result}`)
  })

  test('says where tables are in no memory', async () => {
    const { stdout } = await walk(fourLevelMemory().bytes, '0', '--cr3', '0x10000')
    expect(stdout).toContain('PML4E    0  0x10000        -  no memory\n  = page fault, error code 0x0\n')
  })

  test('takes the first byte of plain memory to be where --base says', async () => {
    const plain = fourLevelMemory().bytes.subarray(0x1000)
    const { stdout } = await walk(plain, '0x1234', '--cr3', '0x1000', '--base', '0x1000')
    expect(stdout).toContain('= 0x601234')
  })

  test('in PAE mode begins in the registers that CR3 loads', async () => {
    const memory = new DumpMemory(0x4000).store64(0x1020, 0n, 0x2001n).store64(0x2008, 0x3003n).store64(0x3010, 0x9003n)
    const args = ['0x40202abc', '--cr3', '0x1020', '--mode', 'pae'] as const
    const { stdout } = await walk(memory.bytes, ...args)
    expect(stdout).toBe(`plain memory, PAE paging, tables at 0x1020 WP NXE PGE
0x40202abc
  PDPTE    1  register       0x0000000000002001  table P
  PDE      1  0x2008         0x0000000000003003  table P R/W
  PTE      2  0x3010         0x0000000000009003  page P R/W
  = 0x9abc, 4 KiB page, supervisor, rwx, PAT 0
`)
    memory.store64(0x1020, 0x21n)
    expect(await walk(memory.bytes, ...args)).toMatchObject({
      ...{ code: 2, stdout: '' },
      stderr: expect.stringContaining('reserved bits') as string,
    })
    expect((await walk(memory.bytes, ...args, '--amd')).stdout).toContain('PDPTE    1  0x1028')
  })

  test('in 2-level mode has 32-bit entries', async () => {
    const memory = new DumpMemory(0x3000).store32(0x1004, 0x2007).store32(0x2ffc, 0x7067)
    const { stdout } = await walk(memory.bytes, '0x7fffff', '--cr3', '0x1000', '--mode', '2-level')
    expect(stdout).toContain('  PDE      1  0x1004         0x00002007  table P R/W U/S\n')
    expect(stdout).toContain('  = 0x7fff, 4 KiB page, user, rwx, dirty, PAT 0\n')
  })

  test('without paging is the address itself', async () => {
    const { stdout } = await walk(new Uint8Array(8), '0xfffffff0', '--mode', 'none')
    expect(stdout).toBe('plain memory, no paging\n0xfffffff0\n  = 0xfffffff0\n')
  })
})

test('all mappings are listed, neighbours that are alike in one line', async () => {
  const { stdout } = await walk(fourLevelMemory().bytes, '--all', '--cr3', '0x1000')
  expect(stdout).toBe(`plain memory, 4-level paging, tables at 0x1000 WP NXE PGE
0x0-0x1fffff  0x600000  2 MiB  urwx PAT 0 by 2 MiB
0xffffffff81000000-0xffffffff81001fff  0x1000000  8 KiB  srw- G PAT 0 by 4 KiB
0xffffffff81002000-0xffffffff81002fff  0x1005000  4 KiB  sr-x G PAT 0 by 4 KiB
`)
})

test('a part of them can be asked for', async () => {
  const args = ['--all', '--cr3', '0x1000', '--start', '0xffffffff81001000', '--stop', '0xffffffff81002000'] as const
  const { stdout } = await walk(fourLevelMemory().bytes, ...args)
  expect(stdout).toBe(`plain memory, 4-level paging, tables at 0x1000 WP NXE PGE
0xffffffff81001000-0xffffffff81001fff  0x1001000  4 KiB  srw- G PAT 0 by 4 KiB
`)
})

describe('a dump', () => {
  const whole = fourLevelMemory().bytes
  // In two pieces, the second one before the first in the file, and a hole between them.
  const pieces = [
    { gpa: 0x3000, bytes: whole.subarray(0x3000) },
    { gpa: 0x1000, bytes: whole.subarray(0x1000, 0x3000) },
  ]
  const registers: ControlRegisters = [0x8005_0033n, 0n, 0n, 0x1000n, 0x6a0n]

  test.each([
    { format: 'LiME', bytes: limeFile(pieces), args: ['--cr3', '0x1000'] },
    { format: 'ELF core', bytes: elfCore(64, pieces), args: ['--cr3', '0x1000'] },
    { format: 'ELF core', bytes: elfCore(64, pieces, [registers]), args: [] },
    { format: 'ELF core', bytes: elfCore(64, pieces, [[0n, 0n, 0n, 0n, 0n], registers]), args: ['--cpu', '1'] },
    { format: 'ELF core', bytes: elfCore(32, pieces, [registers], 62), args: [] },
  ])('in the form $format with $args is found out by itself', async ({ format, bytes, args }) => {
    const { stdout, stderr } = await walk(bytes, KERNEL, ...args)
    expect(stderr).toBe('')
    expect(stdout).toMatch(new RegExp(`^${format}, 4-level paging, tables at 0x1000 WP NXE PGE\n`))
    expect(stdout).toContain('= 0x1000123')
  })

  test('of a 32-bit machine is walked in its mode', async () => {
    const memory = new DumpMemory(0x3000).store32(0x1004, 0x2007).store32(0x2ffc, 0x7067)
    const core = elfCore(32, [{ gpa: 0, bytes: memory.bytes }], [[0x8000_0011n, 0n, 0n, 0x1000n, 0n]])
    const { stdout } = await walk(core, '0x7fffff')
    expect(stdout).toMatch(/^ELF core, 2-level paging, tables at 0x1000\n/)
    expect(stdout).toContain('= 0x7fff,')
  })
})

describe('what cannot be done is said in one line', () => {
  const bytes = fourLevelMemory().bytes
  const core = elfCore(64, [{ gpa: 0, bytes }], [[0x8000_0011n, 0n, 0n, 0x1000n, 0x20n]])
  test.each([
    { given: ['--cr3', '0x1000'], says: 'nothing to show; give addresses, or --all' },
    { given: ['0x1000'], says: 'the dump has no registers; give --cr3, where the tables begin' },
    { given: ['0', '--cr3', '0', '--stop', '0'], says: '--start and --stop are for the list of mappings' },
    { given: ['--all', '--cr3', '0', '--start', '0x800000000000'], says: 'is not canonical' },
    { given: ['x', '--all'], says: "ADDRESS 'x' is not an address; write it as 0x401000 or 4198400" },
    { given: ['0', '--cr3', '-1'], says: "--cr3 '-1' is not a value; write it as 0x1000 or 4096" },
    {
      given: ['0', '--cr3', '0', '--mode', '6-level'],
      says: 'Allowed choices are none, 2-level, pae, 4-level, 5-level',
    },
    { given: ['0', '--cr3', '0', '--mode', 'pae', '--cr4', '0'], says: '--mode stands for --cr0, --cr4 and --efer' },
    { given: ['0', '--cr3', '0', '--cr0', '1'], says: 'go with no paging mode' },
    {
      given: ['0x800000000000', '--cr3', '0x1000'],
      says: 'is not canonical: with 4 levels, bits 63 to 47 are all alike',
    },
    { given: ['0x100000000', '--cr3', '0x1000', '--mode', '2-level'], says: 'has more than 32 bits' },
    { given: ['0', '--cr3', '0', '--cpu', '1'], says: '--cpu 1: the dump has registers of none' },
    { given: ['0', '--cr3', '0', '--physical-bits', '53'], says: 'give 32 to 52' },
    { given: ['0', '--cr3', '0', '--base', '4'], says: '--base 0x4 is not a multiple of 8' },
    { given: ['--all', '--mode', 'none'], says: 'without paging there are no mappings to list' },
  ])('$given', async ({ given, says }) => {
    const { code, stderr } = await walk(bytes, ...given)
    expect([code, stderr.trim().split('\n').length]).toEqual([2, 1])
    expect(stderr).toContain(says)
  })

  test.each([
    {
      what: '--base for a core file',
      file: core,
      args: ['0', '--base', '0x1000'],
      code: 2,
      says: '--base is for plain memory',
    },
    {
      what: 'a CPU that is not in it',
      file: core,
      args: ['0', '--cpu', '2'],
      code: 2,
      says: 'the dump has registers of 1',
    },
    {
      what: 'a core file of another machine',
      file: elfCore(64, [{ gpa: 0, bytes }], [], 243),
      says: 'it is not of an x86 or Arm machine',
    },
    { what: 'a core file without memory', file: elfCore(64, []), says: 'it has no memory in it' },
    { what: 'a core file that is cut off', file: core.subarray(0, 70), says: 'its program headers are cut off' },
    { what: 'a core file whose memory is cut off', file: core.subarray(0, -1), says: 'of a file of' },
    {
      what: 'a core file whose memory lies beyond what a file can have',
      file: withFarMemory(core),
      says: 'of a file of',
    },
    {
      what: 'a LiME file that is cut off',
      file: limeFile([{ gpa: 0, bytes }]).subarray(0, 99),
      says: 'is not in the file as a whole',
    },
    {
      what: 'LiME with something else in it',
      file: Uint8Array.from([...limeFile([{ gpa: 0, bytes: bytes.subarray(0, 8) }]), 1]),
      says: 'no LiME header of version 1 at offset 40',
    },
  ])('$what', async ({ file, args = ['0'], code = 74, says }) => {
    const done = await walk(file, ...args)
    expect(done.code).toBe(code)
    expect(done.stderr).toContain(says)
    expect(done.stderr.trim().split('\n')).toHaveLength(1)
  })

  test('a file that is not there, and a directory', async () => {
    const host = new FakeHost(async () => ({ reason: 'power-off' }))
    expect(await runCli(['walk', join(folder, 'none'), '0', '--cr3', '0'], host)).toBe(74)
    expect(await runCli(['walk', folder, '0', '--cr3', '0'], host)).toBe(74)
    expect(host.stderr.text).toMatch(/none: there is no such file\nretrap: .*: it is a directory\n$/)
  })

  test('random bytes behind a plausible header are refused or walked, in one line or as a listing', async () => {
    const numbers = fc.tuple(
      fc.constantFrom('core', 'lime', 'plain'),
      fc.uint8Array({ maxLength: 300, size: 'max' }),
      fc.bigInt({ min: 0n, max: 0xffff_ffffn }),
    )
    await fc.assert(
      fc.asyncProperty(numbers, async ([form, tail, address]) => {
        const head = form === 'core' ? core.subarray(0, 64) : form === 'lime' ? limeFile([]) : new Uint8Array(0)
        const { code, stdout, stderr } = await walk(Uint8Array.from([...head, ...tail]), `${address}`, '--cr3', '0')
        expect([0, 2, 74]).toContain(code)
        if (code === 0) expect(stdout).toContain('page fault')
        else expect(stderr.trim().split('\n')).toHaveLength(1)
      }),
      { numRuns: 200 },
    )
  })
})
